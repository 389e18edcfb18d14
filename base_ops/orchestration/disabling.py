"""A pipeline that keeps failing is switched off: as many failed runs within as long as schedules.yaml says (`disable`).

A listener, called in the scheduler's process when a run has failed. Switched off means paused: what was missed is
run or left out, as `catchup` says, once a person has switched it on again. A run that only lacks a source does not
count: the other sources' data is stored, and switching off would cost them theirs.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from base_ops.core.errors import BaseOpsError
from base_ops.data_ingestion.options.schedule_policies import DisablePolicy, load_schedules
from base_ops.orchestration.workflows import is_ours, missing_sources, was_opened_again

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)
_BY_HAND = ("manual", "backfill")
"""Kinds of runs that no schedule started; a person is looking at them."""


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Switch off a pipeline that keeps failing."""
    if not was_opened_again(dag_run) and disable_if_failing(dag_run):
        from airflow.observability import stats

        stats.incr("schedules_disabled_total", tags={"workflow_type": dag_run.dag_id})


def disable_if_failing(dag_run: DagRun) -> bool:
    """Pause the DAG of a failed run if it has failed too often of late; whether it was paused."""
    from airflow.models.dag import DagModel
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None or dag_run.run_type in _BY_HAND:
        return False
    model = session.get(DagModel, dag_run.dag_id)
    if model is None or model.is_paused or not is_ours(model):
        return False
    policy = _policy()
    now = datetime.now(UTC)
    if missing_sources(dag_run.dag_id, dag_run.run_id):
        return False
    if not policy.trips([dag_run.end_date or now, *_other_failures(session, dag_run, policy, now)], now):
        return False
    model.is_paused = True
    log.error(
        "schedule_disabled: %s failed %d times or more within %g s and was paused; find out why, then unpause it",
        *(dag_run.dag_id, policy.failures, policy.within_s),
    )
    return True


def _other_failures(session: Any, dag_run: DagRun, policy: DisablePolicy, now: datetime) -> list[datetime]:
    from airflow.models.dagrun import DagRun as Runs
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    query = select(Runs.run_id, Runs.end_date).where(
        Runs.dag_id == dag_run.dag_id,
        Runs.run_id != dag_run.run_id,
        Runs.run_type.not_in(_BY_HAND),
        Runs.state == DagRunState.FAILED,
        Runs.end_date >= now - timedelta(seconds=policy.within_s),
    )
    with session.no_autoflush:  # the scheduler's own changes are its to flush
        runs = session.execute(query).all()
    return [moment for run_id, moment in runs if moment and not missing_sources(dag_run.dag_id, run_id)]


def _policy() -> DisablePolicy:
    try:
        return load_schedules().disable
    except BaseOpsError as error:
        log.error("schedules.yaml is wrong, its defaults count: %s", error.text())
        return DisablePolicy()
