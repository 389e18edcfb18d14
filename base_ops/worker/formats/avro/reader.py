"""The Avro reader: blocks unpacked and decoded side by side, handed on in order, in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch
from base_ops.worker.formats.avro.codecs import CODECS, Damaged, TooLarge
from base_ops.worker.formats.avro.container import MAX_BLOCK_BYTES, Block, blocks, damaged, read_header
from base_ops.worker.formats.avro.meaning import meant
from base_ops.worker.formats.avro.resolve import default, field_of, reader_schema, resolved
from base_ops.worker.formats.avro.schema import Field, Node, dtype_of, parse_schema
from base_ops.worker.formats.avro.wire import Decoded, Decoder, Piece
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.declared import BadRow
from base_ops.worker.formats.frames import FrameReader, distinct_names

_RUN_BYTES = 1 << 20
"""Packed bytes one thread takes at a time."""
_PIECE_BYTES = 16 << 20
"""Unpacked bytes decoded at a time."""
_SMALL = 10 << 20
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass
class _Rows:
    """A decoded piece, with the types of the schema; `texts` are columns with the bytes of texts."""

    frame: pl.DataFrame
    texts: list[str]
    first: int
    broken: dict[int, BadRow]


class AvroReader(FrameReader):
    """A Reader over an Avro container file."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        """Raises: BadInput where the object is no Avro file or its schema cannot be read; ConfigError: options."""
        self._source, self._spec = source, spec
        with source.open() as file:
            header = read_header(file, source.name)
        node = parse_schema(header.schema, source.name)
        self._meaning = _Meaning(node, spec, source.name)
        super().__init__(source.name, self._meaning.schema, spec)
        self.findings += self._meaning.findings
        self._unpack, self._sync = CODECS[header.codec], header.sync
        self._decoder = Decoder(node, source.name)

    def batches(self) -> Iterator[Batch]:
        workers = min(4, os.cpu_count() or 1)
        with self._source.open() as file, ThreadPoolExecutor(workers) as pool:
            read_header(file, self._name)
            runs = _runs(blocks(file, self._name, self._sync))
            try:
                for rows in _in_order(pool, self._rows, runs, ahead=workers):
                    while rows:
                        part = rows.pop(0)
                        yield self.finish(part.frame, part.texts, part.first, part.broken)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    # -- in the pool's threads

    def _rows(self, run: Sequence[Block]) -> list[_Rows]:
        return [self._meaning.rows(self._decoder.decode(piece), piece) for piece in self._pieces(run)]

    def _pieces(self, run: Sequence[Block]) -> Iterator[Piece]:
        limit = max(_SMALL, int(self._spec.max_ratio * sum(len(b.data) for b in run)))
        left, piece, size = limit, Piece(run[0].number, run[0].first, 0, [], []), 0
        for block in run:
            try:
                body = self._unpack(block.data, min(left, MAX_BLOCK_BYTES))
            except TooLarge:
                self._too_large(block, limit)
            except Damaged as error:
                damaged(self._name, str(error), block.number)
            left -= len(body)
            piece.bodies.append(body)
            piece.counts.append(block.records)
            piece.records += block.records
            size += len(body)
            if size >= _PIECE_BYTES:
                yield piece
                piece, size = Piece(block.number + 1, block.first + block.records, 0, [], []), 0
        if piece.bodies:
            yield piece

    def _too_large(self, block: Block, limit: int) -> None:
        raise BadInput(
            f"{self._name} unpacks too far",
            code="too_large",
            where=f"{self._name}, block {block.number}",
            expected=f"at most {self._spec.max_ratio:g} times its size, and {MAX_BLOCK_BYTES} bytes a block",
            found=f"more than {min(limit, MAX_BLOCK_BYTES)} bytes",
            todo="if the source is to be trusted, raise max_ratio",
        ) from None


@dataclass(frozen=True)
class _Column:
    """One column of the result."""

    name: str
    node: Node
    made: pl.Expr
    wire: str | None
    """Its wire column, if it has one."""
    is_text: bool


class _Meaning:
    """From wire columns to those of the file's schema, or of the reader's."""

    def __init__(self, writer: Node, spec: ReadSpec, source: str) -> None:
        self.findings: list[Finding] = []
        self._source = source
        reader = writer if spec.avro.reader_schema is None else reader_schema(spec.avro.reader_schema)
        names = distinct_names((f.name for f in reader.fields), self.findings)
        self._columns = [self._column(n, f, writer, reader) for n, f in zip(names, reader.fields, strict=True)]
        self.schema = pl.Schema({c.name: dtype_of(c.node) for c in self._columns})

    def _column(self, name: str, field: Field, writer: Node, reader: Node) -> _Column:
        index = field_of(writer, field)
        if index is None:
            return _Column(name, field.node, default(field, self._source).alias(name), None, False)
        wire, have = str(index), writer.fields[index].node
        value = pl.col(wire)
        kinds = {have.kind, field.node.kind}
        if kinds <= {"string", "bytes"} and not have.logical + field.node.logical:
            return _Column(name, field.node, value.alias(name), wire, field.node.kind == "string")
        if have.kind == "string" and reader is writer:  # uuid
            return _Column(name, field.node, value.alias(name), wire, True)
        made = meant(value, have, strict=False)
        if reader is not writer:
            made = resolved(made, have, field.node, f"{self._source}, {name}", strict=False)
        return _Column(name, field.node, made.alias(name), wire, False)

    def rows(self, decoded: Decoded, piece: Piece) -> _Rows:
        """Raises: BadInput where a value below the top level is none of its type."""
        try:
            made = decoded.frame.select(c.made for c in self._columns) if self._columns else decoded.frame
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            last = piece.block + len(piece.bodies) - 1
            damaged(self._source, f"a value is not of its type, up to block {last}: {str(error)[:200]}", piece.block)
        for column in self._columns:
            self._find_unfit(column, decoded, made)
        return _Rows(made, [c.name for c in self._columns if c.is_text], piece.first, decoded.broken)

    def _find_unfit(self, column: _Column, decoded: Decoded, made: pl.DataFrame) -> None:
        """Values that became null are none of their type; nulls are none where the reader's schema has no null."""
        values = made.get_column(column.name).alias("v")
        if not values.null_count():
            return
        bad = values.is_null()
        if column.node.is_nullable and column.wire is not None:
            before = decoded.frame[column.wire]
            if before.null_count() == values.null_count():
                return
            bad &= before.is_not_null()
        for row in bad.arg_true().to_list() if not (column.node.is_nullable and column.wire is None) else ():
            reason = f"the value is no {column.node.logical or column.node.kind} of the schema"
            decoded.broken.setdefault(row, BadRow(row, "type", reason, column.name))


def _runs(found: Iterator[Block]) -> Iterator[list[Block]]:
    run: list[Block] = []
    size = 0
    for block in found:
        run.append(block)
        size += len(block.data)
        if size >= _RUN_BYTES:
            yield run
            run, size = [], 0
    if run:
        yield run


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[_Result]:
    """The results of `work` on each item, in order, with at most `ahead` + 1 under way."""
    waiting: deque[Future[_Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
