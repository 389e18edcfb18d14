"""The file dags/config/data_ingestion/schedules.yaml: schedules by name, and the rules they run under."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from base_ops.core.config import config_dir as configured
from base_ops.core.config import load_config
from base_ops.core.errors import did_you_mean
from base_ops.core.settings import Environment, load_settings
from base_ops.core.spec import Misfit, Names, Spec
from base_ops.data_ingestion.options.policies import Reference
from base_ops.data_ingestion.options.schedules import (
    DependencySchedule,
    MaintenanceSpec,
    NamedSchedule,
    TimeSchedule,
    When,
    check_dependencies,
    parse_when,
    resolved,
)

CACHE = "cache"
"""As a fallback: what was fetched last."""
PRIORITIES = {"critical": 1, "high": 2, "medium": 3, "low": 4}


def airflow_pool(name: str) -> str:
    """What a pool of schedules.yaml is called in Airflow."""
    return f"base_{name}"


class PoolSpec(Spec):
    """An Airflow pool, base_<name>, and how the runs of its schedules are treated."""

    slots: int = Field(ge=1)
    """Tasks at once, where `scale` says nothing of the environment."""
    timeout_s: float = Field(gt=0)
    """A run that takes longer is ended, seconds."""
    tries: int = Field(ge=1)
    """Attempts at most."""


class LimitsSpec(Spec):
    """Bounds of the whole platform. The pools keep `concurrent`; by the others plan_runs says what should wait."""

    concurrent: int = Field(100, ge=1)
    """Runs at once, where `scale` says nothing of the environment; the pools together have no more slots."""
    queue: int = Field(1000, ge=1)
    """Runs that may wait; beyond that those of the lowest priority are to be deferred, none is refused."""
    max_cpu_share: float = Field(0.8, gt=0, le=1)
    """Above this share of the CPUs new runs are to be held."""
    max_memory_share: float = Field(0.85, gt=0, le=1)
    """Above this share of the memory new runs are to be held."""
    max_io_bytes_per_s: int = Field(10**9, ge=1)
    """Above this much input and output new runs are to be held, bytes per second."""


class BackfillPolicy(Spec):
    """How the past is made up for: the chunks that plan_backfill makes."""

    max_days: int = Field(30, ge=1)
    """A longer backfill is refused, days."""
    chunk_days: int = Field(1, ge=1)
    """Days of one chunk."""
    parallel: int = Field(5, ge=1)
    """Chunks at once."""
    pool: str = "low"
    """Pool of the chunks."""


class DisablePolicy(Spec):
    """When a schedule is switched off by itself."""

    failures: int = Field(5, ge=1)
    """So many failed runs …"""
    within_s: float = Field(3600, gt=0)
    """… within this long, seconds."""

    def trips(self, failures: Iterable[datetime], now: datetime) -> bool:
        """Whether so many of the failures are so recent."""
        since = now - timedelta(seconds=self.within_s)
        return sum(since <= moment <= now for moment in failures) >= self.failures


class SlaSpec(Spec):
    """What is promised of scheduled runs."""

    start_within_s: float = Field(300, gt=0)
    """A run starts within, seconds of its moment."""


class FallbackSpec(Spec):
    """What to fetch from instead of a source that is not there."""

    source: str
    """Id of the source; `cache`: what was fetched last."""
    quality: float = Field(ge=0, le=1)
    """How good it is; below the policy's limit its data is marked degraded."""


def _written_out(value: Any) -> Any:
    found = parse_when(value)
    if isinstance(found, NamedSchedule):
        raise ValueError("use: is for pipelines; here a schedule is written out")
    return found


class ScheduleEntry(Spec):
    """One schedule by name."""

    title: str = ""
    """One line for people."""
    when: Annotated[When | None, BeforeValidator(_written_out)] = None
    """A schedule; left out: by hand only."""
    sources: Names = ()
    """Ids of the sources it fetches: must be declared."""
    priority: Literal["critical", "high", "medium", "low"] = "medium"
    """Who goes first in a pool."""
    pool: str = "normal"
    """Name of a pool above, for the tasks of a pipeline that uses this schedule."""
    timeout_s: float | None = Field(None, gt=0)
    """A run that takes longer is ended, seconds; default the pool's."""
    enabled: bool = True
    """False: never runs by itself."""

    @field_serializer("when", mode="wrap")
    def _when_given(self, value: Any, handler: Any) -> Any:
        return None if value is None else value.model_dump(mode="json", exclude_unset=True)


