"""The Avro reader: exact or refused, whatever wrote the file."""

from __future__ import annotations

import bz2
import contextlib
import io
import json
import lzma
import os
import random
import zlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.binary import AvroOptions
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Reader, Rejected
from base_ops.worker.formats.avro import FORMAT
from base_ops.worker.formats.avro.codecs import CODECS
from base_ops.worker.formats.avro.container import blocks, read_header
from base_ops.worker.formats.avro.varint import long_bytes
from base_ops.worker.formats.base import ByteSource


def read(data: bytes, **spec: Any) -> tuple[pl.DataFrame, list[Rejected], Reader]:
    reader = FORMAT.read(ByteSource("x.avro", len(data), lambda: io.BytesIO(data)), ReadSpec(**spec))
    batches = list(reader.batches())
    frame = pl.concat([pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64}), *(b.frame for b in batches)])
    assert frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return frame, [r for b in batches for r in b.rejected], reader


def record(*fields: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "Row", "fields": [{"name": n, "type": t} for n, t in fields]}


PACK: dict[str, Any] = {
    "null": lambda b: b,
    "deflate": lambda b: zlib.compress(b)[2:-1],  # as fastavro does it, with three bytes too many
    "snappy": lambda b: bytes(pa.compress(b, "snappy", asbytes=True)) + zlib.crc32(b).to_bytes(4, "big"),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstandard": lambda b: pa.compress(b, "zstd", asbytes=True),
}


def written(schema: Any, rows: list[Any], codec: str = "null", sync_interval: int = 16_000) -> bytes:
    out = io.BytesIO()
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    fastavro.writer(out, parsed, rows, sync_interval=sync_interval)
    if codec == "null":
        return out.getvalue()
    out.seek(0)
    header = read_header(out, "x")
    packed = [(b.records, PACK[codec](b.data)) for b in blocks(out, "x", header.sync)]
    parts = [long_bytes(n) + long_bytes(len(b)) + b + header.sync for n, b in packed]
    return header_bytes(header.schema, codec, header.sync) + b"".join(parts)


def header_bytes(schema: str, codec: str = "null", sync: bytes = bytes(16)) -> bytes:
    pairs = [b"avro.schema", schema.encode(), b"avro.codec", codec.encode()]
    return b"Obj\x01" + long_bytes(2) + b"".join(long_bytes(len(p)) + p for p in pairs) + long_bytes(0) + sync


def column(type: Any, values: list[Any], **options: Any) -> bytes:
    return written(record(("c", type)), [{"c": v} for v in values], **options)


def raw(type: Any, body: bytes, records: int = 1) -> bytes:
    """A file of one block whose bytes are given."""
    empty = column(type, [])
    return empty + long_bytes(records) + long_bytes(len(body)) + body + empty[-16:]


