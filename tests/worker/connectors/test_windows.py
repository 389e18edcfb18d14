"""Windows behind a cursor: whatever commits late within the lag is read, and nothing counts twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput
from base_ops.worker.connectors.databases.windows import (
    Window,
    known,
    lag_of,
    limit_of,
    plan,
    read,
    saved_bounds,
    written,
)

# Steps of a life: how far the newest value moves on, and how late (behind it) a row commits after the read.
STEPS = st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(0, 9), max_size=3)), min_size=1, max_size=20)


@given(STEPS)
def test_late_rows_within_the_lag_are_neither_lost_nor_doubled(steps: list[tuple[int, list[int]]]) -> None:
    lag, newest = 10, 0
    rows: list[int] = []
    landed: dict[Window, list[int]] = {}
    bounds: list[Any] = []

    def run() -> list[Window]:
        nonlocal bounds
        windows, bounds = plan(bounds, max(rows, default=None), lag)
        for window in windows:
            landed[window] = [r for r in rows if (window.low is None or r > window.low) and r <= window.high]
        return windows

    for step, late in steps:
        newest += step
        rows.append(newest)
        run()
        rows += [newest - behind for behind in late]  # committed after the read
    run()
    assert sorted(r for found in landed.values() for r in found) == sorted(rows)
    ends = sorted((w.low, w.high) for w in landed if w.low is not None)
    assert all(one[1] <= other[0] for one, other in pairwise(ends))


def test_numbers_of_many_digits_are_cut_exactly() -> None:
    newest = Decimal("9" * 35 + "." + "9" * 30)
    assert plan([], newest, Decimal(1000))[1] == [Decimal("9" * 31 + "8999." + "9" * 30), newest]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.integers(1, 50))
def test_what_is_read_again_lies_within_the_lag(moves: list[int], lag: int) -> None:
    bounds: list[Any] = []
    newest = 0
    for move in moves:
        before = newest
        newest += move
        windows, after = plan(bounds, newest, lag)
        for window in windows if bounds else []:
            assert window.high > before - lag
        bounds = after


def test_nothing_there_is_nothing_read() -> None:
    assert plan([], None, 5) == ([], [])
    assert plan([None, 5, 8], None, 3)[0] == [Window(None, 5), Window(5, 8)]


VALUES: list[tuple[Any, Any]] = [
    ("number", Decimal("-12.50")),
    ("number", Decimal(10) ** 30),
    ("time", datetime(2024, 1, 1, 0, 0, 0, 1)),  # noqa: DTZ001
    ("utc", datetime(2024, 1, 1, tzinfo=UTC)),
    ("date", date(2024, 2, 29)),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_names_of_windows_are_read_back(kind: Any, value: Any) -> None:
    window = Window(None, value)
    assert read(written(value, kind), kind) == value
    assert Window.named(window.name(kind), kind) == window
    assert known([f"t#{window.name(kind)}", "t#null", "t", "u#start--x"], "t#", kind) == [window]


def test_the_lag_is_never_zero() -> None:
    assert lag_of("number", 0, 0) == 1
    assert lag_of("utc", 0, 0) == timedelta(microseconds=1)
    assert (lag_of("date", 0, 0), lag_of("date", 90_000, 0)) == (timedelta(days=1), timedelta(days=2))


def test_times_that_cannot_be_yet_do_not_move_the_cursor() -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    assert limit_of("number", now) is None
    assert limit_of("utc", now) == now + timedelta(hours=1)
    assert limit_of("time", now) == datetime(2024, 1, 1, 15)  # noqa: DTZ001
    assert limit_of("date", now) == date(2024, 1, 1)


def test_a_cursor_of_another_column_is_refused() -> None:
    saved = {"column": "a", "kind": "number", "bounds": [None, "5"]}
    assert saved_bounds(saved, "a", "number", "t") == [None, Decimal(5)]
    assert saved_bounds(None, "a", "number", "t") == []
    with pytest.raises(BadInput):
        saved_bounds(saved, "a", "utc", "t")
