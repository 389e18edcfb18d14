"""Candidates in order of key, in batches of whole groups, by one of two ways that give the same rows.

Where every file is in order of key already, as feeds in order of time are, the files are merged as runs: memory
does not depend on their size. Otherwise DuckDB sorts all records and spills where memory ends.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.worker.merge.arrival import Arrival
from base_ops.worker.merge.decisions import ENTRY, Order
from base_ops.worker.merge.files import ARRIVAL, BRANCH, SOURCE, Inputs
from base_ops.worker.merge.kernel import Batch
from base_ops.worker.merge.rows import faults, frames, order_sql, scan_sql

_CHUNK_ROWS = 122_880
_BATCH_ROWS, _BATCH_BYTES = 160_000, 24 << 20
_MOST_RUNS = 16


class OutOfOrder(Exception):
    """A file that seemed to be in order of key is not."""


@dataclass(frozen=True)
class Plan:
    """What a stream needs to know."""

    inputs: Inputs
    key: tuple[str, ...]
    arrival: Arrival
    order: Order

    @property
    def seems_sorted(self) -> bool:
        """Whether merging runs is worth a try."""
        comparable = not any(
            self.inputs.schema[name].is_float() or self.inputs.schema[name].is_nested() for name in self.key
        )
        return comparable and len(self.inputs.files) <= _MOST_RUNS and all(f.in_order for f in self.inputs.files)


def batches(pieces: Iterator[pl.DataFrame], plan: Plan) -> Generator[Batch]:
    """Sorted rows in batches of whole groups; the next piece is made while one is worked on."""
    inputs = plan.inputs
    beside = {SOURCE: pl.UInt8(), **({BRANCH: pl.UInt16()} if inputs.uneven else {}), ARRIVAL: plan.arrival.dtype}
    carried = pl.DataFrame(schema={**inputs.schema, **beside})
    with closing(_ahead(pieces)) as ahead:
        for piece in ahead:
            carried = pl.concat([carried, piece])
            first = _first_rows(carried, plan.key)
            cut = int(np.flatnonzero(first)[-1])
            if cut and (cut >= _BATCH_ROWS or carried.estimated_size() >= _BATCH_BYTES):
                yield Batch(carried[:cut].rechunk(), first[:cut], plan.order, plan.arrival)
                carried = carried[cut:]
    if carried.height:
        yield Batch(carried.rechunk(), _first_rows(carried, plan.key), plan.order, plan.arrival)


def _first_rows(frame: pl.DataFrame, key: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows begin a group."""
    changes = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in key)
    first = frame.select(changes.alias("first"))["first"].to_numpy(writable=True)
    first[:1] = True
    return first


def _ahead(items: Iterator[pl.DataFrame]) -> Generator[pl.DataFrame]:
    """The same items, the next one made in another thread."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


# -- sorting


def sorted_pieces(connection: Any, plan: Plan) -> Iterator[pl.DataFrame]:
    """All candidates with a key, sorted by key, then in order. Reads every input before it returns.

    Raises:
        BadInput: a file is damaged, or a value does not fit the common type.
        Transient: memory and disk did not suffice.
    """
    inputs = plan.inputs
    union = " UNION ALL ".join(scan_sql(inputs, branch, plan.key, plan.arrival) for branch in inputs.branches)
    ordered = order_sql(plan.order, inputs, plan.key, plan.arrival)
    with faults(inputs):
        reader = connection.sql(f"SELECT * FROM ({union}) ORDER BY {ordered}").to_arrow_reader(_CHUNK_ROWS)
    return frames(reader, inputs)


# -- merging runs


@dataclass
class _Run:
    """One file, read in its own order."""

    pieces: Iterator[pl.DataFrame]
    key: tuple[str, ...]
    rows: pl.DataFrame | None = None
    """Read, but not yet passed on."""
    last: pl.DataFrame | None = None
    """Key of the last row read."""
    ended: bool = False

    def advance(self) -> None:
        """Read the next piece. Raises OutOfOrder."""
        piece = next(self.pieces, None)
        if piece is None:
            self.ended = True
            return
        keys = piece.select(self.key)
        checked = keys if self.last is None else pl.concat([self.last, keys])
        if checked.select(_less(self.key, [pl.col(name).shift() for name in self.key]).any()).item():
            raise OutOfOrder
        self.last = keys[-1]
        self.rows = piece if self.rows is None else pl.concat([self.rows, piece])

    def take_before(self, bound: pl.DataFrame | None) -> pl.DataFrame | None:
        """The rows with a key less than the bound, or all."""
        taken = self.rows
        if taken is not None and bound is not None:
            cut = taken.select(_less(self.key, [pl.lit(bound[name]) for name in self.key]).sum()).item()
            taken, self.rows = taken[:cut], taken[cut:]
        elif taken is not None:
            self.rows = taken[:0]
        return taken


def merged_pieces(connection: Any, plan: Plan) -> Iterator[pl.DataFrame]:
    """The rows of `sorted_pieces`, from files that each are in order of key.

    Raises:
        OutOfOrder: one is not; and as `sorted_pieces`, but in the course of it.
    """
    runs = [_Run(_read(connection, plan, number), plan.key) for number in range(len(plan.inputs.files))]
    for run in runs:
        run.advance()
    while not all(run.ended for run in runs):
        lasts = pl.concat([run.last for run in runs if not run.ended and run.last is not None])
        bound = lasts.sort(plan.key)[0]
        if (piece := _sorted([run.take_before(bound) for run in runs], plan)) is not None:
            yield piece
        for run in runs:
            if not run.ended and run.last is not None and run.last.equals(bound):
                run.advance()
    if (piece := _sorted([run.take_before(None) for run in runs], plan)) is not None:
        yield piece


def _read(connection: Any, plan: Plan, number: int) -> Iterator[pl.DataFrame]:
    inputs = plan.inputs
    branch = next(b for b in inputs.branches if number in b.files)
    query = scan_sql(inputs, replace(branch, files=(number,)), plan.key, plan.arrival)
    with faults(inputs):
        reader = connection.cursor().sql(query).to_arrow_reader(_CHUNK_ROWS)
    return frames(reader, inputs)


def _sorted(parts: Sequence[pl.DataFrame | None], plan: Plan) -> pl.DataFrame | None:
    filled = [part for part in parts if part is not None and part.height]
    if not filled:
        return None
    rows = pl.concat(filled)
    by, descending = [pl.col(name) for name in plan.key], [False] * len(plan.key)
    order, column = plan.order, plan.order.column
    if column == ENTRY:
        by.append(pl.lit(pl.Series(plan.arrival.entries(rows[ARRIVAL]))))
    elif column is not None:
        by.append(pl.col(column).fill_nan(None) if plan.inputs.schema[column].is_float() else pl.col(column))
    if column is not None:
        descending.append(order.largest)
    if order.earliest:
        by, descending = [*by, pl.col(SOURCE)], [*descending, False]
    return rows.sort([*by, pl.col(ARRIVAL)], descending=[*descending, not order.earliest], nulls_last=True)


def _less(key: Sequence[str], than: Sequence[pl.Expr]) -> pl.Expr:
    """Whether a row's key comes before another, column by column."""
    *before, last = key
    less = pl.col(last) < than[-1]
    for name, other in reversed(list(zip(before, than[:-1], strict=True))):
        less = (pl.col(name) < other) | ((pl.col(name) == other) & less)
    return less
