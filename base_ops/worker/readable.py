"""Values as a person reads them: JSON, bytes as hexadecimal (polars panics where it is to make JSON of bytes)."""

from __future__ import annotations

from typing import Any

import polars as pl

from base_ops.worker.types import walk


def as_text(values: pl.Series) -> pl.Series:
    """Each value as text: bytes in hexadecimal, nested ones as JSON."""
    if values.dtype == pl.Binary:
        return values.bin.encode("hex")
    if values.dtype.is_nested():
        return as_json(values.to_frame("value")).set(values.is_null(), None)
    return values.cast(pl.String)


def as_json(frame: pl.DataFrame) -> pl.Series:
    """Each row as a JSON object."""
    columns = [_readable(values).alias(values.name) for values in frame.iter_columns()]
    return pl.DataFrame(columns).to_struct("json").struct.json_encode()


def _readable(values: pl.Series) -> pl.Series:
    if not _holds_bytes(values.dtype):
        return values
    cells = values.alias("v").to_frame()  # polars takes a name such as ^…$ for a pattern
    return cells.select(_in_hex(pl.col("v"), values.dtype).alias("v")).to_series()


def _in_hex(value: pl.Expr, dtype: Any) -> pl.Expr:
    if not _holds_bytes(dtype):
        return value
    if isinstance(dtype, pl.Array):
        return _in_hex(value.arr.to_list(), pl.List(dtype.inner))
    if isinstance(dtype, pl.List):
        return value.list.eval(_in_hex(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Struct):
        fields = [_in_hex(value.struct.field(f.name), f.dtype).alias(f.name) for f in dtype.fields]
        return pl.when(value.is_not_null()).then(pl.struct(fields))
    return value.bin.encode("hex")


def _holds_bytes(dtype: Any) -> bool:
    return any(inner == pl.Binary for inner in walk(dtype))
