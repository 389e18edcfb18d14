"""JSON documents: RFC 8259 to the letter, read whole (100 MB at most), turned into rows record by record.

The records are the top-level list, or the list at ReadSpec.records, or the one value that is there. Without any
object among them they are one column `value`. All records are looked at before the first row is made, so that every
key has its column. A record with a duplicate key, half of a surrogate pair, or bytes that are not UTF-8 is refused and
its neighbours are kept; what is not JSON refuses the document, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.declared import BadRow, Columns
from base_ops.worker.formats.records.document import Document, Record
from base_ops.worker.formats.records.layout import Layout
from base_ops.worker.formats.records.lines import RAW_BYTES, read_full
from base_ops.worker.formats.records.shape import Shape
from base_ops.worker.formats.records.values import BOM, Refused, kind_of, refuse_other_encodings

MAX_BYTES = 100 << 20
MAX_VALUES = 16_000_000
"""More commas and brackets than this are no data, but a document made to fill the memory."""
_BATCH_ROWS = 1 << 16
_ESCAPE = "surrogateescape"


class JsonReader:
    """A document, checked whole before the first batch."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        refuse_other_encodings(spec)
        self._spec = spec
        text, self._is_utf8 = _load(source)
        self._document = Document(text, source.name, spec.records or "")
        self._byte = _Bytes(text)
        shape, self._has_objects = self._survey()
        self._layout = Layout(shape, spec, open_ended=False)
        self._columns = Columns(self._layout.schema, self._layout.columns)
        self.schema = self._columns.schema
        self.findings: list[Finding] = list(self._layout.findings)

    def _survey(self) -> tuple[Shape, bool]:
        """Shape of all usable records, and whether there are objects among them."""
        objects, others, has_objects = Shape(), Shape(), False
        for record in self._document.records():
            is_object = isinstance(record.value, dict)
            has_objects |= is_object
            if self._fault(record) is None:
                (objects if is_object else others).see(record.value if is_object else {"value": record.value})
        return (objects, True) if has_objects else (others, False)

    def batches(self) -> Iterator[Batch]:
        records = self._document.records()
        while chunk := list(islice(records, _BATCH_ROWS)):
            yield self._batch(chunk)
        self.findings += self._layout.late_findings()

    def _batch(self, chunk: list[Record]) -> Batch:
        refused: list[tuple[int, Refused | BadRow]] = []
        good: list[tuple[int, dict[str, Any]]] = []
        for index, record in enumerate(chunk):
            if fault := self._fault(record):
                refused.append((index, fault))
            elif not self._has_objects:
                good.append((index, {"value": record.value}))
            elif isinstance(record.value, dict):
                good.append((index, record.value))
            else:
                refused.append((index, Refused("not_an_object", f"expected an object, found {kind_of(record.value)}")))
        rows = self._layout.rows(good)
        pointers = [chunk[index].number for index in rows.kept]
        frame, bad = self._columns.apply(rows.frame.with_columns(pl.Series(POINTER, pointers, pl.Int64)))
        refused += rows.refused
        refused += [(rows.kept[b.row], b) for b in bad]
        rejected = [self._rejected(chunk[i], verdict) for i, verdict in sorted(refused, key=lambda pair: pair[0])]
        return Batch(frame[[*self.schema, POINTER]], rejected)

    def _fault(self, record: Record) -> Refused | None:
        limit = self._spec.max_record_bytes
        if record.end - record.start > limit:
            return Refused("record_too_long", f"the record is longer than max_record_bytes={limit}")
        if record.fault is None and not self._is_utf8 and not _is_text(self._document.text[record.start : record.end]):
            return Refused("encoding", "the record holds bytes that are not UTF-8")
        return record.fault

    def _rejected(self, record: Record, verdict: Refused | BadRow) -> Rejected:
        start = self._byte.position(record.start)
        raw = self._document.text[record.start : min(record.end, record.start + RAW_BYTES)].encode(errors=_ESCAPE)
        return Rejected(
            line=record.number,
            rule=verdict.rule,
            reason=verdict.reason,
            column=verdict.column,
            byte_start=start,
            byte_end=self._byte.position(record.end),
            raw=raw[:RAW_BYTES],
        )


class _Bytes:
    """Byte positions of characters, asked for in ascending order."""

    def __init__(self, text: str) -> None:
        self._text, self._is_ascii = text, text.isascii()
        self._character, self._byte = 0, 0

    def position(self, character: int) -> int:
        if self._is_ascii:
            return character
        if character < self._character:
            self._character, self._byte = 0, 0
        self._byte += len(self._text[self._character : character].encode(errors=_ESCAPE))
        self._character = character
        return self._byte


def _load(source: ByteSource) -> tuple[str, bool]:
    """The text of a document, and whether all of it is UTF-8 (other bytes are escaped as lone surrogates)."""
    data = b""
    if source.size is None or source.size <= MAX_BYTES:
        with source.open() as file:
            data = read_full(file, MAX_BYTES + 1)
    if len(data) > MAX_BYTES or (source.size or 0) > MAX_BYTES or _values(data) > MAX_VALUES:
        raise BadInput(
            f"{source.name} is too large for one JSON document",
            code="too_large",
            where=source.name,
            expected=f"at most {MAX_BYTES >> 20} MiB and {MAX_VALUES} values, since a document is read whole",
            todo="have the source write newline-delimited JSON (format: ndjson), which has no limit",
        )
    if not data.removeprefix(BOM).strip(b" \t\r\n"):
        raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
    try:
        return data.decode(), True
    except UnicodeDecodeError:
        return data.decode(errors=_ESCAPE), False


def _values(data: bytes) -> int:
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
