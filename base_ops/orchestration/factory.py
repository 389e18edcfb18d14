"""The DAG factory: every file in dags/pipelines/ becomes a DAG.

`dags/load.py` builds the DAGs and leaves out the files that are wrong; `dags/load_errors.py` holds no DAG and raises
all their faults at once. Airflow keeps import errors per Python file and switches off every DAG of a file that has
one, so the faults need a file of their own: this way they stand in the UI as an import error, with file, line and
key, and take no other DAG down. A wrong pipeline's own DAG disappears until its file is right again.

While one task runs, Airflow says which DAG it wants (`get_parsing_context`): then only that one is built.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetAll,
    AssetAny,
    AssetOrTimeSchedule,
    Param,
    TaskGroup,
    TriggerRule,
    get_parsing_context,
)

from base_ops.core.errors import BaseOpsError, ConfigError
from base_ops.core.ids import AgentId
from base_ops.core.settings import load_settings
from base_ops.data_ingestion.options.schedules import DependencySchedule, EventSchedule, TimeSchedule
from base_ops.orchestration import dependencies, missing_sources, pools
from base_ops.orchestration.compensation import compensating, wire
from base_ops.orchestration.loading import LoadedPipeline, before, load_pipeline
from base_ops.orchestration.operator import AgentOperator
from base_ops.orchestration.pipeline import AssetSchedule, Pipeline, ResultsOf, RunOptions, TaskModel
from base_ops.orchestration.run_agent import RUN_AGENT, run_agent_dag
from base_ops.orchestration.workflows import module_tag

log = logging.getLogger(__name__)
_HIDE = ("data_security.masker", "data_security.encryption_manager")


@dataclass(frozen=True)
class Built:
    """What came of a folder: DAGs by id, and per wrong file its fault."""

    dags: dict[str, DAG]
    faults: dict[Path, BaseOpsError]


def build_dags(folder: Path, namespace: MutableMapping[str, Any]) -> None:
    """Put a DAG per pipeline file into a DAG file's `globals()`.

    Args:
        folder: the pipelines, unless the setting `pipelines_dir` names others.

    Raises:
        ConfigError: only when Airflow asked for one DAG, and that one is wrong.
    """
    only = get_parsing_context().dag_id
    built = build(folder, only)
    if only is not None and only not in built.dags and built.faults:
        raise next(iter(built.faults.values()))
    for path, fault in built.faults.items():
        log.error("The pipeline %s is left out: %s", path.name, fault.text())
    namespace.update(built.dags)


def raise_faults(folder: Path) -> None:
    """Raise one error with the faults of all pipeline files, if there are any."""
    faults = build(folder, None).faults if get_parsing_context().dag_id is None else {}
    if faults:
        raise ConfigError(
            f"{len(faults)} pipeline(s) are left out:\n" + "\n".join(fault.text() for fault in faults.values()),
            code="broken_pipelines",
        )


def build(folder: Path, only: str | None) -> Built:
    """Build the DAGs of a folder (one of them if `only` is given), collecting faults per file."""
    settings = load_settings()
    folder = settings.pipelines_dir or folder
    config_dir = settings.config_dir or folder.parent / "config"
    loaded: dict[Path, LoadedPipeline] = {}
    faults: dict[Path, BaseOpsError] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if only is not None and path.stem != only and only not in path.read_text(encoding="utf-8", errors="replace"):
            continue
        try:
            loaded[path] = load_pipeline(path, config_dir)
        except BaseOpsError as fault:
            faults[path] = fault
    faults.update(dependencies.faults(loaded, complete=only is None and not faults))
    faults.update(_duplicates(loaded))
    awaited = dependencies.awaited(loaded)
    dags: dict[str, DAG] = {}
    for path, pipeline in loaded.items():
        if path in faults or only not in (None, pipeline.model.dag_id):
            continue
        try:
            dags[pipeline.model.dag_id] = build_dag(pipeline, awaited=pipeline.model.dag_id in awaited)
        except BaseOpsError as fault:
            faults[path] = fault
        except Exception as error:  # what Airflow itself refuses: a bad cron expression, a param that fits no schema
            faults[path] = pipeline.fault(f"Airflow refuses the pipeline {path.name}: {type(error).__name__}: {error}")
    if only in (None, RUN_AGENT):
        dags[RUN_AGENT] = run_agent_dag()
    return Built(dags, faults)


def _duplicates(loaded: Mapping[Path, LoadedPipeline]) -> dict[Path, BaseOpsError]:
    """Two files with one dag_id: neither is built, since nobody can say which one is meant."""
    files: dict[str, list[Path]] = {RUN_AGENT: [Path(__file__).with_name("run_agent.py")]}
    for path, pipeline in loaded.items():
        files.setdefault(pipeline.model.dag_id, []).append(path)
    return {
        path: loaded[path].fault(
            f"The dag_id {dag_id!r} is used twice: {' and '.join(str(p) for p in paths)}",
            *("dag_id",),
            code="duplicate_dag_id",
            todo="give each file its own dag_id",
        )
        for dag_id, paths in files.items()
        if len(paths) > 1
        for path in paths
        if path in loaded
    }


def build_dag(pipeline: LoadedPipeline, *, awaited: bool = False) -> DAG:
    """The DAG of one pipeline, complete and checked for cycles.

    Args:
        awaited: whether other pipelines wait for it.
    """
    model = pipeline.model
    dag = DAG(
        dag_id=model.dag_id,
        description=model.title or None,
        doc_md=model.description or None,
        schedule=_schedule(pipeline),
        start_date=model.start_date,
        catchup=model.catchup,
        tags=set(model.tags) | ({module_tag(model.module)} if model.module else set()),
        dagrun_timeout=_seconds(pools.run_timeout_s(pipeline)),
        max_active_runs=model.max_active_runs,
        default_args={
            "owner": model.owner,
            "max_retry_delay": timedelta(seconds=1800),
            **pools.task_defaults(pipeline),
            **run_options(model.default_args),
        },
        params={name: _param(schema) for name, schema in model.params.items()},
        auto_register=False,  # one that fails half-way must not be picked up
    )
    with dag:
        _Builder(pipeline, dag).build()
        if awaited:
            dependencies.mark_done(dag)
    dag.validate()  # type: ignore[no-untyped-call]
    dag.check_cycle()
    return dag


def run_options(options: RunOptions) -> dict[str, Any]:
    """RunOptions as Airflow's arguments; what is not given is left to Airflow's or the operator's default."""
    given: dict[str, Any] = {
        "retries": options.retries,
        "retry_delay": _seconds(options.retry_delay_s),
        "max_retry_delay": _seconds(options.max_retry_delay_s),
        "execution_timeout": _seconds(options.execution_timeout_s),
        "pool": options.pool,
        "priority_weight": options.priority_weight,
    }
    return {key: value for key, value in given.items() if value is not None}


