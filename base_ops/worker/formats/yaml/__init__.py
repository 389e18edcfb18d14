"""YAML, read safely: 1.2 core schema, no tags of its own, 100 MB at most.

Records are the documents (`---`); a document that is a list holds records itself; with `read.records` (keys joined by
'.') the list at that path in each document does. A list of records is read one by one.

Plain scalars are what the core schema says, and nothing else: `true`/`false`, `null`/`~`/empty, decimal, 0o and 0x
integers, floats, `.inf`, `.nan`. So `no`, `yes`, `on`, `off`, `1:30`, `1_000` and dates are texts (a column of ISO
dates is typed as in any other format). Integers with leading zeros (`007`) stay text too: 1.1 reads them as octal, 1.2
as decimal, and a postcode is neither. Quoted scalars are texts. Keys are texts as written. `<<` merges mappings.

Refused: with its record, a key given twice, a key that is a list or mapping, a tag other than those of the core schema,
deeper than 100 levels; as a whole, what is not YAML, aliases that blow up (billion laughs) or hold themselves.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import HEAD_BYTES, ByteSource

_BOM = b"\xef\xbb\xbf"
_SKIPPED = re.compile(rb"\s*(?:#.*)?$")
_ENTRY = re.compile(
    rb"\s*(?:- )*(?:[A-Za-z0-9_./$-]+(?: [A-Za-z0-9_./$-]+){0,3}|\"[^\"]{1,100}\"|'[^']{1,100}')\s*:(?:\s|$)"
    rb"|\s*-(?:\s|$)|\s*\?\s|\s*[\]}]+,?\s*$"
)
_RECORD = re.compile(rb"- *\{.*\}\s*$")
"""A record on a line of its own, which a delimiter cuts evenly too."""
_LOOKED_AT = 100


class YamlFormat:
    """YAML documents."""

    name = "yaml"
    suffixes = (".yaml", ".yml")

    def sniff(self, head: bytes, name: str) -> float:
        """Nearly every text is YAML: sure where it says so (`%YAML`, `---`), or its lines fit and make records."""
        text = head.removeprefix(_BOM)
        if b"\0" in text[:512]:
            return 0.0
        lines = [line for line in text.split(b"\n")[:_LOOKED_AT] if not _SKIPPED.match(line)]
        by_name = name.lower().endswith(self.suffixes)
        if not lines:
            return 0.0
        if lines[0].startswith(b"%YAML "):
            return 0.97
        if len(lines) > 1 and all(_RECORD.match(line) for line in lines[:-1]):
            return 0.97
        says = lines[0].rstrip() == b"---"
        body = lines[1:] if says else lines
        share = sum(_ENTRY.match(line[:1000]) is not None for line in body) / len(body) if body else 0.0
        if share <= (0.3 if by_name or says else 0.5):
            return 0.3 if by_name else 0.2 if says else 0.0
        from base_ops.worker.formats.yaml.peek import structure

        found = structure(text, complete=len(head) < HEAD_BYTES)
        if by_name:
            return max(0.97 if found else 0.95, found)
        return max(0.9 if says and share > 0.5 else 0.0, found if share > 0.9 or found > 0.9 else 0.3 * found)

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.yaml.reader import open_yaml

        return open_yaml(source, spec)


FORMAT = YamlFormat()
