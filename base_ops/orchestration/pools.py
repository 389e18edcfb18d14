"""What a schedule of schedules.yaml says beside its moments: pool, priority, tries, time-out of pipelines that use it.

    schedule: {use: nyse}      tasks in the Airflow pool base_<pool of nyse>, before those of lower priority

What the pipeline says itself goes before. The pools, and one for each module, are made when Airflow's scheduler starts,
by a listener; one that is there keeps its size, which is the deployment's to change.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow.listeners import hookimpl

from base_ops.core.errors import BaseOpsError
from base_ops.core.ids import MODULES
from base_ops.data_ingestion.options.schedule_policies import SchedulesFile, airflow_pool, load_schedules
from base_ops.orchestration.loading import LoadedPipeline

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
        try:
            make_pools(load_schedules())
        except BaseOpsError as error:
            log.error("schedules.yaml is wrong, its pools were not made: %s", error.text())


def pool_slots(schedules: SchedulesFile) -> dict[str, int]:
    """The pools a task may name, by what they are called in Airflow: those of schedules.yaml, and one per module."""
    named = {airflow_pool(name): pool.slots for name, pool in schedules.pools.items()}
    return dict.fromkeys(MODULES, _MODULE_SLOTS) | named


def make_pools(schedules: SchedulesFile) -> None:
    """Those that are there already stay as they are. All count deferred tasks: each has a pod that runs."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    try:
        with create_session(scoped=False) as session:
            known = set(session.scalars(select(Pool.pool)))
            for name, slots in pool_slots(schedules).items():
                if name not in known:
                    session.add(Pool(pool=name, slots=slots, description=_MADE, include_deferred=True))
    except IntegrityError:  # another scheduler has just made them
        log.info("the pools were made by another scheduler")
