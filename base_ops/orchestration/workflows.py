"""Events of whole runs: `ingestion.workflow.started`, `.completed`, `.failed`, of every module's pipelines alike.

They go into the outbox, as the events of agents do. A run that no scheduler started (`airflow dags test`) is told as
started when it ends; telling twice adds nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from base_ops.core.events import cloud_event
from base_ops.core.settings import load_settings
from base_ops.orchestration.loading import COMPLETE

if TYPE_CHECKING:
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)
_TAG = "module:"
_LOADER = "load.py"
"""The file all our pipelines come from."""
TIMED_OUT = "Timed out"
"""How the note of a run begins that timed out and was opened again for its teardowns."""
_TOLD_PARAMS = ("priority", "business_context", "sla_deadline", "source_url", "source_type")

Kind = Literal["started", "completed", "failed"]


def module_tag(module: str) -> str:
    """The tag of a module's pipelines."""
    return _TAG + module


def topic(module: str, kind: Kind) -> str:
    """`ingestion.workflow.completed` of data_ingestion."""
    return f"{module.removeprefix('data_')}.workflow.{kind}"


def tell(dag_run: DagRun, kind: Kind) -> None:
    """Put the events of a run into the outbox. Never fails: a run does not depend on who is told of it."""
    try:
        module = _module_of(dag_run)
        if module is not None:
            _record(events_of(dag_run, module, kind))
    except Exception as error:  # whatever a database driver raises
        log.warning("The events of %s %s are not recorded (%s).", dag_run.dag_id, dag_run.run_id, type(error).__name__)


def events_of(dag_run: DagRun, module: str, kind: Kind) -> list[dict[str, Any]]:
    """That the run was started and, if it is over, how it ended."""
    params = params_of(dag_run)
    told = {name: params[name] for name in _TOLD_PARAMS if params.get(name) not in (None, "")}
    about: dict[str, Any] = {"run_id": dag_run.run_id, "run_type": str(dag_run.run_type), **told}
    events = [_event(dag_run, module, "started", about, dag_run.start_date)]
    if kind != "started":
        events.append(_event(dag_run, module, kind, {**about, **_end_of(dag_run, kind, params)}, dag_run.end_date))
    return events


def params_of(dag_run: DagRun) -> dict[str, Any]:
    """The run's params: what it was started with over the pipeline's defaults."""
    dag = getattr(dag_run, "dag", None)
    defaults = dag.params.dump() if dag is not None else {}
    return {**defaults, **(dag_run.conf or {})}


def deadline_of(params: Mapping[str, Any]) -> datetime | None:
    """When the data of a run is due, if that was said."""
    try:
        found = datetime.fromisoformat(str(params.get("sla_deadline")))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def share_left(params: Mapping[str, Any], began: datetime | None, now: datetime) -> float | None:
    """How much of the time between a run's start and its deadline is left, 1 to 0; None without a deadline."""
    deadline = deadline_of(params)
    if deadline is None or began is None:
        return None
    whole = (deadline - began).total_seconds()
    return max(0.0, min(1.0, (deadline - now).total_seconds() / whole)) if whole > 0 else 0.0


def _end_of(dag_run: DagRun, kind: Kind, params: Mapping[str, Any]) -> dict[str, Any]:
    began, ended = dag_run.start_date, dag_run.end_date
    found: dict[str, Any] = {"seconds": (ended - began).total_seconds() if began and ended else None}
    if kind == "failed" and (missing := missing_sources(dag_run.dag_id, dag_run.run_id)):
        found |= {"incomplete": True, "missing": missing}
    deadline = deadline_of(params)
    return found if deadline is None else {**found, "late": bool(ended and ended > deadline)}


def missing_sources(dag_id: str, run_id: str) -> dict[str, str]:
    """{source: the task that failed for it} of a run that stored what the others brought; {} of any other run."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(TaskInstance).where(
        TaskInstance.dag_id == dag_id,
        TaskInstance.run_id == run_id,
        TaskInstance.state.in_(("failed", "upstream_failed")),
    )
    with create_session(scoped=False) as session:  # the scheduler's own must not be committed from here
        failed = {(ti.task_id, ti.map_index): str(ti.rendered_map_index) for ti in session.scalars(query)}
    if [task for task, number in failed if number < 0] != [COMPLETE]:
        return {}
    return {source: task for (task, number), source in sorted(failed.items()) if number >= 0}


def is_ours(model: DagModel | None) -> bool:
    """Whether a DAG is a pipeline of base_ops; other people's are left alone."""
    return model is not None and str(model.relative_fileloc or "").endswith(_LOADER)


def was_opened_again(dag_run: DagRun) -> bool:
    """Whether the end of this run was counted and told before, when it timed out (timeouts.py)."""
    from sqlalchemy import inspect

    state: Any = inspect(dag_run, raiseerr=False)
    if state is None or state.session is None:  # under `airflow dags test`, which times no run out
        return False
    return str(dag_run.note or "").startswith(TIMED_OUT)


def _event(dag_run: DagRun, module: str, kind: Kind, data: Mapping[str, Any], at: datetime | None) -> dict[str, Any]:
    correlation = f"{dag_run.dag_id}/{dag_run.run_id}"
    return cloud_event(
        agent=f"{module}.workflow",
        type=topic(module, kind),
        subject=dag_run.dag_id,
        data=data,
        correlation_id=correlation,
        time=at,
    )


def _module_of(dag_run: DagRun) -> str | None:
    """From the tag that the factory gave the DAG."""
    dag = getattr(dag_run, "dag", None)
    tags = getattr(dag, "tags", None) or _stored_tags(dag_run.dag_id)
    return next((tag.removeprefix(_TAG) for tag in sorted(tags) if tag.startswith(_TAG)), None)


def _stored_tags(dag_id: str) -> set[str]:
    from airflow.models.dag import DagTag
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:  # the scheduler's own must not be committed from here
        return set(session.scalars(select(DagTag.name).where(DagTag.dag_id == dag_id)))


def _record(events: list[dict[str, Any]]) -> None:
    from base_ops.state import StateStore  # SQLAlchemy: not at parse

    store = StateStore(load_settings().state)
    try:
        store.add_events(events)
    finally:
        store.close()
