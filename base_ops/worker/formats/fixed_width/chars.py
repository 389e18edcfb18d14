"""Text as arrays with one item per character, so that positions are characters whatever the encoding; and columns
cut out of such arrays without an object per cell."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from base_ops.worker.formats.fixed_width.codepages import single_byte_table
from base_ops.worker.formats.records.lines import read_full

Codes = NDArray[Any]
"""Code points: uint8 where all are ASCII, else uint32."""


@dataclass(frozen=True)
class Chars:
    """Some characters of a stream."""

    codes: Codes
    offset: int | None
    """Byte at which they begin, where every character is one byte."""


def characters(file: BinaryIO, encoding: str, bom_bytes: int, block_bytes: int) -> Iterator[Chars]:
    """The stream in blocks of characters."""
    read_full(file, bom_bytes)
    table = single_byte_table(encoding)
    decoder = codecs.getincrementaldecoder(encoding)("base_ops.mark")
    offset: int | None = bom_bytes
    waiting = False
    while True:
        data = read_full(file, block_bytes)
        if table is not None:
            codes = _by_table(data, table)
        elif not waiting and encoding == "utf-8" and data.isascii():
            codes = np.frombuffer(data, np.uint8)
        else:
            text = decoder.decode(data, final=not data)
            codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
            waiting, offset = bool(decoder.getstate()[0]), None
        if len(codes):
            yield Chars(codes, offset)
        if not data:
            return
        offset = None if offset is None else offset + len(data)


def _by_table(data: bytes, table: NDArray[np.uint32]) -> Codes:
    array = np.frombuffer(data, np.uint8)
    if data.isascii() and (table[:128] == np.arange(128)).all():
        return array
    narrow = np.where(table < 128, table, 255).astype(np.uint8)[array]
    return narrow if not len(narrow) or narrow.max() < 128 else table[array]


def joined(left: Codes, right: Codes) -> Codes:
    """Both, as the wider of their types."""
    return np.concatenate((left, right)) if len(left) else right


def text_of(codes: Codes) -> str:
    """A few characters, for messages and keys."""
    return codes.astype("<u4").tobytes().decode("utf-32-le", "replace")


def column(matrix: Codes, start: int, stop: int) -> pl.Series:
    """The characters [start, stop) of every row as texts, padding included."""
    return _series(_cut(matrix, start, stop))


def padded_column(
    matrix: Codes, start: int, stop: int, pad: str = " ", align: Literal["left", "right"] | None = None
) -> pl.Series:
    """As `column`, without the padding on one side or both."""
    texts = _cut(matrix, start, stop)
    is_ascii = pad.isascii()  # arrow trims bytes four times faster than polars trims texts
    if align != "right" and (matrix[:, stop - 1] == ord(pad)).any():
        texts = (pc.ascii_rtrim if is_ascii else pc.utf8_rtrim)(texts, characters=pad)
    if align != "left" and (matrix[:, start] == ord(pad)).any():
        texts = (pc.ascii_ltrim if is_ascii else pc.utf8_ltrim)(texts, characters=pad)
    return _series(texts)


def ragged_column(codes: Codes, lengths: NDArray[np.int64]) -> pl.Series:
    """Texts that follow each other in `codes`, by their lengths in characters."""
    ends = np.concatenate(([0], np.cumsum(lengths)))
    if codes.dtype == np.uint8:
        return _series(_texts(ends, np.ascontiguousarray(codes)))
    sizes = np.concatenate(([0], np.cumsum(_utf8_sizes(codes), dtype=np.int64)))
    return _series(_texts(sizes[ends], _utf8(codes)))


def with_point(text: pl.Series, decimals: int) -> pl.Series:
    """Numbers with their implied decimal point written; texts that are no bare digits stay as they are."""
    if not decimals:
        return text
    number = pl.col("cell")
    bare = number.str.contains(r"^ *[+-]?[0-9]+ *$")
    digits = number.str.strip_chars(" ").str.zfill(decimals + 1)
    pointed = digits.str.replace(rf"^([+-]?[0-9]*)([0-9]{{{decimals}}})$", "${1}.${2}")
    return text.alias("cell").to_frame().select(pl.when(bare).then(pointed).otherwise(number)).to_series()


def _cut(matrix: Codes, start: int, stop: int) -> Any:
    part = np.ascontiguousarray(matrix[:, start:stop])
    if part.dtype != np.uint8 and part.size and part.max() >= 128:
        sizes = _utf8_sizes(part).sum(axis=1, dtype=np.int64)
        return _texts(np.concatenate(([0], np.cumsum(sizes))), _utf8(part))
    rows, width = part.shape
    return _texts(np.arange(0, rows * width + 1, width, dtype=np.int64), part.astype(np.uint8, copy=False))


def _utf8(codes: Codes) -> bytes:
    return codes.tobytes().decode("utf-32-le", "replace").encode()


def _utf8_sizes(codes: Codes) -> NDArray[np.int8]:
    sizes = np.ones(codes.shape, np.int8)
    for beyond in (0x7F, 0x7FF, 0xFFFF):
        sizes += codes > beyond
    return sizes


def _texts(offsets: NDArray[np.int64], data: Any) -> Any:
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def _series(array: Any) -> pl.Series:
    return pl.Series(pl.from_arrow(array))
