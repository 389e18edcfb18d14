"""Blocks of lines into batches: one block is parsed while the next one is, and the one before is written."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import polars as pl

from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.declared import Columns
from base_ops.worker.formats.delimited.blocks import read_ahead
from base_ops.worker.formats.records.layout import Layout
from base_ops.worker.formats.records.lineparser import LineParser
from base_ops.worker.formats.records.lines import Lines

PARSERS = 2
"""Blocks parsed at a time; each is a few tens of MB while it is."""


class LineParsers:
    """Parsers that share the work on one object.

    Args:
        layouts: equal ones, one per parser, since each notes what it meets.
    """

    def __init__(self, layouts: Sequence[Layout], columns: Columns, max_record_bytes: int) -> None:
        self._free = deque((layout, LineParser(layout, max_record_bytes)) for layout in layouts)
        self._columns = columns

    def batches(self, blocks: Iterator[Lines | Rejected]) -> Generator[Batch]:
        """A batch per block, in order."""
        pending: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(len(self._free), "parse") as pool, closing(read_ahead(blocks, 1)) as ahead:
            for block in ahead:
                pending.append(pool.submit(self._batch, block))
                if len(pending) > len(self._free):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _batch(self, block: Lines | Rejected) -> Batch:
        if isinstance(block, Rejected):
            return Batch(pl.DataFrame(schema={**self._columns.schema, POINTER: pl.Int64}), [block])
        layout, parser = self._free.popleft()
        try:
            parsed = parser.parse(block)
            frame, kept = parsed.rows(layout)
        finally:
            self._free.append((layout, parser))
        rows = block.pick(kept)
        frame, bad = self._columns.apply(frame.with_columns(pl.Series(POINTER, rows.numbers, pl.Int64)))
        rejected = parsed.rejected + [rows.rejected(b.row, b.rule, b.reason, b.column) for b in bad]
        return Batch(frame[[*self._columns.schema, POINTER]], sorted(rejected, key=lambda r: r.line))
