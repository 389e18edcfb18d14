"""What can be asked of the scheduler."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from base_ops.core.config import config_dir
from base_ops.core.spec import Names, Spec
from base_ops.data_ingestion.config.sources import source_ids
from base_ops.data_ingestion.options.policies import load_policies
from base_ops.data_ingestion.options.schedule_policies import SchedulesFile, load_schedules
from base_ops.data_ingestion.options.schedules import Zone
from base_ops.data_ingestion.options.sources.source import SourceSpec


def _checked_instant(text: str) -> str:
    instant(text)
    return text


def instant(text: str) -> datetime:
    """An ISO 8601 moment in UTC; one without an offset, and a date alone, is in UTC.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _as_text(value: Any) -> Any:
    """YAML makes a moment without quotes a datetime or a date."""
    return value.isoformat() if isinstance(value, date) else value


Instant = Annotated[str, BeforeValidator(_as_text), AfterValidator(_checked_instant)]


class _ByTheSchedules(Spec):
    """What goes by the schedules of the deployment."""

    schedules: SchedulesFile | None = None
    """The schedules and their rules; default: schedules.yaml of the configuration."""

    def completed(self) -> Self:
        return self if self.schedules is not None else self.model_copy(update={"schedules": load_schedules()})

    @property
    def rules(self) -> SchedulesFile:
        """The schedules, none where there is no configuration."""
        return self.schedules or SchedulesFile()


class PlanRunsSpec(_ByTheSchedules):
    """When the schedules run next, in which pools, who is deferred, and which are to be switched off."""

    action: Literal["plan_runs"]
    sources: Names | None = None
    """Ids that schedules may name; default: those of the configured sources."""
    as_of: Instant | None = None
    """Plan from this moment on, ISO 8601; default: now."""
    horizon_h: float = Field(24, gt=0, le=24 * 31)
    """How far ahead, hours."""
    failures: dict[str, tuple[Instant, ...]] = Field(default_factory=dict)
    """By schedule, when runs of it failed lately."""
    cpu_share: float | None = Field(None, ge=0)
    """Share of the CPUs in use now, where it is known."""
    memory_share: float | None = Field(None, ge=0)
    """Share of the memory in use now."""
    io_bytes_per_s: float | None = Field(None, ge=0)
    """Input and output now, bytes per second."""

    def completed(self) -> Self:
        sources = source_ids(config_dir()) if self.sources is None else self.sources
        return super().completed().model_copy(update={"sources": tuple(sources)})


class PlanBackfillSpec(_ByTheSchedules):
    """Cut a stretch of the past into the chunks a backfill is run in."""

    action: Literal["plan_backfill"]
    start: Instant
    """From, ISO 8601."""
    end: Instant
    """Up to, ISO 8601."""
    market: str | None = None
    """Name of a calendar: chunks without a session are left out."""

    @model_validator(mode="after")
    def _in_order(self) -> PlanBackfillSpec:
        if instant(self.start) >= instant(self.end):
            raise ValueError(f"start={self.start!r} is not before end={self.end!r}")
        return self


class DiscoverFallbackSourcesSpec(_ByTheSchedules):
    """What to fetch from instead of a source that is not there, best first."""

    action: Literal["discover_fallback_sources"]
    source: str
    """Id of the source that failed."""
    tried: Names = ()
    """Ids of fallbacks that failed as well."""
    sources: Names | None = None
    """Ids that may stand in; default: those of the configured sources."""
    stand_ins: Names | None = None
    """Ids that stand in where no fallback is declared, best first; default: sources of the same types of data, as
    ingestion-policies.yaml maps them."""
    max_cache_age_s: float = Field(86_400, gt=0)
    """What was fetched last is no fallback when it is older, seconds."""
    as_of: Instant | None = None
    """Age is counted from this moment, ISO 8601; default: now."""

    def completed(self) -> Self:
        sources = source_ids(config_dir()) if self.sources is None else self.sources
        stand_ins = load_policies().stand_ins(self.source) if self.stand_ins is None else self.stand_ins
        return super().completed().model_copy(update={"sources": tuple(sources), "stand_ins": tuple(stand_ins)})


class ForecastLoadSpec(Spec):
    """The load of the next 7 days by quarter-hours, with intervals, from the calendar and what was."""

    action: Literal["forecast_load"]
    name: str = "load"
    """Name of the series; part of the file's name."""
    history: str | None = None
    """Parquet file with the columns `time` (timestamp) and `load` (number), summed by quarter-hour; default: the runs
    recorded in the lake."""
    measure: Literal["runs", "rows", "bytes", "seconds"] = "bytes"
    """What is counted of the lake's runs."""
    market: str | None = None
    """Name of the calendar that drives the load, e.g. XNYS."""
    timezone: Zone = "UTC"
    """Whose days of the week count where there is no market."""
    as_of: Instant | None = None
    """Forecast from this moment on; default: now."""
    capacity: float | None = Field(None, gt=0)
    """Load per quarter-hour that can be borne; slots that may exceed it are told."""
    target: str | None = None
    """Folder for the forecast; default: forecasts/ in the lake."""


class ValidateSourceAvailabilitySpec(Spec):
    """Whether a source can be fetched from now: its market is open, and it answers."""

    action: Literal["validate_source_availability"] = "validate_source_availability"
    source: SourceSpec
    """The source."""
    market: str | None = None
    """Name of the calendar its data follows, e.g. XNYS; closed, the source counts as not available."""
    connect_when_closed: bool = False
    """Ask the source even while its market is closed."""
    as_of: Instant | None = None
    """Ask the calendar about this moment, ISO 8601; default: now."""


SchedulerSpec = Annotated[
    ValidateSourceAvailabilitySpec | PlanRunsSpec | PlanBackfillSpec | DiscoverFallbackSourcesSpec | ForecastLoadSpec,
    Field(discriminator="action"),
]
