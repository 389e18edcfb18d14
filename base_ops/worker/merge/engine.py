"""The stream from the files to the merged file and its conflict log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.core.protocol import ColumnLineage, Finding
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.engine.plan import POINTER, Check
from base_ops.worker.engine.sinks import write_batches
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.quarantine import Quarantine
from base_ops.worker.merge.arrival import Arrival
from base_ops.worker.merge.checks import check
from base_ops.worker.merge.conflicts import ConflictLog, FieldConflicts
from base_ops.worker.merge.decisions import Decision, Order, decide, main_order
from base_ops.worker.merge.files import CONFLICTS, PART, FileFacts, Inputs, SourceFile, inspect
from base_ops.worker.merge.kernel import Kernel
from base_ops.worker.merge.prepare import prepare
from base_ops.worker.merge.resolve import resolve
from base_ops.worker.merge.streams import OutOfOrder, Plan, batches, merged_pieces, side_by_side, sorted_pieces
from base_ops.worker.merge.trusting import learned, trust_findings
from base_ops.worker.secrets import MASK

NULL_KEY = "null_key"
_ROWS_PER_GROUP = 122_880
_AT_ONCE = 2
"""Batches decided side by side: what is written and read meanwhile takes the other cores."""


@dataclass(frozen=True)
class Merged:
    """What a merge did. The files lie in the scratch folder it was given, as PART and CONFLICTS."""

    schema: pl.Schema
    sources: tuple[str, ...]
    """The sources that lineage columns count, from 0."""
    lineage: dict[str, str]
    """Field → its lineage column; fields decided together share one."""
    rows_in: int
    rows_out: int
    quarantined: int
    merged_away: int
    conflicts: tuple[FieldConflicts, ...]
    conflict_rows: int
    columns: tuple[ColumnLineage, ...]
    findings: tuple[Finding, ...] = ()


def merge(
    files: Sequence[SourceFile],
    spec: MergerSpec,
    scratch: Path,
    quarantine: Quarantine,
    *,
    sensitive: Collection[str] = (),
    memory_limit_mb: int = 1400,
    threads: int = 0,
) -> Merged:
    """Merge files into one, byte for byte the same whenever the same records come in.

    Rows come out sorted by key: keys, then fields in order of appearance, then (spec.lineage) one UInt8 column
    `_src_<field>` per decision, named after its first field: the winner's number in `sources`, 255 where several
    sources contributed, null where none has such a column or value.

    Args:
        scratch: folder the two files are written to, and where memory spills to.
        quarantine: takes the records with a null in their key.
        sensitive: columns whose values no log may show.
        memory_limit_mb: what the process may use in all, MiB.
        threads: of the engine; 0 = all cores.

    Raises:
        BadInput, ConfigError: see `inspect` and `decide`; Transient where memory and disk do not suffice.
    """
    prepared = prepare(files, spec, scratch)
    near = spec.time.column if spec.time is not None and spec.time.tolerance_s is not None else None
    key = spec.key if near is None else (*(name for name in spec.key if name != near), near)
    inputs = inspect(prepared.files, key, spec.priority, prepared.rename)
    decisions = decide(spec, inputs)
    quarantined = _set_aside(inputs, spec, quarantine, sensitive)
    arrival = Arrival.of(inputs)
    plan = Plan(
        inputs,
        key,
        arrival,
        Order(earliest=True) if spec.strategy == "append" else main_order(decisions),
        tolerance_s=spec.time.tolerance_s if spec.time is not None else None,
        append=spec.strategy == "append",
    )
    trust = learned(files, prepared.rename, spec, decisions)
    failpoint("merge.before_read")

    def attempt(pieces_of: Callable[[Any, Plan], Iterator[pl.DataFrame]]) -> tuple[Kernel, ConflictLog]:
        with (
            ConflictLog(scratch / CONFLICTS, inputs, spec, decisions, arrival, sensitive) as log,
            _session(inputs, scratch, memory_limit_mb, threads, pieces_of) as connection,
        ):
            kernel = Kernel(inputs, key, decisions, log, lineage=spec.lineage, near=near, trust=trust)
            pieces = pieces_of(connection, plan)
            failpoint("merge.before_write")
            ordered = pieces_of is sorted_pieces and plan.tolerance_s is None  # else by time within a group
            order = plan.order if ordered else None
            with (
                closing(batches(pieces, plan, order)) as stream,
                closing(side_by_side(kernel.decide, stream, _AT_ONCE)) as verdicts,
            ):
                rows = _watched(map(kernel.settle, verdicts))
                write_batches(rows, kernel.schema, scratch / PART, "parquet", WriteSpec(), _ROWS_PER_GROUP)
        return kernel, log

    try:
        kernel, log = attempt(merged_pieces if plan.seems_sorted else sorted_pieces)
    except OutOfOrder:
        kernel, log = attempt(sorted_pieces)
    failpoint("merge.after_write")
    findings = [*prepared.findings, *trust_findings(trust), *check(spec, inputs, kernel, log, scratch / PART)]
    schema, rows_out = kernel.schema, kernel.rows_out
    if spec.duplicates is not None:
        found = resolve(
            scratch, spec, memory_limit_mb=memory_limit_mb, threads=threads, own=tuple(set(schema) - set(inputs.schema))
        )
        schema, rows_out = found.schema, rows_out - found.removed
        findings.append(found.finding)
    return Merged(
        schema=schema,
        sources=inputs.sources,
        lineage={name: d.lineage for d in decisions for name in d.fields} if spec.lineage else {},
        rows_in=inputs.rows,
        rows_out=rows_out,
        quarantined=quarantined,
        merged_away=kernel.rows_in - rows_out,
        conflicts=tuple(log.fields[name] for name in kernel.schema if name in log.fields),
        conflict_rows=log.rows,
        columns=_column_lineage(inputs, decisions, spec),
        findings=tuple(findings),
    )


def _session(inputs: Inputs, scratch: Path, memory_limit_mb: int, threads: int, pieces_of: Any) -> Any:
    """The sorting engine, where it is needed: it takes a moment to load."""
    if pieces_of is not sorted_pieces:
        return nullcontext()
    from base_ops.worker.merge.rows import session

    return session(inputs, scratch, memory_limit_mb, threads)


def _watched(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        failpoint("merge.batch")
        yield frame


def _set_aside(inputs: Inputs, spec: MergerSpec, quarantine: Quarantine, sensitive: Collection[str]) -> int:
    """Put the records that have a null in their key into the quarantine; how many there are."""
    total = 0
    for fact in inputs.files:
        keys = [name for name in spec.key if name in fact.may_be_null]
        if not keys:
            continue
        checks = [
            Check(NULL_KEY, pl.lit(True), f"the key column {name} is null: the record names nothing", name)
            for name in keys
        ]
        lacking = pl.any_horizontal(pl.col(fact.origin[name]).is_null() for name in keys)
        rows = pl.scan_parquet(fact.file.path, row_index_name=None if fact.has_pointer else POINTER, row_index_offset=1)
        for batch in rows.filter(lacking).collect_batches(chunk_size=50_000, maintain_order=True):
            total += batch.height
            flags = batch.select(pl.col(fact.origin[name]).is_null().alias(f"f{n}") for n, name in enumerate(keys))
            quarantine.add_failed(0, fact.file.uri, _shown(batch, fact, sensitive), flags, checks)
    return total


def _shown(rows: pl.DataFrame, fact: FileFacts, sensitive: Collection[str]) -> pl.DataFrame:
    """Rows under the names of the merged dataset, so that policy finds a column by either of its names."""
    masked = [pl.lit(MASK).alias(old) for old in fact.origin.values() if old in sensitive]
    return rows.with_columns(*masked, pl.col(POINTER).cast(pl.Int64)).rename(
        {old: new for new, old in fact.origin.items()}
    )


def _column_lineage(inputs: Inputs, decisions: Sequence[Decision], spec: MergerSpec) -> tuple[ColumnLineage, ...]:
    rules = {name: d.rule for d in decisions for name in d.fields}
    made = []
    for name in inputs.schema:
        origins = {(inputs.sources[b.source], b.origin[name]): None for b in inputs.branches if name in b.schema}
        made.append(ColumnLineage(column=name, inputs=list(origins), transformation=rules.get(name, "identity")))
    if spec.lineage:
        for decision in decisions:
            by = [
                (source, column)
                for name in decision.fields
                for source, column in made[list(inputs.schema).index(name)].inputs
            ]
            made.append(ColumnLineage(column=decision.lineage, inputs=by, transformation="lineage"))
    return tuple(made)
