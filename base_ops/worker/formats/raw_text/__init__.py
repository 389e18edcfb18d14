"""Bytes of no known format, kept line by line without a loss, so that nothing that arrives is a crash.

Columns: `text`, and `encoding`: utf-8, or latin-1 for a line that is no UTF-8 (then every character is one byte). Only
the LF between lines is left out; `text` encoded as `encoding` says is what arrived. A line beyond `max_record_bytes`
becomes several rows, with the same line number. Never found by content: it is what is left when nothing else fits.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_POSSIBLE = 0.1


class RawTextFormat:
    """Any bytes."""

    name = "raw_text"
    suffixes: tuple[str, ...] = ()

    def sniff(self, head: bytes, name: str) -> float:
        """Possible for anything, likely for nothing."""
        return _POSSIBLE if head else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.raw_text.reader import RawTextReader

        return RawTextReader(source, spec)


FORMAT = RawTextFormat()
