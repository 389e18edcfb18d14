"""The Protocol Buffers reader: columns by the descriptor, exact or refused."""

from __future__ import annotations

import contextlib
import io
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from google.protobuf import descriptor_pb2, text_format, timestamp_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.binary import ProtobufOptions
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Reader, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.protobuf import FORMAT
from base_ops.worker.formats.protobuf.descriptor import message_class

GOOGLE = ("timestamp", "duration", "wrappers", "struct", "any")
PROTO = (
    """
name: "t.proto" package: "t" syntax: "proto3"
"""
    + "\n".join(f'dependency: "google/protobuf/{name}.proto"' for name in GOOGLE)
    + """
message_type { name: "All"
  field { name: "i32" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "i64" number: 2 type: TYPE_SINT64 label: LABEL_OPTIONAL }
  field { name: "u32" number: 3 type: TYPE_FIXED32 label: LABEL_OPTIONAL }
  field { name: "u64" number: 4 type: TYPE_UINT64 label: LABEL_OPTIONAL }
  field { name: "f" number: 5 type: TYPE_FLOAT label: LABEL_OPTIONAL }
  field { name: "d" number: 6 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "b" number: 7 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "s" number: 8 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "raw" number: 9 type: TYPE_BYTES label: LABEL_OPTIONAL }
  field { name: "side" number: 10 type: TYPE_ENUM type_name: ".t.Side" label: LABEL_OPTIONAL }
  field { name: "opt" number: 11 type: TYPE_INT64 label: LABEL_OPTIONAL proto3_optional: true oneof_index: 1 }
  field { name: "list" number: 12 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "legs" number: 13 type: TYPE_MESSAGE type_name: ".t.Leg" label: LABEL_REPEATED }
  field { name: "leg" number: 14 type: TYPE_MESSAGE type_name: ".t.Leg" label: LABEL_OPTIONAL }
  field { name: "m" number: 15 type: TYPE_MESSAGE type_name: ".t.All.MEntry" label: LABEL_REPEATED }
  field { name: "one_a" number: 16 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "one_b" number: 17 type: TYPE_MESSAGE type_name: ".t.Nothing" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "at" number: 18 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL }
  field { name: "took" number: 19 type: TYPE_MESSAGE type_name: ".google.protobuf.Duration" label: LABEL_OPTIONAL }
  field { name: "w" number: 20 type: TYPE_MESSAGE type_name: ".google.protobuf.UInt64Value" label: LABEL_OPTIONAL }
  field { name: "json" number: 21 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL }
  field { name: "any" number: 22 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }
  nested_type { name: "MEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".t.Leg" label: LABEL_OPTIONAL } }
  oneof_decl { name: "one" } oneof_decl { name: "_opt" } }
message_type { name: "Leg"
  field { name: "qty" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "note" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL proto3_optional: true oneof_index: 0 }
  oneof_decl { name: "_note" } }
message_type { name: "Nothing" }
message_type { name: "Loop" field { name: "next" number: 1 type: TYPE_MESSAGE type_name: ".t.Loop" label: LABEL_OPTIONAL } }
message_type { name: "Newer"
  field { name: "i32" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "new" number: 99 type: TYPE_STRING label: LABEL_OPTIONAL } }
enum_type { name: "Side" value { name: "NONE" number: 0 } value { name: "BUY" number: 1 } }
"""
)
OLD = """
name: "old.proto" package: "old" syntax: "proto2"
message_type { name: "Row"
  field { name: "id" number: 1 type: TYPE_INT64 label: LABEL_REQUIRED }
  field { name: "s" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL default_value: "x" }
  field { name: "g" number: 3 type: TYPE_GROUP type_name: ".old.Row.G" label: LABEL_OPTIONAL }
  nested_type { name: "G" field { name: "n" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL } }
  extension_range { start: 100 end: 200 } }
extension { name: "ext" number: 100 type: TYPE_INT32 label: LABEL_OPTIONAL extendee: ".old.Row" }
"""


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = descriptor_pb2.FileDescriptorSet()
    for text in (PROTO, OLD):
        text_format.Parse(text, found.file.add())
    path: Path = tmp_path_factory.mktemp("pb") / "set.pb"
    path.write_bytes(found.SerializeToString())
    return str(path)


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def framed(*messages: Any) -> bytes:
    parts = [m if isinstance(m, bytes) else m.SerializePartialToString() for m in messages]
    return b"".join(varint(len(p)) + p for p in parts)


def make(descriptor: str, name: str = "t.All", **fields: Any) -> Any:
    return message_class(ProtobufOptions(descriptor=descriptor, message=name))(**fields)


def read(
    data: bytes, descriptor: str, message: str = "t.All", framing: Any = "delimited", **spec: Any
) -> tuple[pl.DataFrame, list[Rejected], Reader]:
    options = ProtobufOptions(descriptor=descriptor, message=message, framing=framing)
    reader = FORMAT.read(ByteSource("x.pb", len(data), lambda: io.BytesIO(data)), ReadSpec(protobuf=options, **spec))
    batches = list(reader.batches())
    frame = pl.concat([pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64}), *(b.frame for b in batches)])
    assert frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return frame, [r for b in batches for r in b.rejected], reader


