"""The kernel: whole groups of candidates in, one row per group out, with who won and what was overruled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.core.errors import BadInput
from base_ops.worker.merge.conflicts import ConflictLog, Overruled, suspects
from base_ops.worker.merge.decisions import ENTRY, FLAGS, PRECISION, Decision, Order
from base_ops.worker.merge.files import ARRIVAL, BRANCH, SOURCE, Inputs
from base_ops.worker.merge.groups import NONE, Groups, Index, Mask, precisions, ranks, sums, weighted_average

if TYPE_CHECKING:
    from base_ops.worker.merge.arrival import Arrival
    from base_ops.worker.merge.truth import SourceTrust

SEVERAL = 255
"""Lineage of a value that several sources contributed to; null where no source had a say."""


@dataclass
class Batch:
    """Rows of whole groups, sorted by key, then in `order`."""

    frame: pl.DataFrame
    first: Mask
    order: Order | None
    """None: in no order that tells who wins."""
    arrival: Arrival
    _ranks: dict[str, tuple[NDArray[Any], Mask | None]] = field(default_factory=dict)
    _preference: dict[bool, Index] = field(default_factory=dict)
    known: dict[Order, Index] = field(default_factory=dict)
    """Of each group, the row that wins by an order."""

    @cached_property
    def groups(self) -> Groups:
        return Groups.of(self.first)

    @cached_property
    def source(self) -> NDArray[np.uint8]:
        return self.frame[SOURCE].to_numpy()

    @cached_property
    def branch(self) -> NDArray[np.uint16]:
        return self.frame[BRANCH].to_numpy()

    @cached_property
    def is_ranked(self) -> bool:
        """Whether the rows of each group are in order of preference: one per source at most, the best one first."""
        repeated = self.source[1:] <= self.source[:-1]
        return self.order is None and not bool((repeated & ~self.first[1:]).any())

    def preference(self, *, earliest: bool) -> Index | None:
        """A number per row, the greater the better: source, then arrival. None: as `is_ranked`."""
        if self.is_ranked:
            return None
        if earliest not in self._preference:
            self._preference[earliest] = self.arrival.preference(self.frame[ARRIVAL], earliest=earliest)
        return self._preference[earliest]

    def ranks(self, column: str) -> tuple[NDArray[Any], Mask | None]:
        """See `groups.ranks`; also of ENTRY and PRECISION."""
        if column not in self._ranks:
            if column == ENTRY:
                self._ranks[column] = (self.arrival.entries(self.frame[ARRIVAL]), None)
            elif column.startswith(PRECISION):
                self._ranks[column] = precisions(self.frame[column.removeprefix(PRECISION)])
            else:
                self._ranks[column] = ranks(self.frame[column])
        return self._ranks[column]

    def winners(self, order: Order, left: Groups) -> Index:
        """Of each run, the row that wins."""
        if order == self.order:
            return left.first_rows()
        preference = self.preference(earliest=order.earliest)
        if order.column is None:
            return left.preferred(None if preference is None else left.of_rows(preference))
        values, there = self.ranks(order.column)
        left = left if there is None else left.prefer(left.of_rows(there))
        ties = None if preference is None else left.of_rows(preference)
        return left.best(left.of_rows(values), ties, largest=order.largest)


@dataclass(frozen=True)
class Decided:
    """What a decision came to: per group a value of each field, and the source it is from."""

    values: tuple[pl.Series, ...]
    source: NDArray[np.uint8]
    """Number of the source; SEVERAL where derived from more than one."""
    silent: Mask | None
    """Groups in which no record had a say; None: in none."""
    confidence: NDArray[np.float64] | None = None
    """How sure the choice is, where that is known; None: as many as agree."""


@dataclass(frozen=True)
class Verdict:
    """What came of one batch."""

    rows: pl.DataFrame
    """The merged ones."""
    rows_in: int
    contested: int
    """Groups of more than one record."""
    overruled: list[Overruled]
    conflicts: pl.DataFrame | None
    """Rows of the conflict log."""


class Kernel:
    """Decides batches."""

    def __init__(
        self,
        inputs: Inputs,
        key: Sequence[str],
        decisions: Sequence[Decision],
        log: ConflictLog,
        *,
        lineage: bool,
        near: str | None = None,
        trust: SourceTrust | None = None,
    ) -> None:
        """`near`: the column of the key in which the records of a group may differ; `trust`: what was learned."""
        self.inputs, self.key, self.log, self.lineage = inputs, list(key), log, lineage
        self.decisions = sorted(decisions, key=lambda d: d.compares)  # whose winners may be known by then
        self.near, self.trust = near, trust
        self.flags = any(d.flags for d in decisions)
        self.rows_in = self.rows_out = self.contested = 0

    @property
    def schema(self) -> pl.Schema:
        """Of the merged rows: keys, fields in order of appearance, lineage."""
        dtypes = {name: dtype for d in self.decisions for name, dtype in zip(d.fields, d.dtypes, strict=True)}
        columns = {name: dtypes.get(name, dtype) for name, dtype in self.inputs.schema.items()}
        if self.lineage:
            columns.update({d.lineage: pl.UInt8() for d in self.decisions})
        if self.flags:
            columns[FLAGS] = pl.String()
        return pl.Schema(columns)

    def decide(self, batch: Batch) -> Verdict:
        """Decide a batch; several may be decided at once, since nothing is noted yet."""
        first = pl.Series(batch.first)
        columns = {name: batch.frame[name].filter(first) for name in self.key}
        if self.near is not None:  # the moment of the source that goes before the others
            columns[self.near] = batch.frame[self.near].gather(self._winners(Order(), batch.groups, batch))
        marks: dict[str, pl.Series] = {}
        overruled: list[Overruled] = []
        for decision in self.decisions:
            taking = self._takers(decision, batch)
            searched = self._is_searched(decision, batch)
            watched = decision.fields if searched else self.log.watched(decision)
            differing = suspects(batch.frame, watched, taking, nulls_win=not decision.skip_nulls)
            decide = self._record if decision.takes_record else self._derived
            decided = decide(decision, taking, differing, batch)
            columns.update(zip(decision.fields, decided.values, strict=True))
            marks[decision.lineage] = _with_nulls(decided.source, decided.silent)
            overruled += self.log.overruled(decision, batch, differing, decided)
        if self.flags:
            flagged = {name for d in self.decisions if d.flags for name in d.fields}
            columns[FLAGS] = self.log.flags(overruled, flagged, len(batch.groups.starts))
        conflicts = self.log.rows_of(overruled, batch, {name: columns[name] for name in self.key})
        if self.lineage:
            columns.update(marks)
        rows = pl.DataFrame([columns[name].alias(name) for name in self.schema])
        return Verdict(rows, batch.frame.height, int((batch.groups.lengths > 1).sum()), overruled, conflicts)

    def settle(self, verdict: Verdict) -> pl.DataFrame:
        """Note what came of a batch, one after the other in order of key; the merged rows, one per group."""
        self.rows_in += verdict.rows_in
        self.rows_out += verdict.rows.height
        self.contested += verdict.contested
        self.log.add(verdict.overruled, verdict.conflicts)
        return verdict.rows

    def _takers(self, decision: Decision, batch: Batch) -> Groups:
        if len(decision.takers) == len(self.inputs.branches):
            return batch.groups
        return batch.groups.only(_member(decision.takers, len(self.inputs.branches))[batch.branch])

    def _candidates(self, decision: Decision, taking: Groups, batch: Batch) -> Groups:
        if len(decision.whole) < len(decision.takers):
            taking = taking.prefer(_member(decision.whole, len(self.inputs.branches))[taking.of_rows(batch.branch)])
        if decision.skip_nulls and batch.frame[decision.fields[0]].null_count():
            taking = taking.only(batch.frame[decision.fields[0]].is_not_null().to_numpy()[taking.rows])
        return taking

    def _record(self, decision: Decision, taking: Groups, differing: Groups, batch: Batch) -> Decided:
        candidates = self._candidates(decision, taking, batch)
        confidence = None
        if self._is_searched(decision, batch):
            rows = self._winners(Order(), candidates, batch).copy()  # right where all values are the same
            at, unlike = candidates.runs_of(differing)
            if decision.trusts:
                rows[at], sure = self._trusted(decision, unlike, rows[at], batch)
                confidence = np.ones(len(batch.groups.starts))
                confidence[unlike.group] = sure
            else:
                rows[at] = self._winners(decision.order, unlike, batch)
        else:
            rows = self._winners(decision.order, candidates, batch)
        winner = candidates.spread(rows, len(batch.groups.starts), NONE)
        silent = _none_if_all_false(winner == NONE)
        values = _take(batch, decision.fields, winner, silent)
        return Decided(values, batch.source[winner], silent, confidence)

    def _is_searched(self, decision: Decision, batch: Batch) -> bool:
        """Whether the winner is looked for among the groups whose values differ, and only there."""
        return decision.trusts or (decision.compares and decision.order not in (batch.order, *batch.known))

    def _trusted(
        self, decision: Decision, unlike: Groups, preferred: Index, batch: Batch
    ) -> tuple[Index, NDArray[np.float64]]:
        """Of each run the row whose value is most likely right, and how likely that is."""
        (name,) = decision.fields
        if self.trust is None or name not in self.trust.fields or not len(unlike.starts):
            return preferred, np.zeros(len(preferred))
        known = [self.trust.sources.index(s) if s in self.trust.sources else 0 for s in self.inputs.sources]
        source = np.array(known)[batch.source[unlike.rows]]
        values = batch.frame[name].gather(unlike.rows)
        won = self.trust.winners(name, values, source, unlike.run, len(unlike.starts))
        rows = np.where(won.row < 0, preferred, unlike.rows[won.row])
        return np.where(won.confidence < decision.min_confidence, preferred, rows), won.confidence

    def _winners(self, order: Order, left: Groups, batch: Batch) -> Index:
        """Of each run, the row that wins."""
        if left is not batch.groups:
            return batch.winners(order, left)
        if order not in batch.known:  # several decisions ask the same
            batch.known[order] = batch.winners(order, left)
        return batch.known[order]

    def _derived(self, decision: Decision, taking: Groups, differing: Groups, batch: Batch) -> Decided:
        candidates = self._candidates(decision, taking, batch)
        if decision.value is not None:
            per_run = self._expression(decision, candidates, batch)
        elif decision.rule == "sum":
            try:
                per_run = sums(candidates, candidates.of_series(batch.frame[decision.fields[0]]), decision.dtypes[0])
            except OverflowError:
                raise BadInput(
                    f"A sum of {decision.fields[0]!r} does not fit 64 bits",
                    code="sum_overflow",
                    where=f"spec.fields, {decision.fields[0]}",
                    todo="give the column a decimal or float64 type when the sources are converted",
                ) from None
        else:
            values = batch.frame[decision.fields[0]].cast(pl.Float64).to_numpy()
            averages = values[candidates.first_rows()]  # right where all values are the same
            at, unlike = candidates.runs_of(differing)
            averages[at] = weighted_average(unlike, values[unlike.rows], self._weights(decision, unlike, batch))
            per_run = pl.Series(averages)
        count = len(batch.groups.starts)
        silent = _none_if_all_false(candidates.spread(np.zeros(len(candidates.starts), bool), count, True))
        place = candidates.spread(np.arange(len(candidates.starts)), count, NONE)
        value = per_run if silent is None else per_run.gather(_with_nulls(place, silent))
        sources = candidates.of_rows(batch.source)
        if len(sources):
            lowest = np.minimum.reduceat(sources, candidates.starts)
            highest = np.maximum.reduceat(sources, candidates.starts)
            sources = np.where(lowest == highest, lowest, np.uint8(SEVERAL))
        return Decided((value.cast(decision.dtypes[0]),), candidates.spread(sources, count, SEVERAL), silent)

    def _weights(self, decision: Decision, candidates: Groups, batch: Batch) -> NDArray[np.float64]:
        if decision.by is None:
            weights = np.array(decision.weights)
            per_row: NDArray[np.float64] = weights[candidates.of_rows(batch.source)]
            return per_row
        return candidates.of_series(batch.frame[decision.by]).cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()

    def _expression(self, decision: Decision, candidates: Groups, batch: Batch) -> pl.Series:
        """The value of each source is that of its latest record with a value."""
        assert decision.value is not None
        name = decision.fields[0]
        runs = len(candidates.starts)
        columns: dict[str, pl.Series] = {}
        for source in decision.value.meta.root_names():
            number = self.inputs.sources.index(source) if source in self.inputs.sources else NONE
            own = candidates.only(candidates.of_rows(batch.source) == number)
            latest = self._winners(Order(), own, batch)
            row = np.full(runs, NONE)
            row[candidates.run[np.searchsorted(candidates.rows, latest)]] = latest
            columns[source] = _take(batch, (name,), row, row == NONE)[0].alias(source)
        frame = pl.DataFrame(columns) if columns else pl.DataFrame({"": pl.zeros(runs, pl.UInt8, eager=True)})
        try:
            made = frame.select(pl.lit(0), decision.value.alias("value"))["value"]
        except pl.exceptions.PolarsError as error:
            raise BadInput(
                f"The expression for {name!r} fails on some record: {str(error).splitlines()[0]}",
                code="expression_failed",
                where=f"spec.fields, {name}",
            ) from None
        return made


def _member(branches: frozenset[int], count: int) -> Mask:
    return np.isin(np.arange(count), list(branches))


def _none_if_all_false(mask: Mask) -> Mask | None:
    return mask if mask.any() else None


def _with_nulls(values: NDArray[Any], missing: Mask | None) -> pl.Series:
    series = pl.Series(values)
    return series if missing is None else series.set(pl.Series(missing), None)


def _take(batch: Batch, fields: Sequence[str], rows: Index, missing: Mask | None) -> tuple[pl.Series, ...]:
    """Values of `rows`, null where missing; by a mask where every group's first row wins."""
    if missing is None and np.array_equal(rows, batch.groups.starts):
        mask = pl.Series(batch.first)
        return tuple(batch.frame.select(fields).filter(mask).get_columns())
    index = _with_nulls(rows, missing)
    return tuple(batch.frame.select(pl.col(list(fields)).gather(index)).get_columns())
