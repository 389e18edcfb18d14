"""The runs ahead: their moments, pools, the queue when too much comes at once, and what is to be switched off."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import JsonValue

from base_ops.calendars.recurrence import last_vouched, moments_between
from base_ops.core.errors import ConfigError
from base_ops.core.protocol import Finding, StepResult
from base_ops.data_ingestion.jobs.scheduler.now import moment
from base_ops.data_ingestion.options.schedule_policies import (
    CACHE,
    PRIORITIES,
    LimitsSpec,
    SchedulesFile,
    airflow_pool,
)
from base_ops.data_ingestion.options.schedules import TimeSchedule
from base_ops.data_ingestion.specs.scheduler import PlanRunsSpec, instant
from base_ops.worker.context import Context, JobOutput

_CALENDAR_ENDS_SOON = timedelta(days=90)
_NAMED_RUNS = 5
_MINUTE = timedelta(minutes=1)


def plan_runs(spec: PlanRunsSpec, _ctx: Context, step: StepResult) -> JobOutput:
    """Observations: `runs` by schedule (how many, the first ones), `pools` as `airflow pools import` takes them,
    `deferred` by schedule, `disabled`, `held`.

    Raises:
        ConfigError: schedules.yaml is wrong, or a calendar does not reach over the horizon.
    """
    schedules, now = spec.rules, moment(spec.as_of)
    disabled = failing(schedules, spec.failures, now)
    runs = runs_ahead(schedules, now, now + timedelta(hours=spec.horizon_h), without=set(disabled))
    priority = {name: PRIORITIES[entry.priority] for name, entry in schedules.schedules.items()}
    held = held_back(schedules.limits, spec)
    step.observations = {
        "as_of": now.isoformat(),
        "runs": {name: _told(moments) for name, moments in runs.items()},
        "pools": pools(schedules),
        "deferred": dict(deferrals(runs, priority, schedules.limits.queue)),
        "disabled": list(disabled),
        "held": list(held),
    }
    step.findings = [
        *_dangling(schedules, spec.sources or ()),
        *_ending(schedules, now),
        *_disabled_findings(disabled, schedules),
    ]
    if not schedules.schedules:
        message = "There are no schedules: neither in spec.schedules nor in a schedules.yaml of the configuration"
        step.findings.append(Finding(code="no_schedules", severity="warning", message=message))
    if held:
        step.findings.append(Finding(code="runs_held", severity="warning", message=f"New runs wait: {', '.join(held)}"))
    step.events = [
        {"type": "schedule_disabled", "subject": name, "data": {"failures": n}} for name, n in disabled.items()
    ]
    step.events += [
        {"type": "job_scheduled", "subject": name, "data": {"at": moments[0].isoformat()}}
        for name, moments in runs.items()
        if moments
    ]
    return JobOutput(steps=[step])


def runs_ahead(
    schedules: SchedulesFile, start: datetime, end: datetime, *, without: set[str]
) -> dict[str, list[datetime]]:
    """The moments of every schedule by the clock, after `start` and up to `end`."""
    found = {}
    for name, entry in schedules.schedules.items():
        when = schedules.when(name)
        if entry.enabled and name not in without and isinstance(when, TimeSchedule):
            found[name] = list(moments_between(when, start, end))
    return found


def pools(schedules: SchedulesFile) -> dict[str, JsonValue]:
    """The pools in the form of `airflow pools import`; together they stay below the platform's limit."""
    return {
        airflow_pool(name): {
            "slots": pool.slots,
            "description": f"{pool.timeout_s:g} s, {pool.tries} tries",
            "include_deferred": True,
        }
        for name, pool in schedules.pools.items()
    }


def deferrals(runs: dict[str, list[datetime]], priority: dict[str, int], queue: int) -> Counter[str]:
    """How often each schedule is put off to the next minute, when more is due in one than the queue holds.

    Those of the lowest priority are put off, and none is refused.
    """
    due: defaultdict[datetime, list[tuple[int, str]]] = defaultdict(list)
    for name, moments in runs.items():
        for at in moments:
            due[at.replace(second=0, microsecond=0)].append((priority[name], name))
    put_off: Counter[str] = Counter()
    waiting: list[tuple[int, str]] = []
    minute = min(due, default=None)
    while minute is not None and (due or waiting):
        candidates = sorted([*waiting, *due.pop(minute, [])])
        waiting = candidates[queue:]
        put_off.update(name for _, name in waiting)
        minute = minute + _MINUTE if waiting else min(due, default=None)
    return put_off


def failing(schedules: SchedulesFile, failures: dict[str, tuple[str, ...]], now: datetime) -> dict[str, int]:
    """Schedules that have failed too often of late, with the number of failures.

    Raises:
        ConfigError: failures of a schedule that is not there.
    """
    unknown = sorted(set(failures) - set(schedules.schedules))
    if unknown:
        raise ConfigError(
            f"spec.failures names no schedule: {', '.join(unknown)}", code="unknown_schedule", where="spec.failures"
        )
    moments = {name: [instant(text) for text in texts] for name, texts in failures.items()}
    return {name: len(found) for name, found in moments.items() if schedules.disable.trips(found, now)}


def held_back(limits: LimitsSpec, now: PlanRunsSpec) -> list[str]:
    """What is too busy for new runs."""
    bounds = {
        "cpu_share": (now.cpu_share, limits.max_cpu_share),
        "memory_share": (now.memory_share, limits.max_memory_share),
        "io_bytes_per_s": (now.io_bytes_per_s, limits.max_io_bytes_per_s),
    }
    return [
        f"{name} {value:g} > {limit:g}"
        for name, (value, limit) in bounds.items()
        if value is not None and value > limit
    ]


def _told(moments: list[datetime]) -> dict[str, JsonValue]:
    return {"count": len(moments), "first": [at.isoformat() for at in moments[:_NAMED_RUNS]]}


def _dangling(schedules: SchedulesFile, sources: Sequence[str]) -> list[Finding]:
    """References to sources that no configuration defines."""
    known = {*sources, CACHE}
    named = {f"schedules.{name}.sources": set(entry.sources) for name, entry in schedules.schedules.items()}
    named |= {
        f"fallbacks.{source}": {source, *(f.source for f in given)} for source, given in schedules.fallbacks.items()
    }
    return [
        Finding(
            code="unknown_source",
            severity="warning",
            message=f"{key} names sources that are not configured: {', '.join(sorted(ids - known))}",
            data={"sources": sorted(ids - known)},
        )
        for key, ids in named.items()
        if ids - known
    ]


def _ending(schedules: SchedulesFile, now: datetime) -> list[Finding]:
    """Calendars that run out soon: a date outside is an error, so a new file must come before."""
    found = []
    for name, entry in schedules.schedules.items():
        last = last_vouched(entry.when) if isinstance(entry.when, TimeSchedule) else None
        if last is not None and last - now.date() < _CALENDAR_ENDS_SOON:
            message = f"schedules.{name}: its calendar ends on {last.isoformat()}"
            found.append(Finding(code="calendar_ends_soon", severity="warning", message=message))
    return found


def _disabled_findings(disabled: dict[str, int], schedules: SchedulesFile) -> list[Finding]:
    within = schedules.disable.within_s
    return [
        Finding(
            code="schedule_disabled",
            severity="error",
            message=f"{name} failed {schedules.disable.failures} times or more within {within:g} s: switched off",
        )
        for name, number in disabled.items()
    ]
