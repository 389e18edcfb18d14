"""The MessagePack reader: exact or refused."""

from __future__ import annotations

import contextlib
import io
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgpack
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Reader, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.detect import detect_head
from base_ops.worker.formats.msgpack import FORMAT

RECORD = {
    "n": 1,
    "s": "é",
    "f": 1.5,
    "b": True,
    "raw": b"\xff\0",
    "l": [1, None],
    "o": {"a": "x", "b": None},
    "none": None,
}


def packed(*records: Any) -> bytes:
    return b"".join(msgpack.packb(r) for r in records)


def read(data: bytes, **spec: Any) -> tuple[pl.DataFrame, list[Rejected], Reader]:
    reader = FORMAT.read(ByteSource("x.msgpack", len(data), lambda: io.BytesIO(data)), ReadSpec(**spec))
    batches = list(reader.batches())
    frame = pl.concat([pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64}), *(b.frame for b in batches)])
    assert frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return frame, [r for b in batches for r in b.rejected], reader


@pytest.mark.parametrize("data", [packed(RECORD, RECORD), packed([RECORD, RECORD]), packed([RECORD], [RECORD])])
def test_maps_and_arrays_of_maps(data: bytes) -> None:
    frame, rejected, _ = read(data)
    assert rejected == []
    row = {
        "n": 1,
        "s": "é",
        "f": 1.5,
        "b": True,
        "raw": b"\xff\0",
        "l": [1, None],
        "o.a": "x",
        "o.b": None,
        "none": None,
    }
    assert frame.to_dicts() == [{**row, POINTER: 1}, {**row, POINTER: 2}]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([2**63 - 1, -(2**63)], pl.Int64, None),
        ([2**64 - 1, 0, None], pl.Decimal(38, 0), [Decimal(2**64 - 1), Decimal(0), None]),
        ([0.1, float("inf"), -0.0], pl.Float64, None),
        ([b"", None, b"\x80"], pl.Binary, None),
        ([[b"a"], []], pl.List(pl.Binary), None),
        (
            [msgpack.Timestamp(1, 500_000_000), msgpack.Timestamp(0, 0)],
            pl.Datetime("us", "UTC"),
            [datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)],
        ),
        (["2026-01-02", "2026-01-03"], pl.Date, [datetime(2026, 1, 2).date(), datetime(2026, 1, 3).date()]),  # noqa: DTZ001
    ],
)
def test_values_are_kept(values: list[Any], dtype: Any, expected: Any) -> None:
    frame, rejected, _ = read(packed(*({"c": v} for v in values)))
    assert rejected == []
    assert frame["c"].dtype == dtype
    assert frame["c"].to_list() == (values if expected is None else expected)


def test_nanoseconds_are_kept() -> None:
    frame, _, _ = read(packed({"t": msgpack.Timestamp(1_700_000_000, 123_456_789)}))
    assert frame["t"].dtype == pl.Datetime("ns", "UTC")
    assert frame["t"].to_physical().to_list() == [1_700_000_000_123_456_789]


def test_other_extensions_are_kept_as_objects() -> None:
    frame, _, _ = read(packed({"x": msgpack.ExtType(5, b"abc")}))
    assert frame.drop(POINTER).to_dicts() == [{"x.type": 5, "x.data": b"abc"}]


