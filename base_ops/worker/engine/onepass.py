"""The one-pass engine: a reader's batches through the plans of a chain of steps, into one sink."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import ColumnLineage, Counts, Finding
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.plan import POINTER, Batch, Check, Plan, Reader, Step, merge_values, refuse_patterns
from base_ops.worker.engine.sinks import write_batches
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.quarantine import Quarantine


@dataclass
class Stage:
    """One step of the chain while rows run through it."""

    step: Step
    plan: Plan
    counts: Counts = field(default_factory=Counts)
    violations: dict[str, int] = field(default_factory=dict)
    decided: dict[str, int] = field(default_factory=dict)
    """Rows on which a check came to a verdict, true or false."""
    observed: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def apply(self, frame: pl.DataFrame, number: int, object_uri: str, quarantine: Quarantine) -> pl.DataFrame:
        """Check, observe and transform one batch."""
        began = time.perf_counter()
        self.counts.rows_in += frame.height
        if self.plan.checks:
            frame = self._check(frame, number, object_uri, quarantine)
        if self.plan.observations:
            row = frame.select(o.expr.alias(o.name) for o in self.plan.observations).row(0)
            for observation, value in zip(self.plan.observations, row, strict=True):
                self.observed[observation.name] = merge_values(
                    observation.merge, self.observed.get(observation.name), value
                )
        if self.plan.transforms:
            frame = frame.with_columns(*self.plan.transforms)
        if self.plan.drop:
            frame = frame.drop(*self.plan.drop)
        self.counts.rows_out += frame.height
        self.seconds += time.perf_counter() - began
        return frame

    def _check(self, frame: pl.DataFrame, number: int, object_uri: str, quarantine: Quarantine) -> pl.DataFrame:
        checks = self.plan.checks
        verdicts = frame.select(c.violated.alias(f"r{i}") for i, c in enumerate(checks))
        flags = verdicts.select(pl.all().fill_null(False))
        sums = flags.sum().row(0)
        for check, violated, undecided in zip(checks, sums, verdicts.null_count().row(0), strict=True):
            self.violations[check.rule] = self.violations.get(check.rule, 0) + violated
            self.decided[check.rule] = self.decided.get(check.rule, 0) + frame.height - undecided
        rejecting = [i for i, c in enumerate(checks) if c.severity == "reject" and sums[i]]
        if not rejecting:
            return frame
        self._refuse_blocked([checks[i] for i in rejecting], object_uri)
        broken = flags.select(pl.any_horizontal(*(f"r{i}" for i in rejecting)).alias("bad"))["bad"]
        failed = frame.filter(broken)
        quarantine.add_failed(
            number,
            object_uri,
            failed,
            flags.select(f"r{i}" for i in rejecting).filter(broken),
            [checks[i] for i in rejecting],
        )
        self.counts.quarantined += failed.height
        return frame.filter(~broken)

    def _refuse_blocked(self, broken: Sequence[Check], object_uri: str) -> None:
        for check in broken:
            if check.block:
                raise BadInput(
                    f"The rule {check.rule!r} blocks the whole input: {check.reason}",
                    code="blocked_by_rule",
                    where=f"{object_uri}, {self.violations[check.rule]} records so far",
                    todo="correct the source, or set the rule's on_failure to quarantine or flag",
                )

    def refuse_by_share(self, object_uri: str) -> None:
        """Called at the end: rules that tolerate violations up to a share of the rows they decided on."""
        for check in self.plan.checks:
            broken, decided = self.violations.get(check.rule, 0), self.decided.get(check.rule, 0)
            if check.max_share is not None and broken > (check.max_share + 1e-9) * decided:
                raise BadInput(
                    f"The rule {check.rule!r} is broken too often: {check.reason}",
                    code="too_many_violations",
                    where=object_uri,
                    expected=f"at most {check.max_share:.2%} of the rows it decides on",
                    found=f"{broken} of {decided}",
                    todo="correct the source, or the rule's max_failure_share",
                )


@dataclass
class PassResult:
    """The account of one pass."""

    stages: list[Stage]
    schema: pl.Schema
    rows: int
    findings: list[Finding]
    columns: list[ColumnLineage]


def run_pass(
    reader: Reader,
    steps: Sequence[Step],
    target: Path,
    *,
    object_uri: str,
    dataset: str,
    kind: str,
    write: WriteSpec,
    quarantine: Quarantine,
    add: dict[str, str] | None = None,
    keep_pointer: bool = False,
) -> PassResult:
    """Read once, write once. Rows the reader refuses count as quarantined by the first step.

    `object_uri` is what quarantine points at, `dataset` the name that column lineage gives the input.
    """
    constants = [pl.lit(value).alias(name) for name, value in (add or {}).items()]
    # Plans see the very schema that batches will have; a zero-row frame tells it exactly.
    empty = pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64}).with_columns(*constants)
    lineage = {c: [c] for c in reader.schema}
    transformed: dict[str, str] = {}
    stages = []
    for step in steps:
        stage = Stage(step, step.plan(empty.schema))
        if stage.plan.checks or stage.plan.observations or stage.plan.transforms:
            refuse_patterns(empty.columns, object_uri)
        empty = stage.apply(empty, 0, object_uri, quarantine)
        stage.seconds = 0.0
        stage.observed.clear()
        for column, inputs in stage.plan.column_inputs.items():
            lineage[column] = [origin for name in inputs for origin in lineage.get(name, [])]
            transformed[column] = stage.plan.transformations.get(column, step.action)
        stages.append(stage)
    if not keep_pointer:
        empty = empty.drop(POINTER)

    def frames() -> Iterator[pl.DataFrame]:
        for batch in reader.batches():
            failpoint("pass.batch")
            yield _through(batch, stages, constants, object_uri, quarantine, keep_pointer)

    write_batches(frames(), empty.schema, target, kind, write)
    failpoint("pass.written")
    for stage in stages:
        stage.refuse_by_share(object_uri)
    findings = [*reader.findings, *(f for stage in stages for f in stage.plan.findings)]
    columns = [
        ColumnLineage(
            column=c,
            inputs=[(dataset, origin) for origin in lineage.get(c, [])],
            transformation=transformed.get(c, "identity" if c in lineage else "constant"),
        )
        for c in empty.columns
        if c != POINTER
    ]
    return PassResult(stages, empty.schema, stages[-1].counts.rows_out, findings, columns)


def _through(
    batch: Batch,
    stages: Sequence[Stage],
    constants: Sequence[pl.Expr],
    object_uri: str,
    quarantine: Quarantine,
    keep_pointer: bool,
) -> pl.DataFrame:
    refused = sum(r.records for r in batch.rejected)
    if refused:
        quarantine.add_refused(0, object_uri, batch.rejected)
        stages[0].counts.rows_in += refused
        stages[0].counts.quarantined += refused
        for record in batch.rejected:
            stages[0].violations[record.rule] = stages[0].violations.get(record.rule, 0) + record.records
    frame = batch.frame
    if constants:
        frame = frame.with_columns(*constants)
    for number, stage in enumerate(stages):
        frame = stage.apply(frame, number, object_uri, quarantine)
    return frame if keep_pointer else frame.drop(POINTER)
