"""Avro object container files (Avro specification 1.12, "Object Container Files").

Read is everything the specification has but recursive types: all codecs (null, deflate, snappy, bzip2, xz,
zstandard), all logical types, unions, schemas that are no record (one column `value`). The pointer of a row is its
record number.

    enum, uuid               text
    decimal                  decimal; values of more than 38 digits refuse their row
    timestamp-*              timestamp in UTC, local-timestamp-* without a zone; milli-, micro- or nanoseconds
    duration                 struct of months, days, milliseconds
    map                      list of key and value, since a file may repeat a key
    union with null          the other type, nullable
    other unions             struct with one field per branch, named as the branch's type; the one that is set counts

Options: `read.avro.reader_schema`, to which records of older (or newer) writers are resolved.

Limits: a block unpacks to at most 256 MiB, the file to `max_ratio` times its size; a schema nests at most 64 levels.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

MAGIC = b"Obj\x01"


class AvroFormat:
    """Apache Avro, as files."""

    name = "avro"
    suffixes = (".avro",)

    def sniff(self, head: bytes, name: str) -> float:
        return 1.0 if head.startswith(MAGIC) else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.avro.reader import AvroReader

        return AvroReader(source, spec)


FORMAT = AvroFormat()
