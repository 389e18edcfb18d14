"""data_ingestion.scheduler: when what runs, whether a source is there, and what the load will be; a file per action."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from base_ops.core.protocol import StepResult
from base_ops.data_ingestion.jobs.scheduler.availability import validate_source_availability
from base_ops.data_ingestion.jobs.scheduler.backfill import plan_backfill
from base_ops.data_ingestion.jobs.scheduler.fallbacks import discover_fallback_sources
from base_ops.data_ingestion.jobs.scheduler.plan import plan_runs
from base_ops.worker.context import Context, JobOutput

AGENT = "data_ingestion.scheduler"


def forecast_load(spec: Any, ctx: Context, step: StepResult) -> JobOutput:
    """The one action that needs polars and numpy; the others start without."""
    from base_ops.data_ingestion.jobs.scheduler import load

    return load.forecast_load(spec, ctx, step)


_ACTIONS: dict[str, Callable[[Any, Context, StepResult], JobOutput]] = {
    "validate_source_availability": validate_source_availability,
    "plan_runs": plan_runs,
    "plan_backfill": plan_backfill,
    "discover_fallback_sources": discover_fallback_sources,
    "forecast_load": forecast_load,
}


def run(spec: Any, ctx: Context) -> JobOutput:
    """Each action fills the step it is given."""
    began = time.perf_counter()
    step = StepResult(agent=AGENT, action=spec.action)
    output = _ACTIONS[spec.action](spec, ctx, step)
    step.seconds = round(time.perf_counter() - began, 3)
    return output
