"""Quarantine: every rejected record with pointer, rule, reason and a masked view, as Parquet.

    quarantine/<dataset>/<commit key>/<attempt>/part-<n>.parquet

Columns: object (string, URI of what was read), line (int64, 1-based line or record number), byte_start and
byte_end (int64, in the unwrapped object, null where unknown), records (int64: how many this row stands for; more
than one only where a file is nothing but damage), rule, column, reason (strings), view (string: JSON of the record,
or its raw text, sensitive columns masked). The raw bytes stay in the landing zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from base_ops.core.protocol import QuarantineRef
from base_ops.worker.engine.plan import POINTER, Check, Rejected
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.store import Store
from base_ops.worker.readable import as_json
from base_ops.worker.secrets import MASK

SCHEMA = pl.Schema(
    {
        "object": pl.String,
        "line": pl.Int64,
        "byte_start": pl.Int64,
        "byte_end": pl.Int64,
        "records": pl.Int64,
        "rule": pl.String,
        "column": pl.String,
        "reason": pl.String,
        "view": pl.String,
    }
)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_ROWS_PER_PART = 100_000
_VIEW_BYTES = 512


class Quarantine:
    """Collects the rejected records of one unit of work, in parts, with bounded memory."""

    def __init__(self, store: Store, folder: str, scratch: Path, sensitive: Sequence[str]) -> None:
        self.folder = folder
        self._store = store
        self._scratch = scratch
        self._sensitive = frozenset(sensitive)
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._parts = 0
        self._rules: dict[tuple[int, str], tuple[int, str]] = {}

    @property
    def uri(self) -> str:
        return self._store.uri(self.folder)

    def add_refused(self, step: int, object_uri: str, refused: Iterable[Rejected]) -> None:
        """Records a reader refused. Their raw text is shown only where no column is sensitive."""
        found = list(refused)
        if not found:
            return
        lines, rules, reasons, columns, starts, ends, raws, records = zip(*found, strict=True)
        if self._sensitive:
            reasons, raws = tuple(map(self._reason, found)), tuple(MASK.encode() for _ in found)
        frame = {
            "object": [object_uri] * len(found),
            "line": lines,
            "byte_start": starts,
            "byte_end": ends,
            "records": records,
            "rule": rules,
            "column": columns,
            "reason": reasons,
            "view": [raw[:_VIEW_BYTES].decode("utf-8", "backslashreplace") for raw in raws],
        }
        self._add(step, pl.DataFrame(frame, schema=SCHEMA))

    def add_failed(
        self, step: int, object_uri: str, rows: pl.DataFrame, flags: pl.DataFrame, checks: Sequence[Check]
    ) -> None:
        """Rows that broke checks: `flags` has one Boolean column per check, in order, same height as `rows`."""
        names = flags.columns
        pick = pl.coalesce(*(pl.when(pl.col(n)).then(pl.lit(i)) for i, n in enumerate(names)))
        first = flags.select(pick.alias("i"))["i"]
        details = rows.select(
            c.detail.alias(f"d_{n}") for n, c in zip(names, checks, strict=True) if c.detail is not None
        )
        said = [
            pl.lit(c.reason) if c.detail is None else pl.lit(c.reason) + pl.col(f"d_{n}").fill_null("")
            for n, c in zip(names, checks, strict=True)
        ]
        reasons = flags.hstack(details).select(
            pl.concat_str(
                *(pl.when(pl.col(n)).then(text) for n, text in zip(names, said, strict=True)),
                separator="; ",
                ignore_nulls=True,
            ).alias("reason")
        )["reason"]
        data = [c for c in rows.columns if c != POINTER]
        masked = pl.Series([MASK]).new_from_index(0, rows.height)
        shown = pl.DataFrame([masked.alias(c) if c in self._sensitive else rows.get_column(c) for c in data])
        record = pl.DataFrame({"rule": [c.rule for c in checks], "column": [c.column for c in checks]})[first]
        frame = rows.select(
            pl.lit(object_uri).alias("object"),
            pl.col(POINTER).alias("line"),
            pl.lit(None, pl.Int64).alias("byte_start"),
            pl.lit(None, pl.Int64).alias("byte_end"),
            pl.lit(1, pl.Int64).alias("records"),
            as_json(shown).alias("view"),
        ).with_columns(record["rule"], record["column"], reasons)
        self._add(step, frame.select(list(SCHEMA)).cast(SCHEMA))

    def finish(self) -> dict[int, list[QuarantineRef]]:
        """Write what is left; per step, the references for its Result."""
        self._flush()
        refs: dict[int, list[QuarantineRef]] = {}
        for (step, rule), (rows, reason) in sorted(self._rules.items()):
            refs.setdefault(step, []).append(QuarantineRef(rule=rule, rows=rows, uri=self.uri, reason=reason))
        return refs

    def _add(self, step: int, frame: pl.DataFrame) -> None:
        for rule, rows, reason in frame.group_by("rule").agg(pl.col("records").sum(), pl.col("reason").first()).rows():
            before, known = self._rules.get((step, rule), (0, reason))
            self._rules[step, rule] = (before + rows, known)
        self._pending.append(frame)
        self._pending_rows += frame.height
        if self._pending_rows >= _ROWS_PER_PART:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        part = self._scratch / f"quarantine-{self._parts}.parquet"
        pl.concat(self._pending).write_parquet(part)
        failpoint("quarantine.before_put")
        self._store.put(part, f"{self.folder}/part-{self._parts:05d}.parquet")
        self._parts += 1
        self._pending, self._pending_rows = [], 0

    def _reason(self, refused: Rejected) -> str:
        """Reasons may quote a cell; not one of a sensitive column, nor one of which the column is not known."""
        if self._sensitive and (refused.column in self._sensitive or not refused.column):
            return _QUOTED.sub(repr(MASK), refused.reason)
        return refused.reason


def read_quarantine(store: Store, folder: str) -> pl.DataFrame:
    """All records of one quarantine folder, in order. Raises FileNotFoundError where there is none."""
    frames = [pl.read_parquet(store.read_bytes(path)) for path in store.list(folder) if path.endswith(".parquet")]
    if not frames:
        raise FileNotFoundError(store.uri(folder))
    return pl.concat(frames)


def quarantine_folders(store: Store) -> list[str]:
    """Every quarantine folder of the lake that a published manifest names."""
    found = []
    for dataset in store.folders("quarantine"):
        for key in store.folders(f"quarantine/{dataset}"):
            manifest = store.try_read_json(f"staging/{dataset}/{key}/_manifest.json")
            if manifest is not None:
                folder = f"quarantine/{dataset}/{key}/{manifest['attempt']}"
                found += [folder] if store.list(folder) else []
    return found
