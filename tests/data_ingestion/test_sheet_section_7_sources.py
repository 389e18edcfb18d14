"""The checks of the module's sheet, section 7, that concern sources, connections and retries, under their numbers.

Beside these: 7.4 in tests/worker/connections/test_tokens.py and, as two tasks of one DAG,
tests/e2e/test_sources_that_fail.py, 7.7 in tests/worker/test_breaker.py and test_fetch_retry.py,
7.10 (tokens) in test_tokens.py, 7.13 in tests/orchestration/test_timetables.py and test_schedules.py.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fakes.collecting import Reply, StillClock, collected, connect, context, in_turn, page, serving
from fakes.identity import CLIENT, SECRET, Provider, identity_provider

from base_ops.calendars.recurrence import moments_between
from base_ops.core.ids import uuid7
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import DataRef, Identity, Request, Result, StepRequest
from base_ops.core.settings import Settings
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.schedule_policies import load_schedules
from base_ops.worker.connections import tokens
from base_ops.worker.lake import Lake
from base_ops.worker.main import run


@pytest.fixture
def provider() -> Iterator[Provider]:
    tokens.forget_tokens()
    with identity_provider() as running:
        yield running


def job(home: Path, agent: str, action: str, spec: dict[str, Any], inputs: list[DataRef] | None = None) -> Result:
    """One job through the worker's entry point, after a task that handed on `inputs`."""
    settings = Settings(home=home)
    before: list[str] = []
    if inputs is not None:
        done = Result(status=Outcome.OK, identity=Identity(attempt=uuid7()), outputs=inputs)
        lake = Lake(settings.lake, done.identity.attempt)
        lake.store.write(f"runs/{done.identity.attempt}.json", done.model_dump_json().encode())
        before = [lake.store.uri(f"runs/{done.identity.attempt}.json")]
    request = Request(
        steps=[StepRequest(agent=agent, action=action, spec=spec)],
        identity=Identity(attempt=uuid7()),
        inputs=before,
        lake_url=settings.lake,
        result_uri=f"{settings.lake}/runs/{uuid7()}.json",
    )
    return run(request, settings)


# -- 4


