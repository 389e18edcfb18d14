"""The conflict log: every value that was overruled though it really differed, and by what.

A conflict is a key and a field for which some record that has a say brings a value (null says nothing) that
differs from what came out, for numbers by more than the rule's tolerance. Where the outcome is made of several
values (weighted_average, sum, expression) it is one if those differ among themselves, and each of them is listed.

Columns of conflicts.parquet: the key columns of the merged row (one that bears a name below gets the suffix `_key`);
field, rule; winner_source (null: derived from several), winner_value (text, null: no value), winner_confidence (share
of the records with a value that say what came out, or what truth discovery makes of it; null: derived); loser_source,
loser_value (text), loser_object (the object the losing record was read from), loser_line (its line or record number
there).
Values of sensitive columns are masked. Sorted by key, field, and the loser's place: better source, later arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.merge.decisions import Decision
from base_ops.worker.merge.files import ARRIVAL, SOURCE, Inputs
from base_ops.worker.merge.groups import Groups, Index, changes
from base_ops.worker.readable import as_text
from base_ops.worker.secrets import MASK

if TYPE_CHECKING:
    from base_ops.worker.merge.arrival import Arrival
    from base_ops.worker.merge.kernel import Batch, Decided

DETAILS = (
    "field",
    "rule",
    "winner_source",
    "winner_value",
    "winner_confidence",
    "loser_source",
    "loser_value",
    "loser_object",
    "loser_line",
)
SEVERAL_NAME = "several"
_ROWS_PER_GROUP = 122_880


@dataclass
class FieldConflicts:
    """How one field fared."""

    name: str
    rule: str
    conflicts: int = 0
    """Keys for which records disagreed."""
    overruled: int = 0
    """Records that were overruled."""
    wins: Counter[str] = field(default_factory=Counter)
    """Per source, the conflicts it won; `several` for derived values."""


@dataclass(frozen=True)
class Overruled:
    """Rows of a batch whose value of a field was overruled."""

    field: str
    rows: Index
    group: Index
    winner: NDArray[np.uint8]
    won: pl.Series
    said: pl.Series
    """As texts."""
    confidence: pl.Series


class ConflictLog:
    """Writes conflicts.parquet while batches are decided."""

    def __init__(
        self,
        path: Path,
        inputs: Inputs,
        spec: MergerSpec,
        decisions: Sequence[Decision],
        arrival: Arrival,
        sensitive: Collection[str] = (),
    ) -> None:
        criteria = {item.by for item in (*spec.fields, *([spec.default] if spec.default else []))}
        criteria |= {d.by for d in decisions}
        ruled = [(name, d) for d in decisions for name in d.fields if name not in criteria]
        self.fields = {name: FieldConflicts(name, decision.rule) for name, decision in ruled}
        self.rows = 0
        self._arrival, self._sensitive = arrival, frozenset(sensitive)
        self._key = {name: f"{name}_key" if name in DETAILS else name for name in spec.key}
        self._sources = pl.Series(inputs.sources, dtype=pl.Enum(inputs.sources))
        self._uris = pl.Enum(list(dict.fromkeys(f.file.uri for f in inputs.files)))
        words = {"field": pl.Enum(list(self.fields)), "rule": pl.Enum(sorted({d.rule for d in decisions}))}
        texts = {name: pl.String() for name in DETAILS}
        types = {**texts, **words, "winner_source": self._sources.dtype, "loser_source": self._sources.dtype}
        keys = {new: inputs.schema[old] for old, new in self._key.items()}
        numbers = {"winner_confidence": pl.Float32(), "loser_line": pl.Int64()}
        self._schema = pl.Schema({**keys, **types, "loser_object": self._uris, **numbers})
        self._pending: list[pl.DataFrame] = []
        self._writer = pq.ParquetWriter(  # store_schema: what is repeated in every row reads as plain text again
            path, self._schema.to_frame().to_arrow().schema, compression="zstd", compression_level=1, store_schema=False
        )

    def __enter__(self) -> ConflictLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush(0)
        self._writer.close()

    def watched(self, decision: Decision) -> tuple[str, ...]:
        """The fields of a decision that can be in conflict."""
        return tuple(name for name in decision.fields if name in self.fields)

    def overruled(self, decision: Decision, batch: Batch, suspects: Groups, decided: Decided) -> list[Overruled]:
        """What a decision overruled in a batch. `suspects`: the rows to look at."""
        fields = self.watched(decision)
        found: list[Overruled] = []
        if not fields or not len(suspects.rows):
            return found
        said = batch.frame.select(pl.col(fields).gather(suspects.rows))
        group = suspects.per_row(suspects.group)
        for name, value in zip(decision.fields, decided.values, strict=True):
            if name in fields:
                lost, won, sure = _overruled(decision, said[name], value.gather(group), group)
                if len(lost):
                    winner = decided.source[group[lost]]
                    if decided.confidence is not None:
                        sure = pl.Series(decided.confidence[group[lost]], dtype=pl.Float32)
                    texts = self._text(name, won), self._text(name, said[name].gather(lost))
                    found.append(Overruled(name, suspects.rows[lost], group[lost], winner, *texts, sure))
        return found

    def flags(self, found: Sequence[Overruled], fields: Collection[str], groups: int) -> pl.Series:
        """Per group of a batch the names of those of `fields` that are in conflict, comma-separated; null: none."""
        parts = [
            pl.DataFrame({"group": f.group, "field": f.field}, schema={"group": pl.Int64, "field": pl.String})
            for name in self.fields
            if name in fields
            for f in found
            if f.field == name
        ]
        flags = pl.Series([None], dtype=pl.String).new_from_index(0, groups)
        if not parts:
            return flags
        rows = pl.concat(parts).unique(maintain_order=True)
        joined = rows.group_by("group", maintain_order=True).agg(pl.col("field").str.join(","))
        return flags.scatter(joined["group"], joined["field"])

    def rows_of(self, found: Sequence[Overruled], batch: Batch, keys: dict[str, pl.Series]) -> pl.DataFrame | None:
        """A batch's conflicts as rows of the log, in order of key; None: there are none.

        Args:
            keys: of the batch's merged rows.
        """
        if not found:
            return None
        numbers = list(self.fields)
        field = np.repeat([numbers.index(f.field) for f in found], [len(f.rows) for f in found])
        at = np.concatenate([f.rows for f in found])
        said = batch.frame.select(pl.col(SOURCE, ARRIVAL).gather(at))
        group = np.concatenate([f.group for f in found])
        winner = pl.Series(np.concatenate([f.winner for f in found]))
        names = pl.Series(numbers, dtype=self._schema["field"])
        rules = pl.Series([f.rule for f in self.fields.values()], dtype=self._schema["rule"])
        rows = said.select(
            *(keys[old].gather(group).alias(new) for old, new in self._key.items()),
            names.gather(field).alias("field"),
            rules.gather(field).alias("rule"),
            self._sources.gather(winner.set(winner >= self._sources.len(), None)).alias("winner_source"),
            pl.concat([f.won for f in found]).alias("winner_value"),
            pl.concat([f.confidence for f in found]).alias("winner_confidence"),
            self._sources.gather(said[SOURCE]).alias("loser_source"),
            pl.concat([f.said for f in found]).alias("loser_value"),
            self._arrival.objects(said[ARRIVAL], self._uris).alias("loser_object"),
            self._arrival.lines(said[ARRIVAL]).alias("loser_line"),
            pl.Series("_group", group),
            pl.Series("_field", field),
            pl.col(ARRIVAL),
        ).sort("_group", "_field", ARRIVAL, descending=[False, False, True])
        return rows.drop("_group", "_field", ARRIVAL)

    def add(self, found: Sequence[Overruled], rows: pl.DataFrame | None) -> None:
        """Note what one batch overruled; batch after batch, in order of key."""
        for overruled in found:
            self._count(self.fields[overruled.field], overruled)
        if rows is not None:
            self._pending.append(rows)
            self.rows += rows.height
            self._flush(_ROWS_PER_GROUP)

    def _count(self, tally: FieldConflicts, found: Overruled) -> None:
        first = changes(found.group)
        tally.conflicts += int(first.sum())
        tally.overruled += len(found.group)
        wins = np.bincount(found.winner[first], minlength=256)
        for number in np.flatnonzero(wins):
            known = number < self._sources.len()
            tally.wins[str(self._sources[int(number)]) if known else SEVERAL_NAME] += int(wins[number])

    def _flush(self, least: int) -> None:
        if sum(f.height for f in self._pending) < max(least, 1):
            return
        rows = pl.concat(self._pending)
        whole = rows.height if not least else rows.height // _ROWS_PER_GROUP * _ROWS_PER_GROUP
        self._writer.write_table(rows[:whole].select(self._schema.names()).to_arrow(), row_group_size=_ROWS_PER_GROUP)
        self._pending = [rows[whole:]]

    def _text(self, name: str, values: pl.Series) -> pl.Series:
        if name in self._sensitive:
            return pl.Series([None, MASK]).gather(values.is_not_null().cast(pl.UInt32))
        return as_text(values)


def _overruled(decision: Decision, said: pl.Series, won: pl.Series, group: Index) -> tuple[Index, pl.Series, pl.Series]:
    """Which of the suspect rows said something else than what came out, what came out, and how many agree with it."""
    pair = pl.DataFrame({"said": said, "won": won, "group": group})
    left, right = pl.col("won"), pl.col("said")
    if not decision.takes_record:
        left, right = right.min().over("group"), right.max().over("group")
    differs = _differ(left, right, said.dtype, decision.tolerance) & pl.col("said").is_not_null()
    verdicts = pair.select(differs.alias("differs"))["differs"]
    lost = verdicts.arg_true()
    if not decision.takes_record or not lost.len():
        return (
            lost.to_numpy().astype(np.int64),
            won.gather(lost),
            pl.Series([None], dtype=pl.Float32).new_from_index(0, lost.len()),
        )
    there = said.is_not_null().to_numpy()
    run = np.searchsorted(group[changes(group)], group)
    says = np.bincount(run, there)
    against = np.bincount(run, verdicts.to_numpy())
    at = lost.to_numpy().astype(np.int64)
    sure = pl.Series(1 - against[run[at]] / says[run[at]], dtype=pl.Float32)
    return at, won.gather(lost), sure


def suspects(frame: pl.DataFrame, fields: Sequence[str], taking: Groups, *, nulls_win: bool) -> Groups:
    """The rows of all groups that may hold a conflict: some neighbours differ in one of the fields."""
    found = np.zeros(len(taking.rows), bool)
    if fields:
        rows = frame.select(fields)
        rows = rows if len(taking.rows) == frame.height else rows.select(pl.all().gather(taking.rows))
        differs = pl.any_horizontal(_neighbours_differ(rows[name], nulls_win) for name in fields).fill_null(False)
        found = rows.select(differs.alias("found"))["found"].to_numpy(writable=True)
        found[taking.starts] = False
    runs = np.searchsorted(taking.starts, np.flatnonzero(found), side="right") - 1
    return taking.pick(runs[changes(runs)])


def _neighbours_differ(values: pl.Series, nulls_win: bool) -> pl.Expr:
    column = pl.col(values.name)
    if values.null_count() == 0:
        return column != column.shift()
    return (
        column.ne_missing(column.shift()) if nulls_win else (column != column.forward_fill().shift()).fill_null(False)
    )


def _differ(left: pl.Expr, right: pl.Expr, dtype: pl.DataType, tolerance: float) -> pl.Expr:
    differs = left.ne_missing(right)
    if tolerance and dtype.is_numeric():
        wide = pl.Int128 if dtype.is_integer() else pl.Float64
        apart = (left.cast(wide) - right.cast(wide)).abs() > tolerance
        return differs & apart.fill_null(True)
    return differs
