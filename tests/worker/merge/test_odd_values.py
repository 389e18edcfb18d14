"""Merges of keys and values that break other tools, against a dictionary: nothing lost, doubled or changed."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
from conftest import MergeFrames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_STAMPS = [datetime(y, m, d, h, 30) for y, m, d, h in ((1700, 1, 1, 0), (1969, 12, 31, 23), (2024, 11, 3, 5))]  # noqa: DTZ001
_MOMENTS = [s.replace(tzinfo=UTC) for s in [*_STAMPS, _STAMPS[-1].replace(hour=6)]]
KEYS: list[tuple[list[Any], list[Any]]] = [
    ([pl.Float64, pl.Float32], [0.0, -0.0, float("nan"), float("inf"), -2.25]),
    ([pl.Decimal(10, 2), pl.Decimal(12, 4), pl.Decimal(38, 2), pl.Int64], [Decimal(n) for n in (0, 1, -1, 327)]),
    ([pl.Decimal(10, 2), pl.Decimal(12, 4)], [Decimal("0.10"), Decimal("1.25"), Decimal("-1.25")]),
    ([pl.Int8, pl.UInt64, pl.Int64], [0, 1, 127]),
    ([pl.Int64, pl.Float64], [0, -5, 2**52]),
    ([pl.String, pl.Categorical], ["", "é", "e\u0301", "a\0", "a", "A", " a", "NULL", "\ufeffa"]),
    ([pl.Binary], [b"", b"\0", b"\0\0", b"\xff"]),
    ([pl.Date], [date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 31)]),
    ([pl.Time], [time(0), time(23, 59, 59, 999_999)]),
    ([pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ns")], _STAMPS),
    ([pl.Datetime("us", "UTC"), pl.Datetime("ms", "America/New_York"), pl.Datetime("ns", "Asia/Kolkata")], _MOMENTS),
]
VALUES: list[tuple[Any, list[Any]]] = [
    (pl.Int64, [-(2**62), 2**53 + 1]),
    (pl.Float64, [-0.0, 0.0, float("nan"), 5e-324]),
    (pl.Decimal(20, 4), [Decimal("32768.0000"), Decimal("-0.0001")]),
    (pl.String, ["", "NULL", "\0"]),
    (pl.Binary, [b"", b"\xff"]),
    (pl.List(pl.Binary), [[], [None], [b"\xff"]]),
    (pl.Struct({"a": pl.Int8}), [{"a": None}, {"a": 1}]),
]


def same(value: Any) -> Any:
    """Equal for equal keys, whatever their types."""
    if isinstance(value, float) and value != value:
        return "NaN"
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    return Decimal(value) if isinstance(value, int | float | Decimal) else value


def exact(value: Any) -> Any:
    """Different for different values, also the zeros and all NaN alike."""
    return struct.pack("d", value) if isinstance(value, float) and value == value else repr(value)


@st.composite
def sources(draw: st.DrawFn) -> dict[str, pl.DataFrame]:
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2))
    values = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=2))
    frames = {}
    for name in ("x", "y", "z")[: draw(st.integers(1, 3))]:
        height = draw(st.integers(0, 6))
        columns = []
        for number, (types, pool) in enumerate(keys):
            cells = draw(st.lists(st.none() | st.sampled_from(pool), min_size=height, max_size=height))
            columns.append(pl.Series(f"k{number}", cells, dtype=draw(st.sampled_from(types)), strict=False))
        for number, (dtype, pool) in enumerate(values):
            cells = draw(st.lists(st.none() | st.sampled_from(pool), min_size=height, max_size=height))
            columns.append(pl.Series(f"v{number}", cells, dtype=dtype))
        frames[name] = pl.DataFrame(columns)
    return frames


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=sources(), shards=st.sampled_from([1, 2, 3]))
def test_the_first_source_that_has_a_key_wins(
    frames: dict[str, pl.DataFrame], shards: int, merge_frames: MergeFrames
) -> None:
    some = next(iter(frames.values()))
    key = [name for name in some.columns if name.startswith("k")]
    expected: dict[Any, tuple[str, list[Any]]] = {}
    without_key = 0
    for source, frame in frames.items():
        for row in frame.rows():
            wanted = tuple(map(same, row[: len(key)]))
            if None in wanted:
                without_key += 1
            elif (best := expected.setdefault(wanted, (source, [])))[0] == source:
                best[1].append([exact(v) for v in row[len(key) :]])
    found: dict[Any, Any] = {}
    quarantined = 0
    for index in range(shards):
        spec: dict[str, Any] = {"priority": list(frames), "default": {"rule": "priority", "ignore_nulls": False}}
        if shards > 1:
            spec["shard"] = {"index": index, "count": shards}
        merged, _, done = merge_frames(frames, key=key, **spec)
        quarantined += done.quarantined
        for row in merged.select(some.columns).rows():
            place = tuple(map(same, row[: len(key)]))
            assert place not in found, "a key in two rows"
            found[place] = [exact(v) for v in row[len(key) :]]
    assert quarantined == without_key
    assert found.keys() == expected.keys()
    assert all(found[k] in records for k, (_, records) in expected.items())
