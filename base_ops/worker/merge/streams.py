"""Candidates in order of key, in batches of whole groups, by one of two ways that give the same rows.

Where every file is in order of key already, as feeds in order of time are, the files are merged as runs: memory
does not depend on their size. Otherwise DuckDB sorts all records and spills where memory ends, by what wins within a
key too, since there that costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.worker.merge.arrival import Arrival
from base_ops.worker.merge.candidates import candidates
from base_ops.worker.merge.decisions import Order
from base_ops.worker.merge.files import ARRIVAL, BRANCH, SOURCE, Inputs
from base_ops.worker.merge.kernel import Batch
from base_ops.worker.merge.moments import first_rows as near_rows

T, R = TypeVar("T"), TypeVar("R")
_CHUNK_ROWS = 122_880
_BATCH_ROWS, _BATCH_BYTES = 160_000, 24 << 20
_MOST_RUNS = 16
_LOW_ROWS = 61_440
"""A run with fewer rows at hand reads on."""
_RUN_BYTES = 256 << 20
"""Row groups of all runs together, unpacked: what reading them side by side may take."""


class OutOfOrder(Exception):
    """A file that seemed to be in order of key is not."""


@dataclass(frozen=True)
class Plan:
    """What a stream needs to know."""

    inputs: Inputs
    key: tuple[str, ...]
    """Columns in which rows are ordered; the time of a tolerance last."""
    arrival: Arrival
    order: Order
    tolerance_s: float | None = None
    """Of the last column of the key."""
    append: bool = False
    """Every row is a group of its own."""

    @property
    def seems_sorted(self) -> bool:
        """Whether merging runs is worth a try."""
        comparable = not any(
            self.inputs.schema[name].is_float() or self.inputs.schema[name].is_nested() for name in self.key
        )
        files = self.inputs.files
        in_flight = sum(f.group_bytes for f in files)
        return comparable and len(files) <= _MOST_RUNS and in_flight <= _RUN_BYTES and all(f.in_order for f in files)


def batches(pieces: Iterator[pl.DataFrame], plan: Plan, order: Order | None) -> Generator[Batch]:
    """Rows in order of key in batches of whole groups; the next piece is made while one is worked on.

    Args:
        order: of the rows within a group; None: by file, in pieces that no key reaches beyond.
    """
    whole = order is None and plan.tolerance_s is None
    inputs = plan.inputs
    beside = {SOURCE: pl.UInt8(), **({BRANCH: pl.UInt16()} if inputs.uneven else {}), ARRIVAL: plan.arrival.dtype}
    carried = pl.DataFrame(schema={**inputs.schema, **beside})
    with closing(_ahead(pieces)) as ahead:
        for piece in ahead:
            carried = pl.concat([carried, piece]) if carried.height else piece
            first = first_rows(carried, plan)
            cut = carried.height if whole else int(np.flatnonzero(first)[-1])
            if cut and (cut >= _BATCH_ROWS or carried.estimated_size() >= _BATCH_BYTES):
                yield Batch(carried[:cut].rechunk(), first[:cut], order, plan.arrival)
                carried = carried[cut:]
    if carried.height:
        yield Batch(carried.rechunk(), first_rows(carried, plan), order, plan.arrival)


def first_rows(frame: pl.DataFrame, plan: Plan) -> NDArray[np.bool_]:
    """Which rows of a frame in order of key begin a group."""
    if plan.append:
        return np.ones(frame.height, bool)
    if plan.tolerance_s is None:
        return _first_of(frame, plan.key)
    *others, time = plan.key
    moments = frame[time].to_physical().to_numpy()
    unit = {"ms": 10**3, "us": 10**6, "ns": 10**9}[frame[time].dtype.time_unit]  # type: ignore[attr-defined]
    tolerance = round(plan.tolerance_s * unit)
    return near_rows(_first_of(frame, others), moments, frame[SOURCE].to_numpy(), tolerance)


def _first_of(frame: pl.DataFrame, key: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows differ from the one before in a column of the key."""
    first = np.zeros(frame.height, bool)
    for name in key:
        column = frame[name]
        if (numbers := _numbers(column)) is not None:
            first[1:] |= numbers[1:] != numbers[:-1]
        else:
            first[1:] |= column.ne_missing(column.shift())[1:].to_numpy()
    first[:1] = True
    return first


