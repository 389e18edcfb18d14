"""Segments of one key in sorted rows: which row wins, and what the rows add up to. Array operations throughout.

A row's preference (better source, later arrival) is a number, so that ties need no sorting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Index = NDArray[np.int64]
NONE = -1


@dataclass(frozen=True)
class Groups:
    """Rows `rows` of a batch, in runs of one group each; every run has at least one row."""

    rows: Index
    starts: Index
    """Where each run begins, in `rows`."""
    group: Index
    """Of each run, the number of its group in the batch."""

    @classmethod
    def of(cls, first: Mask) -> Groups:
        """All rows of a batch, `first` marking the first row of each group."""
        starts = np.flatnonzero(first)
        return cls(np.arange(len(first)), starts, np.arange(len(starts)))

    @cached_property
    def lengths(self) -> Index:
        """Rows of each run."""
        return np.diff(self.starts, append=len(self.rows))

    def per_row(self, per_run: NDArray[Any]) -> NDArray[Any]:
        """A value of each run, given to each of its rows."""
        return np.repeat(per_run, self.lengths)

    @cached_property
    def run(self) -> Index:
        """Of each row, the number of its run."""
        return self.per_row(np.arange(len(self.starts)))

    def of_rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of a batch, of these rows."""
        return values if len(values) == len(self.rows) else values[self.rows]

    def of_series(self, values: pl.Series) -> pl.Series:
        return values if len(values) == len(self.rows) else values.gather(self.rows)

    def only(self, keep: Mask) -> Groups:
        """The rows for which `keep` (as long as `rows`) holds."""
        if keep.all():
            return self
        run = self.run[keep]
        starts = np.flatnonzero(changes(run))
        return Groups(self.rows[keep], starts, self.group[run[starts]])

    def pick(self, runs: Index) -> Groups:
        """Some runs, whole, by ascending numbers. Costs no more than these have rows."""
        lengths = self.lengths[runs]
        starts = np.cumsum(lengths) - lengths
        places = np.repeat(self.starts[runs] - starts, lengths) + np.arange(int(lengths.sum()))
        return Groups(self.rows[places], starts, self.group[runs])

    def runs_of(self, other: Groups) -> tuple[Index, Groups]:
        """The runs that belong to a group of `other`: their numbers, and they alone."""
        if not len(other.starts):
            return np.zeros(0, np.int64), self.pick(np.zeros(0, np.int64))
        runs = np.searchsorted(self.group, other.group)  # group numbers ascend in both
        runs = runs[runs < len(self.group)]
        runs = runs[np.isin(self.group[runs], other.group, assume_unique=True)]
        return runs, self.pick(runs)

    def prefer(self, keep: Mask) -> Groups:
        """Only the rows for which `keep` holds, in the runs that have such a row; the other runs whole."""
        if keep.all() or not len(self.rows):
            return self
        has = np.logical_or.reduceat(keep, self.starts)
        return self.only(keep | self.per_row(~has))

    def best(self, values: NDArray[Any], preference: Index | None, *, largest: bool) -> Index:
        """Of each run, the row with the largest (or smallest) value; of several such, the one preferred most.

        Args:
            values, preference: as long as `rows`; preferences are at least 0 and differ within a run. Without
                preferences a row is preferred to those behind it.
        """
        if len(self.rows) == len(self.starts):
            return self.rows
        extreme = (np.maximum if largest else np.minimum).reduceat(values, self.starts)
        hits = np.flatnonzero(values == self.per_row(extreme))
        if len(hits) == len(self.starts):
            return self.rows[hits]
        run = self.run[hits]
        first = changes(run)
        won = hits[first]
        if preference is not None:
            tied = run[~first]
            tied = tied[changes(tied)]
            begin = np.searchsorted(run, tied)
            end = np.searchsorted(run, tied, side="right")
            for _ in range(int((end - begin).max()) - 1):  # ties are few, and of few rows
                begin += 1
                at = np.flatnonzero(begin < end)
                challenger, holder = hits[begin[at]], won[tied[at]]
                won[tied[at]] = np.where(preference[challenger] > preference[holder], challenger, holder)
        return self.rows[won]

    def preferred(self, preference: Index | None) -> Index:
        """Of each run, the row preferred most."""
        if len(self.rows) == len(self.starts) or preference is None:
            return self.first_rows()
        most: Index = np.maximum.reduceat(preference, self.starts)
        winners: Index = self.rows[preference == self.per_row(most)]
        return winners

    def first_rows(self) -> Index:
        """Of each run, its first row."""
        return self.rows[self.starts]

    def spread(self, per_run: NDArray[Any], groups: int, missing: Any) -> NDArray[Any]:
        """One value per group of the batch, from one per run."""
        if len(per_run) == groups:
            return per_run
        out = np.full(groups, missing, per_run.dtype)
        out[self.group] = per_run
        return out


