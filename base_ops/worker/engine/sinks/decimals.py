"""Decimals as Avro wants them: big-endian two's complement bytes, at any depth of a column.

polars' own encoder leaves out the byte of the sign where the number's highest bit is bit 15, 31, 47, …: 32,768 would be
read back as -32,768.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_WIDTH = 16


def as_bytes(values: pl.Series) -> pl.Series:
    """A column of decimals, or of lists and structs of some, with their bytes in their place."""
    array = values.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    return pl.Series(pl.from_arrow(_encoded(array))).alias(values.name)


def _encoded(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_large_list(kind):
        offsets = pa.array(array.offsets.to_numpy())  # of their own: Arrow takes no nulls beside a part of others
        return pa.LargeListArray.from_arrays(offsets, _encoded(array.values), mask=array.is_null())
    if pa.types.is_struct(kind):
        fields = [_encoded(array.field(place)) for place in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, [field.name for field in kind], mask=array.is_null())
    return _bytes_of(array) if pa.types.is_decimal128(kind) else array


def _bytes_of(array: pa.Array) -> pa.Array:
    """All as many bytes as the longest needs; nulls stay."""
    count = len(array)
    start = array.offset * _WIDTH
    little = np.frombuffer(array.buffers()[1], np.uint8)[start : start + count * _WIDTH].reshape(count, _WIDTH)
    big = little[:, ::-1]
    width = _WIDTH
    while width > 1 and _is_only_sign(big, _WIDTH - width):
        width -= 1
    data = np.ascontiguousarray(big[:, _WIDTH - width :])
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int64)
    made = pa.LargeBinaryArray.from_buffers(pa.large_binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return pc.if_else(array.is_valid(), made, None) if array.null_count else made


def _is_only_sign(big: np.ndarray, place: int) -> bool:
    """Whether a column of bytes says no more than the highest bit behind it."""
    negative = big[:, place + 1] >= 0x80
    return bool((big[:, place] == np.where(negative, 0xFF, 0)).all())
