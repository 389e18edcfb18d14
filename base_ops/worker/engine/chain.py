"""Chains of row-wise agents as a job: which inputs, one pass each, published piece by piece.

Every input object (landed object, staged part, or file) is one unit of work with its own commit key, so that a
repeated run converts nothing twice and one bad object does not hold back the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.core.errors import BadInput, BaseOpsError
from base_ops.core.ids import commit_key, fingerprint
from base_ops.core.protocol import ColumnLineage, Counts, DataRef, Finding, Lineage, StepResult
from base_ops.core.spec import Spec
from base_ops.data_ingestion.specs import WriteSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.engine.onepass import PassResult, Stage, run_pass
from base_ops.worker.engine.plan import Reader, Step, fields_of
from base_ops.worker.engine.sinks import format_of, publish_file
from base_ops.worker.lake.quarantine import Quarantine
from base_ops.worker.lake.store import Store, sha256_of
from base_ops.worker.lake.work import Manifest, Work

STAGING = "staging:"
OBJECT = "object"
"""Label of a staged part: the object whose lines its pointers count."""


@dataclass
class Member:
    """One readable part of an input: a file of a zip, or the input itself."""

    reader: Reader
    uri: str
    """What quarantine points at: the object's URI, with `!member` for a part of an archive."""


@dataclass
class Input:
    """One unit of work: an input object, how to open it, and what to add to its rows."""

    ref: DataRef
    open: Callable[[ExitStack, Path], Iterator[Member]]
    add: dict[str, str] = field(default_factory=dict)
    read: dict[str, Any] = field(default_factory=dict)
    """How it is read, as far as that changes the data: part of the commit key."""


