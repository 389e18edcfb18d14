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
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.blocks import BLOCK_BYTES, Block, decoded, read_ahead
from base_ops.worker.formats.delimited.columns import Column, name_columns, plan_columns
from base_ops.worker.formats.delimited.cutter import Cutter
from base_ops.worker.formats.delimited.dialect import check_spec
from base_ops.worker.formats.delimited.encoding import encoding_findings
from base_ops.worker.formats.delimited.header import (
    Header,
    header_differs,
    passed_over,
    trailing_delimiter,
)
from base_ops.worker.formats.delimited.parse import Parser
from base_ops.worker.formats.delimited.passed import Passed, findings_of
from base_ops.worker.formats.delimited.sniff import DIALECT_BYTES, detect_dialect, physical_lines
from base_ops.worker.formats.delimited.structure import Positions

_ALIKE = 0.75
"""Share of the first records that must end with a delimiter for that to be a habit of the file and no damage."""
_PARSERS = 2
"""Blocks parsed at a time; each is a few tens of MB while it is."""


class DelimitedReader:
    """One opened object: dialect, columns and types are settled, no row is read yet."""

    block_bytes = BLOCK_BYTES
    sample_bytes = 2 << 20

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        check_spec(spec)
        self.source, self.spec = source, spec
        head = source.head(DIALECT_BYTES)
        if not head:
            raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
        self.dialect = detect_dialect(head, spec, complete=len(head) < DIALECT_BYTES)
        self.findings = [Finding(code="dialect", message=f"{source.name}: dialect", data=dict(self.dialect.describe()))]
        self.findings += encoding_findings(source.name, spec.encoding, self.dialect)
        self._report_preamble(head)
        header, sample = self._sample()
        self._header = header.raw if header else b""
        named = sample.width if header is None else len(header.cells)
        names, found = name_columns(header.cells if header else None, named)
        self.findings += found
        texts = sample[:, :named].head(spec.sample_rows)
        self.columns, found = plan_columns(names, texts, spec, header=header is not None, source=source.name)
        self.findings += found
        self.schema = pl.Schema({c.name: c.dtype for c in self.columns})
        self.columns += [Column(f"\0{i}", "string", is_named=False) for i in range(sample.width - named)]

    def _report_preamble(self, head: bytes) -> None:
        skipped = self.dialect.skip_lines
        if skipped > self.spec.skip_lines:
            text = head[self.dialect.bom_bytes :].decode(self.dialect.encoding, "replace")
            lines = list(enumerate(physical_lines(text, self.dialect.eol)[:skipped], 1))[self.spec.skip_lines :]
            todo = "read.skip_lines says how many lines are above the header; read.header=false that there is none"
            self.findings.append(passed_over("preamble", self.source.name, "lines above the header", lines, todo))

    def batches(self) -> Iterator[Batch]:
        """Rows in file order with the POINTER column, and what was refused between them."""
        for batch in self._parsed():
            if batch.frame.height or batch.rejected:
                yield batch

    def _parsed(self) -> Iterator[Batch]:
        """One block is parsed while the next one is and the one before is written: one alone leaves a core idle."""
        # A parser learns from its blocks, so that each thread has one of its own.
        parsers = [Parser(deepcopy(self.columns), self.spec, self._header) for _ in range(_PARSERS)]
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
                for block in self._without_header(blocks, parsers[0].passed):
                    pending.append(pool.submit(parse, block))
                    if len(pending) > _PARSERS:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
        self.findings += findings_of((parser.passed for parser in parsers), self.source.name)

    def _without_header(self, blocks: Iterator[Block], passed: Passed) -> Iterator[Block]:
        """The blocks without the header; the last one is marked."""
        header, held = self._new_header(), None
        for block in blocks:
            if header.wanted:
                above, block = header.take_from(block)
                passed.add(above, np.ones(len(above.layout.ends), bool))
            if held is not None:
                yield held
            held = block
        if held is not None:
            held.is_last = True
            yield held

    def _sample(self) -> tuple[Header | None, pl.DataFrame]:
        """The header (as many cells as columns are named), and the first records as text."""
        header = self._new_header() if self.dialect.header else None
        refused: list[Rejected] = []
        with self.source.open() as file:
            cutter = Cutter(self.dialect, self.spec.max_record_bytes)
            for block in cutter.blocks(_ended(decoded(file, self.dialect, self.sample_bytes), self.dialect.eol)):
                refused += block.rejected[: 1 - len(refused)]
                if header is not None and header.wanted:
                    _, block = header.take_from(block)
                if header is not None and not header.wanted:
                    self._report_labels(header)
                    return header, self._fitted(header, block, self._width(block))
                if header is None and (width := self._width(block)):
                    return None, self._as_text(block, width)
        if header is None or not header.cells:
            raise _no_record(self.source.name, refused)
        self._report_labels(header)
        return header, self._as_text(Block(b"", self.dialect, 1, 0, quoted=False), len(header.cells))

    def _new_header(self) -> Header:
        return Header(wanted=1 + self.dialect.label_rows if self.dialect.header else 0)

    def _report_labels(self, header: Header) -> None:
        if header.labels:
            todo = "put it right at the source, or take the units into read.columns"
            self.findings.append(
                passed_over("label_row", self.source.name, "rows below the header", header.labels, todo)
            )

    def _fitted(self, header: Header, block: Block, width: int) -> pl.DataFrame:
        """The sample, as wide as the records are; the header loses cells at its end that name nothing."""
        cells = len(header.cells)
        while header.cells and not header.cells[-1].strip() and len(header.cells) > 1:
            header.cells.pop()
        named = len(header.cells)
        if width >= named and (width > named or cells > named) and self._share(block, width) >= _ALIKE:
            sample = self._as_text(block, width, header.raw)
            if sample.height and all(_is_empty(column) for column in sample[:, named:].iter_columns()):
                self.findings.append(trailing_delimiter(self.source.name, named, max(width, cells)))
                return sample
        header.cells += [""] * (cells - named)
        if width and width != cells:
            self.findings.append(header_differs(self.source.name, cells, width))
        return self._as_text(block, cells, header.raw)

    def _width(self, block: Block) -> int:
        """Cells of most of the first records; as declared where columns are declared and no header names them."""
        if self.spec.columns is not None and not self.dialect.header:
            return len(self.spec.columns)
        cells = self._cells(block)
        return int(np.bincount(cells).argmax()) if len(cells) else 0

    def _share(self, block: Block, width: int) -> float:
        """Share of the first records of several cells that have `width` of them."""
        cells = self._cells(block)
        cells = cells[(cells > 1) | (width == 1)]
        return float((cells == width).mean()) if len(cells) else 0.0

    def _cells(self, block: Block) -> Positions:
        """Number of cells of each of the first records that are not blank."""
        lengths = block.layout.ends - block.layout.starts
        return np.asarray(block.layout.delimiters[lengths > 1][: self.spec.sample_rows] + 1)

    def _as_text(self, block: Block, width: int, header: bytes = b"") -> pl.DataFrame:
        if width > self.spec.max_columns:
            raise BadInput(
                f"{self.source.name} has too many columns",
                code="too_many_columns",
                where=self.source.name,
                expected=f"at most {self.spec.max_columns:,}",
                found=f"{width:,}",
                todo="check the delimiter, or raise read.max_columns",
            )
        columns = [Column(f"column_{i}", "string") for i in range(width)]
        return Parser(columns, self.spec, header).parse(block).frame[:, :width]


def _ended(chunks: Iterator[bytes], eol: str) -> Iterator[bytes]:
    """The chunks; one that is all there is ends with a line end, so that its last record is seen with the others."""
    first = next(chunks, b"")
    is_ended = not first or first.endswith(eol.encode())
    second = b"" if is_ended else next(chunks, b"")
    yield first if is_ended or second else first + eol.encode()
    if second:
        yield second
    yield from chunks


def _is_empty(texts: pl.Series) -> bool:
    return bool((texts.is_null() | (texts.str.strip_chars() == "")).all())


def _no_record(name: str, refused: list[Rejected]) -> BadInput:
    if not refused:
        return BadInput(f"{name} holds no record", code="empty_object", where=name)
    return BadInput(
        f"No record of {name} can be read",
        code="bad_records",
        where=name,
        found=f"line {refused[0].line}: {refused[0].reason}",
        todo="declare read.delimiter and read.quote (an empty one, where quotes are letters like any other)",
    )
