"""Delimited text, the heart of reading: never lose, double or misread a row.

    bytes ─ blocks.decoded ─ cutter ─► Block ─ parse ─► Batch
                              │           │
                     structure (numpy)  convert (polars)      cells: the exact way, for odd records only

A thread reads, decodes and cuts ahead; the caller's thread parses. A clean block costs two byte counts over its bare
parsing; only where a count, a null or a quote leaves a doubt is the block looked at more closely, then the record.
"""

from base_ops.worker.formats.delimited.reader import DelimitedFormat

FORMAT = DelimitedFormat()

__all__ = ["FORMAT"]
