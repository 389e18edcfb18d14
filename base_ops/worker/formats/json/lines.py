"""The objects of a JSON document's list, read as lines of JSON are; all of them before the schema is settled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import polars as pl

from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.declared import Columns
from base_ops.worker.formats.json.structure import NotPlain, ObjectList
from base_ops.worker.formats.records.layout import EXTRA, Layout
from base_ops.worker.formats.records.lines import BLOCK_BYTES, RAW_BYTES
from base_ops.worker.formats.records.parsers import PARSERS, LineParsers
from base_ops.worker.formats.records.shape import Shape
from base_ops.worker.formats.records.values import Decoder, Refused

_SAMPLE_ROWS = 1_000
"""Objects that decide the columns for a first reading: all are looked at, so that few are enough."""
_UNSEEN = ("type", "required")
"""Verdicts on a record that may show what the sample did not."""


class ObjectLines:
    """A reader of the objects of a list.

    The first objects decide the columns for a first reading. Where some object then shows a key or a kind of value
    that these did not, it is taken into account, and all are read again.

    Raises:
        NotPlain: one of them is no JSON, or the list is to be walked value by value for another reason.
    """

    def __init__(self, objects: ObjectList, spec: ReadSpec) -> None:
        self._objects, self._spec = objects, spec
        self._decoder = Decoder()
        shape, seen = Shape(), 0
        sample_rows = min(spec.sample_rows, _SAMPLE_ROWS)
        for index in range(min(len(objects), sample_rows)):
            if (value := self._decoded(index)) is not None:
                shape.see(value)
                seen += 1
        if not seen:
            raise NotPlain
        is_whole = len(objects) <= sample_rows
        self._read(shape, open_ended=not is_whole)
        if not is_whole and (unseen := self._unseen()):
            shape.weigh(max(1, (len(objects) - len(unseen)) // seen))
            for index in unseen:
                if (value := self._decoded(index)) is not None:
                    shape.see(value)
            self._read(shape, open_ended=False)
        self._drop_extra()

    def batches(self) -> Iterator[Batch]:
        yield from self._batches

    # -- reading all of it

    def _read(self, shape: Shape, *, open_ended: bool) -> None:
        layouts = [Layout(shape, self._spec, open_ended=open_ended) for _ in range(PARSERS)]
        columns = Columns(layouts[0].schema, layouts[0].columns)
        limit = self._spec.max_record_bytes
        short = self._objects.ends - self._objects.starts <= limit
        parsers = LineParsers(layouts, columns, limit)
        with closing(parsers.batches(self._objects.lines(short, BLOCK_BYTES))) as batches:
            self._batches = [Batch(batch.frame, [self._placed(r) for r in batch.rejected]) for batch in batches]
        for number in (r.line for batch in self._batches for r in batch.rejected if r.rule == "syntax"):
            raise NotPlain(int(self._objects.starts[number - 1]))
        self._add_long(np.flatnonzero(~short).tolist(), columns)
        self.schema = columns.schema
        self.findings: list[Finding] = [*layouts[0].findings, *layouts[0].late_findings(layouts[1:])]

    def _add_long(self, long: list[int], columns: Columns) -> None:
        """Refuse the objects that are too long, which must still be JSON."""
        if not long:
            return
        rejected = []
        for index in long:
            self._decoded(index)
            reason = f"the record is longer than max_record_bytes={self._spec.max_record_bytes}"
            rejected.append(self._placed(Rejected(index + 1, "record_too_long", reason)))
        frames = [batch.frame for batch in self._batches] or [
            pl.DataFrame(schema={**columns.schema, "_line": pl.Int64})
        ]
        rejected += [r for batch in self._batches for r in batch.rejected]
        rejected.sort(key=lambda r: r.line)
        self._batches = [Batch(frame) for frame in frames[:-1]] + [Batch(frames[-1], rejected)]

    def _unseen(self) -> list[int]:
        """Indices of the objects that may show what the sample did not."""
        found: set[int] = set()
        for batch in self._batches:
            found.update(r.line - 1 for r in batch.rejected if r.rule in _UNSEEN)
            if EXTRA in batch.frame.columns:
                found.update(n - 1 for n in batch.frame.filter(batch.frame[EXTRA].is_not_null())[POINTER])
        return sorted(found)

    def _drop_extra(self) -> None:
        """Every key has its column: the one for others is empty."""
        if EXTRA in self.schema:
            self.schema = pl.Schema({name: dtype for name, dtype in self.schema.items() if name != EXTRA})
            self._batches = [Batch(batch.frame.drop(EXTRA), batch.rejected) for batch in self._batches]

    # -- one by one

    def _decoded(self, index: int) -> dict[str, object] | None:
        """The object, or None where it cannot be used although it is JSON. Raises NotPlain where it is not."""
        text = self._objects.data[self._objects.starts[index] : self._objects.ends[index]]
        if len(text) > self._spec.max_record_bytes and len(text) > len(self._objects.data) // 2:
            raise NotPlain
        try:
            value, end, fault = self._decoder.value_at(text.decode(errors="surrogateescape"))
        except Refused:
            raise NotPlain(int(self._objects.starts[index])) from None
        if end != len(text.decode(errors="surrogateescape")):
            raise NotPlain
        usable = fault is None and len(text) <= self._spec.max_record_bytes and _is_utf8(text)
        return value if usable else None

    def _placed(self, rejected: Rejected) -> Rejected:
        """With its place in the document."""
        start, end = int(self._objects.starts[rejected.line - 1]), int(self._objects.ends[rejected.line - 1])
        raw = self._objects.data[start : min(end, start + RAW_BYTES)]
        return rejected._replace(byte_start=start, byte_end=end, raw=raw)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
