"""Chains of row-wise agents as a job: which inputs, one pass each, published piece by piece.

Every input object (landed object, staged part, or file) is one unit of work with its own commit key, so that a
repeated run converts nothing twice and one bad object does not hold back the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from base_ops.core.errors import BadInput, BaseOpsError
from base_ops.core.protocol import ColumnLineage, Finding, Lineage, StepResult
from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.engine.crew import ENOUGH, Crew, is_of_share, processes_for
from base_ops.worker.engine.plan import Step
from base_ops.worker.engine.unit import Input, Units
from base_ops.worker.lake.work import Manifest

Done = tuple[Manifest, bool] | BadInput
"""What came of an input: its manifest, and whether it was there before; or why it cannot be used."""


def run_chain(jobs: Sequence[Any], specs: Sequence[Spec], ctx: Context) -> JobOutput:
    """Run the steps over all inputs; raises after the last input if some could not be used."""
    steps: list[Step] = [job.step(spec, ctx) for job, spec in zip(jobs, specs, strict=True)]
    chain = Chain(Units(steps, list(specs), ctx, _target(specs), _write(specs)), may_share=True)
    first = jobs[0]
    inputs = first.inputs(specs[0], ctx) if hasattr(first, "inputs") else staged_inputs(specs[0], ctx)
    try:
        return chain.run(list(inputs))
    except BadInput as error:
        if ctx.request.stand_in and hasattr(first, "stand_in"):
            _stand_in(chain, *first.stand_in(specs[0], ctx), why=error.what)
        raise


def _stand_in(chain: Chain, source: str, upto: int, inputs: list[Input], *, why: str) -> None:
    """Hand on what the table has of a source, so that others can go on without what is new of it."""
    try:
        chain.units.ctx.handed_on = chain.run(inputs).outputs
    except BadInput as error:
        chain.units.ctx.log.error("Nothing can stand in for %s: %s", source, error.text())
    else:
        chain.units.ctx.leave_out(source, why, upto)


def staged_inputs(spec: Any, ctx: Context) -> Iterator[Input]:
    """Inputs of a chain that does not begin with the converter: the staged parts of the tasks before, or a file."""
    from base_ops.worker.formats.reading import file_input, staged_member

    if spec.source is not None:
        yield file_input(spec.source)
        return
    for ref in ctx.inputs:
        if ref.kind == "staging":
            yield Input(ref, lambda stack, scratch, ref=ref: iter([staged_member(ref, ctx.lake.store, stack, scratch)]))


def _target(specs: Sequence[Any]) -> str | None:
    for spec in reversed(specs):
        if getattr(spec, "target", None):
            return str(spec.target)
    return None


def _write(specs: Sequence[Any]) -> WriteSpec:
    return next((s.write for s in specs if hasattr(s, "write")), WriteSpec())


@dataclass
class Chain:
    """A chain over many inputs."""

    units: Units
    may_share: bool = False
    """Whether another process that is given the same Request would come to the same chain."""

    def run(self, inputs: list[Input]) -> JobOutput:
        steps = self.units.steps
        output = JobOutput(steps=[StepResult(agent=s.agent, action=s.action) for s in steps])
        failures: list[tuple[str, BaseOpsError]] = []
        columns: dict[str, ColumnLineage] = {}
        adopted = 0
        for item, done in self._all(inputs):
            if isinstance(done, BadInput):  # the other inputs go on; the task still fails at its end
                failures.append((item.ref.name or item.ref.uri, done))
                continue
            manifest, was_there = done
            adopted += was_there
            output.inputs.append(item.ref)
            output.outputs += manifest.outputs
            output.commit_keys.append(manifest.commit_key)
            columns.update({c.column: c for c in manifest.columns})
            for total, step in zip(output.steps, manifest.steps, strict=True):
                _accumulate(total, step)
        if failures:
            raise _one_of_many(failures, len(inputs))
        for step, total in zip(steps, output.steps, strict=True):
            if hasattr(step, "conclude"):
                step.conclude(total)
        output.adopted = bool(inputs) and adopted == len(inputs)
        if not inputs:
            output.steps[0].findings.append(Finding(code="nothing_new", message="there is nothing new to work on"))
        output.lineage = Lineage(
            inputs=sorted({r.source or r.name for r in output.inputs}),
            outputs=sorted({r.name for r in output.outputs}),
            columns=list(columns.values()),
        )
        return output

    def _all(self, inputs: list[Input]) -> list[tuple[Input, Done]]:
        """All inputs in their order, with what came of each; of a share of another's work, those of the share."""
        share = self.units.ctx.request.share
        if share is not None:
            return [(item, self._tried(item)) for item in inputs if self._falls_to(item, share)]
        done: dict[int, Done] = {}
        with ExitStack() as stack:
            crew: Crew | None = None
            worked_on = 0
            for number, item in enumerate(inputs):
                if crew is not None and self.units.is_small(item) and not self._falls_to(item, crew.share):
                    continue
                done[number] = one = self._tried(item)
                if isinstance(one, tuple) and one[1]:
                    continue
                worked_on += 1
                if worked_on == ENOUGH and (crew := self._crew(inputs[number + 1 :])) is not None:
                    stack.enter_context(crew)
            if crew is not None:
                crew.wait()
            for number, item in enumerate(inputs):
                if number not in done:
                    done[number] = self._tried(item)
        return [(item, done[number]) for number, item in enumerate(inputs)]

    def _crew(self, rest: list[Input]) -> Crew | None:
        """Others to share the rest with, if it is many small inputs."""
        ctx = self.units.ctx
        small = sum(self.units.is_small(item) for item in rest)
        cores = ctx.settings.threads or os.cpu_count() or 1
        processes = processes_for(small, cores, ctx.settings.memory_limit_mb)
        if processes == 1 or not self.may_share:
            return None
        ctx.log.info("%d processes share the remaining %d inputs", processes, len(rest))
        return Crew(ctx, processes)

    def _falls_to(self, item: Input, share: tuple[int, int]) -> bool:
        return self.units.is_small(item) and is_of_share(self.units.key(item), share)

    def _tried(self, item: Input) -> Done:
        try:
            return self.units.do(item)
        except BadInput as error:
            error.where = error.where or item.ref.name or item.ref.uri
            self.units.ctx.log.error("%s: %s", item.ref.name, error.text())
            return error


def _accumulate(total: StepResult, step: StepResult) -> None:
    total.counts = total.counts.plus(step.counts)
    total.seconds = round(total.seconds + step.seconds, 3)
    total.quarantine += step.quarantine
    total.findings += step.findings
    total.events += step.events
    for name, value in step.observations.items():
        known: Any = total.observations.get(name)
        if isinstance(value, dict):
            merged: dict[str, Any] = dict(known or {})
            for rule, rows in value.items():
                merged[rule] = merged.get(rule, 0) + rows  # type: ignore[operator]
            total.observations[name] = merged
        elif known is None:
            total.observations[name] = value
        elif name.startswith("min_"):
            total.observations[name] = min(known, value)
        elif name.startswith("max_"):
            total.observations[name] = max(known, value)
        else:
            total.observations[name] = known + value


def _one_of_many(failures: list[tuple[str, BaseOpsError]], total: int) -> BaseOpsError:
    if total == 1:
        return failures[0][1]
    lines = "; ".join(f"{name}: {error.text()}" for name, error in failures[:5])
    first = failures[0][1]
    return BadInput(
        f"{len(failures)} of {total} objects cannot be used; the others are staged",
        code=first.code,
        where=", ".join(name for name, _ in failures[:20]),
        found=lines,
        todo=first.todo,
    )
