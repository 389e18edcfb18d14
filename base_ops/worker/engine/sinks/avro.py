"""Avro container files: polars encodes, this frames what it encodes as blocks under a schema with all logical types.

Every type is nullable. A name Avro does not allow is written as one it does, beside the real one in the attribute
`base_ops.column`, which our reader honours. The sync marker is made of the schema, so that the same data gives the
same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.sinks import refuse_value
from base_ops.worker.engine.sinks.decimals import as_bytes
from base_ops.worker.formats.avro import MAGIC
from base_ops.worker.formats.avro.container import blocks, read_header
from base_ops.worker.formats.avro.schema import COLUMN
from base_ops.worker.formats.avro.varint import long_bytes
from base_ops.worker.types import has_decimals

_BLOCK_BYTES = 1 << 18
_UNITS = {"ms": "millis", "us": "micros", "ns": "nanos"}
_PLAIN: dict[type[pl.DataType], tuple[str, pl.DataType]] = {
    **dict.fromkeys((pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16), ("int", pl.Int32())),
    **dict.fromkeys((pl.Int64, pl.UInt32), ("long", pl.Int64())),
    **dict.fromkeys((pl.String, pl.Categorical, pl.Enum), ("string", pl.String())),
    **dict.fromkeys((pl.Boolean, pl.Null), ("boolean", pl.Boolean())),
    pl.Float32: ("float", pl.Float32()),
    pl.Float64: ("double", pl.Float64()),
    pl.Binary: ("bytes", pl.Binary()),
}
_NESTED = (pl.List, pl.Array, pl.Struct)
_KNOWN: tuple[type[pl.DataType], ...] = (*_PLAIN, *_NESTED, pl.UInt64, pl.Decimal, pl.Date, pl.Datetime, pl.Time)


def refuses(dtype: pl.DataType) -> bool:
    if isinstance(dtype, _NESTED):
        inner = [f.dtype for f in dtype.fields] if isinstance(dtype, pl.Struct) else [dtype.inner]
        return any(pl.Time in (d, type(d)) for d in inner)
    return not isinstance(dtype, _KNOWN)


def write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
    codec, pack = _codec(spec)
    names = [f"c{i}" for i in range(len(schema))]
    maker = _Schemas()
    fields = [maker.field(name, dtype) for name, dtype in zip(_allowed(schema), schema.values(), strict=True)]
    declared = json.dumps({"type": "record", "name": "Row", "fields": _with_columns(fields, schema)}).encode()
    sync = hashlib.sha256(declared).digest()[:16]
    wire = {name: _wire(dtype) for name, dtype in zip(names, schema.values(), strict=True)}
    with path.open("wb") as file:
        file.write(_header(declared, codec, sync))
        for frame in frames:
            made = pl.DataFrame(
                [_physical(s, s.name).alias(n) for s, n in zip(frame.iter_columns(), names, strict=True)]
            )
            made = made.cast(wire)  # type: ignore[arg-type]
            made = pl.DataFrame([as_bytes(s) if has_decimals(s.dtype) else s for s in made.iter_columns()])
            for records, body in _encoded(made):
                packed = pack(body)
                file.write(b"".join((long_bytes(records), long_bytes(len(packed)), packed, sync)))


# -- the schema


class _Schemas:
    """Schemas of types; records are numbered, since Avro wants them named."""

    def __init__(self) -> None:
        self._records = 0

    def field(self, name: str, dtype: Any) -> dict[str, Any]:
        return {"name": name, "type": ["null", self.type(dtype)]}

    def type(self, dtype: Any) -> Any:
        dtype = dtype() if isinstance(dtype, type) else dtype
        if isinstance(dtype, pl.List | pl.Array):
            return {"type": "array", "items": ["null", self.type(dtype.inner)]}
        if isinstance(dtype, pl.Struct):
            self._records += 1
            name, inner = f"Record{self._records}", pl.Schema({f.name: f.dtype for f in dtype.fields})
            fields = [self.field(n, d) for n, d in zip(_allowed(inner), inner.values(), strict=True)]
            return {"type": "record", "name": name, "fields": _with_columns(fields, inner)}
        if isinstance(dtype, pl.UInt64):
            return {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 0}
        if isinstance(dtype, pl.Decimal):
            return {"type": "bytes", "logicalType": "decimal", "precision": dtype.precision, "scale": dtype.scale}
        if isinstance(dtype, pl.Date):
            return {"type": "int", "logicalType": "date"}
        if isinstance(dtype, pl.Time):
            return {"type": "long", "logicalType": "time-micros"}
        if isinstance(dtype, pl.Datetime):
            local = "" if dtype.time_zone else "local-"
            return {"type": "long", "logicalType": f"{local}timestamp-{_UNITS[dtype.time_unit]}"}
        return _PLAIN[type(dtype)][0]


def _allowed(schema: pl.Schema) -> list[str]:
    """Names by Avro's rules, all different."""
    found: list[str] = []
    for name in schema:
        base = re.sub(r"[^A-Za-z0-9_]", "_", name)
        base = base if re.match(r"[A-Za-z_]", base) else f"_{base}"
        free, number = base, 2
        while free in found or (free != name and free in schema):
            free, number = f"{base}_{number}", number + 1
        found.append(free)
    return found


