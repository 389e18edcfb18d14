"""When a pipeline runs: the forms of `schedule:`, told apart by their keys.

    {market: XNYS, at: close+15m}                        moments of each session; several: [open-30m, close+15m]
    {market: XNYS, every: 5m, start: open, end: close}   all through each session, but not in its lunch break
    {cron: "*/15 9-16 * * 1-5", timezone: America/New_York, market: XNYS}    market: only while it is open
    {every: 15m}                                         evenly, from midnight UTC of 1970-01-01 on
    {events: [data_source_updated]}                      when something is reported
    {after: [other_pipeline]}                            when other pipelines are done
    {assets: [fx_quotes]}                                when datasets were written (orchestration/pipeline.py)
    {use: nyse}                                          as dags/config/data_ingestion/schedules.yaml says

The first four take `maintenance: [weekly]`: windows in which nothing starts; and `events: [...]`: also when one of
these is reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from base_ops.core.errors import did_you_mean
from base_ops.core.spec import Misfit, Names, Spec, as_list

_PART = re.compile(r"(\d+)([smhd])")
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
ANCHORS = ("open", "close", "break_start", "break_end")
_ANCHOR = re.compile(r"(open|close|break_start|break_end)(?:([+-])(\w+))?")
MIN_INTERVAL_S, MAX_INTERVAL_S = 60, 86_400
MAX_DEPTH = 5
"""So many schedules may wait for each other in a row."""
EVENTS = (
    "data_source_updated",
    "schema_changed",
    "quality_threshold_exceeded",
    "external_trigger",
    "source_data_updated",
    "high_security_source_update",
    "compliance_audit_request",
    "bulk_files_available",
    "data_source_failure",
    "collection_timeout",
    "quality_threshold_breach",
)


def duration(text: str) -> timedelta:
    """`90s`, `15m`, `1h30m`, `2d` as a timedelta.

    Raises:
        ValueError: anything else, or nothing at all.
    """
    parts = _PART.findall(text)
    seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds <= 366 * 86_400:
        raise ValueError(f"{text!r} is no length of time such as 90s, 15m, 1h30m or 2d, at most 366d")
    return timedelta(seconds=seconds)


def moment_of_session(text: str) -> tuple[str, timedelta]:
    """`close+15m` → ("close", 15 minutes).

    Raises:
        ValueError: it is no such moment.
    """
    match = _ANCHOR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no moment of a session such as open, close+15m or open-1h30m")
    offset = duration(match[3]) if match[3] else timedelta()
    if offset > timedelta(days=7):
        raise ValueError(f"{text!r} is more than 7 days off its session")
    return match[1], -offset if match[2] == "-" else offset


def _checked_duration(text: str) -> str:
    duration(text)
    return text


def _checked_moment(text: str) -> str:
    moment_of_session(text)
    return text


def _checked_cron(text: str) -> str:
    from cronsim import CronSim, CronSimError

    if len(text.split()) != 5:
        raise ValueError(f"{text!r} is no cron expression of five fields: minute, hour, day, month, weekday")
    try:
        next(CronSim(text, datetime.now(UTC)))
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron expression: {error}") from None
    except StopIteration:
        raise ValueError(f"{text!r} is a date that never comes") from None
    return text


def _checked_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{text!r} is no time zone such as America/New_York or UTC") from None
    return text


Duration = Annotated[str, AfterValidator(_checked_duration)]
Moment = Annotated[str, AfterValidator(_checked_moment)]
Cron = Annotated[str, AfterValidator(_checked_cron)]
Zone = Annotated[str, AfterValidator(_checked_zone)]


class MaintenanceSpec(Spec):
    """A window that comes again and again, in which no run starts."""

    start: Cron
    """When it begins, as cron, e.g. 0 2 * * 0 for Sundays at two."""
    timezone: Zone = "UTC"
    """Time zone of `start`."""
    duration: Duration
    """How long it lasts, e.g. 2h; elapsed time, whatever the clocks do."""
    then: Literal["suppress", "shift"] = "suppress"
    """A run that falls into it: suppress leaves it out; shift has it wait for the end, once."""


class TimeSchedule(Spec):
    """What all schedules by the clock have in common."""

    maintenance: Annotated[tuple[str | MaintenanceSpec, ...], BeforeValidator(as_list)] = ()
    """Windows in which nothing starts: names of schedules.yaml, or written out."""
    events: Annotated[tuple[Literal[EVENTS], ...], BeforeValidator(as_list)] = ()  # type: ignore[valid-type]
    """In pipelines: also when one of these events is reported."""

    @property
    def windows(self) -> tuple[MaintenanceSpec, ...]:
        """The windows, once their names are resolved."""
        return tuple(window for window in self.maintenance if isinstance(window, MaintenanceSpec))


class MarketSchedule(TimeSchedule):
    """By the sessions of an exchange: holidays, early closes, lunch breaks and daylight saving time are its calendar's.

    Either `at` or `every`.
    """

    market: str
    """Name of a calendar, e.g. XNYS."""
    at: Annotated[tuple[Moment, ...], BeforeValidator(as_list)] = ()
    """Moments of each session: open, close, break_start, break_end, with an offset such as +15m or -1h."""
    every: Duration | None = None
    """All through each session, counted from `start`; not inside a lunch break."""
    start: Moment = "open"
    """every: first moment of a session."""
    end: Moment = "close"
    """every: no run after this moment; one on it counts."""

    @model_validator(mode="after")
    def _at_or_every(self) -> MarketSchedule:
        if bool(self.at) == (self.every is not None):
            raise ValueError("a market schedule has exactly one of: at, every")
        if self.every is not None:
            _check_interval(self.every)
        return self


class CronSchedule(TimeSchedule):
    """By the wall clock of a time zone. An hour that daylight saving time skips is made up for, one it repeats counts
    once unless the expression names every hour."""

    cron: Cron
    """Five fields: minute, hour, day of month, month, weekday."""
    timezone: Zone = "UTC"
    """Whose wall clock."""
    market: str | None = None
    """Only while this exchange is open."""


class IntervalSchedule(TimeSchedule):
    """Evenly, whatever the clocks do."""

    every: Duration
    """From 60s to 24h, e.g. 15m."""

    @field_validator("every")
    @classmethod
    def _in_bounds(cls, value: str) -> str:
        _check_interval(value)
        return value


def _check_interval(value: str) -> None:
    if not MIN_INTERVAL_S <= duration(value).total_seconds() <= MAX_INTERVAL_S:
        raise ValueError(f"every={value!r} is not from {MIN_INTERVAL_S}s to 24h; what never rests is a stream")


class EventSchedule(Spec):
    """When something is reported; each event is an Airflow Asset base://event/<name>."""

    events: Annotated[tuple[Literal[EVENTS], ...], BeforeValidator(as_list)] = Field(min_length=1)  # type: ignore[valid-type]
    """One of them is enough."""


