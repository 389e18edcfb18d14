"""The YAML of a pipeline: one file in dags/pipelines/ is one DAG. This is its whole language.

    dag_id: fx_two_vendors                # default: the file's name
    title: Daily FX quotes of two vendors, merged into one table
    description: |-                       # Markdown, shown in the UI
      ...
    schedule: "@hourly"                   # cron, preset, null, {assets: [...], any: true}, or by market hours:
                                          # {market: XNYS, at: close+15m} … see data_ingestion/options/schedules.py
    module: data_ingestion                # whose workflow: ingestion.workflow.started, .completed, .failed are told
    run_timeout_s: 7200                   # a run that lasts longer fails
    start_date: 2024-01-01                # UTC
    catchup: false
    owner: market-data
    tags: [fx]
    max_active_runs: 1                    # a second run waits: work on one table goes in order
    default_args: {retries: 3, retry_delay_s: 60, max_retry_delay_s: 1800, pool: ..., execution_timeout_s: ...}
    params:                               # JSON schema → form in the UI, `{{ params.data }}` in specs
      data: {type: string, default: /data, title: Folder of the vendors' files}
    sources: [oanda, {id: local, files: {...}}]   # files <config>/data_ingestion/sources/<id>.yaml, or inline
    required_sources: any                 # where a source fails, the others go on; all: they wait; [oanda]: for these
    setup: sample_market                  # start the sample server first, stop it whatever happens
    tasks:
      collect:
        agent: data_ingestion.collector
        for_each: source                  # one mapped instance per source
        spec: {source: "${source}", dataset: fx_quotes}
      convert:
        after: collect                    # its inputs: the Results of all instances of `collect`
        for_each: source
        fuse:                             # consecutive steps as one process
          - {agent: data_ingestion.converter, spec: {source: "${source}", target: "staging:fx_quotes"}}
          - {agent: data_quality.validator, spec: {rules: [...]}}
      store:
        after: convert
        agent: data_storage.tier_manager
        spec: {...}
        outlets: [fx_quotes]              # publishes the Asset base://fx_quotes
      unpublish:
        compensates: store                # only where a task behind `store` has failed for good, and after all others
        agent: data_storage.tier_manager
        spec: {action: unpublish, dataset: fx_quotes}
        outlets: [event/data_source_failure]    # an event that other pipelines wait for (schedule: {events: [...]})

`for_each` is `source` (`${source}` becomes the whole configuration, `${source.id}` a part of it), a list
(`${item}`, `${item.key}`), or `{results_of: task}`: one instance per output of that task, known only at run time.
`${sources}` is the list of all sources, in any task.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from airflow.sdk import TriggerRule
from pydantic import BeforeValidator, Field, field_validator, model_validator

from base_ops.core.errors import did_you_mean
from base_ops.core.ids import MODULES
from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.schedules import NamedSchedule, When, parse_when

SETUPS = ("sample_market",)
"""Known values of `setup`."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""A list of names; a single one needs no brackets."""


class RunOptions(Spec):
    """How Airflow runs a task; in `default_args` for all tasks, in a task for itself."""

    retries: int | None = Field(None, ge=0)
    """Tries after the first, for transient ends; default 3."""
    retry_delay_s: float | None = Field(None, ge=0)
    """Wait before the second try, seconds, doubled each time; default 60."""
    max_retry_delay_s: float | None = Field(None, ge=0)
    """Longest wait between tries, seconds; default 1800."""
    execution_timeout_s: float | None = Field(None, gt=0)
    """A try that runs longer is ended and counts as failed, seconds."""
    pool: str | None = None
    """Airflow pool that limits how many run at once."""
    priority_weight: int | None = None
    """Higher goes first within a pool."""


class FusePart(Spec):
    """One step of a fused task."""

    agent: str
    spec: dict[str, Any] = Field(default_factory=dict)


class ResultsOf(Spec):
    """Map over what a task produced."""

    results_of: str
    """Id of a task; one instance per output of its Results."""


def _for_each(value: Any) -> Any:
    """Choose the form by its kind, so that a fault is reported once and not per form."""
    if isinstance(value, dict):
        return ResultsOf.model_validate(value)
    if isinstance(value, list):
        return value
    if value not in (None, "source"):
        raise ValueError("for_each is source, a list, or {results_of: <task>}")
    return value


