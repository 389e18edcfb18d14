"""collector.reconstruct_from_multiple_sources: what one source owes, from all that have it."""

from __future__ import annotations

import time

from pydantic import JsonValue

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding, Lineage, StepResult
from base_ops.data_ingestion.jobs.collector.collect import AGENT, collect, event, hand_on
from base_ops.data_ingestion.specs.collector import CollectDataFromSourceSpec, ReconstructFromMultipleSourcesSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.context import Context, JobOutput


def reconstruct(spec: ReconstructFromMultipleSourcesSpec, ctx: Context, clock: Clock) -> JobOutput:
    """Collect from each source in turn; what one that fails has landed before and nobody has taken in still counts.

    Raises:
        the first failure, where fewer than `min_sources` have anything.
    """
    began = time.monotonic()
    step = StepResult(agent=AGENT, action=spec.action)
    output = JobOutput(steps=[step])
    failures: list[BaseOpsError] = []
    told: dict[str, JsonValue] = {}
    useful = 0
    for source in spec.sources:
        asked = CollectDataFromSourceSpec(source=source, dataset=spec.dataset)
        try:
            found = collect(asked, ctx, clock)
        except (Transient, Denied, BadInput, ConfigError) as error:
            failures.append(error)
            found = _landed_before(asked, ctx)
            message = f"{source.id} gives nothing now ({error.code}); {len(found.outputs)} objects landed earlier"
            step.findings.append(Finding(code="source_passed_over", severity="warning", message=message))
            told[source.id] = {"failed": error.code, "objects": len(found.outputs)}
            useful += bool(found.outputs)
        else:
            step.counts = step.counts.plus(found.steps[0].counts)
            told[source.id] = {"objects": len(found.outputs)}
            useful += 1
        output.outputs += found.outputs
        output.considered |= found.considered
    if useful < spec.min_sources:
        ctx.unfinished.append(step)
        raise failures[0]
    step.observations = {"sources": told, "handed_on": len(output.outputs)}
    if failures:
        step.events.append(event("fallback_activated", spec.sources[0].id, {"sources": dict(told)}))
    step.seconds = time.monotonic() - began
    output.lineage = Lineage(inputs=[s.id for s in spec.sources], outputs=[f"landing/{s.id}" for s in spec.sources])
    return output


def _landed_before(spec: CollectDataFromSourceSpec, ctx: Context) -> JobOutput:
    landing = ctx.landing(spec.source.id)
    last = landing.history().last
    outputs = hand_on(spec, ctx, landing, last)
    return JobOutput(steps=[], outputs=outputs, considered={spec.source.id: last} if outputs else {})
