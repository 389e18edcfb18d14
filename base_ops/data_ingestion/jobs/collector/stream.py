"""collector.process_streaming_data: a stream for a bounded time, part by part, in one job.

Each part lands (its offsets with it, in one log entry), is worked on by the agents of `then`, and is in the table
before the next one begins. Killed at any point, the next run goes on behind the last entry and first hands on what the
table has not taken in: nothing is missed and nothing doubled.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from base_ops.core.errors import BaseOpsError
from base_ops.core.protocol import Lineage, Result, StepRequest, StepResult
from base_ops.data_ingestion.jobs.collector.collect import AGENT, collect
from base_ops.data_ingestion.specs.collector import CollectDataFromSourceSpec, ProcessStreamingDataSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.failpoints import failpoint
from base_ops.worker.inside import result_of, run_inside

_MOST_FINDINGS = 100


def process(spec: ProcessStreamingDataSpec, ctx: Context, clock: Clock) -> JobOutput:
    """Outputs: the table after the last part. Observations: parts, and seconds from landed to stored.

    Raises:
        what a part raises; the parts before it are stored, its own has landed.
    """
    began = time.monotonic()
    asked = CollectDataFromSourceSpec(source=spec.source, dataset=spec.dataset)
    stages = [[_request(part.agent, part.spec) for part in stage] for stage in spec.then]
    _get_ready(stages)
    loop = Loop(spec, ctx)
    try:
        while loop.goes_on(time.monotonic() - began):
            part = collect(asked, ctx, clock)
            loop.take(part, stages)
    except BaseOpsError:
        ctx.unfinished.extend(loop.steps())
        raise
    output = loop.output
    output.steps = loop.steps()
    output.steps[0].seconds = time.monotonic() - began
    output.lineage = Lineage(inputs=[spec.source.id], outputs=[spec.dataset])
    return output


def _request(agent: str, spec: dict[str, JsonValue]) -> StepRequest:
    from base_ops.core.ids import AgentId
    from base_ops.core.spec import action_specs, spec_type

    action = str(spec.get("action") or next(iter(action_specs(spec_type(AgentId.parse(agent))))))
    return StepRequest(agent=agent, action=action, spec={k: v for k, v in spec.items() if k != "action"})


def _p95(waits: Sequence[float]) -> float:
    found = sorted(waits) or [0.0]
    return round(found[int(0.95 * (len(found) - 1))], 3)


def _get_ready(stages: Sequence[Sequence[StepRequest]]) -> None:
    """Import what the first part will need before the stream is asked: what comes meanwhile would wait for it."""
    from base_ops.worker.main import job_module

    for module in ("base_ops.worker.formats.reading", "base_ops.worker.lake.tables"):
        importlib.import_module(module)
    for step in (step for stage in stages for step in stage):
        job_module(step.agent)


@dataclass
class Loop:
    """What the parts came to so far."""

    spec: ProcessStreamingDataSpec
    ctx: Context
    output: JobOutput = field(default_factory=lambda: JobOutput(steps=[]))
    parts: int = 0
    idle: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds from landed to stored, of each part that brought something."""
    stage_waits: dict[str, list[float]] = field(default_factory=dict)
    """The same of each stage of `then`, by the action of its last agent."""
    _totals: list[StepResult] = field(default_factory=list)

    def goes_on(self, elapsed_s: float) -> bool:
        """Whether another part may begin."""
        spec = self.spec
        return (
            elapsed_s < spec.max_seconds
            and (spec.max_parts is None or self.parts < spec.max_parts)
            and (spec.idle_parts is None or self.idle < spec.idle_parts)
            and not self._is_paused()
        )

    def take(self, part: JobOutput, stages: Sequence[Sequence[StepRequest]]) -> None:
        """Work on one part to its end."""
        self.parts += 1
        if not self.output.considered:
            self.output.cursor_before = part.cursor_before
        self.output.cursor_after = part.cursor_after
        self.output.considered |= part.considered
        landed, steps = time.monotonic(), list(part.steps)
        brought = part.outputs or steps[0].observations.get("dead_letters")
        self.idle = 0 if brought else self.idle + 1
        if part.outputs:
            failpoint("stream.landed")
            before: Result = result_of(self.ctx, part)
            for stage in stages:
                began = time.monotonic()
                before = run_inside(self.ctx, stage, [before])
                self.stage_waits.setdefault(stage[-1].action, []).append(time.monotonic() - began)
                steps += before.steps
                self.output.commit_keys += before.commit_keys
            self.output.outputs = before.outputs
            self.waits.append(time.monotonic() - landed)
            failpoint("stream.stored")
        self._add(steps)

    def steps(self) -> list[StepResult]:
        """One account per agent, over all parts."""
        first = self._totals[0] if self._totals else StepResult(agent=AGENT, action=self.spec.action)
        stages: dict[str, JsonValue] = {action: _p95(waits) for action, waits in self.stage_waits.items()}
        first.observations |= {
            "parts": self.parts,
            "parts_with_data": len(self.waits),
            "landed_to_stored_s_p95": _p95(self.waits),
            "landed_to_stored_s_max": round(max(self.waits, default=0.0), 3),
            "stage_s_p95": stages,
        }
        return self._totals or [first]

    def _is_paused(self) -> bool:
        """As many dead letters wait as the source allows: asking again would be refused."""
        found = self._totals[0].findings if self._totals else []
        return any(finding.code == "dead_letters_full" for finding in found)

    def _add(self, steps: Sequence[StepResult]) -> None:
        for number, step in enumerate(steps):
            if number == len(self._totals):
                action = self.spec.action if number == 0 else step.action
                self._totals.append(StepResult(agent=step.agent, action=action))
            total = self._totals[number]
            total.counts = total.counts.plus(step.counts)
            total.seconds = round(total.seconds + step.seconds, 3)
            total.quarantine += step.quarantine
            total.events += step.events
            known = {finding.code for finding in total.findings}
            fresh = [f for f in step.findings if f.code not in known or f.severity != "info"]
            total.findings += fresh[: max(0, _MOST_FINDINGS - len(total.findings))]
            for name, value in step.observations.items():
                before = total.observations.get(name, 0)
                plain = isinstance(value, (int, float)) and isinstance(before, (int, float))
                sums = plain and name not in ("rows", "version", "dead_letters_waiting")
                total.observations[name] = value + before if sums else value  # type: ignore[operator]