def dataset_asset(name: str) -> Asset:
    """The Asset of a dataset."""
    return Asset(name=name, uri=f"base://{name}")


_AFTER_FAILURES = (TriggerRule.ONE_FAILED, TriggerRule.ALL_FAILED)


class _Builder:
    """Builds the tasks of one pipeline inside its DAG."""

    def __init__(self, pipeline: LoadedPipeline, dag: DAG) -> None:
        self.pipeline = pipeline
        self.dag = dag
        self.groups: dict[str, TaskGroup] = {}
        self.listings: list[tuple[str, Any]] = []
        self.sensitive = sensitive_columns(pipeline.model)
        self.going_on = missing_sources.plans(pipeline)

    def build(self) -> None:
        tasks = {name: self._task(name, model) for name, model in self.pipeline.model.tasks.items()}
        for name, model in self.pipeline.model.tasks.items():
            for other in before(model):
                tasks[other] >> tasks[name]
        for other, listing in self.listings:
            tasks[other] >> listing
        if self.going_on:
            tasks[missing_sources.COMPLETE] = self._complete(tasks)
        undoing = {name: tasks.pop(name) for name, model in self.pipeline.model.tasks.items() if model.compensates}
        if undoing:
            wire(list(tasks.values()), list(undoing.values()))
        if self.pipeline.model.setup:
            from base_ops.orchestration.sample import wrap_in_sample

            used = {str(source["connection"]) for source in self.pipeline.sources if source.get("connection")}
            wrap_in_sample(list(tasks.values()), used)

    def _complete(self, tasks: Mapping[str, Any]) -> Any:
        from airflow.providers.standard.operators.python import PythonOperator

        names = missing_sources.per_source_tasks(self.pipeline)
        plan = next(iter(self.going_on.values()))
        complete = PythonOperator(
            task_id=missing_sources.COMPLETE,
            python_callable=missing_sources.tell_missing,
            op_kwargs={"tasks": names, "sources": plan["sources"], "required": plan["required"]},
            trigger_rule="all_done",
            retries=0,
            doc_md="Fails where a source is missing in this run. What the others brought is stored all the same.",
        )
        for name in names:
            tasks[name] >> complete
        return complete

    def _task(self, name: str, model: TaskModel) -> Any:
        arguments = self._arguments(name, model)
        instances = self.pipeline.instances(name)
        parts = self.pipeline.parts(name) if instances is None else []
        operator = operator_class(None if model.fuse else str(model.agent))
        if model.compensates:
            operator = compensating(operator, self.pipeline.behind(model.compensates))
        if isinstance(model.for_each, ResultsOf):
            return self._mapped_at_run_time(name, model, operator, {**arguments, **_work(model, parts)})
        if instances is None:
            return operator(**arguments, **_work(model, parts))
        mapped = [{**_work(model, parts), "item": item} for item, parts in instances]
        return operator.partial(**arguments, map_index_template="{{ task.item }}").expand_kwargs(mapped)

    def _mapped_at_run_time(self, name: str, model: TaskModel, operator: Any, arguments: dict[str, Any]) -> Any:
        from airflow.providers.standard.operators.python import PythonOperator

        from base_ops.orchestration.mapping import list_outputs

        listing = PythonOperator(
            task_id=f"{name}_items",
            python_callable=list_outputs,
            op_kwargs={"task_id": model.for_each.results_of},
            task_group=arguments.get("task_group"),
        )
        mapped = operator.partial(
            **{**arguments, "inputs_from": [model.for_each.results_of]},
            map_index_template="{{ task.item }}",
        ).expand_kwargs(listing.output)
        self.listings.append((model.for_each.results_of, listing))
        return mapped

    def _arguments(self, name: str, model: TaskModel) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "task_id": name,
            # one that runs because others failed finds no Results of theirs to build on
            "inputs_from": [] if model.trigger_rule in _AFTER_FAILURES else list(model.after),
            "sensitive_columns": self.sensitive,
            "profile": model.profile,
            "trigger_rule": model.trigger_rule.value,
            "inlets": [dataset_asset(asset) for asset in model.inlets],
            "outlets": [dataset_asset(asset) for asset in model.outlets],
            "doc_md": model.doc or None,
            **run_options(model),
        }
        if name in self.going_on:
            arguments["going_on"] = self.going_on[name]
            if self.going_on[name]["waits_for_sources"]:
                arguments["trigger_rule"] = "all_done"
        if model.group is not None:
            arguments["task_group"] = self._group(model.group)
        return arguments

    def _group(self, name: str) -> TaskGroup:
        if name not in self.groups:
            self.groups[name] = TaskGroup(group_id=name, prefix_group_id=False)
        return self.groups[name]


