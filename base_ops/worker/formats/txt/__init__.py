"""Plain text: one row per line, in the column `text`.

The last resort for text that is nothing else, so never sure of itself. Blank lines are rows; line ends (LF, CRLF) are
not part of the text. The encoding is detected or declared; a line that is not of it, holds a NUL byte, or is longer
than `max_record_bytes` goes to quarantine. `skip_lines` and `comment` leave lines out; `columns` may name the column
otherwise or give it a type.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_FALLBACK = 0.16
_PROSE = 0.3
_POSSIBLE = 0.1
_WORDS = 4
_OTHERS = (".json", ".ndjson", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".sql")
"""Names of other formats of text: what they hold is damaged rather than plain text, if their formats do not know it."""
_CONTROLS = bytes(sorted(set(range(32)) - set(b"\t\n\r\f\x1b")))


class TextFormat:
    """Plain text."""

    name = "txt"
    suffixes = (".text", ".md", ".log")

    def sniff(self, head: bytes, name: str) -> float:
        """A little over nothing for text; more where lines read like sentences, which a column of values does not."""
        if not head or (b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff"))):
            return 0.0
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            return _FALLBACK
        controls = len(head) - len(head.translate(None, _CONTROLS))
        if controls > len(head) // 50 or not _is_text(head):
            return 0.0
        lines = head.splitlines()
        full = [line for line in lines if line.strip()]
        words = sum(len(line.split()) for line in full) / max(1, len(full))
        if name.lower().endswith(_OTHERS):
            return _POSSIBLE
        is_prose = words >= _WORDS or (len(lines) - len(full)) * 10 > len(lines)
        return _PROSE if is_prose and full else _FALLBACK

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.txt.reader import TextReader

        return TextReader(source, spec)


def _is_text(head: bytes) -> bool:
    """UTF-8 (the last character may be cut off), or bytes of which most are ASCII."""
    try:
        head[:-3].decode()
    except UnicodeDecodeError:
        return sum(byte < 0x80 for byte in head) > 0.7 * len(head)
    return True


FORMAT = TextFormat()