def full(descriptor: str) -> Any:
    message = make(
        descriptor,
        i32=-(2**31),
        i64=-(2**63),
        u32=2**32 - 1,
        u64=2**64 - 1,
        f=1.5,
        d=0.1,
        b=True,
        s="é",
        raw=b"\xff\0",
        side=1,
        opt=0,
        list=[1, 2],
        legs=[{"qty": 1}, {"note": ""}],
        leg={"qty": 7},
        m={"k": {"qty": 3}},
        one_a="",
    )
    message.at.FromJsonString("2026-01-02T03:04:05.678901Z")
    message.took.FromJsonString("-1.5s")
    message.w.value = 5
    message.json.update({"a": [1, None, "x"]})
    message.any.Pack(timestamp_pb2.Timestamp(seconds=1))
    return message


def test_all_types(descriptor: str) -> None:
    frame, rejected, reader = read(framed(full(descriptor), make(descriptor)), descriptor)
    assert (rejected, reader.findings) == ([], [])
    row, empty = frame.drop(POINTER).to_dicts()
    assert row == {
        "i32": -(2**31),
        "i64": -(2**63),
        "u32": 2**32 - 1,
        "u64": 2**64 - 1,
        "f": 1.5,
        "d": 0.1,
        "b": True,
        "s": "é",
        "raw": b"\xff\0",
        "side": "BUY",
        "opt": 0,
        "list": [1, 2],
        "legs": [{"qty": 1, "note": None}, {"qty": 0, "note": ""}],
        "leg.qty": 7,
        "leg.note": None,
        "m": [{"key": "k", "value": {"qty": 3, "note": None}}],
        "one_a": "",
        "one_b": None,
        "at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "took": timedelta(seconds=-1.5),
        "w": 5,
        "json": '{"a":[1.0,null,"x"]}',
        "any": {"type_url": "type.googleapis.com/google.protobuf.Timestamp", "value": b"\x08\x01"},
    }
    defaults = {
        "i32": 0,
        "i64": 0,
        "u32": 0,
        "u64": 0,
        "f": 0.0,
        "d": 0.0,
        "b": False,
        "s": "",
        "raw": b"",
        "side": "NONE",
        "list": [],
        "legs": [],
        "m": [],
    }
    assert empty == {name: defaults.get(name) for name in row}
    assert frame.schema["u64"] == pl.UInt64
    assert frame.schema["at"] == pl.Datetime("us", "UTC")


def test_nested_messages_can_be_kept(descriptor: str) -> None:
    frame, _, _ = read(
        framed(make(descriptor, leg={"qty": 7}), make(descriptor, leg={}), make(descriptor)), descriptor, nested="keep"
    )
    assert frame["leg"].to_list() == [{"qty": 7, "note": None}, {"qty": 0, "note": None}, None]


def test_a_message_without_fields_is_true_where_it_is_set(descriptor: str) -> None:
    assert read(framed(make(descriptor, one_b={})), descriptor)[0]["one_b"].to_list() == [True]


def test_nanoseconds_are_kept_where_the_first_messages_have_them(descriptor: str) -> None:
    message = make(descriptor)
    message.at.nanos = 1
    frame, _, _ = read(framed(message), descriptor)
    assert frame["at"].dtype == pl.Datetime("ns", "UTC")
    assert frame["at"].to_physical().to_list() == [1]
    late = framed(*[make(descriptor)] * 5, message)
    frame, rejected, _ = read(late, descriptor, sample_rows=3)
    assert (frame.height, [(r.line, r.rule, r.column) for r in rejected]) == (5, [(6, "type", "at")])


@pytest.mark.parametrize("seconds", [10**15, -(10**15)])
def test_impossible_timestamps_refuse_their_message(descriptor: str, seconds: int) -> None:
    message = make(descriptor)
    message.at.seconds = seconds
    assert [r.rule for r in read(framed(message), descriptor)[1]] == ["type"]


def test_a_number_that_the_enum_does_not_have_is_kept(descriptor: str) -> None:
    assert read(framed(make(descriptor, side=77)), descriptor)[0]["side"].to_list() == ["77"]


def test_unknown_fields_are_told(descriptor: str) -> None:
    newer = make(descriptor, "t.Newer", i32=1, new="x")
    frame, _, reader = read(framed(newer, newer, make(descriptor)), descriptor)
    assert frame["i32"].to_list() == [1, 1, 0]
    assert [(f.code, f.data) for f in reader.findings] == [("unknown_fields", {"fields": {"99": 2}})]


def test_proto2(descriptor: str) -> None:
    whole = make(descriptor, "old.Row", id=1, s="a", g={"n": 5})
    frame, rejected, _ = read(
        framed(whole, make(descriptor, "old.Row", id=2), make(descriptor, "old.Row")), descriptor, "old.Row"
    )
    assert frame.rows() == [(1, "a", 5, 1), (2, None, None, 2)]
    assert [(r.line, r.rule) for r in rejected] == [(3, "required")]