def changes(numbers: Index) -> Mask:
    """Where a number differs from the one before; the first does."""
    first = np.ones(len(numbers), bool)
    np.not_equal(numbers[1:], numbers[:-1], out=first[1:])
    return first


def ranks(series: pl.Series) -> tuple[NDArray[Any], Mask | None]:
    """Numbers in the order of the values, and which of them are there (None: all). NaN counts as not there."""
    dtype = series.dtype
    if dtype.is_integer() or dtype.is_float() or dtype.is_temporal() or dtype == pl.Boolean:
        numbers = series.to_physical()
        if dtype == pl.Boolean:
            numbers = numbers.cast(pl.UInt8)
    else:
        numbers = series.rank("dense")
    there = None if not series.null_count() else series.is_not_null().to_numpy()
    values = numbers.fill_null(0).to_numpy()
    if dtype.is_float() and (nan := np.isnan(values)).any():
        there = ~nan if there is None else there & ~nan
        values = np.where(nan, 0.0, values)
    return values, there


def precisions(series: pl.Series) -> tuple[NDArray[Any], Mask | None]:
    """How fine each timestamp is, from 0 (a day) to 6 (nanoseconds), by its last digits; which are there."""
    units = {"ms": 10**3, "us": 10**6, "ns": 10**9}
    second = units[series.dtype.time_unit]  # type: ignore[attr-defined]
    numbers = series.to_physical().fill_null(0).to_numpy()
    steps = [86_400 * second, 3_600 * second, 60 * second, second, second // 10**3, second // 10**6]
    fine = np.zeros(len(numbers), np.uint8)
    for step in (s for s in steps if s):
        fine += numbers % step != 0
    return fine, None if not series.null_count() else series.is_not_null().to_numpy()


def weighted_average(groups: Groups, values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Per run, sum(weight x value) / sum(weight), never outside the range of its values.

    Records without a weight above 0 count only where no record of the run has one; then all weigh the same.
    """
    usable = groups.prefer(weights > 0)
    if usable is not groups:
        at = np.searchsorted(groups.rows, usable.rows)
        values, weights = values[at], weights[at]
    if not len(values):
        return np.empty(0)
    weights = np.where(weights > 0, weights, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduceat(values * weights, usable.starts) / np.add.reduceat(weights, usable.starts)
    lowest, highest = np.minimum.reduceat(values, usable.starts), np.maximum.reduceat(values, usable.starts)
    return np.clip(total, lowest, highest)


def sums(groups: Groups, series: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Per run the sum, exact for integers and decimals.

    Raises:
        OverflowError: an integer sum does not fit 64 bits.
    """
    if not len(series):
        return pl.Series([], dtype=dtype)
    if dtype == pl.Int64:
        values = series.cast(pl.Int64).to_numpy()
        if np.abs(np.add.reduceat(values.astype(np.float64), groups.starts)).max() > 9.2e18:
            raise OverflowError
        return pl.Series(np.add.reduceat(values, groups.starts))
    if dtype == pl.Float64:
        return pl.Series(np.add.reduceat(series.cast(pl.Float64).to_numpy(), groups.starts))
    frame = pl.DataFrame({"run": groups.run, "value": series.cast(dtype)})
    return frame.group_by("run", maintain_order=True).agg(pl.col("value").sum())["value"].cast(dtype)
