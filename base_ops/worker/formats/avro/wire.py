"""Decoding blocks: by polars where it can, checked by a sentinel; else record by record, by fastavro.

Neither sees the file's own schema, but one whose bytes are the same: without logical types, integers as longs, texts
as bytes, enums as their index, maps as arrays of entries (so that no repeated key is lost), and each branch of a
union as a record of one field (so that the branch is told). What the values mean is said by `meaning.py`.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from functools import cached_property
from itertools import count
from typing import Any

import polars as pl
import pyarrow as pa

from base_ops.worker.formats.avro import MAGIC
from base_ops.worker.formats.avro.container import damaged
from base_ops.worker.formats.avro.schema import Node
from base_ops.worker.formats.avro.varint import long_bytes
from base_ops.worker.formats.declared import BadRow

_SYNC = bytes(16)
_LONG, _FLOAT, _DOUBLE = long_bytes(0x5A17_C0DE_1234_5678), struct.pack("<f", -6.02e23), struct.pack("<d", -6.022e123)
_BYTES = long_bytes(11) + b"\xf5\x8a sentinel"
_WIDE = Context(prec=200)
_MAX_EMPTY = 1 << 16
_KINDS: dict[str, str | pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "float": pa.float32(),
    "double": pa.float64(),
    **dict.fromkeys(("int", "long", "enum"), pa.int64()),
    **dict.fromkeys(("bytes", "string", "fixed"), pa.large_binary()),
}


@dataclass
class Piece:
    """Unpacked blocks that follow each other."""

    block: int
    first: int
    """Record number of the first record."""
    records: int
    bodies: list[bytes]
    counts: list[int]


@dataclass
class Decoded:
    """Records of a piece as columns named 0, 1, …, of wire types; and those that cannot be used."""

    frame: pl.DataFrame
    broken: dict[int, BadRow] = field(default_factory=dict)


class Decoder:
    """Decodes the records of one schema."""

    def __init__(self, node: Node, source: str) -> None:
        self._node, self._source = node, source
        self._names = [f.name for f in node.fields]
        self.is_fast = bool(node.fields) and all(_is_fast(n, n is f.node) for f in node.fields for n in f.node.walk())
        self._limits = {str(i): 10**f.node.precision for i, f in enumerate(node.fields) if f.node.logical == "decimal"}
        self._type = pa.struct([pa.field(str(i), _arrow(f.node)) for i, f in enumerate(node.fields)])
        self._values = [_value(f.node) for f in node.fields]
        if self.is_fast:
            self._head = _mini_header(_wire(node, count(), native_decimals=True))
            self._sentinel = b"".join(_sentinel(f.node) for f in node.fields)
            self._expected = pl.read_avro(io.BytesIO(self._file(1, self._sentinel))).row(0)

    def decode(self, piece: Piece) -> Decoded:
        """Raises: BadInput, with the number of the block that is damaged."""
        least = self._node.least_bytes
        for number, (body, records) in enumerate(zip(piece.bodies, piece.counts, strict=True), piece.block):
            if records * least > len(body) or (least == 0 and records > _MAX_EMPTY):
                damaged(self._source, f"{records} records do not fit {len(body)} bytes", number)
        if self.is_fast and piece.records:
            frame = self._fast(piece)
            if frame is not None:
                return Decoded(frame)
        return self._slow(piece)

    # -- by polars

    def _file(self, records: int, body: bytes) -> bytes:
        return b"".join((self._head, long_bytes(records), long_bytes(len(body)), body, _SYNC))

    def _fast(self, piece: Piece) -> pl.DataFrame | None:
        """None where anything is odd. A sentinel behind the records tells whether polars read all bytes before it."""
        body = b"".join((*piece.bodies, self._sentinel))
        try:
            frame = pl.read_avro(io.BytesIO(self._file(piece.records + 1, body)))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            return None
        if frame.height != piece.records + 1 or frame.row(-1) != self._expected:
            return None
        frame = frame.head(piece.records)
        return frame if all(_fits(frame[name], limit) for name, limit in self._limits.items()) else None

    # -- by fastavro

    def _slow(self, piece: Piece) -> Decoded:
        rows: list[dict[str, Any]] = []
        broken: dict[int, BadRow] = {}
        for number, (body, records) in enumerate(zip(piece.bodies, piece.counts, strict=True), piece.block):
            for record in self._records(body, records, number):
                for index, value in enumerate(self._values):
                    if value is None:
                        continue
                    name = str(index)
                    try:
                        record[name] = value(record[name])
                    except ValueError as error:
                        broken.setdefault(len(rows), BadRow(len(rows), "type", str(error), self._names[index]))
                        record[name] = None
                rows.append(record)
        try:
            array = pa.array(rows, self._type)
        except (pa.ArrowException, OverflowError) as error:
            damaged(self._source, str(error), piece.block)
        table = pa.Table.from_batches([pa.RecordBatch.from_struct_array(array)])
        return Decoded(pl.DataFrame(pl.from_arrow(table)), broken)

    @cached_property
    def _schema(self) -> Any:
        from fastavro import parse_schema  # not needed by most files

        return parse_schema(_wire(self._node, count(), native_decimals=False))

    def _records(self, body: bytes, records: int, block: int) -> list[dict[str, Any]]:
        from fastavro import schemaless_reader

        file, found = io.BytesIO(body), []
        try:
            for _ in range(records):
                found.append(schemaless_reader(file, self._schema, None))
        except (EOFError, IndexError, ValueError, OverflowError, TypeError, MemoryError, RecursionError) as error:
            damaged(self._source, f"record {len(found) + 1} of the block: {error or type(error).__name__}", block)
        if file.tell() != len(body):
            damaged(self._source, f"{len(body) - file.tell()} bytes behind the block's {records} records", block)
        return found  # type: ignore[return-value]


def _fits(decimals: pl.Series, limit: int) -> bool:
    numbers = decimals.to_physical()
    low, high = numbers.min(), numbers.max()
    return low is None or bool(low > -limit and high < limit)  # type: ignore[operator]


def _is_fast(node: Node, is_top: bool) -> bool:
    if node.kind in ("null", "union") or len(node.branches) == 1 or (node.kind == "record" and not node.fields):
        return False
    if node.logical == "decimal":
        return is_top and node.precision <= 38 and node.size <= 16
    return node.kind != "fixed" or node.size > 0


def _mini_header(schema: Any) -> bytes:
    text = json.dumps(schema).encode()
    facts = {b"avro.schema": text, b"avro.codec": b"null"}
    pairs = b"".join(long_bytes(len(part)) + part for pair in facts.items() for part in pair)
    return MAGIC + long_bytes(len(facts)) + pairs + long_bytes(0) + _SYNC


def _wire(node: Node, numbers: count[int], native_decimals: bool) -> Any:
    made = _bare(node, numbers, native_decimals)
    if node.branches:
        return (
            [made if is_it else "null" for is_it in node.branches]
            if node.kind != "null"
            else ["null"] * len(node.branches)
        )
    return made


def _bare(node: Node, numbers: count[int], native: bool) -> Any:
    kind = node.kind
    if kind == "array":
        assert node.item is not None
        return {"type": "array", "items": _wire(node.item, numbers, native)}
    if kind == "map":
        assert node.item is not None
        entry = [("key", "bytes"), ("value", _wire(node.item, numbers, native))]
        return {"type": "array", "items": _record(entry, numbers)}
    if kind == "record":
        is_top = next(numbers) == 0
        names = [str(i) for i in range(len(node.fields))] if is_top else [f.name for f in node.fields]
        pairs = [(n, _wire(f.node, numbers, native)) for n, f in zip(names, node.fields, strict=True)]
        return _record(pairs, numbers)
    if kind == "union":
        return [
            "null" if f.node.kind == "null" else _record([(f.name, _wire(f.node, numbers, native))], numbers)
            for f in node.fields
        ]
    made: dict[str, Any] = {"type": {"int": "long", "enum": "long", "string": "bytes"}.get(kind, kind)}
    if kind == "fixed":
        made |= {"name": f"f{next(numbers)}", "size": node.size}
    if native and node.logical == "decimal":
        made |= {"logicalType": "decimal", "precision": node.precision, "scale": node.scale}
    return made


def _record(fields: Sequence[tuple[str, Any]], numbers: count[int]) -> dict[str, Any]:
    listed = [{"name": name, "type": type} for name, type in fields]
    return {"type": "record", "name": f"r{next(numbers)}", "fields": listed}


def _arrow(node: Node) -> pa.DataType:
    if node.logical == "decimal":
        return pa.decimal128(min(node.precision, 38), node.scale)
    if node.item is not None:
        item = _arrow(node.item)
        if node.kind == "map":
            item = pa.struct([pa.field("key", pa.large_binary()), pa.field("value", item)])
        return pa.large_list(item)
    if node.kind in ("record", "union"):
        return pa.struct([pa.field(f.name, _arrow(f.node)) for f in node.choices])
    return _KINDS[node.kind]


def _sentinel(node: Node) -> bytes:
    """An encoded value no record is likely to have."""
    branch = long_bytes(node.branches.index(True)) if node.branches else b""
    return branch + _bare_sentinel(node)


def _bare_sentinel(node: Node) -> bytes:
    kind = node.kind
    if node.item is not None:
        key = _BYTES if kind == "map" else b""
        return long_bytes(1) + key + _sentinel(node.item) + long_bytes(0)
    if kind == "record":
        return b"".join(_sentinel(f.node) for f in node.fields)
    if node.logical == "decimal":
        return bytes(node.size) if kind == "fixed" else long_bytes(1) + b"\x01"
    if kind == "fixed":
        return (_BYTES * (node.size // len(_BYTES) + 1))[: node.size]
    plain = {"boolean": b"\x01", "float": _FLOAT, "double": _DOUBLE, "bytes": _BYTES, "string": _BYTES}
    return plain.get(kind, _LONG)


# -- decimals, the one thing Arrow does not make of the wire's values


def _value(node: Node) -> Callable[[Any], Any] | None:
    """What makes the decimals in a decoded value decimals; None where there are none. Raises ValueError."""
    if not any(n.logical == "decimal" for n in node.walk()):
        return None
    if node.logical == "decimal":
        return _decimal(node)
    item = None if node.item is None else _value(node.item)
    if item is not None and node.kind == "array":
        return lambda value, item=item: value and [item(v) for v in value]  # type: ignore[misc]
    if item is not None:
        return lambda value, item=item: value and [{**v, "value": item(v["value"])} for v in value]  # type: ignore[misc]
    makers = {f.name: made for f in node.fields if (made := _value(f.node))}

    def convert(value: dict[str, Any] | None) -> dict[str, Any] | None:
        return value and {k: makers[k](v) if k in makers else v for k, v in value.items()}

    return convert


def _decimal(node: Node) -> Callable[[bytes | None], Decimal | None]:
    digits = min(node.precision, 38)
    limit = 10**digits

    def convert(value: bytes | None) -> Decimal | None:
        if value is None:
            return None
        number = int.from_bytes(value, "big", signed=True)
        if not -limit < number < limit:
            raise ValueError(f"the decimal has more than {digits} digits")
        return Decimal(number).scaleb(-node.scale, _WIDE)

    return convert
