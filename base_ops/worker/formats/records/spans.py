"""Spans of JSON text to columns: each span is one value, checked by the grammar of its type (RFC 8259), read at once.

What does not fit is said row by row (`misfits`): such a record is decoded by itself, exactly, and judged there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from json.decoder import scanstring  # type: ignore[attr-defined]

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from base_ops.worker.exact_floats import changed, may_change
from base_ops.worker.formats.records.layout import floats_are_exact, holds_floats

Positions = NDArray[np.int64]
Mask = NDArray[np.bool_]
_INTEGER = r"^-?(?:0|[1-9][0-9]*)$"
_NUMBER = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_SCALAR = r"^(?:true|false|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)$"
_SPECIAL = ['"', "\\"]
_EXACT_IN_FLOAT = float(1 << 53)
_QUOTE, _MINUS, _POINT, _ZERO = b'"-.0'


@dataclass
class Cells:
    """A column of rows; null where there is no value, or none that fits."""

    values: pl.Series
    misfits: Mask | None = None
    """Rows whose value needs a closer look; None: no row."""
    other_kinds: Mask | None = None
    """Rows of a text column whose value is a number or boolean, kept as its JSON text."""


@dataclass(frozen=True)
class Piece:
    """The values of one key in some lines, cut out of them."""

    texts: pa.LargeStringArray
    quoted: Mask | None
    """Which are strings, cut without their quotes; None: not looked at, cut as they are."""
    is_plain: bool = False
    """There is neither a quote nor an escape within the strings."""


def cut(data: NDArray[np.uint8], starts: Positions, ends: Positions, *, unquote: bool) -> Piece:
    """The spans of one key's values in `data`: valid UTF-8, ascending, not overlapping."""
    quoted = None
    if unquote:
        quoted = (data[starts] == _QUOTE) & (data[np.maximum(ends, 1) - 1] == _QUOTE) & (ends - starts >= 2)
        starts, ends = starts + quoted, ends - quoted
    # one Arrow array in which every other element is a gap
    offsets = np.empty(2 * len(starts), np.int64)
    offsets[0::2], offsets[1::2] = starts, ends
    array = pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
    return Piece(array.take(_evens(len(starts))), quoted)


class Values:
    """The values of one key, put together."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._array = pa.chunked_array([piece.texts for piece in pieces], pa.large_string())
        masks = [piece.quoted for piece in pieces if piece.quoted is not None]
        self._quoted = np.concatenate(masks) if masks else None

    @cached_property
    def _texts(self) -> pl.Series:
        return _series(self._array)

    def cells(self, type: pa.DataType) -> Cells | None:
        """The values as a column of `type`; None where such a type is not read from spans."""
        if pa.types.is_string(type):
            return self._strings()
        if pa.types.is_boolean(type):
            return self._booleans()
        if pa.types.is_integer(type):
            return self._plain_numbers(type) or self._integers(pl.Int32() if type.bit_width == 32 else pl.Int64())
        if pa.types.is_float64(type):
            return self._plain_numbers(type) or self._floats()
        if pa.types.is_decimal(type):
            return self._decimals(type)
        return self._lists(type) if pa.types.is_list(type) else None

    def nulls_only(self) -> Cells:
        """Null, and nothing else."""
        return Cells(self._texts, _none_if_clean(self._texts != "null"))

    def scalars(self) -> Cells:
        """The JSON texts of strings without escapes, numbers, booleans and nulls."""
        assert self._quoted is not None
        quoted, text = pl.Series(self._quoted), self._texts
        good = pl.select(
            pl.when(quoted)
            .then(~pl.lit(text).str.contains_any(_SPECIAL))
            .otherwise(pl.lit(text).str.contains(_SCALAR) | (pl.lit(text) == "null"))
        ).to_series()
        whole = pl.select(pl.when(quoted).then(pl.concat_str(pl.lit('"'), pl.lit(text), pl.lit('"'))).otherwise(text))
        return Cells(whole.to_series(), _none_if_clean(~good))

    def _strings(self) -> Cells:
        """Strings, escapes resolved; numbers and booleans as they are written."""
        assert self._quoted is not None
        text, misfits, others = self._texts, None, None
        if not self._quoted.all():
            other = pl.Series(~self._quoted)
            null, scalar = other & (text == "null"), other & text.str.contains(_SCALAR)
            misfits = _none_if_clean(other & ~scalar & ~null)
            others = _none_if_clean(scalar)
            if null.any():
                text = text.set(null, None)
        if not all(piece.is_plain for piece in self._pieces):
            special = text.str.contains_any(_SPECIAL)
            if special.any():
                text, bad = _unescaped(text, special.fill_null(False))
                misfits = bad if misfits is None else misfits | bad
        return Cells(text, misfits, others)

    def _booleans(self) -> Cells:
        text = self._texts
        true = text == "true"
        null, known = text == "null", true | (text == "false")
        return Cells(true.set(~known, None), _none_if_clean(~(known | null)))

    def _plain_numbers(self, type: pa.DataType) -> Cells | None:
        """By Arrow, which is less strict than JSON, where all that it would let pass is not there."""
        if not all(_are_plain_numbers(piece.texts) for piece in self._pieces):
            return None
        try:
            values = pc.cast(self._array, type)
        except pa.ArrowInvalid:
            return None
        if not floats_are_exact(values):
            return None
        made = _series(values)
        return None if made.dtype.is_float() and changed(self._texts, made) else Cells(made)

    def _integers(self, dtype: pl.DataType) -> Cells:
        text = self._texts
        values = text.cast(dtype, strict=False)
        return self._numbers(values, text.str.contains(_INTEGER) & values.is_not_null())

    def _floats(self) -> Cells:
        text = self._texts
        values = text.cast(pl.Float64, strict=False)
        good = text.str.contains(_NUMBER) & values.is_not_null() & values.is_finite()
        large = values.abs() >= _EXACT_IN_FLOAT
        if large.any():  # an integer that long may have been rounded
            good &= ~large | text.str.contains_any([".", "e", "E"])
        if lost := changed(text, values):
            good = good.scatter(lost, False)
        return self._numbers(values, good)

    def _decimals(self, type: pa.DataType) -> Cells | None:
        good = self._texts.str.contains(_NUMBER)
        try:
            values = pc.cast(_to_arrow(self._texts.set(~good, None)), type)
        except pa.ArrowInvalid:
            return None
        return self._numbers(_series(values), good)

    def _numbers(self, values: pl.Series, good: pl.Series) -> Cells:
        good = good.fill_null(False)
        if good.all():
            return Cells(values)
        return Cells(values.set(~good, None), _none_if_clean(~good & (self._texts != "null")))

    def _lists(self, type: pa.DataType) -> Cells | None:
        """By Arrow's parser: as many rows as there are spans, each of them a list, or None."""
        text = self._texts
        if not (text.str.starts_with("[") & text.str.ends_with("]") | (text == "null")).all():
            return None
        lines = pl.select(pl.concat_str(pl.lit('{"v":'), pl.lit(text), pl.lit("}")).str.join("\n")).item().encode()
        options = pj.ParseOptions(explicit_schema=pa.schema([("v", type)]), unexpected_field_behavior="error")
        block_bytes = max(1 << 20, 2 * int(text.str.len_bytes().max() or 0) + 64)  # type: ignore[arg-type]
        try:
            table = pj.read_json(pa.BufferReader(lines), pj.ReadOptions(False, block_bytes), options)
        except pa.ArrowException:
            return None
        if table.num_rows != len(text) or not floats_are_exact(table.column(0)):
            return None
        if holds_floats(type) and may_change(lines):
            return None
        return Cells(_series(table.column(0)))


