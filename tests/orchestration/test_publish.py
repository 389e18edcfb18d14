"""What is told after a job: metrics, lineage, and the UI's listener."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from base_ops.core.breaker import BreakerReport
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import (
    ColumnLineage,
    Counts,
    DataRef,
    FieldInfo,
    Finding,
    Identity,
    Lineage,
    Result,
    StepResult,
)

pytestmark = pytest.mark.usefixtures("airflow_db")


class Recorder:
    """A metrics backend that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any, dict[str, Any]]] = []

    def incr(self, stat: str, count: int = 1, rate: float = 1, *, tags: dict[str, Any] | None = None) -> None:
        self.seen.append((stat, count, tags or {}))

    def timing(self, stat: str, dt: Any, *, tags: dict[str, Any] | None = None) -> None:
        self.seen.append((stat, dt, tags or {}))

    def gauge(
        self, stat: str, value: float, rate: float = 1, delta: bool = False, *, tags: dict[str, Any] | None = None
    ) -> None:
        self.seen.append((stat, value, tags or {}))


@pytest.fixture(params=["airflow.sdk.observability.stats", "airflow.observability.stats"])
def recorder(request: pytest.FixtureRequest) -> Iterator[tuple[str, Recorder]]:
    """Task processes and the scheduler have a metrics module each."""
    import importlib

    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger

    stats, recorder = importlib.import_module(request.param), Recorder()
    stats.initialize(factory=lambda: recorder, export_legacy_names=False)
    yield request.param, recorder
    stats.initialize(factory=NoStatsLogger, export_legacy_names=False)


def result() -> Result:
    out = DataRef(
        id="c1",
        kind="staging",
        uri="/lake/staging/p-0",
        name="fx_quotes",
        rows=9,
        bytes=90,
        fields=[FieldInfo(name="bid", type="double"), FieldInfo(name="time", type="timestamp[us]")],
    )
    return Result(
        status=Outcome.PARTIAL,
        identity=Identity(attempt="a"),
        steps=[
            StepResult(
                agent="data_ingestion.converter",
                action="convert_to_standard_format",
                counts=Counts(rows_in=10, rows_out=9, quarantined=1, bytes_in=100),
            )
        ],
        inputs=[DataRef(id="x", kind="landing", uri="/lake/landing/o", name="eurusd.zip", source="oanda")],
        outputs=[out, out.model_copy(update={"rows": 1, "bytes": 10})],
        lineage=Lineage(
            inputs=["oanda"], outputs=["fx_quotes"], columns=[ColumnLineage(column="bid", inputs=[("oanda", "bid")])]
        ),
        seconds=2.5,
    )


@pytest.mark.parametrize("recorder", ["airflow.sdk.observability.stats"], indirect=True)
def test_models_are_counted_by_who_decided(recorder: tuple[str, Recorder]) -> None:
    from base_ops.orchestration.publish import emit_metrics

    _, seen = recorder
    decided = [
        Finding(code="c", message="m", data={"model": "base-a-b", "source": s}) for s in ("mlflow:3", "fallback")
    ]
    found = result()
    found.steps[0].findings = [*decided, Finding(code="other", message="m")]
    found.steps[0].observations = {"model": "base-a-b", "accuracy": {"model": 0.75, "rules": 0.5}}
    emit_metrics(found)
    assert [entry for entry in seen.seen if "model" in entry[0]] == [
        ("base_model_decisions_total", 1, {"model": "base-a-b", "source": "model"}),
        ("base_model_decisions_total", 1, {"model": "base-a-b", "source": "fallback"}),
        ("base_model_accuracy", 0.75, {"model": "base-a-b"}),
    ]


@pytest.mark.parametrize("recorder", ["airflow.sdk.observability.stats"], indirect=True)
def test_what_is_done_about_failures_is_measured(recorder: tuple[str, Recorder]) -> None:
    from base_ops.orchestration.publish import emit_metrics

    _, seen = recorder
    found = result()
    found.steps = [
        StepResult(
            agent="data_ingestion.fetch_retry",
            action="process_dead_letters",
            observations={
                "dead_letter_queue_size": 3,
                "analysis_s": 0.25,
                "patterns": {"s": {"mean_recovery_s": 30.0}, "t": {"mean_recovery_s": None}},
            },
            events=[
                {"type": "retry_started", "subject": "s", "data": {"action": "refresh_credential"}},
                {"type": "retry_succeeded", "subject": "s", "data": {"letter": "x"}},
                {"type": "retry_failed", "subject": "t", "data": {"code": "timeout"}},
                {"type": "dead_letter_queue_long", "subject": "ingestion.dlq", "data": {"items": 3}},
            ],
        )
    ]
    found.breakers = [BreakerReport(peer="source:s", phase="open")]
    emit_metrics(found)
    assert [entry for entry in seen.seen if not entry[0].startswith(("base_", "agent_"))] == [
        ("retry_attempts_total", 1, {"source": "s", "strategy": "refresh_credential", "outcome": "started"}),
        ("retry_attempts_total", 1, {"source": "s", "strategy": "replay", "outcome": "succeeded"}),
        ("retry_attempts_total", 1, {"source": "t", "strategy": "replay", "outcome": "failed"}),
        ("dead_letter_queue_size", 3, {}),
        ("failure_analysis_time_seconds", timedelta(seconds=0.25), {}),
        ("recovery_time_seconds", 30.0, {"source": "s"}),
        ("circuit_breaker_state", 2, {"peer": "source:s"}),
    ]


