"""XML: one row per record element, of any number and size of document, in bounded memory.

Which element is a record is found from the content (the repeated structure), said by the dialect, or by
read.xml.record. Columns are named by local names, attributes like children; texts are typed from the sample as in a
delimited file; what stands around a record (attributes and single children of its ancestors, met before it) becomes
columns with the ancestor's name in front. Elements that repeat inside a record are lists. What is no part of any row
is told in a finding.

A record that is not well-formed, too long or does not fit its columns is refused, its neighbours are kept; a fault
outside of records, or a document that is cut off, refuses the document. Entity declarations are refused, a DTD is
never read, and namespaces are checked. With read.xml.xsd a record that does not fit the schema is refused, too.
Numbers of records are lines where each record begins on a line of its own, else they count records.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.xml.cutter import Cut, Cutter, Run
from base_ops.worker.formats.xml.dialect import Dialect
from base_ops.worker.formats.xml.encoding import settle, utf8_chunks
from base_ops.worker.formats.xml.handlers import Handler, Learner
from base_ops.worker.formats.xml.names import Names, Node
from base_ops.worker.formats.xml.schema import Validator
from base_ops.worker.formats.xml.survey import survey
from base_ops.worker.formats.xml.table import Chunk, Table
from base_ops.worker.formats.xml.template import Template
from base_ops.worker.formats.xml.walker import Walker

_BATCH_ROWS = 1 << 15


class XmlReader(RecordReader):
    """One document. Its beginning decides the columns; the whole document is read in `batches`."""

    def __init__(self, source: ByteSource, spec: ReadSpec, dialect: Dialect) -> None:
        self._source, self._spec = source, spec
        self._encoding = settle(source, spec.encoding)
        wanted = tuple(spec.xml.record.strip("/").split("/")) if spec.xml.record else ()
        self._names = Names(dialect, wanted)
        self._survey()
        self._by_line, self._scope = self._learn()
        self._names.settle()
        super().__init__(source.name, spec, self._sampled, texts=True)
        self.findings[:0] = self._told()

    # -- the beginning

    def _survey(self) -> None:
        name = self._source.name
        with closing(utf8_chunks(self._source, self._encoding)) as chunks:
            fault = survey(chunks, self._names, name)
        if fault is not None:
            raise BadInput(
                f"{name} says that there was an error, and holds no data",
                code=f"{self._names.dialect.name}_fault",
                where=name,
                found=fault,
                todo="see to the error at the source, and fetch it again",
            )

    def _learn(self) -> tuple[bool, dict[str | None, str | None]]:
        """Look into the records of the sample: whether each begins on a line of its own, and the namespaces there."""
        learner, line, count, by_line = Learner(self._names), 0, 0, True
        scope: dict[str | None, str | None] = {}
        with closing(self._cuts(learner)) as cuts:
            for cut in cuts:
                assert isinstance(cut, Cut)
                by_line &= cut.line > line
                line, count = cut.line, count + 1
                if count == 1 and learner.frames:
                    scope = learner.frames[-1].scope
                if count > self._spec.sample_rows:
                    break
        return by_line, scope

    def _told(self) -> list[Finding]:
        names = self._names
        paths = ["/".join(node.path) for node in names.records()]
        message = f"a row is an element {', '.join(paths)}"
        if not names.is_sure:
            message += ", though none repeats; say so in read.xml.record, so that documents with more are read alike"
        found = [Finding(code="records_at", message=message, data={"paths": [*paths], "sure": names.is_sure})]
        if names.namespaces:
            listed = ", ".join(f"{prefix or '(none)'} = {uri}" for prefix, uri in names.namespaces.items())
            data: dict[str, Any] = {"namespaces": dict(names.namespaces)}
            found.append(Finding(code="namespaces", message=f"namespaces by prefix: {listed}", data=data))
        if self._encoding.finding is not None:
            found.append(self._encoding.finding)
        return found

    # -- all of it

    def _cuts(
        self, handler: Handler, template: Template | None = None, validator: Validator | None = None
    ) -> Generator[Cut | Run, None, None]:
        chunks = utf8_chunks(self._source, self._encoding)
        limit = self._spec.max_record_bytes
        with closing(chunks):
            yield from Cutter(chunks, handler, self._source.name, limit, template, validator).cuts()

    def _sampled(self) -> Iterator[Record]:
        """The records as the sample needs them."""
        with closing(self._cuts(self._walker())) as cuts:
            for number, cut in enumerate(cuts, start=1):
                assert isinstance(cut, Cut)
                yield Record(number, cut.value, cut.fault)

    def batches(self) -> Iterator[Batch]:
        walker = self._walker()
        validator = Validator(self._spec.xml.xsd) if self._spec.xml.xsd else None
        template = None if validator else self._template()
        table = Table(self._layout, self._names.dialect.kind, template)
        chunk, number = Chunk(), 1
        with closing(self._cuts(walker, template, validator)) as cuts:
            for cut in cuts:
                chunk.add(cut)
                if len(chunk) >= _BATCH_ROWS:
                    yield self._rows(chunk, table, number)
                    chunk, number = Chunk(), number + len(chunk)
        if len(chunk):
            yield self._rows(chunk, table, number)
        self.findings += [*self._layout.late_findings(), *_unread(walker)]

    def _walker(self) -> Walker:
        spec = self._spec
        return Walker(self._names, spec.max_record_bytes, keep_nested=spec.nested == "keep")

    def _template(self) -> Template | None:
        records = self._names.records()
        node: Node | None = records[0] if records else None
        if node is None:
            return None
        columns = {leaf.path: leaf.name for leaf in self._layout.leaves if self._layout.schema[leaf.name] == pl.String}
        return Template(
            node,
            node.parent,
            self._scope,
            columns,
            is_closed=self._spec.columns is not None,
            empty_is_null="" in self._spec.null_values,
        )

    def _rows(self, chunk: Chunk, table: Table, number: int) -> Batch:
        """The rows of a chunk whose first record is the `number`th."""
        frame, refused = table.rows(chunk)
        lines = chunk.lines() if self._by_line else np.arange(number, number + len(chunk))
        frame = self._without_null_texts(frame)
        kept = frame[POINTER].to_numpy()
        frame, bad = self._columns.apply(frame)
        refused += [(int(kept[b.row]), Refused(b.rule, b.reason, b.column)) for b in bad]
        frame = frame.with_columns(pl.Series(POINTER, lines[frame[POINTER].to_numpy()], pl.Int64))
        rejected = [
            self._rejected(chunk, index, int(lines[index]), fault)
            for index, fault in sorted(refused, key=lambda pair: pair[0])
        ]
        return Batch(frame[[*self.schema, POINTER]], rejected)

    def _rejected(self, chunk: Chunk, index: int, line: int, fault: Refused) -> Rejected:
        start, end, raw = chunk.place(index)
        shift = self._encoding.mark_bytes
        is_exact = self._encoding.is_utf8
        return Rejected(
            line=line,
            rule=fault.rule,
            reason=str(fault.reason),
            column=fault.column,
            byte_start=start + shift if is_exact else None,
            byte_end=end + shift if is_exact else None,
            raw=raw,
        )


def _unread(walker: Walker) -> list[Finding]:
    if not walker.unread:
        return []
    listed = ", ".join(list(walker.unread)[:20])
    return [
        Finding(
            code="unread_elements",
            severity="warning",
            message=f"no row holds these elements: {listed}. If they are wanted, name them in read.xml.record",
            data={"elements": dict(walker.unread)},
        )
    ]