class TaskModel(RunOptions):
    """One task: one agent, or several fused into one pass."""

    agent: str | None = None
    """Id of the agent, module.agent."""
    spec: dict[str, Any] | None = None
    """The agent's spec."""
    fuse: tuple[FusePart, ...] | None = Field(None, min_length=1)
    """Instead of agent and spec: consecutive row-wise steps."""
    after: Names = ()
    """Tasks right before; their Results are the inputs."""
    for_each: Annotated[Any, BeforeValidator(_for_each)] = None
    """source, a list, or {results_of: task}: one mapped instance each."""
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    """When to run, by the state of the tasks before."""
    profile: str = "default"
    """Size of the pod: a file in pod_templates/."""
    inlets: Names = ()
    """Assets read (datasets by name)."""
    outlets: Names = ()
    """Assets written (datasets by name); consumers' schedules wait for them."""
    group: str | None = None
    """Task group in the graph."""
    doc: str = ""
    """Markdown shown with the task."""
    compensates: Names = ()
    """Tasks whose effects this one undoes: it runs only where a task behind them has failed for good, once all others
    are over, and has no say in how the run ends; `after` orders compensating tasks among themselves."""

    @model_validator(mode="after")
    def _one_kind_of_work(self) -> TaskModel:
        if (self.agent is None) == (self.fuse is None):
            raise ValueError("a task has exactly one of: agent, fuse")
        if self.fuse is not None and self.spec is not None:
            raise ValueError("a fused task has its specs inside fuse")
        if self.compensates and (
            self.trigger_rule is not TriggerRule.ALL_SUCCESS or isinstance(self.for_each, ResultsOf)
        ):
            raise ValueError("compensates says when the task runs: it goes with neither trigger_rule nor results_of")
        return self

    @property
    def parts(self) -> list[tuple[str, dict[str, Any], tuple[str | int, ...]]]:
        """(agent, spec, path of the spec in the task) of each step."""
        if self.fuse is None:
            return [(str(self.agent), self.spec or {}, ("spec",))]
        return [(part.agent, part.spec, ("fuse", number, "spec")) for number, part in enumerate(self.fuse)]


class AssetSchedule(Spec):
    """Run when datasets were updated."""

    assets: Names = Field(min_length=1)
    """Datasets by name."""
    any: bool = False
    """One of them is enough; default: all of them."""


def _schedule(value: Any) -> Any:
    """Choose the form by its keys, so that a fault is reported once and not per form."""
    if isinstance(value, dict) and not {"assets", "any"} & set(value):
        return parse_when(value)
    return AssetSchedule.model_validate(value) if isinstance(value, dict) else value


def _required(value: Any) -> Any:
    return value if value in ("any", "all") else _as_list(value)


class Pipeline(Spec):
    """A pipeline: one DAG."""

    dag_id: str = Field(pattern=r"^[A-Za-z0-9_.\-]+$", max_length=250)
    title: str = ""
    description: str = ""
    schedule: Annotated[str | AssetSchedule | NamedSchedule | When | None, BeforeValidator(_schedule)] = None
    start_date: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    catchup: bool = False
    owner: str = "base-platform"
    tags: Names = ()
    max_active_runs: int = Field(1, ge=1)
    run_timeout_s: float | None = Field(None, gt=0)
    """A run that lasts longer fails, seconds."""
    module: Literal[MODULES] | None = None  # type: ignore[valid-type]
    """Whose workflow this is: events <module>.workflow.started, .completed and .failed are told of its runs."""
    default_args: RunOptions = RunOptions()
    params: dict[str, Any] = Field(default_factory=dict)
    sources: tuple[str | dict[str, Any], ...] = ()
    required_sources: Annotated[Literal["any", "all"] | Names, BeforeValidator(_required)] = "any"
    """Sources without which nothing is stored: any (one is enough: the others go on, and the run fails at its end and
    names those that are missing), all (one that fails holds up the others), or the ids of those that must be there."""
    setup: str | None = None
    tasks: dict[str, TaskModel] = Field(min_length=1)

    @field_validator("start_date", mode="before")
    @classmethod
    def _a_date_is_midnight_utc(cls, value: Any) -> Any:
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value

    @field_validator("setup")
    @classmethod
    def _known_setup(cls, value: str | None) -> str | None:
        if value is not None and value not in SETUPS:
            raise ValueError(f"not known. {did_you_mean(value, SETUPS)}")
        return value