@pytest.mark.parametrize("recorder", ["airflow.sdk.observability.stats"], indirect=True)
def test_connections_are_counted_and_what_ends_soon_is_measured(recorder: tuple[str, Recorder]) -> None:
    from base_ops.orchestration.publish import emit_metrics

    _, seen = recorder
    now = datetime.now(UTC)
    found = result()
    found.steps = [
        StepResult(
            agent="data_ingestion.connector",
            action="establish_secure_connection",
            observations={
                "source": "s",
                "connect_s": 0.25,
                "token_from_cache": False,
                "certificate_ends_at": (now + timedelta(days=29)).isoformat(),
                "rotate_by": (now - timedelta(days=2)).isoformat(),
            },
            events=[
                {"type": "authentication_success", "subject": "s"},
                {"type": "connection_failed", "subject": "s"},
                {"type": "certificate_expiring", "subject": "s"},
            ],
        )
    ]
    emit_metrics(found)
    of_sources = [entry for entry in seen.seen if "source" in entry[2]]
    days = {tags["what"]: value for name, value, tags in of_sources if name == "base_credential_days_left"}
    assert days == {"certificate": pytest.approx(29, abs=0.01), "rotation": pytest.approx(-2, abs=0.01)}
    assert [entry for entry in of_sources if "what" not in entry[2]] == [
        ("base_authentications_total", 1, {"source": "s", "outcome": "success"}),
        ("base_connections_total", 1, {"source": "s", "outcome": "failed"}),
        ("base_connect_duration_seconds", timedelta(seconds=0.25), {"source": "s"}),
        ("base_tokens_obtained_total", 1, {"source": "s"}),
    ]


@pytest.mark.parametrize("recorder", ["airflow.observability.stats"], indirect=True)
@pytest.mark.parametrize(("minutes", "late"), [(1, False), (6, True)])
def test_how_late_a_scheduled_run_begins(recorder: tuple[str, Recorder], minutes: int, late: bool) -> None:
    from base_ops.orchestration.listener import _measure_drift

    _, seen = recorder
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    began = moment + timedelta(minutes=minutes)
    _measure_drift(SimpleNamespace(dag_id="fx", run_type="scheduled", run_after=moment, start_date=began))
    about = {"workflow_type": "fx"}
    assert ("schedule_drift_seconds", timedelta(minutes=minutes), about) in seen.seen
    assert (("schedules_started_late_total", 1, about) in seen.seen) is late
    _measure_drift(SimpleNamespace(dag_id="hand", run_type="manual", run_after=moment, start_date=began))
    assert not [entry for entry in seen.seen if entry[2] == {"workflow_type": "hand"}]


def test_metrics_have_the_agreed_names_and_tags(recorder: tuple[str, Recorder]) -> None:
    from base_ops.orchestration.listener import on_dag_run_failed
    from base_ops.orchestration.publish import emit_metrics

    module, seen = recorder
    tags = {"module": "data_ingestion", "agent": "converter", "action": "convert_to_standard_format"}
    if module == "airflow.sdk.observability.stats":
        emit_metrics(result())
        assert seen.seen == [
            ("base_job_runs_total", 1, {**tags, "outcome": "partial"}),
            ("base_records_in_total", 10, tags),
            ("base_records_out_total", 9, tags),
            ("base_records_quarantined_total", 1, tags),
            ("base_bytes_in_total", 100, tags),
            ("base_job_duration_seconds", timedelta(seconds=2.5), tags),
            ("agent_health_status", 1, {"agent": "data_ingestion.converter"}),
        ]
    else:
        start = datetime(2026, 1, 1, tzinfo=UTC)
        task = SimpleNamespace(queued_dttm=start, start_date=start + timedelta(seconds=3))
        unstarted = SimpleNamespace(queued_dttm=start, start_date=None)
        run = SimpleNamespace(
            dag_id="fx",
            conf={"priority": "high"},
            start_date=start,
            end_date=start + timedelta(minutes=1),
            get_task_instances=lambda session: [task, unstarted],
        )
        on_dag_run_failed(run, "")
        about = {"workflow_type": "fx"}
        assert seen.seen[:3] == [
            ("workflows_executed_total", 1, {**about, "status": "failed", "priority": "high"}),
            ("workflow_execution_duration_seconds", timedelta(minutes=1), {**about, "status": "failed"}),
            ("agent_coordination_latency_seconds", timedelta(seconds=3), about),
        ]
        assert [(name, value >= 0, tags) for name, value, tags in seen.seen[3:]] == [
            ("workflow_queue_size", True, {}),
            ("active_workflows", True, {}),
        ]