def test_7_4_revoked_one_refresh_denied_in_5_s_no_secret_and_the_others_finish(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = int(provider.url.rsplit(":", 1)[1])
    connect(tmp_path, "vendor", host="127.0.0.1", port=port, conn_type="http", login=CLIENT, password=SECRET)
    template = fill_template({"template": "oauth2_client_credentials", "token_url": f"{provider.url}/token"})
    vendor = {"id": "vendor", "connection": "vendor", "authentication": template, "http": {"path": "/api/token"}}
    action = "collect_data_from_source"
    assert job(tmp_path, "data_ingestion.collector", action, {"source": vendor}).status is Outcome.OK
    provider.revoke_all()
    provider.secret = "replaced-at-the-provider"
    asked = len(provider.forms)
    with serving(in_turn(page([{"id": 1}]))) as healthy:
        connect(tmp_path, "healthy", host="127.0.0.1", port=healthy.port, conn_type="http")
        other = {"id": "healthy", "connection": "healthy", "http": {"path": "/q"}}
        results = [job(tmp_path, "data_ingestion.collector", action, {"source": s}) for s in (vendor, other)]
    denied, fine = results
    assert (denied.status, fine.status) == (Outcome.DENIED, Outcome.OK) and denied.seconds < 5
    assert len(provider.forms) == asked + 1, "one refresh"
    assert denied.error is not None and "vendor" in denied.error.where
    assert "oauth2_client_credentials" in denied.error.where
    stored = b"".join(file.read_bytes() for file in (tmp_path / "lake").rglob("*") if file.is_file())
    told = denied.model_dump_json() + caplog.text + stored.decode(errors="replace")
    assert SECRET not in told and "access-" not in told


# -- 7


def test_7_7_after_retry_after_7_the_next_call_is_not_before_7_s(tmp_path: Path) -> None:
    clock = StillClock()
    moments: list[datetime] = []
    answers = in_turn(Reply(429, headers={"Retry-After": "7"}), page([{"id": 1}]))

    def script(asked: Any) -> Reply:
        moments.append(clock.now())
        return answers(asked)

    with serving(script) as server:
        output = collected(tmp_path, {"id": "s", "http": {"path": f"http://127.0.0.1:{server.port}/q"}}, clock)
    assert len(moments) == 2 and moments[1] - moments[0] >= timedelta(seconds=7)
    assert output.steps[0].observations["retries"] == 1


# -- 8


def stored(home: Path, frame: pl.DataFrame) -> Result:
    """A part of the table t, through the storage agent."""
    name = uuid7()
    path = home / "lake" / "staging" / "t" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    unit = DataRef(id=name, kind="staging", uri=str(path), name="t", slice="all", rows=frame.height, bytes=1)
    spec = {"dataset": "t", "key": ["id"]}
    return job(home, "data_storage.tier_manager", "store_validated_data", spec, [unit])


BEFORE = pl.DataFrame({"id": [1, 2], "price": [1.5, 2.5]})
CHANGES: dict[str, tuple[pl.DataFrame, str | None]] = {
    # what came: the readable difference of a breaking one
    "added": (BEFORE.with_columns(venue=pl.lit("X")), None),
    "renamed": (BEFORE.rename({"price": "px"}), "price: table Float64, new none"),
    "retyped": (BEFORE.with_columns(pl.col("price").cast(pl.String)), "price: table Float64, new String"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_7_8_schema_drift_in_a_table(change: str, tmp_path: Path) -> None:
    frame, difference = CHANGES[change]
    assert stored(tmp_path, BEFORE).status is Outcome.OK
    result = stored(tmp_path, frame)
    kinds = [event["type"] for step in result.steps for event in step.events]
    if difference is None:
        assert result.status is Outcome.OK and "schema_evolved" in kinds
        return
    assert result.status is Outcome.BAD_INPUT and "schema_breaking" in kinds
    assert result.error is not None and difference in f"{result.error.what} {result.error.found}"


ALTERED = {
    "added": ("ALTER TABLE t ADD COLUMN venue TEXT", "schema_additive", "+ venue"),
    "renamed": ("ALTER TABLE t RENAME COLUMN price TO px", "schema_breaking", "- price"),
}


@pytest.mark.parametrize("change", ALTERED)
def test_7_8_schema_drift_at_the_source(change: str, tmp_path: Path) -> None:
    statement, code, told = ALTERED[change]
    file = tmp_path / "a.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, price REAL)")
        database.execute("INSERT INTO t VALUES (1, 1.5)")
    connect(tmp_path, "db", conn_type="sqlite", host=str(file))
    source = {"id": "s", "connection": "db", "sql": {"database": "sqlite", "table": "t", "cursor": "id"}}
    collected(tmp_path, source)
    with sqlite3.connect(file) as database:
        database.execute(statement)
        database.execute("INSERT INTO t (id) VALUES (2)")
    (step,) = collected(tmp_path, source).steps
    (event,) = [event for event in step.events if event["type"] == code]
    assert any(told in str(change) for change in event["data"]["changes"])  # type: ignore[index,call-overload]


# -- 10


def test_7_10_rows_beyond_an_hour_ahead_are_flagged(tmp_path: Path) -> None:
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    ahead = {1: 0, 2: 59, 3: 61, 4: 120}  # minutes; the source's clock is two hours ahead
    rows = [{"id": n, "at": (now + timedelta(minutes=m)).isoformat()} for n, m in ahead.items()]
    (tmp_path / "in.ndjson").write_text("\n".join(map(json.dumps, rows)))
    columns = [{"name": "id", "type": "int64"}, {"name": "at", "type": "timestamp_utc"}]
    settings = Settings(home=tmp_path)
    convert = {
        "source": str(tmp_path / "in.ndjson"), "target": str(tmp_path / "out.parquet"), "read": {"columns": columns},
    }  # fmt: skip
    validate = {
        "rules": [{"check": "freshness", "column": "at"}], "as_of": now.isoformat(), "max_failure_share": 1.0,
    }  # fmt: skip
    request = Request(
        steps=[
            StepRequest(agent="data_ingestion.converter", action="convert_to_standard_format", spec=convert),
            StepRequest(agent="data_quality.validator", action="validate_data_quality", spec=validate),
        ],
        identity=Identity(attempt=uuid7()),
        lake_url=settings.lake,
        result_uri=f"{settings.lake}/runs/r.json",
    )
    result = run(request, settings)
    assert result.status is Outcome.PARTIAL, result.error
    assert pl.read_parquet(tmp_path / "out.parquet")["id"].to_list() == [1, 2]
    flagged = pl.concat([pl.read_parquet(q.uri) for q in result.quarantine], how="diagonal_relaxed")
    assert sorted(flagged["line"]) == [3, 4]
    assert all(rule.startswith("freshness") for rule in flagged["rule"]) and flagged["reason"].null_count() == 0


def test_7_10_a_cursor_from_a_clock_that_is_ahead_is_not_taken(tmp_path: Path) -> None:
    clock = StillClock(datetime(2026, 1, 5, 12, tzinfo=UTC))
    records = [{"id": 1, "at": "2026-01-05T11:59:00Z"}, {"id": 2, "at": "2026-01-05T14:00:00Z"}]
    with serving(lambda _asked: page(records)) as server:
        http = {
            "path": f"http://127.0.0.1:{server.port}/q",
            "records": "data",
            "cursor_field": "at",
            "cursor_param": "a",
        }
        output = collected(tmp_path, {"id": "s", "mode": "append", "http": http}, clock, context(tmp_path))
    assert output.cursor_after == "2026-01-05T11:59:00Z"
    assert "cursor_values_ignored" in {finding.code for finding in output.steps[0].findings}


# -- 13


def test_7_13_the_shipped_nyse_schedule_skips_holidays_and_follows_the_clocks() -> None:
    when = load_schedules().when("nyse")

    def between(start: str, end: str) -> list[datetime]:
        return list(moments_between(when, datetime.fromisoformat(start), datetime.fromisoformat(end)))

    assert between("2026-07-03T00:00Z", "2026-07-04T00:00Z") == [], "the Friday before Independence Day"
    winter, summer = (
        between("2026-03-06T00:00Z", "2026-03-07T00:00Z"),
        between("2026-03-09T00:00Z", "2026-03-10T00:00Z"),
    )
    assert (winter[0].hour, summer[0].hour) == (14, 13) and len(winter) == len(summer)
