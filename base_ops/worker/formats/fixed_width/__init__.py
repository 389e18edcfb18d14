"""Fixed-width text: fields at fixed characters, as a layout says.

    read: {format: fixed_width, fixed_width: {fields: [{name: id, start: 1, length: 8, type: int64}, …]}}

Records stand one per line, or follow each other without line ends (`framing`). Positions count characters, whatever
the encoding (UTF-8, UTF-16, Latin, Shift JIS, the EBCDIC pages cp037, cp500, cp1047, cp1140 …). The length of every
record is checked: a shorter or longer one goes to quarantine with its line, and is never cut or filled up in silence.
Cells lose their padding, the blank ones are null, and are then typed as those of a delimited file; implied decimals
are exact. With `record_type` only the records of one type are rows; header and trailer are checked, and a trailer's
count that differs refuses the file. Without a layout nothing is read: the error holds one found in the content, as
YAML to paste and correct.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.fixed_width.propose import aligned_lines, find_spans

_POSSIBLE = 0.1


class FixedWidthFormat:
    """Fixed-width text."""

    name = "fixed_width"
    suffixes = (".fwf", ".prn", ".dat")

    def sniff(self, head: bytes, name: str) -> float:
        """Low: equally long lines with blank columns between others; else only possible, where declared."""
        if not head or head.startswith((b"PAR1", b"PK\x03\x04", b"\x89PNG", b"Obj\x01", b"ARROW1")):
            return 0.0
        if b"\0" in head:
            return 0.0 if head.count(0) > len(head) // 10 and not head.startswith((b"\xff\xfe", b"\xfe\xff")) else 0.06
        lines = aligned_lines(head.decode("latin-1"))
        if not lines or len(find_spans(lines)) < 2:
            return _POSSIBLE
        return 0.5 if name.lower().endswith(self.suffixes) else 0.4

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: ConfigError where there is no layout, or none that can be."""
        from base_ops.worker.formats.fixed_width.reader import FixedWidthReader

        return FixedWidthReader(source, spec)


FORMAT = FixedWidthFormat()
