"""The past in chunks: none longer than the policy says, none without a session, no more in all than allowed."""

from __future__ import annotations

from datetime import datetime, timedelta

from base_ops.calendars.calendar import Calendar, load_calendar
from base_ops.core.errors import ConfigError
from base_ops.core.protocol import StepResult
from base_ops.data_ingestion.options.schedule_policies import BackfillPolicy
from base_ops.data_ingestion.specs.scheduler import PlanBackfillSpec, instant
from base_ops.worker.context import Context, JobOutput


def plan_backfill(spec: PlanBackfillSpec, _ctx: Context, step: StepResult) -> JobOutput:
    """Observations: chunks (start, end), how many run at once, and in which pool.

    Raises:
        ConfigError: longer than the policy allows.
    """
    policy = spec.rules.backfill
    calendar = load_calendar(spec.market) if spec.market else None
    found = chunks(instant(spec.start), instant(spec.end), policy, calendar)
    step.observations = {
        "chunks": [[start.isoformat(), end.isoformat()] for start, end in found],
        "parallel": policy.parallel,
        "pool": policy.pool,
    }
    return JobOutput(steps=[step])


def chunks(
    start: datetime, end: datetime, policy: BackfillPolicy, calendar: Calendar | None
) -> list[tuple[datetime, datetime]]:
    """Stretches that follow on each other, the oldest first.

    Args:
        calendar: chunks in which it has no session are left out.

    Raises:
        ConfigError: longer than the policy allows.
    """
    if end - start > timedelta(days=policy.max_days):
        raise ConfigError(
            "The backfill is longer than the policy allows",
            code="backfill_too_long",
            where="spec.start, spec.end",
            expected=f"at most {policy.max_days} days (backfill.max_days)",
            found=f"{(end - start).total_seconds() / 86_400:g} days",
            todo="backfill in several goes, or raise backfill.max_days in schedules.yaml",
        )
    found = []
    while start < end:
        until = min(start + timedelta(days=policy.chunk_days), end)
        if calendar is None or _has_session(calendar, start, until):
            found.append((start, until))
        start = until
    return found


def _has_session(calendar: Calendar, start: datetime, end: datetime) -> bool:
    first, last = (moment.astimezone(calendar.zone).date() for moment in (start, end))
    near = calendar.sessions(first, min(last + timedelta(days=1), calendar.last))
    return any(session.open < end and session.close > start for session in near)
