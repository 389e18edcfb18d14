"""JSON documents."""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.values import BOM

_ARRAY = re.compile(
    rb"""\[\s*(?:[]{["]|\Z|(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*(?:[],]|\Z))"""
)


class JsonFormat:
    """One JSON document."""

    name = "json"
    suffixes = (".json", ".geojson")

    def sniff(self, head: bytes, name: str) -> float:
        """By what it begins with; an object may as well be the first of many (then ndjson is surer).

        Behind a bracket a whole value must follow: logs begin with [2024-01-02 … or [notice]. A name that says JSON
        is believed sooner, so that a damaged document is called what it is.
        """
        text = head.removeprefix(BOM).lstrip()
        second = text[1:].lstrip()[:1]
        named = name.endswith(self.suffixes)
        if _ARRAY.match(text) or (named and text[:1] == b"[" and second in b'{[]"-0123456789tfn'):
            return 0.9
        if text[:1] == b"{" and (not second or second in b'"}'):
            return 0.8 if named else 0.6
        return 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.json.reader import JsonReader

        return JsonReader(source, spec)


FORMAT = JsonFormat()
