"""The reader of what no format knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.lines import read_full

_BATCH_ROWS = 1 << 14


class RawTextReader:
    """One opened object; it has no faults, since anything goes."""

    block_bytes = 1 << 20

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        head = source.head(16)
        if not head:
            raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
        self._source, self._limit = source, spec.max_record_bytes
        self.schema = pl.Schema({"text": pl.String(), "encoding": pl.String()})
        message = f"{source.name} is of no known format: its lines are kept as they are"
        data = {"name": source.name, "first_bytes": head.hex()}
        self.findings = [Finding(code="raw_text", message=message, severity="warning", data=dict(data))]

    def batches(self) -> Iterator[Batch]:
        rows: list[tuple[str, str, int]] = []
        size = 0
        with self._source.open() as file:
            for number, line in self._lines(file):
                rows.append((*_decoded(line), number))
                size += len(line)
                if len(rows) == _BATCH_ROWS or size > self.block_bytes:
                    yield self._batch(rows)
                    rows, size = [], 0
        if rows:
            yield self._batch(rows)

    def _batch(self, rows: list[tuple[str, str, int]]) -> Batch:
        return Batch(pl.DataFrame(rows, schema={**self.schema, POINTER: pl.Int64}, orient="row"))

    def _lines(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """Lines with their numbers; a long one in pieces."""
        rest, number = b"", 1
        while data := read_full(file, self.block_bytes):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield from self._pieces(number, line)
                number += 1
            while len(rest) > self._limit:
                yield number, rest[: self._limit]
                rest = rest[self._limit :]
        if rest:
            yield from self._pieces(number, rest)

    def _pieces(self, number: int, line: bytes) -> Iterator[tuple[int, bytes]]:
        for start in range(0, max(len(line), 1), self._limit):
            yield number, line[start : start + self._limit]


def _decoded(line: bytes) -> tuple[str, str]:
    try:
        return line.decode(), "utf-8"
    except UnicodeDecodeError:
        return line.decode("latin-1"), "latin-1"