@pytest.mark.parametrize(
    ("deadline", "minutes", "left"),
    [
        ("2026-01-01T02:00:00Z", 60, 0.5),
        ("2026-01-01T02:00", 114, 0.05),
        ("2026-01-01T01:00:00+00:00", 90, 0.0),
        (None, 5, None),
        ("soon", 5, None),
    ],
)
def test_time_left_until_the_deadline(deadline: str | None, minutes: int, left: float | None) -> None:
    from base_ops.orchestration.workflows import share_left

    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = share_left({"sla_deadline": deadline}, start, start + timedelta(minutes=minutes))
    assert found == (left if left is None else pytest.approx(left))


def test_a_run_that_is_over_is_not_imminent(recorder: tuple[str, Recorder]) -> None:
    from base_ops.orchestration.listener import on_dag_run_success

    module, seen = recorder
    start = datetime(2026, 1, 1, tzinfo=UTC)
    conf = {"sla_deadline": "2026-01-01T02:00:00Z"}
    over = SimpleNamespace(
        dag_id="fx", conf=conf, start_date=start, end_date=start, get_task_instances=lambda session: []
    )
    on_dag_run_success(over, "")
    told = [entry for entry in seen.seen if entry[0] == "workflow_sla_left_share"]
    assert told == (
        []
        if module == "airflow.sdk.observability.stats"
        else [("workflow_sla_left_share", 1.0, {"workflow_type": "fx"})]
    )


def test_lineage_is_openlineage(tmp_path: Path) -> None:
    from openlineage.client.serde import Serde

    from base_ops.orchestration.lineage import operator_lineage

    found = operator_lineage(result())
    (inputs,), (outputs,) = found.inputs, found.outputs
    assert (inputs.namespace, inputs.name) == ("base", "oanda")
    assert (outputs.namespace, outputs.name) == ("base", "fx_quotes")
    facets = Serde.to_dict(outputs)
    assert [(f["name"], f["type"]) for f in facets["facets"]["schema"]["fields"]] == [
        ("bid", "double"),
        ("time", "timestamp[us]"),
    ]
    (source,) = facets["facets"]["columnLineage"]["fields"]["bid"]["inputFields"]
    assert (source["namespace"], source["name"], source["field"]) == ("base", "oanda", "bid")
    statistics = facets["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (10, 100, 2)


def test_the_operator_reports_the_lineage_of_its_result(tmp_path: Path) -> None:
    from base_ops.data_ingestion.operators import ConverterOperator

    path = tmp_path / "result.json"
    path.write_text(result().model_dump_json())
    task = ConverterOperator(task_id="a", spec={"source": "a", "target": "b"})

    def pull(task_ids: str, map_indexes: int) -> Any:
        return {"result_uri": str(path)} if (task_ids, map_indexes) == ("a", -1) else None

    ti = SimpleNamespace(task_id="a", map_index=-1, xcom_pull=pull)
    assert [out.name for out in task.get_openlineage_facets_on_complete(ti).outputs] == ["fx_quotes"]
    ti.xcom_pull = lambda **_: None
    assert task.get_openlineage_facets_on_complete(ti) is None


def test_the_plugin_registers_the_listener() -> None:
    from airflow import plugins_manager

    plugins, errors = plugins_manager._get_plugins()
    assert errors == {}
    (ours,) = [plugin for plugin in plugins if plugin.name == "base_ops"]
    assert [listener.__name__ for listener in ours.listeners] == [
        "base_ops.orchestration.listener",
        "base_ops.orchestration.disabling",
        "base_ops.orchestration.timeouts",
        "base_ops.orchestration.pools",
    ]