def _numbers(column: pl.Series) -> NDArray[Any] | None:
    """A column without nulls as numbers in the same order; None where it has none."""
    dtype = column.dtype
    if (
        (dtype.is_integer() or (dtype.is_temporal()))
        and dtype not in (pl.Int128, pl.UInt128)
        and not column.null_count()
    ):
        return column.to_physical().to_numpy()
    return None


def _ahead(items: Iterator[pl.DataFrame]) -> Generator[pl.DataFrame]:
    """The same items, the next one made in another thread."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def side_by_side(work: Callable[[T], R], items: Iterable[T], at_once: int) -> Generator[R]:
    """`map(work, items)`, in order, at most `at_once` at a time in threads."""
    with ThreadPoolExecutor(at_once) as pool:
        running: deque[Future[R]] = deque()
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) == at_once:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


# -- sorting


def sorted_pieces(connection: Any, plan: Plan) -> Iterator[pl.DataFrame]:
    """All candidates with a key, sorted by key, then in order. Reads every input before it returns.

    Raises:
        BadInput: a file is damaged, or a value does not fit the common type.
        Transient: memory and disk did not suffice.
    """
    from base_ops.worker.merge.rows import faults, frames, order_sql, scan_sql  # brings DuckDB

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
    rows: pl.DataFrame
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
        keys = piece.select(pl.col(self.key))
        checked = keys if self.last is None else pl.concat([self.last, keys])
        if checked.select(_less(self.key, [pl.col(name).shift() for name in self.key]).any()).item():
            raise OutOfOrder
        self.last = keys[-1]
        self.rows = pl.concat([self.rows, piece]) if self.rows.height else piece

    def take_before(self, bound: pl.DataFrame) -> pl.DataFrame:
        """The rows with a key less than the bound."""
        cut = self.rows.select(_less(self.key, [pl.lit(bound[name]) for name in self.key]).sum()).item()
        taken, self.rows = self.rows[:cut], self.rows[cut:]
        return taken


def merged_pieces(_connection: Any, plan: Plan) -> Iterator[pl.DataFrame]:
    """The candidates with a key, sorted by key, then by file; every piece holds whole groups.

    Raises:
        OutOfOrder: a file is not in order of key; BadInput: one is damaged.
    """
    runs = [
        _Run(candidates(plan.inputs, number, plan.key, plan.arrival), plan.key, pl.DataFrame())
        for number in range(len(plan.inputs.files))
    ]
    while True:
        for run in runs:
            if not run.ended and run.rows.height < _LOW_ROWS:
                run.advance()
        behind = [run for run in runs if not run.ended]
        if not behind:
            break
        bound = pl.concat([run.last for run in behind if run.last is not None]).sort(plan.key)[0]
        taken = [run.take_before(bound) for run in runs if run.rows.height]
        if (piece := _in_order(taken, plan.key)) is not None:
            yield piece
        else:  # all that is read of the run that is behind is of one key
            for run in behind:
                if run.last is not None and run.last.equals(bound):
                    run.advance()
    if (piece := _in_order([run.rows for run in runs], plan.key)) is not None:
        yield piece


def _in_order(parts: Sequence[pl.DataFrame], key: tuple[str, ...]) -> pl.DataFrame | None:
    """Rows of parts that are each in order of key, in order of key; of one key in the order of the parts.

    numpy's stable sort of integers is made for runs: ten times as fast as sorting anew.
    """
    filled = [part for part in parts if part.height]
    if len(filled) < 2:
        return filled[0] if filled else None
    rows = pl.concat(filled, rechunk=True)
    numbers = [_numbers(rows[name]) for name in key]
    if any(column is None for column in numbers):
        return rows.sort([pl.col(name) for name in key], maintain_order=True)
    order = np.argsort(numbers[0], kind="stable") if len(key) == 1 else np.lexsort(numbers[::-1])  # type: ignore[arg-type]
    return rows[pl.Series(order.astype(np.uint32))]


def _less(key: Sequence[str], than: Sequence[pl.Expr]) -> pl.Expr:
    """Whether a row's key comes before another, column by column."""
    *before, last = key
    less = pl.col(last) < than[-1]
    for name, other in reversed(list(zip(before, than[:-1], strict=True))):
        less = (pl.col(name) < other) | ((pl.col(name) == other) & less)
    return less