def logical(kind: str, logical_type: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": logical_type, **more}


FIXED = {"type": "fixed", "name": "F", "size": 3}
PAIR = {"type": "record", "name": "Pair", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]}
STAMP = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAIVE = STAMP.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("type", "values", "dtype", "expected"),
    [
        ("null", [None, None], pl.Null, None),
        ("boolean", [True, False], pl.Boolean, None),
        ("int", [2**31 - 1, -(2**31)], pl.Int32, None),
        ("long", [2**63 - 1, -(2**63)], pl.Int64, None),
        ("float", [1.5, -0.25, float("inf")], pl.Float32, None),
        ("double", [0.1, -1e300], pl.Float64, None),
        ("bytes", [b"", b"\xff\0"], pl.Binary, None),
        ("string", ["", "é", "a\0b"], pl.String, None),
        (FIXED, [b"abc"], pl.Binary, None),
        ({"type": "fixed", "name": "E", "size": 0}, [b""], pl.Binary, None),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, ["B", "A"], pl.String, None),
        (["null", {"type": "enum", "name": "E", "symbols": ["A", "B"]}], ["B", None], pl.String, None),
        (["null", "long"], [1, None], pl.Int64, None),
        (["string", "null"], ["a", None, ""], pl.String, None),
        (["long"], [1, 2], pl.Int64, None),
        (["null"], [None], pl.Null, None),
        ({"type": "array", "items": "int"}, [[1, 2], []], pl.List(pl.Int32), None),
        ({"type": "array", "items": ["null", "string"]}, [["a", None], []], pl.List(pl.String), None),
        (["null", {"type": "array", "items": PAIR}], [[{"a": 1, "b": "x"}], None], None, None),
        (PAIR, [{"a": 1, "b": "x"}], pl.Struct({"a": pl.Int64, "b": pl.String}), None),
        (["null", PAIR], [{"a": 1, "b": "x"}, None], pl.Struct({"a": pl.Int64, "b": pl.String}), None),
        (
            {"type": "map", "values": "int"},
            [{"k": 1, "l": 2}, {}],
            pl.List(pl.Struct({"key": pl.String, "value": pl.Int32})),
            [[{"key": "k", "value": 1}, {"key": "l", "value": 2}], []],
        ),
        (
            ["null", "int", "string", PAIR],
            [None, 1, "a", {"a": 2, "b": ""}],
            pl.Struct({"int": pl.Int32, "string": pl.String, "Pair": pl.Struct({"a": pl.Int64, "b": pl.String})}),
            [
                None,
                {"int": 1, "string": None, "Pair": None},
                {"int": None, "string": "a", "Pair": None},
                {"int": None, "string": None, "Pair": {"a": 2, "b": ""}},
            ],
        ),
        (logical("int", "date"), [date(2026, 1, 2), date(1, 1, 1)], pl.Date, None),
        (logical("int", "time-millis"), [time(1, 2, 3, 4000)], pl.Time, None),
        (logical("long", "time-micros"), [time(23, 59, 59, 999999)], pl.Time, None),
        ({"type": "array", "items": logical("int", "time-millis")}, [[time(1)]], pl.List(pl.Time), None),
        (logical("long", "timestamp-millis"), [STAMP.replace(microsecond=5000)], pl.Datetime("ms", "UTC"), None),
        (logical("long", "timestamp-micros"), [STAMP], pl.Datetime("us", "UTC"), None),
        (logical("long", "timestamp-nanos"), [1], pl.Datetime("ns", "UTC"), None),
        (logical("long", "local-timestamp-millis"), [NAIVE.replace(microsecond=0)], pl.Datetime("ms"), None),
        (logical("long", "local-timestamp-micros"), [NAIVE], pl.Datetime("us"), None),
        (logical("long", "local-timestamp-nanos"), [1], pl.Datetime("ns"), None),
        (logical("string", "uuid"), ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6"], pl.String, None),
        (
            logical("fixed", "uuid", name="U", size=16),
            [bytes(range(16))],
            pl.String,
            ["00010203-0405-0607-0809-0a0b0c0d0e0f"],
        ),
        (
            logical("fixed", "duration", name="D", size=12),
            [bytes([1, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255])],
            pl.Struct({"months": pl.UInt32, "days": pl.UInt32, "milliseconds": pl.UInt32}),
            [{"months": 1, "days": 2, "milliseconds": 2**32 - 1}],
        ),
        (
            logical("bytes", "decimal", precision=38, scale=2),
            [Decimal("-1.25"), Decimal(10) ** 35],
            pl.Decimal(38, 2),
            None,
        ),
        (
            logical("fixed", "decimal", name="D", size=20, precision=9, scale=0),
            [Decimal(-7)],
            pl.Decimal(9, 0),
            None,
        ),
        (
            {"type": "array", "items": logical("bytes", "decimal", precision=60, scale=1)},
            [[Decimal("0.1")]],
            pl.List(pl.Decimal(38, 1)),
            None,
        ),
        (logical("long", "no-such-thing"), [5], pl.Int64, None),
    ],
)
@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_types_are_kept(type: Any, values: list[Any], dtype: Any, expected: Any, codec: str) -> None:
    frame, rejected, _ = read(column(type, values, codec=codec))
    assert rejected == []
    if dtype is not None:
        assert frame["c"].dtype == dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        assert frame["c"].to_physical().to_list() == values
    else:
        assert frame["c"].to_list() == (values if expected is None else expected)
    assert frame[POINTER].to_list() == list(range(1, len(values) + 1))


def test_repeated_keys_of_a_map_are_kept() -> None:
    body = long_bytes(2) + (long_bytes(1) + b"k" + long_bytes(1)) * 2 + long_bytes(0)
    frame, _, _ = read(raw({"type": "map", "values": "long"}, body))
    assert frame["c"].to_list() == [[{"key": "k", "value": 1}] * 2]