class DependencySchedule(Spec):
    """When other pipelines are done, all of them, since the last run."""

    after: Names = Field(min_length=1)
    """In a pipeline: ids of DAGs. In schedules.yaml: names of schedules."""


class NamedSchedule(Spec):
    """As schedules.yaml says under this name."""

    use: str


When = MarketSchedule | CronSchedule | IntervalSchedule | EventSchedule | DependencySchedule
_FORMS: tuple[tuple[str, type[Spec]], ...] = (
    ("use", NamedSchedule),
    ("cron", CronSchedule),
    ("market", MarketSchedule),
    ("every", IntervalSchedule),
    ("events", EventSchedule),
    ("after", DependencySchedule),
)


def parse_when(value: Any) -> Any:
    """A schedule by the key that tells its form, so that a fault is reported once and not per form."""
    if not isinstance(value, Mapping):
        return value
    for key, form in _FORMS:
        if key in value:
            return form.model_validate(dict(value))
    known = [key for key, _ in _FORMS]
    hint = did_you_mean(next(iter(map(str, value)), ""), known)
    raise ValueError(f"no schedule has these keys. {hint}")


def resolved(when: Any, windows: Mapping[str, MaintenanceSpec], *where: str) -> Any:
    """A schedule, which stands at `where`, with its maintenance windows instead of their names.

    Raises:
        ValueError: a name that no window has.
    """
    loc = (*where, "maintenance")
    for window in when.maintenance:
        if isinstance(window, str) and window not in windows:
            raise Misfit(f"{'.'.join(loc)}={window!r} is no window. {did_you_mean(window, windows)}", *loc)
    found = tuple(windows[w] if isinstance(w, str) else w for w in when.maintenance)
    return when.model_copy(update={"maintenance": found}) if found else when


def check_dependencies(
    after: Mapping[str, tuple[str, ...]],
    known: Mapping[str, Any],
    loc: Callable[[str], tuple[str, ...]] = lambda name: (name,),
) -> None:
    """Refuse schedules that wait for each other, for nobody, or in too long a row.

    Args:
        loc: where a schedule's `after` stands.

    Raises:
        Misfit: naming the row.
    """
    depth: dict[str, int] = {}

    def walk(name: str, row: tuple[str, ...]) -> int:
        if name in row:
            raise Misfit(f"{' → '.join((*row[row.index(name) :], name))}: these wait for each other", *loc(row[-1]))
        if name not in known:
            what = f"{row[-1]!r} comes after {name!r}, which is not there. {did_you_mean(name, known)}"
            raise Misfit(what, *loc(row[-1]))
        if name not in depth:
            depth[name] = max((walk(other, (*row, name)) + 1 for other in after.get(name, ())), default=0)
        if depth[name] > MAX_DEPTH:
            what = f"{name!r} waits at the end of {depth[name]} others in a row; at most {MAX_DEPTH}"
            raise Misfit(what, *loc(name))
        return depth[name]

    for name in after:
        walk(name, ())
