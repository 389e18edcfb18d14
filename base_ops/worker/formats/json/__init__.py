"""JSON documents."""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.values import BOM


class JsonFormat:
    """One JSON document."""

    name = "json"
    suffixes = (".json", ".geojson")

    def sniff(self, head: bytes, name: str) -> float:
        """By the first two characters; an object may as well be the first of many (then ndjson is surer)."""
        text = head.removeprefix(BOM).lstrip()
        second = text[1:].lstrip()[:1]
        if text[:1] == b"[" and (not second or second in b'{[]"-0123456789tfn'):
            return 0.9
        if text[:1] == b"{" and (not second or second in b'"}'):
            return 0.8 if name.endswith(self.suffixes) else 0.6
        return 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.json.reader import JsonReader

        return JsonReader(source, spec)


FORMAT = JsonFormat()
