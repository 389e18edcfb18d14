"""Rows on their way to Parquet files of bounded size, in bounded memory."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from base_ops.worker.connectors.base import Fetched, Site, check_size
from base_ops.worker.lake.store import sha256_of

_SAMPLE_ROWS = 10_000
_MOST_DISTINCT = 0.25
GROUP_BYTES = 32 << 20
"""A row group is written when its rows take this much memory; with a few readers side by side this bounds all."""


def parquet_parts(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, site: Site, whole: str, number: int
) -> Iterator[tuple[Fetched, int]]:
    """Files `<whole>/part-<number>-<n>.parquet`, each with its rows; none where there are no rows."""
    writer: _Writer | None = None
    made = 0
    try:
        for batch in _cut(batches, site.source.block.part_rows):  # type: ignore[attr-defined]
            if batch is None:
                if writer is not None:
                    yield writer.finish()
                    writer = None
                continue
            if writer is None:
                writer = _Writer(schema, site, whole, f"part-{number:05d}-{made:03d}.parquet")
                made += 1
            writer.write(batch)
        if writer is not None:
            done, writer = writer, None
            yield done.finish()
    finally:
        if writer is not None:
            writer.abandon()


def empty_part(schema: pa.Schema, site: Site, whole: str) -> Fetched:
    """A file without rows: it says that there are none (any more)."""
    return _Writer(schema, site, whole, "part-00000-000.parquet").finish()[0]


def _cut(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch | None]:
    """The batches, with None after every `rows` rows."""
    left = rows
    for batch in batches:
        while batch.num_rows > left:
            yield batch.slice(0, left)
            yield None
            batch, left = batch.slice(left), rows
        if batch.num_rows:
            yield batch
            left -= batch.num_rows


def encodings(first: pa.Table) -> dict[str, Any]:
    """How columns are encoded, judged by the first rows. A dictionary of values that hardly repeat costs twice the time
    of writing them, and makes the file larger: whole numbers and times then go as differences, others as they are."""
    repeating: list[str] = []
    encoded: dict[str, str] = {}
    for field in first.schema:
        sample = first.column(field.name).slice(0, _SAMPLE_ROWS)
        if len(sample.unique()) <= len(sample) * _MOST_DISTINCT:
            repeating.append(field.name)
        elif pa.types.is_integer(field.type) or pa.types.is_temporal(field.type):
            encoded[field.name] = "DELTA_BINARY_PACKED"
    return {"use_dictionary": repeating or False, "column_encoding": encoded or None}


class _Writer:
    """One file."""

    def __init__(self, schema: pa.Schema, site: Site, whole: str, name: str) -> None:
        self.site, self.whole, self.path = site, whole, f"{whole}/{name}"
        self.schema = schema
        self.local: Path = site.scratch / uuid.uuid4().hex
        self.file = self.local.open("xb")
        self.parquet: pq.ParquetWriter | None = None
        self.waiting: list[pa.RecordBatch] = []
        self.bytes = self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self.waiting.append(batch)
        self.rows += batch.num_rows
        self.bytes += batch.nbytes
        if self.bytes >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self.waiting:
            table = pa.Table.from_batches(self.waiting, self.schema)
            self._opened(table).write_table(table, row_group_size=max(table.num_rows, 1))
            self.waiting, self.bytes = [], 0
            check_size(self.file.tell(), self.site, self.path)

    def _opened(self, first: pa.Table) -> pq.ParquetWriter:
        if self.parquet is None:
            made = {**encodings(first), "compression": "zstd", "compression_level": 1}
            self.parquet = pq.ParquetWriter(self.file, self.schema, **made)
        return self.parquet

    def finish(self) -> tuple[Fetched, int]:
        try:
            self._write_group()
            self._opened(self.schema.empty_table()).close()
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
        except BaseException:
            self.abandon()
            raise
        digest, size = sha256_of(self.local), self.local.stat().st_size
        return Fetched(self.path, self.local, digest, size, part_of=self.whole), self.rows

    def abandon(self) -> None:
        self.file.close()
        self.local.unlink(missing_ok=True)
