"""Where an incremental fetch goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.worker.connectors.cursor import Watermark, furthest, rank
from base_ops.worker.connectors.redis import rank_of_id

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "values", "after", "ignored"),
    [
        (None, [], None, 0),
        (None, [None, None], None, 0),
        (5, [], 5, 0),
        (None, [9, 10, 2], 10, 0),
        (None, ["9", "10", "2"], "10", 0),  # numbers, though written as text
        (None, [1.5, 1], 1.5, 0),
        (12, [10, 11], 12, 0),  # never back
        (None, ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00.5Z"], "2025-01-01T00:00:00.5Z", 0),  # as text it is less
        (None, ["2025-01-01T02:00:00+02:00", "2025-01-01T01:00:00Z"], "2025-01-01T01:00:00Z", 0),
        (
            None,
            ["2025-01-01T00:00:00.123456789Z", "2025-01-01T00:00:00.123456788Z"],
            "2025-01-01T00:00:00.123456789Z",
            0,
        ),
        (None, ["2025-01-02", "2025-01-03", "zzz"], "2025-01-03", 1),  # a broken value does not carry it away
        ("2025-01-01", ["zzz", 99], "2025-01-01", 2),
        (None, ["b", "a"], "b", 0),
        (None, ["2025-01-01T00:00:00Z", "9999-12-31T00:00:00Z"], "2025-01-01T00:00:00Z", 1),
        (None, ["2026-01-01T12:59:00Z"], "2026-01-01T12:59:00Z", 0),  # an hour of clock skew is allowed
        (None, ["2026-01-01T13:01:00Z"], None, 1),
        (None, ["2026-01-02"], "2026-01-02", 0),  # it is tomorrow already somewhere
        (None, ["2026-01-03"], None, 1),
        (None, [True, [], {}, float("nan"), float("inf"), "", " "], None, 7),
    ],
)
def test_watermark(before: Any, values: list[Any], after: Any, ignored: int) -> None:
    marks = Watermark(NOW)
    marks.take(values)
    assert marks.after(before) == after
    assert marks.ignored == ignored


@given(
    st.lists(st.integers() | st.text() | st.none() | st.booleans() | st.floats()), st.none() | st.integers() | st.text()
)
def test_it_never_goes_back_and_never_fails(values: list[Any], before: Any) -> None:
    marks = Watermark(NOW)
    marks.take(values)
    after = marks.after(before)
    assert after == before or after in values
    if isinstance(before, int):
        assert float(after) >= float(before)


@pytest.mark.parametrize(
    ("one", "other", "chosen"),
    [
        (None, None, None),
        (None, 1, 1),
        (1, None, 1),
        (1, 2, 2),
        (2, 1, 2),
        ("a", 1, "a"),
        ("10-1", "9-1", "9-1"),  # as text: only ids of Redis are two numbers
        ({"t": {"0": 5}}, {"t": {"0": 7}}, {"t": {"0": 7}}),
        ({"t": {"0": 5}}, None, {"t": {"0": 5}}),
    ],
)
def test_furthest(one: Any, other: Any, chosen: Any) -> None:
    assert furthest(one, other, rank) == chosen


@pytest.mark.parametrize(
    ("one", "other", "chosen"),
    [
        (None, "5-9", "5-9"),
        ("5-9", None, "5-9"),
        ("5-9", "5-10", "5-10"),
        ("10-0", "9-1", "10-0"),
        ("no id", "9-1", "9-1"),
    ],
)
def test_furthest_id_of_a_redis_stream(one: Any, other: Any, chosen: Any) -> None:
    assert furthest(one, other, rank_of_id) == chosen
