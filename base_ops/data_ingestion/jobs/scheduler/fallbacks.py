"""What to fetch from instead of a source that is not there: other sources by quality, then what was fetched last."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue

from base_ops.core.protocol import Finding, StepResult
from base_ops.data_ingestion.jobs.scheduler.now import moment
from base_ops.data_ingestion.options.schedule_policies import CACHE, FallbackSpec
from base_ops.data_ingestion.specs.scheduler import DiscoverFallbackSourcesSpec, instant
from base_ops.worker.context import Context, JobOutput


def discover_fallback_sources(spec: DiscoverFallbackSourcesSpec, ctx: Context, step: StepResult) -> JobOutput:
    """Observations: `fallbacks`, best first, each with quality, whether it is degraded, and why it is left out."""
    policy, now = spec.rules, moment(spec.as_of)
    given = sorted(policy.fallbacks.get(spec.source, ()), key=lambda item: -item.quality) or _of_the_same_type(spec)
    offered: list[JsonValue] = []
    left_out: dict[str, JsonValue] = {}
    for item in given:
        why_not = _why_not(item, spec, ctx, now)
        if why_not is not None:
            left_out[item.source] = why_not
            continue
        degraded = item.quality < policy.min_fallback_quality
        offered.append({"source": item.source, "quality": item.quality, "degraded": degraded})
    step.observations = {"source": spec.source, "fallbacks": offered, "left_out": left_out}
    if not offered:
        message = f"There is nothing to fetch from instead of {spec.source}"
        step.findings.append(Finding(code="no_fallback", severity="warning", message=message, data=dict(left_out)))
    else:
        step.events.append({"type": "fallback_activated", "subject": spec.source, "data": {"fallbacks": offered}})
    return JobOutput(steps=[step])


def _of_the_same_type(spec: DiscoverFallbackSourcesSpec) -> list[FallbackSpec]:
    """Where no fallback is declared: sources of the same type of data, none of them vouched for."""
    return [FallbackSpec(source=name, quality=0.0) for name in spec.stand_ins or ()]


def _why_not(item: FallbackSpec, spec: DiscoverFallbackSourcesSpec, ctx: Context, now: datetime) -> str | None:
    if item.source in spec.tried:
        return "tried already"
    if item.source != CACHE:
        return None if item.source in (spec.sources or ()) else "no source of this id is configured"
    age = _cache_age_s(spec.source, ctx, now)
    if age is None:
        return "nothing has been fetched yet"
    return None if age <= spec.max_cache_age_s else f"{age:.0f} s old, at most {spec.max_cache_age_s:.0f} s"


def _cache_age_s(source: str, ctx: Context, now: datetime) -> float | None:
    landed = [entry.landed_at for entry in ctx.landing(source).entries() if entry.objects and entry.landed_at]
    return max(0.0, (now - instant(landed[-1])).total_seconds()) if landed else None
