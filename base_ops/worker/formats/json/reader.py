"""JSON documents: RFC 8259 to the letter, read whole (100 MB at most).

The records are the top-level list, or the list at ReadSpec.records, or the one value that is there. Without any
object among them they are one column `value`. All records are looked at before the first row is made, so that every
key has its column. A record with a duplicate key, half of a surrogate pair, or bytes that are not UTF-8 is refused and
its neighbours are kept; what is not JSON refuses the document, wherever it stands.

A list of objects is read as lines of JSON are (`lines.py`); everything else, and what proves to be no JSON, is walked
value by value (`walk.py`), which also says what is wrong and where.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch, Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.json.lines import ObjectLines
from base_ops.worker.formats.json.structure import NotPlain, ObjectList, TooDeep, object_list
from base_ops.worker.formats.json.walk import Walked
from base_ops.worker.formats.records.document import Document
from base_ops.worker.formats.records.values import BOM, MAX_DEPTH, refuse_other_encodings
from base_ops.worker.formats.records.whole import USE_NDJSON, read_whole, too_large

MAX_BYTES = 100 << 20
MAX_VALUES = 16_000_000
"""More commas and brackets than this are no data, but a document made to fill the memory."""
_PART_BYTES = 1 << 20
_ESCAPE = "surrogateescape"
_EXPLAINED = 1_000
"""Values behind a place where something is wrong that are looked at to say what."""


class JsonReader:
    """A document, checked whole before the first batch."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        refuse_other_encodings(spec)
        data = load(source)
        text = data.decode(errors=_ESCAPE)  # other bytes than UTF-8 are escaped as lone surrogates
        self._inner = _by_line(data, text, source.name, spec) or Walked(text, source.name, spec)
        self.schema = self._inner.schema
        self.findings: list[Finding] = self._inner.findings

    def batches(self) -> Iterator[Batch]:
        return self._inner.batches()


def _by_line(data: bytes, text: str, name: str, spec: ReadSpec) -> Reader | None:
    """A reader of the objects of a list; None where that is not what the document holds."""
    found: list[ObjectList] = []

    def skip(start: int) -> int:
        found.append(object_list(data, start if text.isascii() else len(text[:start].encode(errors=_ESCAPE))))
        end = found[0].end
        return end if text.isascii() else len(data[:end].decode(errors=_ESCAPE))

    if not spec.records and not data.removeprefix(BOM).lstrip(b" \t\r\n").startswith(b"["):
        return None  # one value that is no list
    try:
        for _ in Document(text, name, spec.records or "", skip).records():
            return None
        return ObjectLines(found[0], spec) if found and len(found[0]) else None
    except NotPlain as verdict:
        if verdict.at is not None and not spec.records:
            _explain(data, text, name, verdict.at)
        return None
    except TooDeep as error:
        line = data.count(b"\n", 0, error.args[0]) + 1
        raise BadInput(
            f"{name} is nested more than {MAX_DEPTH} levels deep", code="too_deep", where=f"{name}, line {line}"
        ) from None


def _explain(data: bytes, text: str, name: str, at: int) -> None:
    """Raises BadInput where what follows byte `at`, the begin of a value, is no JSON: sooner than from the begin on."""
    start = at if text.isascii() else len(data[:at].decode(errors=_ESCAPE))
    for record in Document(text, name, "").resume(start):
        if record.number == _EXPLAINED:
            return


def load(source: ByteSource) -> bytes:
    """All bytes of a document. Raises BadInput: too_large, empty_object."""
    expected = f"at most {MAX_BYTES >> 20} MiB and {MAX_VALUES} values, since a document is read whole"
    data = read_whole(source, "one JSON document", MAX_BYTES, expected, USE_NDJSON)
    if _values(data) > MAX_VALUES:
        raise too_large(source, "one JSON document", expected, USE_NDJSON)
    if not data.removeprefix(BOM).strip(b" \t\r\n"):
        raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
    return data


def _values(data: bytes) -> int:
    parts = (np.frombuffer(data[at : at + _PART_BYTES], np.uint8) for at in range(0, len(data), _PART_BYTES))
    return sum(int(np.count_nonzero(part == mark)) for part in parts for mark in b",[{")
