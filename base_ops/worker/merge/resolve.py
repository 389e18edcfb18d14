"""Duplicates among the merged rows: found, listed, and dealt with as the spec says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.duplicates import DuplicatesSpec
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.engine.sinks import write_batches
from base_ops.worker.merge.files import DUPLICATES, PART

_ROWS = 122_880


@dataclass(frozen=True)
class Resolved:
    """What became of the merged rows."""

    schema: pl.Schema
    removed: int
    finding: Finding


def resolve(
    scratch: Path, spec: MergerSpec, *, memory_limit_mb: int, threads: int, own: Sequence[str] = ()
) -> Resolved:
    """Find duplicates in PART, write DUPLICATES, and PART anew where rows change.

    DUPLICATES has a row for each record that is not the survivor of its cluster: its key, `of_<key>` of the survivor,
    probability, rule.

    Args:
        own: columns that the merge added, which say nothing of a record.
    """
    from base_ops.worker.merge.duplicates import act, find

    assert spec.duplicates is not None
    wanted = _without(spec.duplicates, own)
    part = scratch / PART
    found = find(part, wanted, scratch, memory_limit_mb=memory_limit_mb, threads=threads)
    lost = found.records.filter(pl.col("row") != pl.col("of"))
    keys = pl.scan_parquet(part, glob=False).select(pl.col(list(spec.key))).collect()
    mine, survivor = keys[lost["row"]], keys[lost["of"]]
    listed = mine.hstack([column.alias(f"of_{column.name}") for column in survivor.iter_columns()])
    listed = listed.hstack([lost["probability"], lost["rule"]])
    listed.write_parquet(scratch / DUPLICATES, compression="zstd", compression_level=1)
    rows = pl.scan_parquet(part, glob=False)
    schema, removed = rows.collect_schema(), 0
    if wanted.action != "keep_all":
        made = act(rows, found, wanted)
        schema, target = made.collect_schema(), scratch / f"resolved-{PART}"
        batches = made.collect_batches(chunk_size=_ROWS, maintain_order=True)
        write_batches(iter(batches), schema, target, "parquet", WriteSpec(), _ROWS)
        target.replace(part)
        removed = lost.height if wanted.action == "delete" else 0
    done = {"delete": "removed", "merge_and_mark": "marked", "keep_all": "left as they are"}[wanted.action]
    clusters = found.observations["clusters"]
    finding = Finding(
        code="duplicates",
        message=f"{lost.height:,} records are duplicates of others ({clusters:,} groups) and were {done}",
        data={"action": wanted.action, **found.observations},
    )
    return Resolved(schema, removed, finding)


def _without(spec: DuplicatesSpec, own: Sequence[str]) -> DuplicatesSpec:
    """The spec, with the merge's own columns left out of the comparison."""
    rule = spec.probabilistic
    if rule is None:
        return spec
    columns = {**dict.fromkeys(own, "ignore"), **rule.columns}
    return spec.model_copy(update={"probabilistic": rule.model_copy(update={"columns": columns})})
