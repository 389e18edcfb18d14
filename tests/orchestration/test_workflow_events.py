"""Events of whole runs: what is told, once, and that nobody depends on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from base_ops.orchestration.workflows import events_of, tell
from base_ops.state import StateStore

START = datetime(2026, 11, 30, 6, tzinfo=UTC)


def run(tags: set[str] | None = None, **conf: Any) -> Any:
    params = SimpleNamespace(dump=lambda: {"priority": "medium", "sla_deadline": None})
    dag = SimpleNamespace(tags={"module:data_ingestion"} if tags is None else tags, params=params)
    ended = START + timedelta(hours=1)
    return SimpleNamespace(
        dag_id="fx", run_id="r", run_type="manual", conf=conf, start_date=START, end_date=ended, dag=dag
    )


@pytest.mark.parametrize(("deadline", "late"), [("2026-11-30T06:59:00Z", True), ("2026-11-30T08:00:00", False)])
def test_a_deadline_is_told(deadline: str, late: bool) -> None:
    started, completed = events_of(run(sla_deadline=deadline, priority="high"), "data_ingestion", "completed")
    assert (started["type"], completed["type"]) == ("ingestion.workflow.started", "ingestion.workflow.completed")
    assert (completed["source"], completed["subject"]) == ("base/data_ingestion/workflow", "fx")
    assert (completed["data"]["priority"], completed["data"]["late"], completed["data"]["seconds"]) == (
        "high",
        late,
        3600,
    )
    assert started["time"] == "2026-11-30T06:00:00Z"


def test_told_twice_is_told_once(base_home: Path, airflow_db: Path) -> None:
    tell(run(), "started")
    tell(run(), "failed")
    tell(run(), "failed")
    tell(run(tags={"other"}), "failed")
    store = StateStore(f"sqlite:///{base_home / 'state.db'}")
    told = [event["type"] for _, event in store.undelivered()]
    store.close()
    assert told == ["ingestion.workflow.started", "ingestion.workflow.failed"]


def test_no_database_is_no_failure(base_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (base_home / "state.db").mkdir()
    tell(run(), "completed")
    assert "are not recorded" in caplog.text