def _are_plain_numbers(texts: pa.LargeStringArray) -> bool:
    """Whether all of them are JSON numbers without exponent, if they are numbers at all."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[: len(texts) + 1]
    starts, ends = ends[:-1], ends[1:]
    if len(texts) == 0 or data is None or not (ends > starts).all():
        return False
    text = np.frombuffer(data, np.uint8)[: int(ends[-1])]
    others = text[text - _ZERO > 9]  # of the type uint8: what stands before 0 is far behind 9
    if not ((others == _POINT) | (others == _MINUS)).all():
        return False
    lead = starts + (text[starts] == _MINUS)
    if not (
        (lead < ends).all()
        and (text[ends - 1] != _POINT).all()
        and (text[np.minimum(lead, len(text) - 1)] >= _ZERO).all()
    ):
        return False
    zeros = lead[(text[lead] == _ZERO) & (ends - lead > 1)]
    return bool((text[zeros + 1] == _POINT).all())


def _series(array: pa.Array | pa.ChunkedArray) -> pl.Series:
    return pl.Series("", pl.from_arrow(array))


def _evens(count: int) -> pa.Array:
    # from a buffer, since pa.array imports pandas where it is installed
    return pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(np.arange(0, 2 * count, 2, dtype=np.int64))])


def _unescaped(text: pl.Series, special: pl.Series) -> tuple[pl.Series, Mask]:
    """Texts with their escapes resolved, one by one where there are any; and the rows where that cannot be."""
    at = np.flatnonzero(special.to_numpy())
    made: list[str | None] = []
    for escaped in text.gather(at):
        made.append(_unescape(escaped))
    bad = np.zeros(len(text), bool)
    bad[[row for row, value in zip(at, made, strict=True) if value is None]] = True
    return text.scatter(at, pl.Series(made, dtype=pl.String)), bad


def _unescape(text: str) -> str | None:
    try:
        value, end = scanstring(f'{text}"', 0, True)
        value.encode()  # half of a surrogate pair is no text
    except ValueError:
        return None
    return value if end == len(text) + 1 else None


def _to_arrow(values: pl.Series) -> pa.ChunkedArray:
    return pa.RecordBatchReader.from_stream(values.to_frame("")).read_all().column(0).cast(pa.large_string())


def _none_if_clean(misfits: pl.Series) -> Mask | None:
    return misfits.to_numpy() if misfits.any() else None
