"""Delimited text, the heart of reading: never lose, double or misread a row.

    bytes ─ blocks.decoded ─ cutter ─► Block ─ parse ─► Batch
                              │           │
                     structure (numpy)  convert (polars)      cells: the exact way, for odd records only

A thread reads, decodes and cuts ahead; the caller's thread parses. A clean block costs two byte counts over its bare
parsing; only where a count, a null or a quote leaves a doubt is the block looked at more closely, then the record.
"""

from __future__ import annotations

from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.sniff import likelihood


class DelimitedFormat:
    """CSV, TSV, semicolon or pipe separated text."""

    name = "csv"
    suffixes = (".csv", ".tsv", ".tab", ".psv", ".txt")

    def sniff(self, head: bytes, name: str) -> float:
        return likelihood(head, name)

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is empty, is no text, or lacks a declared column."""
        from base_ops.worker.formats.delimited.reader import DelimitedReader

        return DelimitedReader(source, spec)


FORMAT = DelimitedFormat()