def run_chain(jobs: Sequence[Any], specs: Sequence[Spec], ctx: Context) -> JobOutput:
    """Run the steps over all inputs; raises after the last input if some could not be used."""
    steps: list[Step] = [job.step(spec, ctx) for job, spec in zip(jobs, specs, strict=True)]
    chain = Chain(steps, list(specs), ctx, target=_target(specs), write=_write(specs))
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
        chain.ctx.handed_on = chain.run(inputs).outputs
    except BadInput as error:
        chain.ctx.log.error("Nothing can stand in for %s: %s", source, error.text())
    else:
        chain.ctx.leave_out(source, why, upto)


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
    """A chain of bound steps and where its output goes."""

    steps: list[Step]
    specs: list[Spec]
    ctx: Context
    target: str | None
    write: WriteSpec

    def run(self, inputs: list[Input]) -> JobOutput:
        output = JobOutput(steps=[StepResult(agent=s.agent, action=s.action) for s in self.steps])
        failures: list[tuple[str, BaseOpsError]] = []
        columns: dict[str, ColumnLineage] = {}
        adopted = 0
        for item in inputs:
            try:
                manifest, was_there = self._unit(item)
            except BadInput as error:  # the other inputs go on; the task still fails at its end
                error.where = error.where or item.ref.name or item.ref.uri
                failures.append((item.ref.name or item.ref.uri, error))
                self.ctx.log.error("%s: %s", item.ref.name, error.text())
                continue
            adopted += was_there
            output.inputs.append(item.ref)
            output.outputs += manifest.outputs
            output.commit_keys.append(manifest.commit_key)
            columns.update({c.column: c for c in manifest.columns})
            for total, step in zip(output.steps, manifest.steps, strict=True):
                _accumulate(total, step)
        if failures:
            raise _one_of_many(failures, len(inputs))
        for step, total in zip(self.steps, output.steps, strict=True):
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

    # -- one unit

    def _unit(self, item: Input) -> tuple[Manifest, bool]:
        spec_dump = [s.model_dump(mode="json", exclude={"source", "target"}) for s in self.specs]
        key_parts = [getattr(s, "key_parts", None) for s in self.steps]
        if self.target is not None and not self.target.startswith(STAGING):
            return self._to_file(item), False
        dataset = self.target.removeprefix(STAGING) if self.target else item.ref.name
        key = commit_key(
            f"staging/{dataset}",
            [item.ref.id],
            [spec_dump, [s.agent for s in self.steps], key_parts, item.add, item.read, item.ref.source, item.ref.slice],
            self.ctx.code_version,
        )
        with self.ctx.lake.work(dataset, key) as work:
            if work.published is not None:
                return work.published, True
            return self._to_staging(item, work), False

    def _to_staging(self, item: Input, work: Work) -> Manifest:
        folder = f"quarantine/{work.dataset}/{work.commit_key}/{work.attempt}"
        quarantine = Quarantine(work.store, folder, work.scratch, self.ctx.request.sensitive_columns)
        outputs: list[DataRef] = []
        passes: list[PassResult] = []
        with ExitStack() as stack:
            for number, member in enumerate(item.open(stack, work.scratch)):
                local = work.scratch_file(f"part-{number}.parquet")
                done = self._pass(item, member, local, "parquet", quarantine, keep_pointer=True)
                passes.append(done)
                entry = work.add(local, rows=done.rows)
                fields = fields_of(done.schema)
                outputs.append(
                    DataRef(
                        id=work.commit_key if number == 0 else fingerprint(work.commit_key, number)[:40],
                        kind="staging",
                        uri=work.uri(entry),
                        name=work.dataset,
                        source=item.ref.source,
                        slice=item.ref.slice,
                        rows=done.rows,
                        bytes=entry.bytes,
                        sha256=entry.sha256,
                        schema_fingerprint=fingerprint([f.model_dump() for f in fields]),
                        fields=fields,
                        sequence=item.ref.sequence,
                        labels={**item.ref.labels, OBJECT: item.ref.labels.get(OBJECT, member.uri)},
                    )
                )
        steps = self._account(item, passes, quarantine)
        return work.publish(outputs, steps, [item.ref.id], passes[0].columns if passes else [])

    def _to_file(self, item: Input) -> Manifest:
        """Stand-alone use: one file in, one file out, atomically; rejected records beside it."""
        import tempfile

        assert self.target is not None
        kind = format_of(self.target, self.write)
        parent, _, name = self.target.rpartition("/")
        store = Store(parent or ".")
        attempt = self.ctx.identity.attempt
        if store.is_local:
            Path(store.url).mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            scratch = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(prefix=".base-ops-", dir=store.url if store.is_local else None)
                )
            )
            quarantine = Quarantine(store, f"{name}.quarantine/{attempt}", scratch, self.ctx.request.sensitive_columns)
            members = item.open(stack, scratch)
            member = next(members)
            local = scratch / name
            done = self._pass(item, member, local, kind, quarantine, keep_pointer=False)
            if next(members, None) is not None:
                raise BadInput(
                    f"{item.ref.name} holds several files; one target cannot hold them all",
                    code="several_members",
                    todo="unpack it and convert its files one by one, or use it as a source of a pipeline",
                )
            steps = self._account(item, [done], quarantine)
            ref = file_ref(local, store.uri(name), name, done.schema, done.rows)
            publish_file(kind, local, store, name, done.schema)
        return Manifest(
            commit_key="",
            dataset=name,
            attempt=attempt,
            files=[],
            outputs=[ref],
            steps=steps,
            inputs=[item.ref.id],
            columns=done.columns,
        )

    def _pass(
        self, item: Input, member: Member, local: Path, kind: str, quarantine: Quarantine, *, keep_pointer: bool
    ) -> PassResult:
        return run_pass(
            member.reader,
            self.steps,
            local,
            object_uri=member.uri,
            dataset=item.ref.source or item.ref.name,
            kind=kind,
            write=self.write,
            quarantine=quarantine,
            add=item.add,
            keep_pointer=keep_pointer,
        )

    def _account(self, item: Input, passes: list[PassResult], quarantine: Quarantine) -> list[StepResult]:
        refs = quarantine.finish()
        results = []
        for number, step in enumerate(self.steps):
            stages = [p.stages[number] for p in passes]
            counts = Counts()
            for stage in stages:
                counts = counts.plus(stage.counts)
            self._check_share(number, counts, item, quarantine, refs.get(number, []))
            result = StepResult(agent=step.agent, action=step.action, counts=counts)
            result.seconds = round(sum(s.seconds for s in stages), 3)
            result.quarantine = refs.get(number, [])
            result.observations = _observations(stages)
            result.findings = [f for p in passes for f in p.findings] if number == 0 else []
            result.events = [_raw_text(item, f) for f in result.findings if f.code == "raw_text"]
            results.append(result)
        results[0].counts.bytes_in = item.ref.bytes or 0
        return results

    def _check_share(self, number: int, counts: Counts, item: Input, quarantine: Quarantine, refs: list[Any]) -> None:
        spec: Any = self.specs[number]
        limit = getattr(spec, "bad_rows_share", getattr(spec, "max_failure_share", 1.0))
        if counts.quarantined <= limit * counts.rows_in:
            return
        reasons = "; ".join(f"{r.rows} × {r.rule} ({r.reason})" for r in refs[:5])
        raise BadInput(
            f"{counts.quarantined} of {counts.rows_in} records cannot be used, so nothing of the object is published",
            code="too_many_errors",
            where=f"{item.ref.name or item.ref.uri}, {self.steps[number].agent}; records listed in {quarantine.uri}",
            expected=f"at most {limit:.2%}",
            found=f"{counts.quarantined / max(counts.rows_in, 1):.2%}: {reasons}",
            todo="look at the listed records; correct the source, its read options, or the limit",
        )


def _raw_text(item: Input, finding: Finding) -> dict[str, Any]:
    """The event of an object of no known format, of which only the lines are kept."""
    return {"type": "raw_text_kept", "subject": item.ref.name or item.ref.uri, "data": dict(finding.data)}


def _observations(stages: list[Stage]) -> dict[str, Any]:
    from base_ops.worker.engine.plan import merge_values

    found: dict[str, Any] = {}
    violations: dict[str, int] = {}
    for stage in stages:
        merges = {o.name: o.merge for o in stage.plan.observations}
        for name, value in stage.observed.items():
            found[name] = merge_values(merges[name], found.get(name), value)
        for rule, rows in stage.violations.items():
            violations[rule] = violations.get(rule, 0) + rows
    if violations:
        found["violations"] = violations
    return found


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


def file_ref(local: Path, uri: str, name: str, schema: pl.Schema, rows: int) -> DataRef:
    """The reference of a finished file outside the lake, named by its content."""
    fields = fields_of(schema)
    digest = sha256_of(local)
    return DataRef(
        id=digest,
        kind="file",
        uri=uri,
        name=name,
        rows=rows,
        bytes=local.stat().st_size,
        sha256=digest,
        schema_fingerprint=fingerprint([f.model_dump() for f in fields]),
        fields=fields,
    )


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