def test_extensions_are_told(descriptor: str) -> None:
    _, _, reader = read(framed(b"\x08\x01" + b"\xa0\x06\x05"), descriptor, "old.Row")
    assert [f.code for f in reader.findings] == ["unknown_fields"]


def test_text_of_proto2_that_is_no_utf8_refuses_its_message(descriptor: str) -> None:
    frame, rejected, _ = read(framed(b"\x08\x01\x12\x01\xff", b"\x08\x02"), descriptor, "old.Row")
    assert (frame["id"].to_list(), [(r.line, r.rule) for r in rejected]) == ([2], [(1, "encoding")])


def test_a_single_message(descriptor: str) -> None:
    data = full(descriptor).SerializeToString()
    assert read(data, descriptor, framing="single")[0].height == 1


def test_declared_columns(descriptor: str) -> None:
    wanted = (ColumnSpec(name="id", source_name="u64", type="int32"), ColumnSpec(name="raw", type="string"))
    frame, rejected, _ = read(
        framed(make(descriptor, u64=1, raw=b"a"), make(descriptor, u64=2**63)), descriptor, columns=wanted
    )
    assert (frame.rows(), [r.line for r in rejected]) == ([(1, "a", 1)], [2])


def test_a_message_that_is_too_long_is_refused_alone(descriptor: str) -> None:
    data = framed(make(descriptor, i32=1), make(descriptor, s="x" * 1000), make(descriptor, i32=3))
    frame, rejected, _ = read(data, descriptor, max_record_bytes=100)
    assert (frame["i32"].to_list(), [(r.line, r.rule) for r in rejected]) == ([1, 3], [(2, "record_too_long")])


@pytest.mark.parametrize(
    ("tail", "code"),
    [
        (b"\x05\x08", "truncated"),
        (b"\x80", "truncated"),
        (b"\xff\xff\xff\xff\x0f", "truncated"),
        (b"\xff" * 6, "corrupt"),
        (b"\x02\x08\x80", "corrupt"),
        (b"\x03\x42\x01\xff", "corrupt"),
        (b"\x02\x0f\x00", "corrupt"),
    ],
)
def test_damaged_objects_are_refused_with_their_position(descriptor: str, tail: bytes, code: str) -> None:
    good = framed(make(descriptor, i32=1))
    with pytest.raises(BadInput, match="byte") as raised:
        read(good * 3 + tail, descriptor)
    assert raised.value.code == code


def test_recursive_messages_are_refused_by_name(descriptor: str) -> None:
    with pytest.raises(BadInput, match=r"t\.Loop") as raised:
        read(framed(b""), descriptor, "t.Loop")
    assert raised.value.code == "unsupported_type"


def test_descriptors_that_cannot_be_used(descriptor: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"t\.All"):
        read(b"", descriptor, "t.Al")
    for data in (b"", b"\xff" * 10, None):
        path = tmp_path / "x.pb"
        if data is not None:
            path.write_bytes(data)
        else:
            path.unlink()
        with pytest.raises(ConfigError, match="descriptor"):
            read(b"", str(path))
    with pytest.raises(ConfigError, match=r"read\.protobuf"):
        FORMAT.read(ByteSource("x", 0, lambda: io.BytesIO(b"a")), ReadSpec())
    partial = descriptor_pb2.FileDescriptorSet()
    text_format.Parse('name: "a.proto" dependency: "b.proto"', partial.file.add())
    (tmp_path / "p.pb").write_bytes(partial.SerializeToString())
    with pytest.raises(ConfigError, match="include_imports"):
        read(b"", str(tmp_path / "p.pb"))


@settings(max_examples=100)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.integers(0, 2**64 - 1),
            st.text(st.characters(exclude_categories=["Cs"])),
            st.binary(),
            st.none() | st.integers(-5, 5),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read(descriptor: str, rows: list[Any]) -> None:
    messages = [
        make(descriptor, i64=a, u64=b, s=c, raw=d, **({} if e is None else {"opt": e})) for a, b, c, d, e in rows
    ]
    frame, rejected, _ = read(framed(*messages), descriptor)
    assert rejected == []
    assert frame.select("i64", "u64", "s", "raw", "opt").rows() == rows


@settings(max_examples=200)
@given(data=st.binary(max_size=60))
def test_arbitrary_bytes_are_never_more_than_bad_input(descriptor: str, data: bytes) -> None:
    for framing in ("single", "delimited"):
        with contextlib.suppress(BadInput):
            read(data, descriptor, framing=framing)


def test_random_damage_is_never_more_than_bad_input(descriptor: str) -> None:
    whole, dice, refused = framed(*[full(descriptor)] * 5), random.Random(6), 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 3])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            read(bytes(data), descriptor)[0].write_ipc(io.BytesIO())
        except BadInput:
            refused += 1
    assert refused > 30


def test_sniff_never_claims_an_object() -> None:
    assert FORMAT.sniff(b"\x08\x01", "x.pb") < 0.15
    assert FORMAT.sniff(b"", "x.pb") == 0.0
