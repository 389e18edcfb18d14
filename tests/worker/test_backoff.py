"""Waiting and trying again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.collecting import StillClock
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, Transient
from base_ops.worker.backoff import Backoff, retry, retry_after_s

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("9" * 400, float("9" * 12)),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30.0),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        ("Thu, 01 Jan 99999999999 12:00:30 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


@given(st.text())
def test_retry_after_never_fails(header: str) -> None:
    found = retry_after_s(header, NOW)
    assert found is None or found >= 0


@given(st.integers(1, 10_000), st.floats(0, 100), st.floats(0, 1))
def test_waits_are_bounded(failures: int, base_s: float, jitter: float) -> None:
    assert 0 <= Backoff(base_s=base_s, jitter=jitter).wait_s(failures) <= 30 * (1 + jitter)


def test_waits_double() -> None:
    assert [Backoff(jitter=0).wait_s(n) for n in (1, 2, 3, 6)] == [1, 2, 4, 30]


@pytest.mark.parametrize(
    ("errors", "tries", "outcome", "slept"),
    [
        ([], 3, "done", []),
        ([Transient("a", code="x")], 3, "done", [1.0]),
        ([Transient("a", code="x", retry_after_s=7), Transient("b", code="x")], 3, "done", [7, 2.0]),
        ([Transient("a", code="x")] * 3, 3, Transient, [1.0, 2.0]),
        ([Transient("a", code="x", retry_after_s=61)], 3, Transient, []),
        ([BadInput("a", code="x")], 3, BadInput, []),
    ],
)
def test_retry(errors: list[Exception], tries: int, outcome: object, slept: list[float]) -> None:
    clock, left, again = StillClock(), list(errors), []

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    def go() -> str:
        return retry(
            call,
            tries=tries,
            backoff=Backoff(jitter=0),
            clock=clock,
            longest_wait_s=60,
            on_retry=lambda: again.append(1),
        )

    if outcome == "done":
        assert go() == "done"
    else:
        with pytest.raises(outcome):  # type: ignore[call-overload]
            go()
    assert clock.slept == slept
    assert len(again) == len(slept)