def test_array_blocks_with_sizes() -> None:
    body = long_bytes(-2) + long_bytes(2) + long_bytes(1) + long_bytes(2) + long_bytes(0)
    assert read(raw({"type": "array", "items": "long"}, body))[0]["c"].to_list() == [[1, 2]]


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_codecs(codec: str) -> None:
    rows = [{"n": i, "s": f"text {i}"} for i in range(5000)]
    frame, _, _ = read(written(record(("n", "long"), ("s", "string")), rows, codec=codec))
    assert frame.rows() == [(i, f"text {i}", i + 1) for i in range(5000)]


def test_a_schema_that_is_no_record() -> None:
    assert read(written("long", [1, 2]))[0]["value"].to_list() == [1, 2]
    assert read(written(["null", "string"], ["a", None]))[0]["value"].to_list() == ["a", None]


def test_records_of_no_bytes() -> None:
    assert read(column("null", [None] * 3))[0].height == 3
    with pytest.raises(BadInput, match="do not fit"):
        read(raw("null", b"", records=10**12))


def test_declared_columns() -> None:
    data = written(record(("n", "long"), ("s", "string")), [{"n": 1, "s": "1"}, {"n": 2**40, "s": "x"}])
    wanted = (ColumnSpec(name="id", source_name="n", type="int32"), ColumnSpec(name="s", type="int64"))
    frame, rejected, _ = read(data, columns=wanted)
    assert frame.rows() == [(1, 1, 1)]
    assert [(r.line, r.column) for r in rejected] == [(2, "id")]


# -- values that cannot be kept


@pytest.mark.parametrize(
    ("type", "body"),
    [
        ("string", long_bytes(1) + b"\xff"),
        ("int", long_bytes(2**40)),
        (logical("int", "date"), long_bytes(2**31 - 1)),
        (logical("int", "time-millis"), long_bytes(86_400_000)),
        (logical("long", "time-micros"), long_bytes(-1)),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, long_bytes(1)),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, long_bytes(-1)),
        (logical("bytes", "decimal", precision=60, scale=0), long_bytes(17) + b"\x7f" * 17),
        (logical("bytes", "decimal", precision=2, scale=0), long_bytes(1) + b"\x64"),
        ({"type": "array", "items": logical("bytes", "decimal", precision=2, scale=0)}, b"\x02\x02\x64\x00"),
    ],
)
def test_a_value_that_is_none_of_its_type_refuses_its_row(type: Any, body: bytes) -> None:
    frame, rejected, _ = read(raw(type, body))
    assert frame.height == 0
    assert [r.line for r in rejected] == [1]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]},
        record(("a", {"type": "array", "items": "null"})),
        record(("d", logical("bytes", "decimal", precision=76, scale=50))),
    ],
)
def test_types_that_cannot_be_kept_are_refused_by_name(schema: Any) -> None:
    with pytest.raises(BadInput) as raised:
        read(written(schema, []))
    assert raised.value.code == "unsupported_type"


