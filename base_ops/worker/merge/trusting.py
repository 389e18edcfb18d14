"""Learning how far the sources can be trusted, before the pass that decides by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from base_ops.core.protocol import Finding
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.merge.decisions import Decision
from base_ops.worker.merge.files import SourceFile
from base_ops.worker.merge.prepare import in_windows
from base_ops.worker.merge.truth import SourceTrust, learn_frames


def learned(
    files: Sequence[SourceFile],
    rename: Mapping[str, Mapping[str, str]],
    spec: MergerSpec,
    decisions: Sequence[Decision],
) -> SourceTrust | None:
    """What the files tell of their sources; None where no decision asks.

    All records are looked at, also those of other shards: all shards then trust alike.
    """
    fields = [name for decision in decisions if decision.trusts for name in decision.fields]
    if not fields:
        return None
    by_source: dict[str, list[pl.LazyFrame]] = {}
    for file in files:
        by_source.setdefault(file.source, []).append(_records(file, rename.get(file.source, {}), spec))
    frames = {source: pl.concat(parts, how="diagonal_relaxed") for source, parts in by_source.items()}
    return learn_frames(frames, spec.key, fields, spec.truth)


def _records(file: SourceFile, rename: Mapping[str, str], spec: MergerSpec) -> pl.LazyFrame:
    rows = pl.scan_parquet(file.path, glob=False).drop(POINTER, strict=False)
    rows = rows.rename({old: new for old, new in rename.items() if old in rows.collect_schema()})
    time = spec.time
    if time is not None and time.window_s is not None and time.column in rows.collect_schema():
        aligned = pl.col(time.column).map_batches(lambda moments: in_windows(moments, time))
        rows = rows.with_columns(aligned)
    return rows


def trust_findings(trust: SourceTrust | None) -> list[Finding]:
    """What was learned, for people and auditors."""
    if trust is None:
        return []
    found = []
    for (name,), rows in trust.table().group_by("field", maintain_order=True):
        by_source = {source: round(value, 4) for source, value in rows.select("source", "trust").iter_rows()}
        best = sorted(by_source, key=lambda source: (-by_source[source], source))
        shown = ", ".join(f"{source} {by_source[source]:.2f}" for source in best[:5])
        more = f" and {len(best) - 5} more" if len(best) > 5 else ""
        data = {"field": str(name), "trust": {source: by_source[source] for source in best[:100]}}
        found.append(Finding(code="source_trust", message=f"{name}: trust learned: {shown}{more}", data=data))
    return found
