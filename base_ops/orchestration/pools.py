"""What a schedule of schedules.yaml says beside its moments: pool, priority, tries, time-out of pipelines that use it.

    schedule: {use: nyse}      tasks in the Airflow pool base_<pool of nyse>, before those of lower priority

What the pipeline says itself goes before. The pools, and one for each module, are made by a listener when Airflow's
scheduler starts, and when a run starts whose tasks' pool is not there: schedules.yaml may have got it meanwhile. One
that is there keeps its size, which is the deployment's to change.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from base_ops.core.errors import BaseOpsError
from base_ops.core.ids import MODULES
from base_ops.data_ingestion.options.schedule_policies import SchedulesFile, airflow_pool, load_schedules
from base_ops.orchestration.loading import LoadedPipeline

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)
WEIGHTS = {"critical": 1000, "high": 100, "medium": 10, "low": 1}
"""Priorities as Airflow has them: higher goes first within a pool. Absolute, else a long pipeline would outweigh."""

_MODULE_SLOTS = 20
_MADE = "made by base_ops, its size is yours to change"


def task_defaults(pipeline: LoadedPipeline) -> dict[str, Any]:
    """Airflow's arguments for all tasks of a pipeline; none where its schedule has no name."""
    if pipeline.named is None:
        return {}
    entry, pool = pipeline.named
    weight = {"priority_weight": WEIGHTS[entry.priority], "weight_rule": "absolute"}
    return {"pool": airflow_pool(entry.pool), "retries": pool.tries - 1, **weight}


def run_timeout_s(pipeline: LoadedPipeline) -> float | None:
    """When a run is ended, seconds: as the pipeline says, else its schedule, else that one's pool."""
    if pipeline.model.run_timeout_s is not None or pipeline.named is None:
        return pipeline.model.run_timeout_s
    entry, pool = pipeline.named
    return entry.timeout_s or pool.timeout_s


@hookimpl
def on_starting(component: object) -> None:
    """Make the pools; called where a scheduler or triggerer starts, and (for nothing) in each task."""
    from airflow.jobs.job import Job

    if isinstance(component, Job):
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            _make_missing(session)


@hookimpl
def on_dag_run_running(dag_run: DagRun, msg: str) -> None:
    """Make the pools if one that this run needs is missing, or its tasks would wait without an end."""
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is not None and _lacks_a_pool(session, dag_run):
        _make_missing(session)


def _lacks_a_pool(session: Session, dag_run: DagRun) -> bool:
    from airflow.models.pool import Pool
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    mine = (TaskInstance.dag_id == dag_run.dag_id) & (TaskInstance.run_id == dag_run.run_id)
    lost = select(TaskInstance.pool).where(mine, TaskInstance.pool.not_in(select(Pool.pool))).limit(1)
    with session.no_autoflush:  # the scheduler's own changes are its to flush
        return session.scalar(lost) is not None


def _make_missing(session: Session) -> None:
    try:
        make_pools(load_schedules(), session)
    except BaseOpsError as error:
        log.error("schedules.yaml is wrong, its pools were not made: %s", error.text())


def pool_slots(schedules: SchedulesFile) -> dict[str, int]:
    """The pools a task may name, by what they are called in Airflow: those of schedules.yaml, and one per module."""
    named = {airflow_pool(name): pool.slots for name, pool in schedules.pools.items()}
    return dict.fromkeys(MODULES, _MODULE_SLOTS) | named


def make_pools(schedules: SchedulesFile, session: Session) -> None:
    """Those that are there already stay as they are. All count deferred tasks: each has a pod that runs."""
    from airflow.models.pool import Pool
    from sqlalchemy import insert, select
    from sqlalchemy.exc import IntegrityError

    # A savepoint of the connection, beside the session: the scheduler lets nobody commit its own, not even a part.
    with session.no_autoflush:
        connection = session.connection()
        known = set(connection.scalars(select(Pool.pool)))
        more = {"description": _MADE, "include_deferred": True}
        missing = [{"pool": n, "slots": s, **more} for n, s in pool_slots(schedules).items() if n not in known]
        if not missing:
            return
        try:
            with connection.begin_nested():
                connection.execute(insert(Pool), missing)
        except IntegrityError:
            log.info("the pools were made by another scheduler")