def _with_columns(fields: list[dict[str, Any]], schema: pl.Schema) -> list[dict[str, Any]]:
    return [f if f["name"] == name else {**f, COLUMN: name} for f, name in zip(fields, schema, strict=True)]


def _header(schema: bytes, codec: str, sync: bytes) -> bytes:
    pairs = (b"avro.schema", schema, b"avro.codec", codec.encode())
    return MAGIC + long_bytes(2) + b"".join(long_bytes(len(p)) + p for p in pairs) + long_bytes(0) + sync


# -- the values


def _wire(dtype: Any) -> pl.DataType:
    """The type that polars encodes as the declared one is encoded."""
    dtype = dtype() if isinstance(dtype, type) else dtype
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_wire(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: _wire(f.dtype) for f in dtype.fields})
    if isinstance(dtype, pl.UInt64):
        return pl.Decimal(20, 0)
    if isinstance(dtype, pl.Datetime | pl.Time):
        return pl.Int64()
    return _PLAIN[type(dtype)][1] if type(dtype) in _PLAIN else dtype


def _physical(values: pl.Series, name: str) -> pl.Series:
    """Times as microseconds; raises BadInput where one has nanoseconds."""
    if values.dtype != pl.Time:
        return values
    nanos = values.alias("v").to_physical()
    if (nanos % 1000 != 0).any():
        raise refuse_value("avro", name, "a time with nanoseconds")
    return nanos // 1000


def _encoded(frame: pl.DataFrame) -> Iterator[tuple[int, bytes]]:
    """Numbers of records and their bytes, in blocks of about _BLOCK_BYTES."""
    rows = max(1, int(_BLOCK_BYTES * frame.height / max(frame.estimated_size(), 1)))
    for start in range(0, frame.height, rows):
        out = io.BytesIO()
        frame[start : start + rows].rechunk().write_avro(out)
        out.seek(0)
        header = read_header(out, "polars")
        for block in blocks(out, "polars", header.sync):
            yield block.records, block.data


def _codec(spec: WriteSpec) -> tuple[str, Callable[[bytes], bytes]]:
    """Default: deflate, since every reader must know it."""
    kind, level = spec.compression or "gzip", spec.compression_level
    if kind == "lz4":
        raise ConfigError(
            "Avro has no codec lz4",
            code="unsupported_codec",
            where="spec.write.compression",
            expected="gzip (deflate), snappy, zstd or uncompressed",
        )
    if kind == "snappy":
        return kind, lambda body: pa.compress(body, "snappy", asbytes=True) + zlib.crc32(body).to_bytes(4, "big")
    if kind == "zstd":
        codec = pa.Codec("zstd", compression_level=level)
        return "zstandard", lambda body: codec.compress(body, asbytes=True)
    if kind == "gzip":
        return "deflate", lambda body: zlib.compress(body, -1 if level is None else level, wbits=-15)
    return "null", lambda body: body
