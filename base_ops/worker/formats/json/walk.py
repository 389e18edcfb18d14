"""A JSON document read value by value: whatever it holds, and the place of every fault."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import polars as pl

from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.declared import BadRow, Columns
from base_ops.worker.formats.records.document import Document, Record
from base_ops.worker.formats.records.layout import Layout
from base_ops.worker.formats.records.lines import RAW_BYTES
from base_ops.worker.formats.records.shape import Shape
from base_ops.worker.formats.records.values import Refused, kind_of

_BATCH_ROWS = 1 << 16
_ESCAPE = "surrogateescape"


class Walked:
    """A reader of the document `text` (bytes that are not UTF-8 escaped as lone surrogates), named `name`."""

    def __init__(self, text: str, name: str, spec: ReadSpec) -> None:
        self._spec = spec
        self._is_utf8 = _is_text(text)
        self._document = Document(text, name, spec.records or "")
        self._byte = _Bytes(text)
        shape, self._has_objects = self._survey()
        self._layout = Layout(shape, spec, open_ended=False)
        self._columns = Columns(self._layout.schema, self._layout.columns)
        self.schema = self._columns.schema
        self.findings: list[Finding] = list(self._layout.findings)

    def _survey(self) -> tuple[Shape, bool]:
        """Shape of all usable records, and whether there are objects among them."""
        objects, others, has_objects, record = Shape(), Shape(), False, None
        for record in self._document.records():
            is_object = isinstance(record.value, dict)
            has_objects |= is_object
            if self._fault(record) is None:
                (objects if is_object else others).see(record.value if is_object else {"value": record.value})
        self._only = [record] if record is not None and record.number == 1 else None
        return (objects, True) if has_objects else (others, False)

    def batches(self) -> Iterator[Batch]:
        records = self._document.records() if self._only is None else iter(self._only)
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


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
