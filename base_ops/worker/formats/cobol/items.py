"""One elementary item at a time: cells of bytes to a column of values."""

from __future__ import annotations

import numpy as np
import polars as pl

from base_ops.data_ingestion.options.layouts import CobolOptions
from base_ops.worker.formats.cobol.layout import Leaf
from base_ops.worker.formats.cobol.numbers import (
    Cells,
    Mask,
    Signs,
    ascii_signs,
    binary,
    ebcdic_signs,
    from_digits,
    from_integers,
    hexadecimal_float,
    ieee,
    number_type,
    packed,
    zoned,
)
from base_ops.worker.formats.fixed_width.chars import padded_column
from base_ops.worker.formats.fixed_width.codepages import MARK, single_byte_table

_BINARY_DIGITS = {2: 5, 4: 10, 8: 19}


class Items:
    """Decodes elementary items."""

    def __init__(self, options: CobolOptions, encoding: str) -> None:
        self._encoding = encoding
        table = single_byte_table(encoding)
        self._table = table
        is_ebcdic = table is not None and int(table[0xF0]) == ord("0")
        self._signs: Signs = ebcdic_signs() if is_ebcdic else ascii_signs()
        self.blank = 0x40 if is_ebcdic else 0x20
        self._big = options.byte_order == "big"
        self._ibm_floats = options.floats == "ibm" if options.floats else is_ebcdic

    def values(self, leaf: Leaf, cells: Cells) -> tuple[pl.Series, Mask, str]:
        """Values of an item, which of the cells are none, and the kind of fault that is."""
        usage = leaf.item.usage or "display"
        picture = leaf.item.picture
        if usage in ("float", "double"):
            value = hexadecimal_float(cells) if self._ibm_floats else ieee(cells, big=self._big)
            return pl.Series(value), np.zeros(len(cells), bool), "binary"
        assert picture is not None
        if picture.kind != "number":
            series, bad = self._national(leaf, cells) if leaf.size > picture.length else self._text(leaf, cells)
            return series, bad, "text"
        if usage == "display":
            return self._zoned(leaf, cells)
        if usage == "packed":
            found = packed(cells, picture.length, signed=picture.signed)
            return from_digits(found, picture.scale, found.bad), found.bad, "packed"
        integers, bad = binary(cells, signed=picture.signed, big=self._big or usage == "binary")
        return from_integers(integers, type_of(leaf), bad), bad, "binary"

    def _zoned(self, leaf: Leaf, cells: Cells) -> tuple[pl.Series, Mask, str]:
        picture = leaf.item.picture
        assert picture is not None
        where, separate = leaf.item.sign or ("trailing", False)
        found = zoned(cells, self._signs, signed=picture.signed, leading=where == "leading", separate=separate)
        if not found.bad.any():
            return from_digits(found, picture.scale, found.bad), found.bad, "display"
        empty = _all(cells, self.blank, 0x00, 0xFF)
        if leaf.item.blank_is_zero:
            found.digits[empty] = 0
            return from_digits(found, picture.scale, found.bad & ~empty), found.bad & ~empty, "display"
        return from_digits(found, picture.scale, found.bad), found.bad & ~empty, "display"

    def _text(self, leaf: Leaf, cells: Cells) -> tuple[pl.Series, Mask]:
        empty = _all(cells, self.blank, 0x00, 0xFF)
        if self._table is None:
            return self._multibyte(leaf, cells, empty)
        codes = self._table[cells]
        bad = (codes == MARK).any(axis=1) & ~empty
        if codes.size and codes.max() < 128:
            codes = codes.astype(np.uint8)
        return self._trimmed(leaf, codes, empty), bad

    def _multibyte(self, leaf: Leaf, cells: Cells, empty: Mask) -> tuple[pl.Series, Mask]:
        if not cells.size or cells.max() < 128:
            return self._trimmed(leaf, cells, empty), np.zeros(len(cells), bool)
        texts: list[str | None] = []
        for row in cells:
            try:
                text = row.tobytes().decode(self._encoding)
                texts.append(text.lstrip(" ") if leaf.item.right else text.rstrip(" "))
            except UnicodeDecodeError:
                texts.append(None)
        value = pl.Series(texts, dtype=pl.String)
        bad = value.is_null().to_numpy() & ~empty
        return value.set(pl.Series(empty), None), bad

    def _national(self, leaf: Leaf, cells: Cells) -> tuple[pl.Series, Mask]:
        codes = np.ascontiguousarray(cells).view(">u2").astype(np.uint32)
        empty = (codes == 0x20).all(axis=1) | _all(cells, 0x00, 0xFF)
        bad = ((codes >= 0xD800) & (codes < 0xE000)).any(axis=1) & ~empty
        return self._trimmed(leaf, codes, empty | bad), bad

    def _trimmed(self, leaf: Leaf, codes: np.ndarray, empty: Mask) -> pl.Series:
        align = None if leaf.item.picture.kind == "edited" else "right" if leaf.item.right else "left"  # type: ignore[union-attr]
        value = padded_column(codes, 0, codes.shape[1], " ", align)  # type: ignore[arg-type]
        return value.set(pl.Series(empty), None) if empty.any() else value


def _all(cells: Cells, *bytes: int) -> Mask:
    """Rows of nothing but one of some bytes."""
    first = cells[:, 0]
    uniform = np.isin(first, bytes)
    if uniform.any():
        uniform[uniform] = (cells[uniform] == first[uniform, None]).all(axis=1)
    return uniform


def type_of(leaf: Leaf) -> pl.DataType:
    """The column type of an item."""
    picture, usage = leaf.item.picture, leaf.item.usage or "display"
    if usage in ("float", "double"):
        return pl.Float64()
    if picture is None or picture.kind != "number":
        return pl.String()
    if usage in ("binary", "native"):
        digits = max(_BINARY_DIGITS[leaf.size], picture.scale)
        return pl.Decimal(digits, picture.scale) if picture.scale > 0 else pl.Int64()
    return number_type(picture.length, picture.scale)
