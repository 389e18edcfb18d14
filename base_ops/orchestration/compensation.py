"""Tasks that undo what a failed run has published (`compensates: …`; docs/adr/0013-compensation.md).

They are teardowns to Airflow: they come after everything else whatever happened, and the run ends as it would have
without them. Where no task behind those that they undo has failed, they are skipped before any job starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


def compensating(operator: Any, behind: frozenset[str]) -> Any:
    """The operator of an agent, for a task that works only where one of the tasks `behind` has failed."""

    class Compensating(operator):  # type: ignore[misc]
        def execute(self, context: Context) -> Any:
            failed = failed_tasks(context, behind)
            if not failed:
                raise AirflowSkipException("No later task of this run has failed: there is nothing to undo.")
            self.log.info("Undoing, since these failed: %s", ", ".join(failed))
            return super().execute(context)

        def _input_tasks(self) -> list[str]:
            return []  # it finds in the lake what this run has done, also of tries that left no Result

    Compensating.__name__ = Compensating.__qualname__ = operator.__name__
    return Compensating


def wire(tasks: Sequence[Any], undoing: Sequence[Any]) -> None:
    """Put the compensating tasks behind all others, in the order that they have among themselves."""
    for task in undoing:
        task.is_teardown = True
        task.trigger_rule = TriggerRule.ALL_DONE
    names = {task.task_id for task in undoing}
    ends = [task for task in tasks if not (task.downstream_task_ids - names)]
    for task in undoing:
        if not (task.upstream_task_ids & names):
            for end in ends:
                end >> task


def failed_tasks(context: Mapping[str, Any], among: frozenset[str]) -> list[str]:
    """Which of these tasks failed for good in this run, with the map index where they are mapped."""
    ti = context["ti"]
    states: dict[str, Any] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    return sorted(name for name, state in states.items() if str(state) == "failed" and _task_of(name, among))


def _task_of(name: str, among: frozenset[str]) -> bool:
    """Instances of mapped tasks are called `<task>_<map index>`."""
    task, _, index = name.rpartition("_")
    return name in among or (index.isdigit() and task in among)