def test_keys_that_are_integers_become_texts() -> None:
    assert read(msgpack.packb({1: "a", -2: "b"}))[0].drop(POINTER).to_dicts() == [{"1": "a", "-2": "b"}]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (b"\x82\xa1n\x01\xa1n\x02", "duplicate_key"),
        (b"\x82\xa11\x01\x01\x02", "duplicate_key"),
        (b"\x81\xa1n\xa1\xff", "encoding"),
        (b"\x81\xa1\xff\x01", "encoding"),
        (b"\x81\xc0\x01", "key_type"),
        (b"\x81\xa1n" + b"\x91" * 150 + b"\xc0", "too_deep"),
        (b"\x05", "not_an_object"),
        (b"\x81\xa1n\xc6\x00\x10\x00\x00" + bytes(1 << 20), "record_too_long"),
        (b"\x81\xa1n\xa1x", "type"),
        (b"\x81\xa1n\xc7\x0c\xff" + bytes(4) + b"\x7f" * 8, "type"),
    ],
)
def test_a_bad_record_is_refused_alone(bad: bytes, rule: str) -> None:
    good = packed(*({"n": i} for i in range(30)))
    frame, rejected, _ = read(good + bad + good)
    assert [(r.line, r.rule) for r in rejected] == [(31, rule)]
    assert (rejected[0].byte_start, rejected[0].byte_end) == (len(good), len(good) + len(bad))
    assert frame["n"].to_list() == [*range(30), *range(30)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_object"),
        (packed(RECORD)[:-1], "truncated"),
        (packed([RECORD, RECORD])[:-1], "truncated"),
        (b"\xdd\xff\xff\xff\xff" + packed(RECORD), "truncated"),
        (packed(RECORD) + b"\xc1", "corrupt"),
        (b"\x81\xa1n\xdd\xff\xff\xff\xff", "corrupt"),
        (b"\x81\xa1n\xdf\xff\xff\xff\xff", "corrupt"),
        (b"\x81\xa1n\xc6\x00\x30\x00\x00" + bytes(3 << 20), "record_too_long"),
        (b"\x81\xa1n" + b"\x91" * 100_000, "corrupt"),
        (b"\x81\xa1n\xd4\xff\x00", "corrupt"),
    ],
)
def test_damaged_objects_are_refused_with_their_position(data: bytes, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(data)
    assert raised.value.code == code
    assert code == "empty_object" or "byte" in raised.value.where


def test_declared_columns() -> None:
    wanted = (ColumnSpec(name="id", source_name="n", type="int32"), ColumnSpec(name="raw", type="string"))
    frame, rejected, _ = read(
        packed({"n": 1, "raw": b"\xc3\xa9"}, {"n": 2**40, "raw": b""}, {"n": 3, "raw": b"\xff"}), columns=wanted
    )
    assert frame.rows() == [(1, "é", 1)]
    assert [r.line for r in rejected] == [2, 3]


def test_more_records_than_one_read() -> None:
    records = [{"n": i, "s": "x" * 50} for i in range(20_000)]
    assert read(packed(*records))[0]["n"].to_list() == list(range(20_000))
    assert read(packed(records))[0]["n"].to_list() == list(range(20_000))


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150)
@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=3), _values, max_size=4), min_size=1, max_size=5))
def test_any_record_is_taken_or_refused(records: list[dict[str, Any]]) -> None:
    frame, rejected, _ = read(packed(*records))
    assert frame.height + len(rejected) == len(records)
    assert all(r.rule == "type" for r in rejected)


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_never_more_than_bad_input(data: bytes) -> None:
    FORMAT.sniff(data, "x")
    for tail in (data, packed(RECORD) + data):
        with contextlib.suppress(BadInput):
            read(tail)


def test_random_damage_is_never_more_than_bad_input() -> None:
    whole, dice = packed(*[RECORD] * 20), random.Random(5)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 3])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with contextlib.suppress(BadInput):
            read(bytes(data))[0].write_ipc(io.BytesIO())


@pytest.mark.parametrize("record", [{"a": 2**64 - 1, "b": b"\0\xff"}, {"a": msgpack.Timestamp(4294967295)}, {"n": 1}])
def test_a_whole_map_is_not_overruled_by_the_statistics_of_its_bytes(record: dict[str, Any]) -> None:
    assert detect_head(msgpack.packb(record), "object").format == "msgpack"


def test_keys_that_nobody_writes_are_no_proof() -> None:
    assert FORMAT.sniff(msgpack.packb({"\1": 1}), "x") == 0.0


def test_sniff() -> None:
    assert FORMAT.sniff(packed(RECORD), "x") >= 0.8
    assert FORMAT.sniff(packed([RECORD] * 3), "x") >= 0.8
    assert FORMAT.sniff(packed({"k" * 10: "v" * 100_000})[: 1 << 16], "x") == 0.0
    assert FORMAT.sniff(packed(RECORD, {"k": "v" * 100_000})[: 1 << 16], "x") >= 0.8
    for other in (
        b"a,b\n",
        b"{}",
        b"\x93smart\x94",
        "é,b\n".encode(),
        b"\xdf\xff\xff\xff\xff",
        packed([1, 2]),
        packed(5),
        b"\x80",
        b"",
    ):
        assert FORMAT.sniff(other, "x.msgpack") == 0.0
