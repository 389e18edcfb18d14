"""Apache ORC (all versions and codecs that Apache's own C++ reader knows), stripe by stripe.

Timestamps come out as the wall clock that was written, `timestamp with local time zone` as UTC; both have nanoseconds,
so a file with dates beyond the years 1677 to 2262 in such a column is refused. Unions are refused by name, as are
encrypted columns and files whose top level is no struct. Dates before 1582-10-15 keep the year, month and day that a
writer of the hybrid Julian calendar meant (Hive before 3.1, Spark before 3).
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

MAGIC = b"ORC"


class OrcFormat:
    """Apache ORC."""

    name = "orc"
    suffixes = (".orc",)

    def sniff(self, head: bytes, name: str) -> float:
        """Three letters in front, then the stripes' bytes: less sure where what follows is text."""
        if not head.startswith(MAGIC):
            return 0.0
        is_text = all(byte >= 0x20 or byte in b"\t\r\n" for byte in head[:512])
        return 0.95 if not is_text else 0.6 if name.lower().endswith(self.suffixes) else 0.1

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.orc.reader import open_orc

        return open_orc(source, spec)


FORMAT = OrcFormat()
