"""The moments of schedules: forwards and backwards the same, never in maintenance, never in a closed market."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.bench.schedules import schedules
from base_ops.calendars.calendar import load_calendar
from base_ops.calendars.recurrence import moments_between, next_moment, recurrence
from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.schedules import TimeSchedule, parse_when

SUNDAY = {"start": "0 2 * * 0", "timezone": "UTC", "duration": "2h"}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def after(when: dict[str, Any], moment: str, number: int) -> list[str]:
    found = islice(recurrence(parse_when(when)).after(utc(moment)), number)
    return [f"{at:%m-%dT%H:%M}" for at in found]


@pytest.mark.parametrize(
    ("when", "moment", "expected"),
    [
        # 7.13: a holiday is skipped, an early close followed, and so is daylight saving time
        ({"market": "XNYS", "at": "close+15m"}, "2026-11-25T22:00", ["11-27T18:15", "11-30T21:15"]),
        ({"market": "XNYS", "at": "open"}, "2026-03-06T12:00", ["03-06T14:30", "03-09T13:30"]),
        ({"market": "XNYS", "at": ["close+15m", "open-30m"]}, "2026-11-27T00:00", ["11-27T14:00", "11-27T18:15"]),
        ({"market": "XHKG", "at": "break_start"}, "2026-11-25T00:00", ["11-25T04:00"]),
        ({"market": "XNYS", "at": "open-2d"}, "2026-11-27T00:00", ["11-28T14:30", "11-29T14:30"]),
        ({"market": "XHKG", "every": "30m"}, "2026-11-25T03:30", ["11-25T04:00", "11-25T05:00", "11-25T05:30"]),
        ({"market": "XNYS", "every": "2h", "start": "open+30m"}, "2026-11-27T00:00", ["11-27T15:00", "11-27T17:00", "11-30T15:00"]),
        ({"market": "XNYS", "every": "3h", "end": "close+30m"}, "2026-11-27T00:00", ["11-27T14:30", "11-27T17:30", "11-30T14:30"]),
        ({"cron": "*/5 9-16 * * 1-5", "timezone": "America/New_York", "market": "XNYS"}, "2026-11-27T17:55", ["11-27T18:00", "11-30T14:30"]),
        # the clock skips 02:30: made up for; it repeats 01:30: once
        ({"cron": "30 2 * * *", "timezone": "America/New_York"}, "2026-03-07T12:00", ["03-08T07:00", "03-09T06:30"]),
        ({"cron": "30 1 * * *", "timezone": "America/New_York"}, "2026-10-31T12:00", ["11-01T05:30", "11-02T06:30"]),
        ({"cron": "30 * * * *", "timezone": "America/New_York"}, "2026-11-01T05:00", ["11-01T05:30", "11-01T06:30"]),
        ({"every": "6h"}, "2026-11-01T05:00", ["11-01T06:00", "11-01T12:00"]),
        # maintenance
        ({"cron": "0 2 * * *", "maintenance": SUNDAY}, "2026-11-21T12:00", ["11-23T02:00"]),
        ({"cron": "0 2 * * *", "maintenance": {**SUNDAY, "then": "shift"}}, "2026-11-21T12:00", ["11-22T04:00", "11-23T02:00"]),
        ({"cron": "0 2 * * *", "maintenance": {**SUNDAY, "then": "shift"}}, "2026-11-22T03:00", ["11-22T04:00", "11-23T02:00"]),
        ({"every": "30m", "maintenance": {**SUNDAY, "then": "shift"}}, "2026-11-22T01:00", ["11-22T01:30", "11-22T04:00", "11-22T04:30"]),
        (
            {"every": "1h", "maintenance": [{**SUNDAY, "then": "shift"}, {"start": "0 4 * * 0", "duration": "90m", "then": "shift"}]},
            "2026-11-22T01:00",
            ["11-22T05:30", "11-22T06:00"],
        ),
        ({"every": "1h", "maintenance": [{**SUNDAY, "then": "shift"}, {"start": "0 4 * * 0", "duration": "1h"}]}, "2026-11-22T01:00", ["11-22T05:00"]),
    ],
)  # fmt: skip
def test_moments(when: dict[str, Any], moment: str, expected: list[str]) -> None:
    assert after(when, moment, len(expected)) == expected


MOMENTS = st.integers(0, 700 * 86_400).map(lambda s: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=s))
ALL_KINDS = st.sampled_from(schedules(100))


@settings(max_examples=60)
@given(ALL_KINDS, MOMENTS)
def test_forwards_and_backwards_are_the_same(when: TimeSchedule, start: datetime) -> None:
    ahead = list(islice(recurrence(when).after(start), 12))
    assert all(a < b for a, b in zip([start, *ahead], ahead, strict=False))
    back = list(islice(recurrence(when).until(ahead[-1]), 12))
    assert back == ahead[::-1]
    assert next_moment(when, ahead[3]) == ahead[4]
    assert next(iter(recurrence(when).until(ahead[4] - timedelta(microseconds=1)))) == ahead[3]


@settings(max_examples=30)
@given(MOMENTS, st.sampled_from(["suppress", "shift"]), st.sampled_from(["20m", "7h", "24h"]))
def test_nothing_starts_in_maintenance(start: datetime, then: str, every: str) -> None:
    window = {"start": "0 2 * * 0", "timezone": "America/New_York", "duration": "2h", "then": then}
    when = parse_when({"every": every, "maintenance": window})
    free = parse_when({"every": every})
    end = start + timedelta(days=10)
    found = list(moments_between(when, start, end))
    begins = list(
        moments_between(
            parse_when({"cron": "0 2 * * 0", "timezone": "America/New_York"}), start - timedelta(days=7), end
        )
    )
    assert not [at for at in found for begin in begins if begin <= at < begin + timedelta(hours=2)]
    lost = set(moments_between(free, start, end)) - set(found)
    assert all(any(begin <= at < begin + timedelta(hours=2) for begin in begins) for at in lost)
    moved = set(found) - set(moments_between(free, start, end))
    assert moved <= ({begin + timedelta(hours=2) for begin in begins} if then == "shift" else set())


@settings(max_examples=30)
@given(MOMENTS, st.sampled_from(["XNYS", "XHKG", "CMES", "XTKS"]))
def test_market_hours_are_those_of_the_calendar(start: datetime, market: str) -> None:
    calendar = load_calendar(market)
    for form in ({"market": market, "every": "7m"}, {"cron": "*/7 * * * *", "market": market}):
        assert all(calendar.session_at(at) for at in islice(recurrence(parse_when(form)).after(start), 40))


@pytest.mark.parametrize(
    "when",
    [
        {"cron": "0 3 * * *", "timezone": "America/New_York", "market": "XNYS"},
        {"cron": "30 2 * * 0", "maintenance": SUNDAY},
        {"every": "6h", "maintenance": {"start": "0 0 * * *", "duration": "24h", "then": "shift"}},
        {"market": "XNYS", "at": "break_start"},
        {"market": "XNYS", "every": "5m", "start": "break_end"},
        {"market": "XNYS", "every": "5m", "start": "close", "end": "open"},
    ],
)
def test_a_schedule_that_never_runs_says_so(when: dict[str, Any]) -> None:
    for search in (recurrence(parse_when(when)).after, recurrence(parse_when(when)).until):
        with pytest.raises(ConfigError) as caught:
            next(search(utc("2025-06-01")))
        assert caught.value.code == "never_runs"


def test_behind_the_calendar_there_is_an_error_and_no_silence() -> None:
    when = parse_when({"market": "XNYS", "at": "close"})
    assert next_moment(when, utc("2028-12-28T00:00")) == utc("2028-12-28T21:00")
    with pytest.raises(ConfigError) as caught:
        next_moment(when, utc("2028-12-29T22:00"))
    assert caught.value.code == "calendar_not_valid"
    with pytest.raises(ConfigError):
        next_moment(when, utc("1985-01-01"))


MOMENTS_OF: dict[str, tuple[dict[str, Any], str, str, str]] = {
    # schedule, from, to, moments of it
    "past midnight": (
        {"market": "XNYS", "at": "close+8h"}, "2026-11-25T00:00", "2026-12-01T00:00",
        "11-25T05:00 11-26T05:00 11-28T02:00",
    ),
    "on the day before": (
        {"market": "XTKS", "at": "open-10h"}, "2026-11-25T00:00", "2026-11-30T00:00", "11-25T14:00 11-26T14:00 11-29T14:00",
    ),
    "a Sunday evening": (
        {"market": "CMES", "at": "open"}, "2026-11-28T00:00", "2026-12-01T12:00", "11-29T23:00 11-30T23:00",
    ),
    "a Sunday session": (
        {"market": "XTAE", "at": "close"}, "2025-01-03T00:00", "2025-01-07T00:00", "01-05T13:40 01-06T15:15",
    ),
    "a half day without a lunch break": (
        {"market": "XHKG", "at": ["break_start", "break_end", "close"]}, "2026-12-23T00:00", "2026-12-25T00:00",
        "12-23T04:00 12-23T05:00 12-23T08:00 12-24T04:00",
    ),
    "spring in the south": (
        {"market": "XASX", "at": "open"}, "2026-10-01T12:00", "2026-10-06T12:00", "10-02T00:00 10-04T23:00 10-05T23:00",
    ),
    "a close in maintenance": (
        {"market": "XNYS", "at": ["close", "close+3h"], "maintenance": {"start": "30 15 * * 1-5", "timezone": "America/New_York", "duration": "2h"}},
        "2026-11-24T12:00", "2026-11-28T12:00", "11-25T00:00 11-26T00:00 11-27T18:00",
    ),
    "a close put off by maintenance": (
        {"market": "XNYS", "at": ["close", "close+15m"], "maintenance": {"start": "30 15 * * 1-5", "timezone": "America/New_York", "duration": "2h", "then": "shift"}},
        "2026-11-24T12:00", "2026-11-28T12:00", "11-24T22:30 11-25T22:30 11-27T18:00 11-27T18:15",
    ),
    "half an hour of daylight saving": (
        {"cron": "15 2 * * *", "timezone": "Australia/Lord_Howe"}, "2026-10-03T00:00", "2026-10-05T00:00",
        "10-03T15:30 10-04T15:15",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MOMENTS_OF)
def test_moments_forwards_and_backwards(case: str) -> None:
    raw, start, end, told = MOMENTS_OF[case]
    found = list(moments_between(parse_when(raw), utc(start), utc(end)))
    assert [f"{at:%m-%dT%H:%M}" for at in found] == told.split()
    back = islice(recurrence(parse_when(raw)).until(utc(end)), len(found))
    assert list(back) == found[::-1]
