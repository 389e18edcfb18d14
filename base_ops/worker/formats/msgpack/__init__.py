"""MessagePack: maps one after the other, or arrays of maps.

    integers          int64; decimal(38,0) where some need the unsigned 64 bits
    bin               bytes
    timestamp (ext)   timestamp in UTC, with nanoseconds where some have them
    other ext         object of `type` (number) and `data` (bytes)
    keys              texts; integers are taken as texts, others refuse their record

A text that is no UTF-8, a key that appears twice and nesting deeper than 100 levels refuse their record, as does
a length of more than max_record_bytes. What is no MessagePack, or far longer, refuses the object with its position:
there is no way to find the next record.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource


class MsgpackFormat:
    """MessagePack."""

    name = "msgpack"
    suffixes = (".msgpack", ".mpack", ".mpk")

    def sniff(self, head: bytes, name: str) -> float:
        """There is no magic: sure where maps with texts as keys begin the object."""
        first = head[:1]
        if not (b"\x80" <= first <= b"\x9f" or first in (b"\xdc", b"\xdd", b"\xde", b"\xdf")):
            return 0.0
        from base_ops.worker.formats.msgpack.peek import certainty

        sure = certainty(head)
        return max(sure, 0.9) if sure and name.lower().endswith(self.suffixes) else sure

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.msgpack.reader import open_msgpack

        return open_msgpack(source, spec)


FORMAT = MsgpackFormat()
