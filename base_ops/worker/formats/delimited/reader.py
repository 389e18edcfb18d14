"""The reader of delimited text: settles dialect, columns and types, then reads block after block."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from copy import deepcopy

import numpy as np
import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.engine.plan import Batch
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.blocks import BLOCK_BYTES, Block, decoded, read_ahead
from base_ops.worker.formats.delimited.cells import split_record
from base_ops.worker.formats.delimited.columns import Column, name_columns, plan_columns
from base_ops.worker.formats.delimited.cutter import Cutter
from base_ops.worker.formats.delimited.dialect import check_spec
from base_ops.worker.formats.delimited.parse import Parser
from base_ops.worker.formats.delimited.sniff import HEAD_BYTES, detect_dialect

_PARSERS = 2
"""Blocks parsed at a time; each is a few tens of MB while it is."""


class DelimitedReader:
    """One opened object: dialect, columns and types are settled, no row is read yet."""

    block_bytes = BLOCK_BYTES
    sample_bytes = 2 << 20

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        check_spec(spec)
        self.source, self.spec = source, spec
        head = source.head(HEAD_BYTES)
        if not head:
            raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
        self.dialect = detect_dialect(head, spec, complete=len(head) < HEAD_BYTES)
        self.findings = [Finding(code="dialect", message=f"{source.name}: dialect", data=dict(self.dialect.describe()))]
        header, sample = self._sample()
        names, found = name_columns(header, sample.width - 1)
        self.findings += found
        sample = sample.drop(sample.columns[-1]).head(spec.sample_rows)
        self.columns, found = plan_columns(names, sample, spec, header=self.dialect.header, source=source.name)
        self.findings += found
        self.schema = pl.Schema({c.name: c.dtype for c in self.columns})

    def batches(self) -> Iterator[Batch]:
        """Rows in file order with the POINTER column, and what was refused between them."""
        for batch in self._parsed():
            if batch.frame.height or batch.rejected:
                yield batch

    def _parsed(self) -> Iterator[Batch]:
        """One block is parsed while the next one is and the one before is written: one alone leaves a core idle."""
        # A parser learns from its blocks, so that each thread has one of its own.
        parsers = [Parser(deepcopy(self.columns), self.spec) for _ in range(_PARSERS)]
        free = deque(parsers)

        def parse(block: Block) -> Batch:
            parser = free.popleft()
            try:
                return parser.parse(block)
            finally:
                free.append(parser)

        pending: deque[Future[Batch]] = deque()
        with self.source.open() as file, ThreadPoolExecutor(_PARSERS, "parse") as pool:
            cutter = Cutter(self.dialect, self.spec.max_record_bytes, parsers[0].converter.firsts)
            with closing(read_ahead(cutter.blocks(decoded(file, self.dialect, self.block_bytes)))) as blocks:
                for block in self._without_header(blocks):
                    pending.append(pool.submit(parse, block))
                    if len(pending) > _PARSERS:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()

    def _without_header(self, blocks: Iterator[Block]) -> Iterator[Block]:
        waiting = self.dialect.header
        for block in blocks:
            if waiting:
                header, block = _take_header(block)
                waiting = header is None
            yield block

    def _sample(self) -> tuple[list[str] | None, pl.DataFrame]:
        """The header's cells, and the first records as text."""
        header: list[str] | None = None
        with self.source.open() as file:
            cutter = Cutter(self.dialect, self.spec.max_record_bytes)
            for block in cutter.blocks(decoded(file, self.dialect, self.sample_bytes)):
                if self.dialect.header and header is None:
                    header, block = _take_header(block)
                    if header is None:
                        continue
                width = len(header) if header is not None else self._width(block)
                if width > self.spec.max_columns:
                    raise BadInput(
                        f"{self.source.name} has too many columns",
                        code="too_many_columns",
                        where=self.source.name,
                        expected=f"at most {self.spec.max_columns:,}",
                        found=f"{width:,}",
                        todo="check the delimiter, or raise read.max_columns",
                    )
                if width:
                    return header, self._as_text(block, width)
        if header is None:
            raise BadInput(f"{self.source.name} holds no record", code="empty_object", where=self.source.name)
        return header, self._as_text(Block(b"", self.dialect, 1, 0, quoted=False), len(header))

    def _width(self, block: Block) -> int:
        """Cells of most of the first records; as declared where columns are declared."""
        if self.spec.columns is not None:
            return len(self.spec.columns)
        lengths = block.layout.ends - block.layout.starts
        cells = block.layout.delimiters[lengths > 1][: self.spec.sample_rows] + 1
        return int(np.bincount(cells).argmax()) if len(cells) else 0

    def _as_text(self, block: Block, width: int) -> pl.DataFrame:
        columns = [Column(f"column_{i}", "string") for i in range(width)]
        return Parser(columns, self.spec).parse(block).frame


def _take_header(block: Block) -> tuple[list[str] | None, Block]:
    """The cells of the first record that is neither blank nor a comment, and the block without it."""
    comment = block.dialect.comment.encode()
    for index in range(len(block.layout.ends)):
        record = block.record(index)
        if not record or (comment and record.startswith(comment)):
            continue
        if block.rejected and block.rejected[0].line < int(block.lines()[index]):
            raise BadInput("the header cannot be read", code="bad_header", found=block.rejected[0].reason)
        cells = split_record(record, block.dialect)
        keep = np.ones(len(block.layout.ends), bool)
        keep[: index + 1] = False
        kept = block.keep(keep)
        kept.rejected = block.rejected
        return [cell.decode("utf-8", "replace") for cell, _ in cells or []], kept
    return None, block