class SchedulesFile(Spec):
    """dags/config/data_ingestion/schedules.yaml."""

    maintenance: dict[str, MaintenanceSpec] = Field(default_factory=dict)
    """Windows by name."""
    pools: dict[str, PoolSpec] = Field(default_factory=dict)
    """Pools by name."""
    scale: dict[Environment, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """By environment, BASE_ENV: how many times as large its pools, and limits.concurrent with them, are; default 1."""
    limits: LimitsSpec = Field(default_factory=LimitsSpec)
    backfill: BackfillPolicy = Field(default_factory=BackfillPolicy)
    disable: DisablePolicy = Field(default_factory=DisablePolicy)
    sla: SlaSpec = Field(default_factory=SlaSpec)
    min_fallback_quality: float = Field(0.8, ge=0, le=1)
    """Weaker fallbacks are only taken marked as degraded."""
    fallbacks: dict[str, tuple[FallbackSpec, ...]] = Field(default_factory=dict)
    """By source: what to fetch from instead, best first."""
    schedules: dict[str, ScheduleEntry] = Field(default_factory=dict)
    """Schedules by name."""

    @model_validator(mode="after")
    def _references_lead_somewhere(self) -> SchedulesFile:
        slots = sum(pool.slots for pool in self.pools.values())
        if slots > self.limits.concurrent:
            what = f"pools have {slots} slots together, and limits.concurrent is {self.limits.concurrent}"
            raise Misfit(what, "pools")
        for name, entry in self.schedules.items():
            self._check_pool(entry.pool, "schedules", name, "pool")
            if isinstance(entry.when, TimeSchedule):
                resolved(entry.when, self.maintenance, "schedules", name, "when")
        if self.pools:
            self._check_pool(self.backfill.pool, "backfill", "pool")
        check_dependencies(
            {n: e.when.after for n, e in self.schedules.items() if isinstance(e.when, DependencySchedule)},
            self.schedules,
            lambda name: ("schedules", name, "when", "after"),
        )
        for source, options in self.fallbacks.items():
            for place, option in enumerate(options):
                if option.source == source:
                    raise Misfit(f"{source} cannot stand in for itself", "fallbacks", source, place, "source")
        return self

    def _check_pool(self, pool: str, *loc: str) -> None:
        if pool not in self.pools:
            raise Misfit(f"{'.'.join(loc)}={pool!r} is no pool. {did_you_mean(pool, self.pools)}", *loc)

    def sized_for(self, env: Environment) -> SchedulesFile:
        """With the pools and the limit of an environment written out; `scale` is spent."""
        times = self.scale.get(env, 1)
        sized = {name: pool.model_copy(update={"slots": pool.slots * times}) for name, pool in self.pools.items()}
        limits = self.limits.model_copy(update={"concurrent": self.limits.concurrent * times})
        return self.model_copy(update={"pools": sized, "limits": limits, "scale": {}})

    def references(self) -> Iterator[Reference]:
        """The sources that are named, each with its key."""
        for name, entry in self.schedules.items():
            for place, source in enumerate(entry.sources):
                yield ("schedules", name, "sources", place), source
        for name, options in self.fallbacks.items():
            yield ("fallbacks", name), name
            for place, option in enumerate(options):
                if option.source != CACHE:
                    yield ("fallbacks", name, place, "source"), option.source

    def when(self, name: str) -> When | None:
        """The schedule of a name, its maintenance windows written out."""
        found = self.schedules[name].when
        return resolved(found, self.maintenance, "schedules", name) if isinstance(found, TimeSchedule) else found


def schedules_path(config_dir: Path) -> Path:
    return config_dir / "data_ingestion" / "schedules.yaml"


def load_schedules(config_dir: Path | None = None) -> SchedulesFile:
    """The checked file, its pools as large as this environment's; an empty one where there is none.

    Raises:
        ConfigError: naming file, line and key.
    """
    found: SchedulesFile | None = load_config(SchedulesFile, schedules_path(config_dir or configured()))
    return (found or SchedulesFile()).sized_for(load_settings().env)
