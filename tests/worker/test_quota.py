"""Rate limits shared over the lake."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.collecting import StillClock
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import Transient
from base_ops.data_ingestion.options.sources.web import RateSpec
from base_ops.worker.backoff import asked_pause_s
from base_ops.worker.lake.store import Store
from base_ops.worker.quota import OwnBoard, Quota, Windows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def moments(tasks: int, rate: RateSpec, calls: int, board: object, idle_s: float = 0.0) -> list[float]:
    """When each call of several tasks was permitted: the task that is furthest behind calls next."""
    quotas = [Quota("q", rate, StillClock(NOON + timedelta(seconds=idle_s)), 60, board) for _ in range(tasks)]  # type: ignore[arg-type]
    found = []
    for _ in range(calls):
        quota = min(quotas, key=lambda q: q.clock.now())
        quota.take()
        found.append(quota.clock.now().timestamp())
    return sorted(found)


def most_within(times: list[float], seconds: float) -> int:
    return max(sum(start <= t < start + seconds for t in times) for start in times)


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(2, 120), st.floats(0.5, 90), st.floats(0, 100), st.integers(0, 1000))
def test_no_stretch_of_time_sees_more_than_the_rate(
    tasks: int, requests: int, per_s: float, idle_s: float, more: int
) -> None:
    rate = RateSpec(requests=requests, per_s=per_s)
    times = moments(tasks, rate, min(3 * requests, 150), OwnBoard(), idle_s)
    assert most_within(times, per_s * 0.999) <= requests


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 100), st.integers(2, 50), st.floats(0.1, 3))
def test_a_burst_is_a_token_bucket(tasks: int, requests: int, burst: int, share: float) -> None:
    rate = RateSpec(requests=requests, per_s=60, burst=burst)
    times = moments(tasks, rate, 100, OwnBoard())
    assert most_within(times, 60 * share) <= requests * share + burst + 1e-6


@pytest.mark.parametrize("rate", [RateSpec(requests=100, burst=200), RateSpec(requests=100)])
def test_the_rate_is_nearly_used(rate: RateSpec) -> None:
    times = moments(3, rate, 8 * rate.requests, OwnBoard())
    assert (times[-1] - times[0]) / 60 <= 8 * 1.25 + 1
    assert Windows.of(rate).permits == sum(Windows.of(rate).lease(n) for n in range(Windows.of(rate).leases))


def test_threads_of_several_tasks_share_one_lake(tmp_path: Path) -> None:
    rate, lock, times = RateSpec(requests=40, per_s=60, burst=40), threading.Lock(), []

    def task() -> None:
        clock = StillClock(NOON)
        quota = Quota("vendor", rate, clock, 60, Store(str(tmp_path)))
        for _ in range(10):
            quota.take()
            with lock:
                times.append(clock.now().timestamp())

    threads = [threading.Thread(target=task) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 80
    assert most_within(times, 60) <= 80
    assert most_within(times, 1) <= 20


def test_a_pause_holds_for_all_tasks(tmp_path: Path) -> None:
    """429 with Retry-After 7: nobody's next call is before 7 s."""
    rate, store = RateSpec(requests=1000, per_s=60), Store(str(tmp_path))
    one, other = (Quota("vendor", rate, StillClock(NOON), 60, store) for _ in range(2))
    one.take()
    one.pause(7)
    for quota in (one, other):
        quota.take()
        assert quota.clock.now() - NOON >= timedelta(seconds=6.998)
    assert (one.waited_s, other.waited_s) == (0, 0)


def test_a_pause_that_is_too_long_ends_the_job(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    Quota("vendor", RateSpec(), StillClock(NOON), 60, store).pause(61)
    other = Quota("vendor", RateSpec(), StillClock(NOON), 60, store)
    with pytest.raises(Transient) as error:
        other.take()
    assert (error.value.code, round(error.value.retry_after_s or 0)) == ("rate_limited", 61)


def test_old_leases_are_removed(tmp_path: Path) -> None:
    clock, store = StillClock(NOON), Store(str(tmp_path))
    quota = Quota("vendor", RateSpec(requests=10, per_s=60, burst=2), clock, 60, store)
    quota.pause(1)
    for _ in range(3):
        quota.take()
    clock.sleep(7200)
    quota.take()
    assert len(store.folders("quotas/vendor")) == 2  # this window, and the folder of pauses
    assert store.folders("quotas/vendor/pauses") == []


@pytest.mark.parametrize(
    ("status", "headers", "asked"),
    [
        (200, {}, None),
        (429, {"retry-after": "7"}, 7.0),
        (503, {"retry-after": "7"}, 7.0),
        (200, {"retry-after": "7"}, None),
        (429, {"retry-after": "soon"}, None),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, 30.0),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOON.timestamp()) + 9)}, 9.0),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOON.timestamp()) - 9)}, 0.0),
        (200, {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "30"}, None),
        (200, {"ratelimit-remaining": "0", "ratelimit-reset": "1.5"}, 1.5),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "later"}, None),
        (200, {"x-ratelimit-remaining": "0"}, None),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "-5"}, None),
    ],
)
def test_what_an_answer_asks_for(status: int, headers: dict[str, str], asked: float | None) -> None:
    assert asked_pause_s(status, headers, NOON) == asked
