"""Pipelines that wait for pipelines (`schedule: {after: [...]}`): no circle, no long row, a mark at the end of a run.

A pipeline that others wait for gets one last task without work, `pipeline_done`, whose outlet is the Asset
base://pipeline/<dag_id>; the others are scheduled by these Assets. A failed run marks nothing, so failure stops the
row at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from airflow.sdk import DAG, Asset

from base_ops.core.errors import BaseOpsError
from base_ops.data_ingestion.options.schedules import DependencySchedule, check_dependencies
from base_ops.orchestration.loading import LoadedPipeline

DONE = "pipeline_done"


def done_asset(dag_id: str) -> Asset:
    """Updated when a run of the pipeline has ended well."""
    return Asset(name=f"pipeline/{dag_id}", uri=f"base://pipeline/{dag_id}")


def event_asset(event: str) -> Asset:
    """Updated by whoever reports the event, e.g. through Airflow's API."""
    return Asset(name=f"event/{event}", uri=f"base://event/{event}")


def awaited(loaded: Mapping[Path, LoadedPipeline]) -> set[str]:
    """Ids of the pipelines that others wait for."""
    return {name for names in _after(loaded).values() for name in names}


def faults(loaded: Mapping[Path, LoadedPipeline], *, complete: bool) -> dict[Path, BaseOpsError]:
    """Files whose `after` leads nowhere, in a circle, or through too many pipelines.

    Args:
        complete: whether all files were loaded; else a name that is not there may be in one that was not.
    """
    after, files = _after(loaded), {item.model.dag_id: path for path, item in loaded.items()}
    known = set(files) if complete else set(files) | {name for names in after.values() for name in names}
    found: dict[Path, BaseOpsError] = {}
    for dag_id in after:
        try:
            check_dependencies({name: after[name] for name in _upstream(dag_id, after)}, dict.fromkeys(known))
        except ValueError as error:
            path = files[dag_id]
            found[path] = loaded[path].fault(str(error), "schedule", "after", code="bad_dependency")
    return found


def mark_done(dag: DAG) -> None:
    """Add the last task to a DAG that is being built."""
    from airflow.providers.standard.operators.empty import EmptyOperator

    teardowns = {task.task_id for task in dag.tasks if task.is_teardown}
    ends = [task for task in dag.tasks if task.task_id not in teardowns and task.downstream_task_ids <= teardowns]
    done = EmptyOperator(task_id=DONE, outlets=[done_asset(dag.dag_id)])
    for task in ends:
        task >> done


def _after(loaded: Mapping[Path, LoadedPipeline]) -> dict[str, tuple[str, ...]]:
    return {
        item.model.dag_id: item.model.schedule.after
        for item in loaded.values()
        if isinstance(item.model.schedule, DependencySchedule)
    }


def _upstream(dag_id: str, after: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The pipeline itself first, then all that it waits for and that wait for others."""
    found: list[str] = []
    queue = [dag_id]
    while queue:
        name = queue.pop()
        if name in after and name not in found:
            found.append(name)
            queue.extend(after[name])
    return found
