"""From a pipeline's file to a checked Pipeline: every fault with its file, line and key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.ids import AgentId, check_name
from base_ops.core.spec import check, parse_spec, spec_type
from base_ops.core.yamlio import YamlDocument, load_yaml
from base_ops.data_ingestion.config.sources import check_source, load_source
from base_ops.data_ingestion.options.schedules import DependencySchedule, NamedSchedule, TimeSchedule, resolved
from base_ops.orchestration.pipeline import Pipeline, ResultsOf, TaskModel

if TYPE_CHECKING:
    from base_ops.data_ingestion.options.schedule_policies import PoolSpec, ScheduleEntry, SchedulesFile

_FOR_EACH = "give the task for_each: source (for ${source}) or a list (for ${item})"
COMPLETE = "sources_complete"
"""The task that tells whether all sources are in a run (missing_sources.py)."""
ANY_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


@dataclass
class LoadedPipeline:
    """A pipeline, the document it came from, and its sources."""

    document: YamlDocument
    model: Pipeline
    config_dir: Path

    @cached_property
    def sources(self) -> list[dict[str, Any]]:
        """The configurations of `sources`, in order, each checked in its own file."""
        return [self._source(number, given) for number, given in enumerate(self.model.sources)]

    @cached_property
    def schedule(self) -> Any:
        """`schedule` with names of schedules.yaml (a whole schedule's, or its maintenance windows') written out.

        Raises:
            ConfigError: a name that is not there, or a fault in schedules.yaml.
        """
        given = self.model.schedule
        if not isinstance(given, (NamedSchedule, TimeSchedule)):
            return given
        if isinstance(given, TimeSchedule) and all(not isinstance(window, str) for window in given.maintenance):
            return given
        shipped = self._schedules
        try:
            if isinstance(given, TimeSchedule):
                return resolved(given, shipped.maintenance, "schedule")
            if given.use not in shipped.schedules:
                raise ValueError(
                    f"schedule.use={given.use!r} is not known. {did_you_mean(given.use, shipped.schedules)}"
                )
        except ValueError as error:
            key = "use" if isinstance(given, NamedSchedule) else "maintenance"
            raise self.fault(str(error), "schedule", key, code="unknown_schedule") from None
        found = shipped.schedules[given.use]
        if isinstance(found.when, DependencySchedule):
            raise self.fault(
                f"The schedule {given.use!r} waits for schedules; a pipeline waits for pipelines",
                *("schedule", "use"),
                todo="write after: with the ids of the pipelines",
            )
        return shipped.when(given.use) if found.enabled else None

    @cached_property
    def named(self) -> tuple[ScheduleEntry, PoolSpec] | None:
        """What schedules.yaml says of the schedule that is used by name, and of its pool; None where none is."""
        if not isinstance(self.model.schedule, NamedSchedule):
            return None
        entry = self._schedules.schedules[self.model.schedule.use]
        return entry, self._schedules.pools[entry.pool]

    @cached_property
    def _schedules(self) -> SchedulesFile:
        from base_ops.data_ingestion.options.schedule_policies import load_schedules  # few pipelines need it

        return load_schedules(self.config_dir)

    def fault(self, what: str, *path: str | int, code: str = "bad_pipeline", todo: str = "") -> ConfigError:
        """A ConfigError that names file, line and key."""
        return ConfigError(what, code=code, where=self.document.where(*path), todo=todo)

    def instances(self, name: str) -> list[tuple[str, list[dict[str, Any]]]] | None:
        """What a task is mapped over at parse: (item, [{agent, spec}, …]) each; None if it is not mapped so.

        Raises:
            ConfigError: a `${…}` that means nothing here, or a spec that is wrong for its agent.
        """
        task = self.model.tasks[name]
        if task.for_each == "source":
            if not self.sources:
                raise self.fault(f"{name!r} is for each source, but there are no sources", "tasks", name, "for_each")
            scopes = [(str(source["id"]), {"source": source}) for source in self.sources]
        elif isinstance(task.for_each, list):
            scopes = [(_label(item, number), {"item": item}) for number, item in enumerate(task.for_each)]
        else:
            return None
        return [(item, self.parts(name, scope)) for item, scope in scopes]

    def behind(self, names: Iterable[str]) -> frozenset[str]:
        """All tasks that come after one of these, however late, but for those that compensate."""
        tasks = {name: task for name, task in self.model.tasks.items() if not task.compensates}
        found = set(names)
        while more := {name for name, task in tasks.items() if name not in found and found & set(before(task))}:
            found |= more
        return frozenset(found - set(names))

    def parts(self, name: str, scope: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The steps of a task with its placeholders filled in, each spec checked for its agent."""
        filled = []
        for agent, spec, path in self.model.tasks[name].parts:
            here = ("tasks", name, *path)
            body = self._fill(spec, {"sources": self.sources, **(scope or {})}, here)
            self._check_spec(agent, body, here)
            filled.append({"agent": agent, "spec": body})
        return filled

    def _check_spec(self, agent: str, spec: Mapping[str, Any], here: tuple[str | int, ...]) -> None:
        where = (*here[:-1], "agent")
        try:
            known = AgentId.parse(agent)
            spec_type(known)
            where = here
            parse_spec(known, spec, rendered=False)
        except ConfigError as error:
            raise self.fault(error.what, *where, *error.loc, code=error.code, todo=error.todo) from None

    def _fill(self, value: Any, scope: Mapping[str, Any], here: tuple[str | int, ...]) -> Any:
        """Replace `${name}` and `${name.key}`: a text that is nothing else becomes the value itself."""
        if isinstance(value, Mapping):
            return {key: self._fill(item, scope, (*here, key)) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._fill(item, scope, (*here, number)) for number, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        whole = ANY_PLACEHOLDER.fullmatch(value)
        if whole:
            return self._look_up(whole[1], scope, here)
        return ANY_PLACEHOLDER.sub(lambda found: str(self._look_up(found[1], scope, here)), value)

    def _look_up(self, name: str, scope: Mapping[str, Any], here: tuple[str | int, ...]) -> Any:
        value: Any = scope
        for key in name.split("."):
            if not isinstance(value, Mapping) or key not in value:
                known = f"{did_you_mean(key, map(str, value))}" if isinstance(value, Mapping) and value else ""
                raise self.fault(
                    f"${{{name}}} means nothing here. {known}".strip(),
                    *here,
                    code="unknown_placeholder",
                    todo="" if known and name not in ("source", "item") else _FOR_EACH,
                )
            value = value[key]
        return value

    def _source(self, number: int, given: str | Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(given, str):
            return check_source(self.document, given, "sources", number, folder=self.config_dir)
        try:
            return load_source(given, self.config_dir)
        except ConfigError as error:
            if error.code != "unknown_source":
                raise
            raise self.fault(error.what, "sources", number, code=error.code, todo=error.todo) from None


def load_pipeline(path: Path, config_dir: Path) -> LoadedPipeline:
    """Read and check one file, all but the specs, which `instances` and `parts` check as they are built.

    Raises:
        ConfigError: naming file, line and key.
    """
    document = load_yaml(path)
    if not isinstance(document.data, dict):
        raise ConfigError(f"{path.name} holds no pipeline", code="bad_pipeline", where=f"{path}, line 1")
    raw = {"dag_id": path.stem, **document.data}
    try:
        model = check(Pipeline, raw, path.name, noun="pipeline")
    except ConfigError as error:
        raise ConfigError(error.what, code=error.code, where=document.where(*error.loc)) from None
    loaded = LoadedPipeline(document, model, config_dir)
    _check_wiring(loaded)
    return loaded


def before(task: TaskModel) -> list[str]:
    """Ids of the tasks right before a task."""
    mapped = [task.for_each.results_of] if isinstance(task.for_each, ResultsOf) else []
    return list(dict.fromkeys([*mapped, *task.after]))


def _check_wiring(loaded: LoadedPipeline) -> None:
    tasks = loaded.model.tasks
    for name, task in tasks.items():
        try:
            check_name(name, "task")
        except ConfigError as error:
            raise loaded.fault(error.what, "tasks", name, code=error.code) from None
        for other in before(task):
            key = "after" if other in task.after else "for_each"
            if other not in tasks:
                raise loaded.fault(
                    f"{name!r} comes after {other!r}, which is no task. {did_you_mean(other, set(tasks) - {name})}",
                    *("tasks", name, key),
                    code="unknown_task",
                )
        _check_compensation(loaded, name, task)
    _check_cycle(loaded)
    _check_required_sources(loaded)


def _check_compensation(loaded: LoadedPipeline, name: str, task: TaskModel) -> None:
    tasks = loaded.model.tasks
    regular = {other for other, model in tasks.items() if not model.compensates}
    for other in task.compensates:
        if other not in regular:
            raise loaded.fault(
                f"{name!r} compensates {other!r}, which is no task to undo. {did_you_mean(other, regular)}",
                *("tasks", name, "compensates"),
                code="unknown_task",
            )
    for other in before(task):
        if (other in regular) == bool(task.compensates):
            what = "orders compensating tasks among themselves" if task.compensates else "names a compensating task"
            raise loaded.fault(
                f"{name!r} comes after {other!r}: `after` {what}; such tasks come behind all others anyway",
                *("tasks", name, "after"),
                code="bad_compensation",
            )


def _check_required_sources(loaded: LoadedPipeline) -> None:
    required, tasks = loaded.model.required_sources, loaded.model.tasks
    if required == "all" or len(loaded.model.sources) < 2:
        return
    ids = [str(source["id"]) for source in loaded.sources]
    for name in () if required == "any" else required:
        if name not in ids:
            raise loaded.fault(
                f"required_sources names {name!r}, which is no source here. {did_you_mean(name, ids)}",
                "required_sources",
                code="unknown_source",
            )
    if COMPLETE in tasks:
        raise loaded.fault(
            f"{COMPLETE} is the name of the task that tells which sources are missing",
            *("tasks", COMPLETE),
            todo="give the task another name",
        )


def _check_cycle(loaded: LoadedPipeline) -> None:
    left = {name: set(before(task)) for name, task in loaded.model.tasks.items()}
    while free := [name for name, needs in left.items() if not needs]:
        for name in free:
            del left[name]
        for needs in left.values():
            needs.difference_update(free)
    if left:
        name = next(iter(left))
        raise loaded.fault(f"The tasks {', '.join(left)} wait for each other", "tasks", name, "after", code="cycle")


def _label(item: Any, number: int) -> str:
    if isinstance(item, Mapping):
        return str(item.get("id") or item.get("name") or number)
    return str(item)
