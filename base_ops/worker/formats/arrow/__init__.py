"""Arrow IPC, the file (Feather 2) and the stream form."""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

MAGIC = b"ARROW1"
CONTINUATION = b"\xff\xff\xff\xff"
_MAX_METADATA = 1 << 28


class ArrowFormat:
    """Apache Arrow IPC."""

    name = "arrow"
    suffixes = (".arrow", ".feather", ".ipc", ".arrows")

    def sniff(self, head: bytes, name: str) -> float:
        """The file form has magic bytes; a stream begins with a message's length."""
        return 1.0 if head.startswith(MAGIC) else 0.9 if is_stream(head) else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.arrow.reader import open_arrow

        return open_arrow(source, spec)


def is_stream(head: bytes) -> bool:
    """Whether these are the first bytes of the stream form: the length of a message."""
    if head[:4] != CONTINUATION or len(head) < 8:
        return False
    size = int.from_bytes(head[4:8], "little", signed=True)
    return size == 0 or (0 < size < _MAX_METADATA and size % 8 == 0)


FORMAT = ArrowFormat()