def _doubling(levels: int) -> str:
    """A schema of a few lines that stands for 2^levels types."""
    inner: Any = "long"
    for level in range(levels):
        first = {
            "type": "record",
            "name": f"L{level}",
            "fields": [
                {"name": "x", "type": inner},
                {"name": "y", "type": inner if isinstance(inner, str) else inner["name"]},
            ],
        }
        inner = first
    return json.dumps(inner)


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ("", "bad_schema"),
        ("[" * 10_000, "bad_schema"),
        ('{"type":' * 200 + '"long"' + "}" * 200, "unsupported_type"),
        (_doubling(40), "unsupported_type"),
        ('"strang"', "bad_schema"),
        ("[]", "bad_schema"),
        ('[["long"]]', "bad_schema"),
        ('["long", "long", "null"]', "bad_schema"),
        ('{"type": "fixed", "name": "F", "size": 1e9}', "bad_schema"),
        ('{"type": "fixed", "name": "F", "size": 1000000000}', "bad_schema"),
        (
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]}',
            "bad_schema",
        ),
        ('{"type": "record", "name": "R", "fields": [3]}', "bad_schema"),
        ('{"type": "enum", "name": "R"}', "bad_schema"),
    ],
)
def test_bad_schemas_are_refused(schema: str, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(header_bytes(schema))
    assert raised.value.code == code


# -- damage


def blocks_of(rows: int, codec: str = "null") -> bytes:
    return written(
        record(("n", "long"), ("s", "string")),
        [{"n": i, "s": f"t{i}"} for i in range(rows)],
        codec=codec,
        sync_interval=100,
    )


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda b: b"", "empty_object"),
        (lambda b: b"a,b\n1,2\n", "not_this_format"),
        (lambda b: b[:10], "truncated"),
        (lambda b: b[:-1], "truncated"),
        (lambda b: b[:-20], "truncated"),
        (lambda b: b.replace(b"null", b"nulk"), "unsupported_codec"),
        (lambda b: b[:-16] + bytes(16), "corrupt"),
        (lambda b: b + b"\xff" * 11, "corrupt"),
        (lambda b: b + long_bytes(1) + long_bytes(2**40), "too_large"),
        (lambda b: b + long_bytes(-1) + long_bytes(1), "corrupt"),
        (lambda b: b + long_bytes(10**15) + long_bytes(1) + b"a" + b[-16:], "corrupt"),
        (lambda b: b + long_bytes(1) + long_bytes(4) + b"\x02\x02aX" + b[-16:], "corrupt"),
        (lambda b: b + long_bytes(2) + long_bytes(3) + b"\x02\x02a" + b[-16:], "corrupt"),
    ],
)
def test_damaged_files_are_refused(damage: Any, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(damage(blocks_of(100)))
    assert raised.value.code == code


def test_a_wrong_sync_marker_is_named_by_its_block() -> None:
    data = bytearray(blocks_of(100))
    marker = bytes(data[-16:])
    second = data.index(marker, data.index(marker, data.index(marker) + 16) + 16)
    data[second] ^= 1
    with pytest.raises(BadInput, match="block 2") as raised:
        read(bytes(data))
    assert raised.value.code == "corrupt"


def test_a_wrong_checksum_is_refused() -> None:
    data = bytearray(blocks_of(100, "snappy"))
    data[-17] ^= 1
    with pytest.raises(BadInput, match="checksum"):
        read(bytes(data))


@pytest.mark.parametrize("codec", ["deflate", "bzip2", "xz", "zstandard", "snappy"])
def test_files_made_to_fill_the_memory_are_refused(codec: str) -> None:
    data = column("bytes", [bytes(40_000_000)] * 2, codec=codec)
    packed = len(data) * 100 >= 80_000_000  # snappy packs 20 to 1
    if packed:
        assert read(data)[0].height == 2
        return
    with pytest.raises(BadInput, match="max_ratio") as raised:
        read(data)
    assert raised.value.code == "too_large"


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
def test_random_damage_is_never_more_than_bad_input(codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    types: list[tuple[str, Any]] = [
        ("n", ["null", "long"]),
        ("s", "string"),
        ("l", {"type": "array", "items": ["null", "string"]}),
        ("m", {"type": "map", "values": PAIR}),
        ("e", {"type": "enum", "name": "E", "symbols": ["A", "B"]}),
        ("d", logical("bytes", "decimal", precision=9, scale=2)),
        ("u", ["null", "int", "string"]) if codec == "snappy" else ("u", "int"),
    ]
    row = {"n": 5, "s": "é", "l": ["a", None], "m": {"k": {"a": 1, "b": "x"}}, "e": "B", "d": Decimal("1.25"), "u": 3}
    whole, dice, refused = written(record(*types), [row] * 40, codec=codec, sync_interval=300), random.Random(3), 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 3])):
            data[dice.randrange(4, len(data))] = dice.randrange(256)
        try:
            read(bytes(data))[0].write_ipc(io.BytesIO())
        except BadInput:
            refused += 1
    assert refused > 30
    capfd.readouterr()  # polars tells its panics on stderr


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_never_more_than_bad_input(tail: bytes) -> None:
    for data in (tail, b"Obj\x01" + tail, blocks_of(3)[:-40] + tail):
        with contextlib.suppress(BadInput):
            read(data)


# -- any schema there is

_names = st.integers(0, 10**9).map(lambda n: f"N{n}")
_decimals = st.integers(-(10**9) + 1, 10**9 - 1).map(lambda n: Decimal(n).scaleb(-3))


