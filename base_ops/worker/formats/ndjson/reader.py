"""Newline-delimited JSON (JSON Lines): one object per line, RFC 8259 to the letter; any size, in blocks of lines.

Numbers keep their value: a column is decimal where the sample has a fraction that no float64 stands for. A column has
the type that 95 % of its sampled values have; a value of another kind refuses its record, except that a text column
takes it as JSON text. Texts become dates or timestamps only where all of the sample are ISO 8601. A key that appears
twice in an object refuses the record. Keys that the sample did not show are kept in `_extra`, a column that is there
whenever the sample did not reach the end. With declared columns other keys are not read, so that a repeated one may
pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.declared import Columns
from base_ops.worker.formats.records.layout import Layout
from base_ops.worker.formats.records.lines import BLOCK_BYTES, Lines, blocks
from base_ops.worker.formats.records.parsers import PARSERS, LineParsers
from base_ops.worker.formats.records.shape import Shape
from base_ops.worker.formats.records.values import BOM, IS_JSON, LineDecoder, Refused, refuse_other_encodings

_SAMPLE_BLOCK_BYTES = 1 << 20
_SAMPLE_BYTES = 64 << 20
_OPEN = ord("{")


class NdjsonReader:
    """One object of JSON Lines. The sample decides the schema; the whole object is read in `batches`."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        refuse_other_encodings(spec)
        self._source, self._spec = source, spec
        shape, is_whole = self._sample()
        self._layouts = [Layout(shape, spec, open_ended=not is_whole) for _ in range(PARSERS)]
        self._columns = Columns(self._layouts[0].schema, self._layouts[0].columns)
        self.schema = self._columns.schema
        self.findings: list[Finding] = list(self._layouts[0].findings)

    def _sample(self) -> tuple[Shape, bool]:
        """Shape of the first records, and whether there are no others."""
        shape, decoder, seen, first, where = Shape(), LineDecoder(self._spec.max_record_bytes), 0, None, 0
        for lines in self._blocks(_SAMPLE_BLOCK_BYTES):
            if isinstance(lines, Rejected):
                first = first or Refused(lines.rule, lines.reason)
                continue
            for index in range(len(lines)):
                if seen == self._spec.sample_rows or lines.offset > _SAMPLE_BYTES:
                    break
                try:
                    shape.see(decoder.decode(lines[index]))
                    seen += 1
                except Refused as verdict:
                    first = first or verdict
                    seen += verdict.rule in IS_JSON
            else:
                continue
            break
        else:
            where = -1
        if not seen:
            self._refuse_stranger(first)
        return shape, where == -1

    def _refuse_stranger(self, first: Refused | None) -> NoReturn:
        name = self._source.name
        if first is None:
            raise BadInput(f"{name} holds no record", code="empty_object", where=name)
        raise BadInput(
            f"{name} is not newline-delimited JSON",
            code="not_this_format",
            where=f"{name}, first lines",
            expected="one JSON object per line",
            found=first.reason,
        )

    # -- all of it

    def batches(self) -> Iterator[Batch]:
        parsers = LineParsers(self._layouts, self._columns, self._spec.max_record_bytes)
        with closing(parsers.batches(self._blocks(BLOCK_BYTES))) as batches:
            yield from batches
        self.findings += self._layouts[0].late_findings(self._layouts[1:])

    def _blocks(self, block_bytes: int) -> Iterator[Lines | Rejected]:
        """Blocks of the lines that are records: without byte order mark, blank lines, comments, skipped lines."""
        with self._source.open() as file:
            for lines in blocks(file, self._spec.max_record_bytes, block_bytes):
                if isinstance(lines, Lines):
                    lines = self._records_of(lines)
                    if len(lines):
                        yield lines
                elif lines.line > self._spec.skip_lines:
                    yield lines

    def _records_of(self, lines: Lines) -> Lines:
        if lines.offset == 0 and lines.data.startswith(BOM):
            lines.starts[0] = len(BOM)
        keep: NDArray[np.bool_] = lines.ends > lines.starts
        if self._spec.skip_lines:
            keep &= lines.numbers > self._spec.skip_lines
        comment = self._spec.comment.encode() if self._spec.comment else None
        data = np.frombuffer(lines.data, np.uint8)
        first = data[np.minimum(lines.starts, len(data) - 1)]  # a last line may be empty: it is not kept
        for index in np.flatnonzero(keep & (first != _OPEN)).tolist():
            text = lines[index]
            keep[index] = bool(text.strip(b" \t\r")) and not (comment and text.startswith(comment))
        return lines if keep.all() else lines.pick(keep)
