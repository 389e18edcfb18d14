"""A run that Airflow times out is undone as well (docs/adr/0013-compensation.md).

At a run's time-out Airflow skips all that is not over, teardowns included. A listener in the scheduler's process opens
such a run again for its teardowns alone: what was running, or was next, has failed, what waited for it counts as
upstream failed, and the run fails at its end as it would have. This happens once; teardowns that time out stay so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from base_ops.orchestration.workflows import TIMED_OUT, is_ours, was_opened_again

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)
_TIMED_OUT = "timed_out"


@hookimpl(trylast=True)  # whoever counts and tells runs sees it as it failed
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Let the teardowns of a run that timed out do their work."""
    if msg == _TIMED_OUT:
        open_again(dag_run)
    elif was_opened_again(dag_run):
        dag_run.note = f"Its compensating tasks ran after all. {dag_run.note}"


def open_again(dag_run: DagRun) -> bool:
    """Let a timed-out run go on with those of its teardowns that have not begun; whether it does."""
    from airflow.models.dag import DagModel
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session, dag = object_session(dag_run), getattr(dag_run, "dag", None)
    if session is None or dag is None or dag_run.end_date is None or was_opened_again(dag_run):
        return False
    over = dag_run.end_date
    query = select(TaskInstance).where(TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
    cut = [ti for ti in session.scalars(query) if ti.state == "skipped" and ti.updated_at and ti.updated_at >= over]
    teardowns = {ti for ti in cut if dag.get_task(ti.task_id).is_teardown}
    waiting = [ti for ti in teardowns if ti.start_date is None]
    if not waiting or not is_ours(session.get(DagModel, dag_run.dag_id)):
        return False
    _tell_failed(dag, [ti for ti in cut if ti not in teardowns])
    for ti in waiting:
        ti.state = None
    dag_run.note = f"{TIMED_OUT} at {over:%Y-%m-%d %H:%M:%S} UTC."
    dag_run.set_state("running")  # type: ignore[arg-type]  # begins to count anew, or it would time out at once
    log.warning("%s %s has timed out: its compensating tasks run now.", dag_run.dag_id, dag_run.run_id)
    return True


def _tell_failed(dag: Any, cut: Sequence[Any]) -> None:
    """What ran or was next has failed; what waited for these has not even begun."""
    names = {ti.task_id for ti in cut}
    for ti in cut:
        was_next = not (dag.get_task(ti.task_id).upstream_task_ids & names)
        ti.state = "failed" if ti.start_date is not None or was_next else "upstream_failed"