def _leaf(type: Any, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just((type, values, lambda v: v))


_leaves = st.one_of(
    _leaf("boolean", st.booleans()),
    _leaf("int", st.integers(-(2**31), 2**31 - 1)),
    _leaf("long", st.integers(-(2**63), 2**63 - 1)),
    _leaf("float", st.floats(width=32, allow_nan=False)),
    _leaf("double", st.floats(allow_nan=False)),
    _leaf("bytes", st.binary(max_size=20)),
    _leaf("string", st.text(max_size=10)),
    _leaf(logical("bytes", "decimal", precision=9, scale=3), _decimals),
    _leaf(logical("int", "date"), st.dates()),
    _leaf(logical("long", "time-micros"), st.times()),
    _leaf(logical("long", "timestamp-micros"), st.datetimes().map(lambda d: d.replace(tzinfo=UTC))),
    _names.map(
        lambda n: ({"type": "enum", "name": n, "symbols": ["A", "B", "C"]}, st.sampled_from("ABC"), lambda v: v)
    ),
    _names.map(lambda n: ({"type": "fixed", "name": n, "size": 4}, st.binary(min_size=4, max_size=4), lambda v: v)),
)


def _nullable(inner: Any) -> Any:
    type, values, seen = inner
    if isinstance(type, list) or type == "null":
        return inner
    return ["null", type], st.none() | values, lambda v: None if v is None else seen(v)


def _array(inner: Any) -> Any:
    type, values, seen = inner
    return {"type": "array", "items": type}, st.lists(values, max_size=3), lambda v: [seen(x) for x in v]


def _map(inner: Any) -> Any:
    type, values, seen = inner
    entries = st.dictionaries(st.text(max_size=3), values, max_size=3)
    return {"type": "map", "values": type}, entries, lambda v: [{"key": k, "value": seen(x)} for k, x in v.items()]


def _struct(parts: Any) -> Any:
    name, inner = parts
    fields = [{"name": f"f{i}", "type": type} for i, (type, _, _) in enumerate(inner)]
    values = st.fixed_dictionaries({f"f{i}": values for i, (_, values, _) in enumerate(inner)})
    return (
        {"type": "record", "name": name, "fields": fields},
        values,
        lambda v: {f"f{i}": seen(v[f"f{i}"]) for i, (_, _, seen) in enumerate(inner)},
    )


_types = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        inner.map(_nullable),
        inner.map(_array),
        inner.map(_map),
        st.tuples(_names.map(lambda n: f"R{n}"), st.lists(inner, min_size=1, max_size=3)).map(_struct),
    ),
    max_leaves=6,
)


def _distinct(type: Any, seen: set[str]) -> bool:
    """Whether no two named types have one name."""
    if isinstance(type, list):
        return all(_distinct(t, seen) for t in type)
    if not isinstance(type, dict):
        return True
    name = type.get("name")
    if name is not None and name in seen:
        return False
    seen.add(name or "")
    below = [f["type"] for f in type.get("fields", [])] + [type[k] for k in ("items", "values") if k in type]
    return all(_distinct(t, seen) for t in below)


@settings(max_examples=150)
@given(st.data())
def test_any_schema_reads_as_it_was_written(data: st.DataObject) -> None:
    columns = data.draw(
        st.lists(_types, min_size=1, max_size=4).filter(lambda c: _distinct([t for t, _, _ in c], set()))
    )
    rows = data.draw(st.lists(st.fixed_dictionaries({f"c{i}": v for i, (_, v, _) in enumerate(columns)}), max_size=8))
    schema = record(*((f"c{i}", type) for i, (type, _, _) in enumerate(columns)))
    codec = data.draw(st.sampled_from(["null", "deflate"]))
    frame, rejected, _ = read(written(schema, rows, codec=codec, sync_interval=data.draw(st.sampled_from([1, 16_000]))))
    assert rejected == []
    expected = [{f"c{i}": seen(row[f"c{i}"]) for i, (_, _, seen) in enumerate(columns)} for row in rows]
    assert frame.drop(POINTER).to_dicts() == expected


# -- a reader's schema


