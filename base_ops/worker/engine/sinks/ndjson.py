"""JSON Lines (RFC 8259 values): decimals as numbers with all their digits; no NaN, no infinity."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.sinks import refuse_value
from base_ops.worker.engine.sinks.leaves import ODD_OFFSET, leaves, unwritable_offset
from base_ops.worker.types import has_decimals, walk

_NULL = pl.lit("null")


def refuses(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Binary | pl.Duration | pl.Map | pl.Object)


def write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
    with path.open("wb") as file:
        for frame in frames:
            file.write(lines(frame, b"\n"))


def lines(frame: pl.DataFrame, end: bytes) -> memoryview:
    """The records of a frame, each with `end` behind it.

    Raises: BadInput where a float is none of JSON, or a moment none of ISO 8601.
    """
    for name, dtype in frame.schema.items():
        inside = list(walk(dtype))
        if any(inner.is_float() for inner in inside) and _is_infinite(frame.get_column(name)):
            raise refuse_value("json", name, "NaN or an infinity")
        if any(isinstance(inner, pl.Datetime) for inner in inside) and unwritable_offset(frame.get_column(name)):
            raise refuse_value("json", name, ODD_OFFSET)
    out = io.BytesIO()
    if end == b"\n" and not has_decimals(pl.Struct(frame.schema)):
        frame.write_ndjson(out)
        return out.getbuffer()
    names = [f"c{i}" for i in range(frame.width)]
    text = _record([(n, pl.col(c), d) for (n, d), c in zip(frame.schema.items(), names, strict=True)])
    made = pl.DataFrame([s.alias(c) for s, c in zip(frame.iter_columns(), names, strict=True)]).select(text.alias("r"))
    made.write_csv(out, include_header=False, quote_style="never", line_terminator=end.decode())
    return out.getbuffer()


def _is_infinite(values: pl.Series) -> bool:
    """Whether there is a float, at any depth, that is NaN or an infinity."""
    return any(bool((~leaf.is_finite()).any()) for leaf in leaves(values) if leaf.dtype.is_float())


def _record(fields: list[tuple[str, pl.Expr, pl.DataType]]) -> pl.Expr:
    parts: list[pl.Expr] = []
    for number, (name, value, dtype) in enumerate(fields):
        key = pl.DataFrame({"k": [name]}).select(_plain(pl.col("k"))).item()
        parts += [pl.lit(("," if number else "{") + key + ":"), _text(value, dtype)]
    return pl.concat_str([*parts, pl.lit("}" if parts else "{}")])


def _text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The JSON text of a value."""
    if not has_decimals(dtype):
        return _plain(value)
    if isinstance(dtype, pl.Decimal):
        return value.cast(pl.String).fill_null(_NULL)
    if isinstance(dtype, pl.Struct):
        inner = _record([(f.name, value.struct.field(f.name), _known(f.dtype)) for f in dtype.fields])
        return pl.when(value.is_null()).then(_NULL).otherwise(inner)
    if isinstance(dtype, pl.Array):
        value = value.arr.to_list()
    assert isinstance(dtype, pl.List | pl.Array)
    items = value.list.eval(_text(pl.element(), _known(dtype.inner))).list.join(",")
    return pl.when(value.is_null()).then(_NULL).otherwise(pl.concat_str([pl.lit("["), items, pl.lit("]")]))


def _plain(value: pl.Expr) -> pl.Expr:
    """By polars' own encoder, which wants an object around the value."""
    return pl.struct(value.alias("v")).struct.json_encode().str.slice(5).str.head(-1)


def _known(dtype: object) -> pl.DataType:
    return next(iter(walk(dtype() if isinstance(dtype, type) else dtype)))  # type: ignore[arg-type]
