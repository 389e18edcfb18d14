"""Trying again while there is progress."""

from __future__ import annotations

import pytest
from fakes.collecting import StillClock

from base_ops.core.errors import Transient
from base_ops.worker.backoff import Backoff, retry


def attempts(gains: list[int], tries: int) -> tuple[int, list[float]]:
    """A download that gains so many bytes before each break, and is whole after the last one: (calls, waits)."""
    clock, done, left = StillClock(), [0], list(gains)

    def call() -> int:
        if not left:
            return done[0]
        done[0] += left.pop(0)
        raise Transient("broken", code="cut_body")

    retry(call, tries=tries, backoff=Backoff(jitter=0), clock=clock, longest_wait_s=0, progress=lambda: done[0])
    return len(clock.slept) + 1, clock.slept


@pytest.mark.parametrize(
    ("gains", "waits"),
    [
        ([0, 0], [1, 2]),
        ([5, 0, 5, 0, 5], [1, 2, 1, 2, 1]),
        ([1] * 20, [1] * 20),
    ],
)
def test_progress_gives_new_tries(gains: list[int], waits: list[float]) -> None:
    assert attempts(gains, 3) == (len(gains) + 1, waits)


@pytest.mark.parametrize("gains", [[0, 0, 0], [5, 0, 0], [1] * 100])
def test_no_progress_or_no_end_to_it_is_given_up(gains: list[int]) -> None:
    with pytest.raises(Transient):
        attempts(gains, 3)