def test_a_reader_schema_resolves_old_records() -> None:
    old = record(
        ("n", "int"),
        ("gone", "string"),
        ("name", "string"),
        ("side", {"type": "enum", "name": "S", "symbols": ["BUY", "SELL", "SHORT"]}),
        ("in", {"type": "record", "name": "In", "fields": [{"name": "a", "type": "int"}]}),
        ("l", {"type": "array", "items": "int"}),
    )
    new = {
        "type": "record",
        "name": "Row",
        "fields": [
            {
                "name": "in",
                "type": {
                    "type": "record",
                    "name": "In",
                    "fields": [
                        {"name": "b", "type": ["null", "string"], "default": None},
                        {"name": "a", "type": "long"},
                    ],
                },
            },
            {"name": "title", "aliases": ["name"], "type": ["null", "string"]},
            {"name": "n", "type": "double"},
            {"name": "venue", "type": "string", "default": "XNAS"},
            {
                "name": "side",
                "type": {"type": "enum", "name": "S", "symbols": ["BUY", "SELL", "OTHER"], "default": "OTHER"},
            },
            {"name": "l", "type": {"type": "array", "items": "long"}},
            {"name": "day", "type": logical("int", "date"), "default": 1},
        ],
    }
    rows = [
        {"n": i, "gone": "", "name": f"n{i}", "side": s, "in": {"a": i}, "l": [i]}
        for i, s in enumerate(["BUY", "SHORT"])
    ]
    frame, rejected, _ = read(written(old, rows), avro=AvroOptions(reader_schema=json.dumps(new)))
    assert rejected == []
    assert frame.drop(POINTER).rows() == [
        ({"b": None, "a": 0}, "n0", 0.0, "XNAS", "BUY", [0], date(1970, 1, 2)),
        ({"b": None, "a": 1}, "n1", 1.0, "XNAS", "OTHER", [1], date(1970, 1, 2)),
    ]
    assert frame.schema["l"] == pl.List(pl.Int64)


def test_a_null_where_the_reader_wants_a_value_refuses_its_row() -> None:
    options = AvroOptions(reader_schema=json.dumps(record(("c", "long"))))
    frame, rejected, _ = read(column(["null", "long"], [1, None, 3]), avro=options)
    assert (frame["c"].to_list(), [r.line for r in rejected]) == ([1, 3], [2])
    options = AvroOptions(reader_schema=json.dumps(record(("c", "double"))))
    frame, rejected, _ = read(column("long", [1, 2**53 + 1]), avro=options)
    assert (frame["c"].to_list(), [r.line for r in rejected]) == ([1.0], [2])


@pytest.mark.parametrize(
    ("reader", "error"),
    [
        (json.dumps(record(("c", "int"))), BadInput),
        (json.dumps(record(("new", "int"))), BadInput),
        (json.dumps(record(("c", {"type": "array", "items": "long"}))), BadInput),
        ("{", ConfigError),
        ('"strang"', ConfigError),
    ],
)
def test_schemas_that_do_not_go_together_are_refused(reader: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(column("long", [1]), avro=AvroOptions(reader_schema=reader))


@pytest.mark.corpora
def test_arrow_testing() -> None:
    """All files are read, with the values that their Parquet originals have where both are there."""
    root = Path(os.environ["BASE_CORPORA"])
    files = sorted((root / "arrow-testing/data/avro").glob("*.avro"))
    assert len(files) == 31
    compared = 0
    for path in files:
        frame, rejected, _ = read(path.read_bytes())
        assert rejected == [], path.name
        original = root / "parquet-testing/data" / path.with_suffix(".parquet").name
        if original.exists() and path.name.startswith(
            ("alltypes_plain.avro", "alltypes_dict", "int", "fixed_length_d", "datapage", "dict", "list")
        ):
            from base_ops.worker.formats.parquet import FORMAT as PARQUET

            reader = PARQUET.read(ByteSource(path.name, None, lambda p=original: p.open("rb"), original), ReadSpec())
            other = pl.concat([b.frame for b in reader.batches()])
            assert other.height == frame.height
            for name in set(other.columns) & set(frame.columns):
                assert [str(v) for v in other[name].to_list()] == [
                    str(v).replace("+00:00", "") for v in frame[name].to_list()
                ], (path.name, name)
            compared += 1
    assert compared > 5


def test_sniff() -> None:
    assert FORMAT.sniff(b"Obj\x01\x02", "x") == 1.0
    assert FORMAT.sniff(b"a,b\n", "x.avro") == 0.0
