"""TOML 1.0 documents, by the standard library's parser; 100 MB at most, read whole.

The only array of tables (`[[package]]`) holds the records; the values beside it are named in a finding. With
`read.records` (keys joined by '.') another list is. Else the document is one record.

Strings stay strings; dates, times and timestamps are what TOML says they are, to the microsecond: a document with a
finer fraction is refused, since the parser would cut it. Offsets become UTC. Integers of any size are kept; a
column is decimal where a float has more digits than a float64 keeps; `inf` and `nan` are kept. Deeper than 100 levels
is refused. Options: records, nested, columns.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_KEY = rb"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')(?:[ \t]*\.[ \t]*(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"))*"
_TABLE = re.compile(rb"[ \t]*\[{1,2}[ \t]*" + _KEY + rb"[ \t]*\]{1,2}[ \t]*(?:#.*)?\r?$")
_PAIR = re.compile(
    rb"[ \t]*" + _KEY + rb"[ \t]*=[ \t]*(?:[\"'\[{]|[+-]?(?:\d|inf|nan)|true[ \t]*(?:#|\r?$)|false[ \t]*(?:#|\r?$))"
)
_LOOKED_AT = 200


class TomlFormat:
    """TOML documents."""

    name = "toml"
    suffixes = (".toml",)

    def sniff(self, head: bytes, name: str) -> float:
        """By its lines: tables and typed values (an INI file writes its texts without quotes)."""
        lines = [line for line in head.split(b"\n")[:_LOOKED_AT] if line.strip() and not line.lstrip().startswith(b"#")]
        by_name = name.lower().endswith(self.suffixes)
        pairs = sum(_PAIR.match(line[:2000]) is not None for line in lines)
        tables = sum(_TABLE.match(line[:2000]) is not None for line in lines)
        if not pairs and not (tables and by_name):
            return 0.0
        share = (pairs + tables) / len(lines)
        first = _PAIR.match(lines[0][:2000]) or _TABLE.match(lines[0][:2000])
        if by_name:
            return 0.95 if first else 0.5
        return 0.85 * share if first and share > 0.5 else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.toml.reader import open_toml

        return open_toml(source, spec)


FORMAT = TomlFormat()
