"""data_ingestion.scheduler, action by action, through the worker's entry point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from base_ops.calendars.calendar import load_calendar
from base_ops.cli.requests import run_here
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Result
from base_ops.data_ingestion.jobs.scheduler.backfill import chunks
from base_ops.data_ingestion.jobs.scheduler.plan import deferrals
from base_ops.data_ingestion.models.scheduling.synthetic import history
from base_ops.data_ingestion.options.schedule_policies import BackfillPolicy

Run = Callable[..., Result]

SCHEDULES = {
    "pools": {"high": {"slots": 2, "timeout_s": 9, "tries": 3}, "low": {"slots": 1, "timeout_s": 9, "tries": 1}},
    "fallbacks": {
        "main": [{"source": "weak", "quality": 0.7}, {"source": "good", "quality": 0.9}, {"source": "cache", "quality": 0.5}]
    },
    "schedules": {
        "quotes": {"when": {"market": "XNYS", "at": "close+15m"}, "pool": "high", "priority": "high", "sources": "main"},
        "hourly": {"when": {"every": "1h"}, "pool": "low"},
        "off": {"when": {"every": "1h"}, "pool": "low", "enabled": False},
        "by_hand": {"pool": "low"},
    },
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    sources = tmp_path / "config" / "data_ingestion" / "sources"
    sources.mkdir(parents=True)
    for name in ("main", "weak", "good"):
        (sources / f"{name}.yaml").write_text(f"id: {name}\nfiles: {{path: {tmp_path}/{name}/*.csv}}\n")
    monkeypatch.setenv("BASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BASE_CONFIG_DIR", str(tmp_path / "config"))

    def run(action: str, **spec: Any) -> Result:
        return run_here([("data_ingestion.scheduler", {"action": action, **spec})])

    return run


def seen(result: Result) -> dict[str, Any]:
    assert result.status is Outcome.OK, result.error
    return dict(result.steps[0].observations)


def codes(result: Result) -> Counter[str]:
    return Counter(finding.code for finding in result.findings)


def test_a_source_whose_market_is_closed_is_not_available(run: Run, tmp_path: Path) -> None:
    source = {"id": "main", "files": {"path": f"{tmp_path}/main/*.csv"}}
    result = run("validate_source_availability", source=source, market="XNYS", as_of="2026-11-26T15:00:00Z")
    assert seen(result) == {
        "source": "main",
        "as_of": "2026-11-26T15:00:00+00:00",
        "market": "XNYS",
        "market_open": False,
        "next_open": "2026-11-27T14:30:00+00:00",
        "available": False,
        "reason": "market closed",
    }
    assert codes(result) == {"market_closed": 1}


def test_an_open_market_and_a_source_that_answers(run: Run, tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "a.csv").write_text("a\n1\n")
    source = {"id": "main", "files": {"path": f"{tmp_path}/main/*.csv"}}
    found = seen(run("validate_source_availability", source=source, market="XNYS", as_of="2026-11-25T15:00"))
    assert (found["market_open"], found["available"], found["connection"]["source"]) == (True, True, "main")


def test_a_date_that_no_calendar_knows_is_a_config_error(run: Run) -> None:
    source = {"id": "main", "files": {"path": "/nowhere/*.csv"}}
    result = run("validate_source_availability", source=source, market="XNYS", as_of="2031-01-02T15:00")
    assert result.status is Outcome.CONFIG_ERROR
    assert result.error is not None and result.error.code == "calendar_not_valid"


def test_runs_ahead(run: Run) -> None:
    result = run("plan_runs", schedules=SCHEDULES, as_of="2026-11-27T00:30", horizon_h=24)
    found = seen(result)
    assert found["runs"]["quotes"] == {"count": 1, "first": ["2026-11-27T18:15:00+00:00"]}
    assert found["runs"]["hourly"]["count"] == 24
    assert set(found["runs"]) == {"quotes", "hourly"}
    assert found["pools"]["base_high"]["slots"] == 2
    assert found["deferred"] == {}
    assert not codes(result)
    assert {event["type"] for event in result.steps[0].events} == {"job_scheduled"}


def test_five_failures_in_an_hour_disable_a_schedule_and_say_so(run: Run) -> None:
    failures = {"hourly": [f"2026-11-26T23:{m}" for m in (35, 40, 45, 50, 55)], "quotes": ["2026-11-26T23:59"] * 4}
    result = run("plan_runs", schedules=SCHEDULES, as_of="2026-11-27", failures=failures)
    found = seen(result)
    assert found["disabled"] == ["hourly"]
    assert set(found["runs"]) == {"quotes"}
    assert codes(result)["schedule_disabled"] == 1
    assert [e["subject"] for e in result.steps[0].events if e["type"] == "schedule_disabled"] == ["hourly"]


def test_references_to_sources_that_are_not_there_and_calendars_that_end_are_told(run: Run) -> None:
    schedules = {**SCHEDULES, "fallbacks": {"main": [{"source": "yahoo_finance", "quality": 0.7}]}}
    found = codes(run("plan_runs", schedules=schedules, as_of="2028-11-01", horizon_h=1))
    assert found == {"unknown_source": 1, "calendar_ends_soon": 1}


def test_no_schedules_at_all_are_told(run: Run) -> None:
    assert codes(run("plan_runs", as_of="2026-11-27")) == {"no_schedules": 1}


def test_new_runs_are_held_when_the_machine_is_busy(run: Run) -> None:
    result = run("plan_runs", schedules=SCHEDULES, as_of="2026-11-27", cpu_share=0.81, memory_share=0.85)
    assert seen(result)["held"] == ["cpu_share 0.81 > 0.8"]


def test_the_lowest_priority_is_deferred_and_none_is_lost() -> None:
    minute = datetime(2026, 11, 20, 9, tzinfo=UTC)
    runs = {name: [minute] for name in ("a", "b", "c", "d")}
    assert deferrals(runs, {"a": 4, "b": 1, "c": 2, "d": 3}, queue=2) == {"a": 1, "d": 1}
    assert deferrals(runs, {"a": 4, "b": 1, "c": 2, "d": 3}, queue=1) == {"a": 3, "d": 2, "c": 1}
    assert deferrals(runs, dict.fromkeys("abcd", 1), queue=4) == {}


def test_a_backfill_in_chunks(run: Run) -> None:
    found = seen(
        run(
            "plan_backfill",
            start="2026-11-25",
            end="2026-11-30T12:00",
            market="XNYS",
            schedules=SCHEDULES | {"backfill": {}},
        )
    )
    assert [chunk[0][:10] for chunk in found["chunks"]] == ["2026-11-25", "2026-11-27"]
    assert (found["parallel"], found["pool"]) == (5, "low")


def test_a_backfill_too_long_is_refused(run: Run) -> None:
    result = run("plan_backfill", start="2026-10-01", end="2026-11-01", schedules=SCHEDULES)
    assert result.status is Outcome.CONFIG_ERROR
    assert result.error is not None and result.error.code == "backfill_too_long"


def test_chunks_cover_the_stretch_without_a_gap() -> None:
    start, end = datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 11, 11, 7, tzinfo=UTC)
    found = chunks(start, end, BackfillPolicy(chunk_days=3), None)
    assert found[0][0] == start and found[-1][1] == end
    assert all(before[1] == after[0] for before, after in pairwise(found))


def test_fallbacks_best_first_weak_ones_degraded(run: Run) -> None:
    found = seen(run("discover_fallback_sources", source="main", schedules=SCHEDULES))
    assert found["fallbacks"] == [
        {"source": "good", "quality": 0.9, "degraded": False},
        {"source": "weak", "quality": 0.7, "degraded": True},
    ]
    assert found["left_out"] == {"cache": "nothing has been fetched yet"}


def test_what_was_fetched_last_is_a_fallback_while_it_is_young(run: Run, tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "a.csv").write_text("a\n1\n")
    source = {"id": "main", "files": {"path": f"{tmp_path}/main/*.csv"}}
    assert run_here([("data_ingestion.collector", {"source": source})]).status is Outcome.OK
    tried = ["good", "weak"]
    young = seen(run("discover_fallback_sources", source="main", tried=tried, schedules=SCHEDULES))
    assert young["fallbacks"] == [{"source": "cache", "quality": 0.5, "degraded": True}]
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    old = run("discover_fallback_sources", source="main", tried=tried, schedules=SCHEDULES, as_of=later)
    assert seen(old)["fallbacks"] == []
    assert codes(old) == {"no_fallback": 1}


@pytest.fixture
def series(tmp_path: Path) -> str:
    start = datetime(2026, 8, 3, tzinfo=UTC)
    load = history(load_calendar("XNYS"), date(2026, 8, 3), 63, seed=5)
    moments = [start + timedelta(minutes=15 * number) for number in range(len(load))]
    pl.DataFrame({"time": moments, "load": load}).write_parquet(tmp_path / "history.parquet")
    return str(tmp_path / "history.parquet")


def test_the_load_ahead(run: Run, series: str) -> None:
    result = run("forecast_load", history=series, market="XNYS", as_of="2026-10-05", name="quotes", capacity=1)
    found = seen(result)
    assert found["decided_by"] == "model"
    assert codes(result) == {"load_above_capacity": 1}
    (ref,) = result.outputs
    frame = pl.read_parquet(ref.uri)
    assert frame.columns == ["time", "low", "expected", "high"]
    assert (frame.height, ref.rows) == (672, 672)
    assert frame["time"][0] == datetime(2026, 10, 5, tzinfo=UTC)
    assert ((frame["low"] <= frame["expected"]) & (frame["expected"] <= frame["high"])).all()
    again = run("forecast_load", history=series, market="XNYS", as_of="2026-10-05", name="quotes")
    assert again.outputs[0].sha256 == ref.sha256


def test_models_switched_off_the_rule_decides(run: Run, series: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_MODELS", "false")
    assert seen(run("forecast_load", history=series, market="XNYS", as_of="2026-10-05"))["decided_by"] == "fallback"


def test_without_history_there_is_no_forecast(run: Run) -> None:
    result = run("forecast_load", as_of="2026-10-05")
    assert result.status is Outcome.BAD_INPUT
    assert result.error is not None and result.error.code == "too_little_history"


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"when": [datetime(2026, 1, 1, tzinfo=UTC)], "load": [1.0]}),
        pl.DataFrame({"time": ["2026-01-01"], "load": [1.0]}),
        pl.DataFrame({"time": [datetime(2026, 1, 1, tzinfo=UTC)], "load": [-1.0]}),
        pl.DataFrame(
            {"time": [datetime(2026, 1, 1, tzinfo=UTC)], "load": [None]}, schema_overrides={"load": pl.Float64}
        ),
    ],
)
def test_a_history_that_is_none_is_refused(run: Run, tmp_path: Path, frame: pl.DataFrame) -> None:
    frame.write_parquet(tmp_path / "bad.parquet")
    result = run("forecast_load", history=str(tmp_path / "bad.parquet"), as_of="2026-10-05")
    assert result.status is Outcome.BAD_INPUT
    assert result.error is not None and result.error.code == "bad_history"
