"""What must hold of the sources before a merge, and of its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.merge.conflicts import ConflictLog
from base_ops.worker.merge.files import Inputs
from base_ops.worker.merge.kernel import Kernel


def check(spec: MergerSpec, inputs: Inputs, kernel: Kernel, log: ConflictLog, merged: Path) -> list[Finding]:
    """What does not hold of spec.checks.

    Raises:
        BadInput: something does not, and checks.on_failure says refuse.
    """
    found = [*_sources(spec, inputs), *_result(spec, kernel, merged), *_conflicts(spec, kernel, log)]
    if found and spec.checks.on_failure == "refuse":
        raise BadInput(
            f"The merge of {spec.dataset} fails its checks: {'; '.join(f.message for f in found)}",
            code="merge_checks_failed",
            where=spec.dataset,
            todo="correct the sources, or loosen spec.checks",
        )
    return found


def _sources(spec: MergerSpec, inputs: Inputs) -> Iterator[Finding]:
    for source in inputs.sources:
        facts = [f for f in inputs.files if f.file.source == source]
        counted = [(nulls, f.rows) for f in facts for name, nulls in f.nulls.items() if name not in spec.key]
        cells = sum(rows for nulls, rows in counted if nulls is not None)
        empty = sum(nulls for nulls, _ in counted if nulls is not None)
        yield from _incomplete(spec, f"the source {source}", cells, empty)


def _result(spec: MergerSpec, kernel: Kernel, merged: Path) -> Iterator[Finding]:
    fields = [name for d in kernel.decisions for name in d.fields]
    with pq.ParquetFile(merged) as opened:
        footer = opened.metadata
    empty = 0
    names = [footer.schema.column(n).path for n in range(footer.num_columns)]
    counted = [n for n, name in enumerate(names) if name in fields]
    for group in range(footer.num_row_groups):
        chunks = [footer.row_group(group).column(n).statistics for n in counted]
        empty += sum(stats.null_count or 0 for stats in chunks if stats is not None)
    yield from _incomplete(spec, "the merged dataset", footer.num_rows * len(counted), empty)


def _incomplete(spec: MergerSpec, what: str, cells: int, empty: int) -> Iterator[Finding]:
    share = 1 - empty / cells if cells else 1.0
    if share < spec.checks.min_completeness:
        yield Finding(
            code="incomplete",
            severity="warning",
            message=f"{what} has a value in {share:.1%} of its cells, expected {spec.checks.min_completeness:.1%}",
            data={"of": what, "completeness": round(share, 4)},
        )


def _conflicts(spec: MergerSpec, kernel: Kernel, log: ConflictLog) -> Iterator[Finding]:
    said = kernel.contested * len(log.fields)
    conflicts = sum(tally.conflicts for tally in log.fields.values())
    share = conflicts / said if said else 0.0
    if share > spec.checks.max_inconsistency:
        worst = _worst(log)
        yield Finding(
            code="inconsistent",
            severity="warning",
            message=f"sources contradict each other in {share:.2%} of the values they share, expected at most "
            f"{spec.checks.max_inconsistency:.2%}; most often in {', '.join(worst)}",
            data={"inconsistency": round(share, 4), "fields": list(worst)},
        )


def _worst(log: ConflictLog) -> Sequence[str]:
    tallies = sorted(log.fields.values(), key=lambda t: (-t.conflicts, t.name))
    return [t.name for t in tallies if t.conflicts][:3]
