"""The forms of `schedule:` and schedules.yaml: what is wrong is told at parse, with its key."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from base_ops.calendars.recurrence import recurrence
from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.schedule_policies import DisablePolicy, SchedulesFile, load_schedules
from base_ops.data_ingestion.options.schedules import (
    MAX_DEPTH,
    CronSchedule,
    DependencySchedule,
    IntervalSchedule,
    MarketSchedule,
    TimeSchedule,
    check_dependencies,
    duration,
    moment_of_session,
    parse_when,
)
from base_ops.data_ingestion.specs.scheduler import PlanRunsSpec, instant

POOLS = {"normal": {"slots": 1, "timeout_s": 1, "tries": 1}, "low": {"slots": 1, "timeout_s": 1, "tries": 1}}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800), ("1d1h1m1s", 90_061)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "15", "m", "1.5h", "-1h", "0s", "1h 30m", "1w", "400d", "9" * 30 + "d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no length of time"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "anchor", "minutes"), [("open", "open", 0), ("close+15m", "close", 15), ("break_end-1h", "break_end", -60)]
)
def test_moments_of_sessions(text: str, anchor: str, minutes: int) -> None:
    assert moment_of_session(text) == (anchor, timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ({"market": "XNYS", "at": "close"}, MarketSchedule),
        ({"cron": "0 2 * * *", "market": "XNYS"}, CronSchedule),
        ({"market": "XNYS", "every": "5m"}, MarketSchedule),
        ({"every": "5m"}, IntervalSchedule),
        ({"after": "a"}, DependencySchedule),
    ],
)
def test_the_keys_tell_the_form(raw: dict[str, Any], form: type) -> None:
    assert type(parse_when(raw)) is form


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"market": "XNYS"}, "exactly one of: at, every"),
        ({"market": "XNYS", "at": "open", "every": "5m"}, "exactly one of: at, every"),
        ({"market": "XNYS", "at": "noon"}, "no moment of a session"),
        ({"market": "XNYS", "at": "close+8d"}, "more than 7 days off"),
        ({"every": "30s"}, "not from 60s to 24h"),
        ({"every": "25h"}, "not from 60s to 24h"),
        ({"market": "XNYS", "every": "30s"}, "not from 60s to 24h"),
        ({"cron": "*/5 * * *"}, "five fields"),
        ({"cron": "61 * * * *"}, "Bad minute"),
        ({"cron": "0 0 31 2 *"}, "never comes|Bad day"),
        ({"cron": "* * * * * *"}, "five fields"),
        ({"cron": "0 2 * * *", "timezone": "New York"}, "no time zone"),
        ({"cron": "0 2 * * *", "timezone": "../etc/passwd"}, "no time zone"),
        ({"events": ["rain"]}, "data_source_updated"),
        ({"after": []}, "at least 1"),
        ({"evry": "5m"}, "Did you mean 'every'"),
        ({}, "no schedule has these keys"),
        ({"every": "5m", "maintenance": {"start": "0 2 * * 0", "duration": "long"}}, "no length of time"),
    ],
)
def test_faults(raw: dict[str, Any], says: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=says):
        parse_when(raw)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("2026-11-27T10:00:00+02:00", "2026-11-27T08:00:00+00:00"),
        (datetime(2026, 11, 27, 8, tzinfo=UTC), "2026-11-27T08:00:00+00:00"),
        (date(2026, 11, 27), "2026-11-27T00:00:00+00:00"),
    ],
)
def test_moments_as_yaml_gives_them(given: Any, taken: str) -> None:
    found = PlanRunsSpec(action="plan_runs", as_of=given).as_of
    assert found is not None and instant(found).isoformat() == taken


def test_7_13_circular_dependency_fails_at_parse() -> None:
    schedules = {"a": {"when": {"after": "b"}}, "b": {"when": {"after": "c"}}, "c": {"when": {"after": "a"}}}
    with pytest.raises(ValidationError, match="a → b → c → a"):
        SchedulesFile.model_validate({"pools": POOLS, "schedules": schedules})


@pytest.mark.parametrize("length", [MAX_DEPTH, MAX_DEPTH + 1])
def test_rows_of_dependencies_are_short(length: int) -> None:
    after = {str(n): (str(n - 1),) for n in range(1, length + 1)}
    known = dict.fromkeys(map(str, range(length + 1)))
    if length <= MAX_DEPTH:
        check_dependencies(after, known)
    else:
        with pytest.raises(ValueError, match=f"{length} others in a row"):
            check_dependencies(after, known)


def test_a_dependency_on_nobody_is_told() -> None:
    with pytest.raises(ValueError, match="'a' comes after 'bb', which is not there. Did you mean 'b'"):
        check_dependencies({"a": ("bb",)}, {"a": None, "b": None})


@pytest.mark.parametrize(
    ("raw", "line", "says"),
    [
        ("pools:\n  low: {slots: 1, timeout_s: 1, tries: 1}\nschedules:\n  x: {pool: lo}\n", 4, "pool='lo' is no pool"),
        ("schedules:\n  x:\n    title: X\n    when: {every: 5}\n", 4, "every"),
        ("maintenance:\n  w: {start: 0 2 * * 0}\n", 2, "duration is required"),
        ("limits: {concurrent: 9}\npools:\n  low: {slots: 10, timeout_s: 1, tries: 1}\n", 2, "pools have 10 slots"),
        ("pools: {}\nscale: {prd: 10}\n", 2, "Did you mean 'prod'"),
        ("scale:\n  prod: 0\n", 2, "greater than or equal to 1"),
        ("limts: {}\n", 1, "Did you mean 'limits'"),
    ],
)
def test_a_fault_in_the_file_names_file_line_and_key(tmp_path: Path, raw: str, line: int, says: str) -> None:
    (tmp_path / "data_ingestion").mkdir()
    (tmp_path / "data_ingestion" / "schedules.yaml").write_text(raw)
    with pytest.raises(ConfigError) as caught:
        load_schedules(tmp_path)
    assert f"schedules.yaml, line {line}" in caught.value.where
    assert says in caught.value.what


def test_no_file_means_no_schedules(tmp_path: Path) -> None:
    assert load_schedules(tmp_path) == SchedulesFile()


def test_the_shipped_schedules_are_those_of_the_sheet() -> None:
    shipped = load_schedules()
    assert {"nyse", "nasdaq", "financial_data", "forex", "crypto", "daily_batch", "end_of_day"} <= set(
        shipped.schedules
    )
    assert {name: pool.slots for name, pool in shipped.pools.items()} == {"high": 20, "normal": 50, "low": 30}
    now = datetime(2026, 11, 20, tzinfo=UTC)
    for name in shipped.schedules:
        when = shipped.when(name)
        if isinstance(when, TimeSchedule):
            assert next(recurrence(when).after(now)) > now


@pytest.mark.parametrize(("env", "times"), [("dev", 1), ("staging", 1), ("prod", 10)])
def test_an_environment_sizes_pools_and_limit_alike(env: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_ENV", env)
    shipped = load_schedules()
    slots = {name: pool.slots for name, pool in shipped.pools.items()}
    assert slots == {"high": 20 * times, "normal": 50 * times, "low": 30 * times}
    assert (shipped.limits.concurrent, shipped.limits.queue) == (100 * times, 1000)
    asked = PlanRunsSpec(action="plan_runs").completed().model_dump(mode="json")  # as a pod gets it
    assert PlanRunsSpec.model_validate(asked).completed().rules == shipped


@pytest.mark.parametrize(
    ("minutes_ago", "trips"),
    [
        ([1, 2, 3, 4, 5], True),
        ([1, 2, 3, 4], False),
        ([1, 2, 3, 4, 61], False),
        ([0, 15, 30, 45, 60], True),
        ([], False),
    ],
)
def test_five_failures_in_an_hour(minutes_ago: list[int], trips: bool) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert DisablePolicy().trips([now - timedelta(minutes=m) for m in minutes_ago], now) == trips
