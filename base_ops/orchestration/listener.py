"""A listener for DAG runs: metrics and events of whole workflows. Tasks' metrics come from their operators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

from base_ops.core.errors import BaseOpsError
from base_ops.orchestration.workflows import params_of, share_left, tell, was_opened_again

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


@hookimpl
def on_dag_run_running(dag_run: DagRun, msg: str) -> None:
    """Measure how many runs there are when one starts, and how late it is."""
    measure_runs()
    _measure_drift(dag_run)
    tell(dag_run, "started")


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Count a run that succeeded."""
    _count(dag_run, "success")
    measure_runs()
    tell(dag_run, "completed")


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Count a run that failed; one that timed out and then undid what it had published only once."""
    if not was_opened_again(dag_run):
        _count(dag_run, "failed")
        tell(dag_run, "failed")
    measure_runs()


def _measure_drift(dag_run: DagRun) -> None:
    """How long after its moment a scheduled run begins, beside what schedules.yaml promises (`sla.start_within_s`)."""
    from airflow.observability import stats

    from base_ops.data_ingestion.options.schedule_policies import load_schedules

    if str(dag_run.run_type) != "scheduled" or dag_run.start_date is None or dag_run.run_after is None:
        return
    drift, about = dag_run.start_date - dag_run.run_after, {"workflow_type": dag_run.dag_id}
    stats.timing("schedule_drift_seconds", drift, tags=about)
    try:
        promised_s = load_schedules().sla.start_within_s
    except BaseOpsError:  # its faults are told when pipelines are read
        return
    if drift.total_seconds() > promised_s:
        stats.incr("schedules_started_late_total", tags=about)


def _count(dag_run: DagRun, status: str) -> None:
    from airflow.observability import stats
    from airflow.utils.session import create_session

    about = {"workflow_type": dag_run.dag_id}
    priority = str(params_of(dag_run).get("priority", "normal"))
    stats.incr("workflows_executed_total", tags={**about, "status": status, "priority": priority})
    if dag_run.start_date and dag_run.end_date:
        tags = {**about, "status": status}
        stats.timing("workflow_execution_duration_seconds", dag_run.end_date - dag_run.start_date, tags=tags)
    if share_left(params_of(dag_run), dag_run.start_date, datetime.now(UTC)) is not None:
        stats.gauge("workflow_sla_left_share", 1.0, tags=about)  # it is over: nothing is imminent any more
    with create_session(scoped=False) as session:  # the scheduler's own must not be committed from here
        tasks = dag_run.get_task_instances(session=session)
    for ti in tasks:
        if ti.queued_dttm and ti.start_date and ti.start_date >= ti.queued_dttm:  # a cleared one may look reversed
            stats.timing("agent_coordination_latency_seconds", ti.start_date - ti.queued_dttm, tags=about)


def measure_runs() -> None:
    """How many runs wait and how many run, of all DAGs, as the database has it; how close their deadlines are."""
    from airflow.models.dagrun import DagRun
    from airflow.observability import stats
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session(scoped=False) as session:  # the scheduler's own must not be committed from here
        counted = (
            select(DagRun.state, func.count()).where(DagRun.state.in_(("queued", "running"))).group_by(DagRun.state)
        )
        found = {str(state): number for state, number in session.execute(counted).all()}
        running = select(DagRun.dag_id, DagRun.conf, DagRun.start_date).where(DagRun.state == "running")
        runs = session.execute(running).all()
    stats.gauge("workflow_queue_size", found.get("queued", 0))
    stats.gauge("active_workflows", found.get("running", 0))
    left: dict[str, float] = {}
    for dag_id, conf, began in runs:
        share = share_left(conf or {}, began, datetime.now(UTC))
        if share is not None:
            left[dag_id] = min(share, left.get(dag_id, 1.0))
    for dag_id, share in left.items():
        stats.gauge("workflow_sla_left_share", share, tags={"workflow_type": dag_id})
