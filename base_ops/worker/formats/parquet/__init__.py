"""Apache Parquet."""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

MAGIC, ENCRYPTED = b"PAR1", b"PARE"


class ParquetFormat:
    """Apache Parquet."""

    name = "parquet"
    suffixes = (".parquet", ".pq", ".parq")

    def sniff(self, head: bytes, name: str) -> float:
        return 1.0 if head[:4] in (MAGIC, ENCRYPTED) else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.parquet.reader import open_parquet

        return open_parquet(source, spec)


FORMAT = ParquetFormat()
