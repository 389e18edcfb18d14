"""One input object through a chain: the commit key, the pass, what was set aside, and what is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.ids import commit_key, fingerprint
from base_ops.core.protocol import Counts, DataRef, Finding, StepResult
from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.context import Context
from base_ops.worker.engine.crew import SMALL_BYTES
from base_ops.worker.engine.onepass import PassResult, Stage, run_pass
from base_ops.worker.engine.plan import Reader, Step, fields_of, merge_values
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


@dataclass
class Units:
    """What is to be done with each input of a chain of bound steps, and where its output goes."""

    steps: list[Step]
    specs: list[Spec]
    ctx: Context
    target: str | None
    write: WriteSpec

    def is_small(self, item: Input) -> bool:
        """Whether it keeps no more than one core busy, and another process could publish it."""
        return self._is_staged and item.ref.bytes is not None and item.ref.bytes <= SMALL_BYTES

    @property
    def _is_staged(self) -> bool:
        """Whether the output goes to the lake, under commit keys; into a file of its own otherwise."""
        return self.target is None or self.target.startswith(STAGING)

    def _dataset(self, item: Input) -> str:
        return self.target.removeprefix(STAGING) if self.target else item.ref.name

    @cached_property
    def _work(self) -> list[Any]:
        """What is done with every input, as commit keys have it."""
        specs = [s.model_dump(mode="json", exclude={"source", "target"}) for s in self.specs]
        return [specs, [s.agent for s in self.steps], [getattr(s, "key_parts", None) for s in self.steps]]

    def key(self, item: Input) -> str:
        """The commit key of an input's output."""
        return commit_key(
            f"staging/{self._dataset(item)}",
            [item.ref.id],
            [*self._work, item.add, item.read, item.ref.source, item.ref.slice],
            self.ctx.code_version,
        )

    def do(self, item: Input) -> tuple[Manifest, bool]:
        """Publish the output of an input; also whether it had been published before.

        Raises:
            BadInput: it cannot be used.
        """
        if not self._is_staged:
            return self._to_file(item), False
        with self.ctx.lake.work(self._dataset(item), self.key(item)) as work:
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