def operator_class(agent: str | None) -> Any:
    """The operator of an agent, by convention; of several fused agents, the general one."""
    if agent is None:
        return AgentOperator
    parsed = AgentId.parse(agent)
    try:
        module = importlib.import_module(f"base_ops.{parsed.module}.operators")
    except ModuleNotFoundError:
        module = None
    found = getattr(module, f"{parsed.class_stem}Operator", None)
    return found or type(f"{parsed.class_stem}Operator", (AgentOperator,), {"agent": agent})


def sensitive_columns(model: Pipeline) -> list[str]:
    """Columns that some agent of the pipeline hides: no task shows them in its quarantine."""
    specs = [spec for task in model.tasks.values() for agent, spec, _ in task.parts if agent in _HIDE]
    named = [(spec.get("encrypt") or spec).get("columns") or () for spec in specs]
    levels = [
        spec.get("levels") or {}
        for task in model.tasks.values()
        for agent, spec, _ in task.parts
        if agent == "data_security.classifier"
    ]
    return sorted({str(c) for columns in [*named, *levels] if not isinstance(columns, str) for c in columns})


def _work(model: TaskModel, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"fuse": parts} if model.fuse else {"spec": parts[0]["spec"]}


def _schedule(pipeline: LoadedPipeline) -> Any:
    """What Airflow is told of `schedule`."""
    schedule = pipeline.schedule
    if isinstance(schedule, AssetSchedule):
        assets = [dataset_asset(name) for name in schedule.assets]
        return AssetAny(*assets) if schedule.any else AssetAll(*assets)
    if isinstance(schedule, EventSchedule):
        return _any_of(schedule.events)
    if isinstance(schedule, DependencySchedule):
        return AssetAll(*(dependencies.done_asset(dag_id) for dag_id in schedule.after))
    if isinstance(schedule, TimeSchedule):
        from base_ops.orchestration.timetables import ScheduleTimetable

        try:
            timetable = ScheduleTimetable(schedule.model_copy(update={"events": ()}))
            if not schedule.events:
                return timetable
            return AssetOrTimeSchedule(timetable=timetable, assets=_any_of(schedule.events))  # type: ignore[arg-type]
        except ConfigError as error:
            raise pipeline.fault(error.what, "schedule", code=error.code, todo=error.todo) from None
    return schedule


def _any_of(events: Iterable[str]) -> AssetAny:
    return AssetAny(*(dependencies.event_asset(event) for event in events))


def _param(schema: Any) -> Param:
    """A param as JSON schema with its default, or just its default."""
    return Param(**schema) if isinstance(schema, dict) else Param(schema)


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)
