"""Whether a source can be fetched from now: its market's calendar is asked first, then the source itself."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from pydantic import JsonValue

from base_ops.calendars.calendar import load_calendar
from base_ops.calendars.recurrence import recurrence
from base_ops.core.protocol import Finding, StepResult
from base_ops.data_ingestion.jobs.scheduler.now import moment
from base_ops.data_ingestion.options.schedules import MarketSchedule
from base_ops.data_ingestion.specs.connector import ConnectorSpec
from base_ops.data_ingestion.specs.scheduler import ValidateSourceAvailabilitySpec
from base_ops.worker.context import Context, JobOutput


def validate_source_availability(spec: ValidateSourceAvailabilitySpec, ctx: Context, step: StepResult) -> JobOutput:
    """Observations: available, reason, market_open, next_open, and what the connector found out.

    Raises:
        Transient, Denied, ConfigError: the source cannot be reached, as the connector tells it.
    """
    now = moment(spec.as_of)
    seen: dict[str, JsonValue] = {"source": spec.source.id, "as_of": now.isoformat()}
    if spec.market is not None:
        seen |= market_state(spec.market, now)
        if not seen["market_open"]:
            message = f"{spec.market} is closed; it opens at {seen['next_open']}"
            step.findings.append(Finding(code="market_closed", message=message))
    closed = seen.get("market_open") is False
    if not closed or spec.connect_when_closed:
        from base_ops.data_ingestion.jobs.connector import connect
        from base_ops.worker.backoff import Clock

        found = connect(ConnectorSpec(source=spec.source), ctx, Clock()).steps[0]
        seen["connection"] = found.observations
        step.findings += found.findings
    step.observations = {**seen, "available": not closed, "reason": "market closed" if closed else "answers"}
    return JobOutput(steps=[step])


def market_state(market: str, now: datetime) -> dict[str, JsonValue]:
    """Whether a market is open, and when it opens next.

    Raises:
        ConfigError: the calendar is not known, or says nothing about today.
    """
    is_open = load_calendar(market).session_at(now) is not None
    following = next(islice(recurrence(MarketSchedule(market=market, at=("open",))).after(now), 1))
    return {"market": market, "market_open": is_open, "next_open": following.isoformat()}
