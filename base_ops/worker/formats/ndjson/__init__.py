"""Newline-delimited JSON (JSON Lines)."""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.values import BOM, IS_JSON, LineDecoder, Refused


class NdjsonFormat:
    """JSON Lines."""

    name = "ndjson"
    suffixes = (".ndjson", ".jsonl", ".ldjson")

    def sniff(self, head: bytes, name: str) -> float:
        """Sure where the first lines are objects; a single line may as well be a JSON document."""
        lines = [line for line in head.removeprefix(BOM).split(b"\n", 20) if line.strip()]
        by_name = name.lower().endswith(self.suffixes)
        if len(lines) <= 1:
            return (0.95 if by_name else 0.5) if lines and _begins_object(lines[0]) else 0.0
        whole = lines[:-1]  # the last one may be cut off
        good = sum(_is_object(line) for line in whole)
        return 0.98 if good == len(whole) else 0.9 * good / len(whole)

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.ndjson.reader import NdjsonReader

        return NdjsonReader(source, spec)


def _begins_object(line: bytes) -> bool:
    text = line.lstrip()
    return text[:1] == b"{" and (text[1:].lstrip()[:1] or b"}") in (b'"', b"}")


def _is_object(line: bytes) -> bool:
    try:
        LineDecoder(len(line)).decode(line)
    except Refused as verdict:
        return verdict.rule in IS_JSON
    return True


FORMAT = NdjsonFormat()
