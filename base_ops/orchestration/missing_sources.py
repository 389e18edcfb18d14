"""A pipeline of several sources goes on without those that fail (`required_sources`; docs/adr/0014-missing-sources.md).

A task that is for each source and reads it (connector, collector, …) is left out for a source that has failed before.
The converter is not: it takes in what the table has of that source already, so that no row of it is lost when a slice
is decided anew. What comes after works on what all of them handed on. One last task, `sources_complete`, fails where
a source is missing, so that the run is red although its data is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from base_ops.orchestration.loading import COMPLETE, LoadedPipeline, before

__all__ = ["COMPLETE", "HANDED_ON", "go_on", "missing_of", "per_source_tasks", "plans", "tell_missing"]

if TYPE_CHECKING:
    from base_ops.orchestration.pipeline import TaskModel

HANDED_ON = "handed_on"
"""XCom of a failed task: its Result all the same stands in for what the source has brought before."""
CONVERTER = "data_ingestion.converter"
_FAILED = ("failed", "upstream_failed")

Role = Literal["reads", "converts", "gathers"]


def plans(pipeline: LoadedPipeline) -> dict[str, dict[str, Any]]:
    """What each task that comes after one per source, or converts one, does where a source is missing; {} where nothing
    goes on.

    JSON values, since they are arguments of operators: the role, the sources by map index, those that are required,
    the tasks per source that read (all before this one) and that convert (right before this one).
    """
    required = pipeline.model.required_sources
    ids = [str(source["id"]) for source in pipeline.sources]
    if required == "all" or len(ids) < 2:
        return {}
    tasks = {name: task for name, task in pipeline.model.tasks.items() if not task.compensates}
    per_source = {name for name, task in tasks.items() if task.for_each == "source"}
    roles = {name: _role(name, tasks, per_source) for name in tasks}
    return {
        name: {
            "role": roles[name],
            "sources": ids,
            "required": [] if required == "any" else list(required),
            "reading": sorted(n for n in _all_before(name, tasks) & per_source if roles[n] == "reads"),
            "converting": [n for n in before(task) if n in per_source and roles[n] == "converts"],
            "table": _table(_all_before(name, tasks), tasks) if roles[name] == "converts" else None,
            "waits_for_sources": bool(per_source & set(before(task))),
            "others": [n for n in before(task) if n not in per_source],
        }
        for name, task in tasks.items()
        if task.trigger_rule.value == "all_success"
        and (per_source & set(before(task)) or (name in per_source and roles[name] == "converts"))
    }


def per_source_tasks(pipeline: LoadedPipeline) -> list[str]:
    """The tasks that are for each source, in order."""
    tasks = pipeline.model.tasks.items()
    return [name for name, task in tasks if task.for_each == "source" and not task.compensates]


def _role(name: str, tasks: Mapping[str, TaskModel], per_source: set[str]) -> Role:
    if name not in per_source:
        return "gathers"
    if tasks[name].parts[0][0] == CONVERTER:
        return "converts"
    converted = any(tasks[n].parts[0][0] == CONVERTER for n in _all_before(name, tasks))
    return "gathers" if converted else "reads"


def _table(names: Iterable[str], tasks: Mapping[str, TaskModel]) -> str | None:
    """The table that the sources are collected for; None if none is named, then the one that is staged for counts."""
    specs = [spec for name in names for _, spec, _ in tasks[name].parts]
    return next(
        (str(spec["dataset"]) for spec in specs if spec.get("dataset") and "$" not in str(spec["dataset"])), None
    )


def _all_before(name: str, tasks: Mapping[str, TaskModel]) -> set[str]:
    found: set[str] = set()
    queue = list(before(tasks[name]))
    while queue:
        if (other := queue.pop()) not in found:
            found.add(other)
            queue.extend(before(tasks[other]))
    return found


# -- while a task runs


def go_on(context: Mapping[str, Any], plan: Mapping[str, Any], item: str) -> tuple[dict[str, str], list[str]]:
    """What is missing for this task, {source: why}, and Results of failed tasks that it builds on nevertheless.

    Raises:
        AirflowSkipException: the task is left out, and why.
    """
    sources: list[str] = plan["sources"]
    states = _states(context, [*plan["reading"], *plan["converting"], *plan["others"]])
    _check_others(states, plan["others"])
    missing = missing_of(states, plan["reading"], sources)
    if plan["role"] == "reads":
        if item in missing:
            raise AirflowSkipException(f"{item} is left out of this run: {missing[item]}.")
        return {}, []
    stand_ins = _stand_ins(context, states, plan["converting"], sources)
    missing |= missing_of(states, plan["converting"], sources)
    _check_required(missing, sources, plan["required"])
    if plan["role"] == "converts":
        return {source: why for source, why in missing.items() if source == item}, []
    return {}, stand_ins


def missing_of(states: Mapping[str, str], tasks: Iterable[str], sources: list[str]) -> dict[str, str]:
    """Per source the first of these tasks that failed for it."""
    found: dict[str, str] = {}
    for task in tasks:
        for number, source in enumerate(sources):
            if states.get(f"{task}_{number}") in _FAILED or states.get(task) in _FAILED:
                found.setdefault(source, f"{task} failed")
    return found


def tell_missing(tasks: list[str], sources: list[str], required: list[str], **context: Any) -> None:
    """The work of `sources_complete`. Raises: AirflowFailException naming the sources that are missing."""
    missing = missing_of(_states(context, tasks), tasks, sources)
    if not missing:
        return
    named = ", ".join(f"{source} ({why})" for source, why in missing.items())
    if set(missing) == set(sources):
        what = "Nothing was stored, since every source is missing"
    elif held := sorted(set(missing) & set(required)):
        what = f"Nothing was stored, since {', '.join(held)} is required"
    else:
        what = "The other sources went on; what the tables held of it stays"
    raise AirflowFailException(
        f"This run is incomplete: {len(missing)} of {len(sources)} sources missing: {named}. {what}. "
        "The next run fetches it from where it stopped; or clear the failed task to have it in this run."
    )


def _states(context: Mapping[str, Any], tasks: list[str]) -> dict[str, str]:
    ti = context["ti"]
    found = ti.get_task_states(dag_id=ti.dag_id, task_ids=tasks, run_ids=[ti.run_id]).get(ti.run_id, {})
    return {name: str(state) for name, state in found.items()}


def _check_others(states: Mapping[str, str], others: Iterable[str]) -> None:
    failed = [name for name in others if states.get(name) in _FAILED]
    if failed:
        raise AirflowSkipException(f"Nothing to build on: {', '.join(failed)} failed.")


def _check_required(missing: Mapping[str, str], sources: list[str], required: list[str]) -> None:
    named = ", ".join(f"{source} ({why})" for source, why in missing.items())
    if set(missing) == set(sources):
        raise AirflowSkipException(f"Every source is missing in this run: {named}.")
    if held := sorted(set(missing) & set(required)):
        raise AirflowSkipException(
            f"The others wait for {', '.join(held)}, which required_sources names. Missing: {named}."
        )


def _stand_ins(
    context: Mapping[str, Any], states: Mapping[str, str], tasks: Iterable[str], sources: list[str]
) -> list[str]:
    """Results of the instances that failed, each with what stands in for its source.

    Raises:
        AirflowSkipException: one left none, so that nobody can say what would become of the source's earlier rows.
    """
    uris = []
    for task in tasks:
        for number, source in enumerate(sources):
            if states.get(f"{task}_{number}") not in _FAILED:
                continue
            found = context["ti"].xcom_pull(task_ids=task, map_indexes=number, key=HANDED_ON)
            if not isinstance(found, Mapping):
                raise AirflowSkipException(
                    f"{task} of {source} broke down and left nothing, not even what the table has of {source}: "
                    "the others wait, so that no row of it is lost. Clear it once its cause is gone."
                )
            uris.append(str(found["result_uri"]))
    return uris
