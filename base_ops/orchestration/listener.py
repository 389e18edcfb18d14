"""A listener for DAG runs: the metrics of whole workflows. Tasks' metrics come from their operators (publish.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Count a run that succeeded."""
    _count(dag_run, "success")


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Count a run that failed."""
    _count(dag_run, "failed")


def _count(dag_run: DagRun, status: str) -> None:
    from airflow.observability import stats

    tags = {"workflow_type": dag_run.dag_id, "status": status}
    stats.incr("workflows_executed_total", tags=tags)
    if dag_run.start_date and dag_run.end_date:
        stats.timing("workflow_execution_duration_seconds", dag_run.end_date - dag_run.start_date, tags=tags)
