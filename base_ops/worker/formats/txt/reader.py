"""The reader of plain text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.declared import Column, Columns
from base_ops.worker.formats.delimited.dialect import Dialect, codec_name
from base_ops.worker.formats.delimited.encoding import encoding_findings, settle_encoding
from base_ops.worker.formats.fixed_width.chars import characters, ragged_column
from base_ops.worker.formats.fixed_width.codepages import MARK
from base_ops.worker.formats.fixed_width.cutter import Records, Verdict, lines

TEXT = "text"
_HEAD_BYTES = 1 << 16


class TextReader:
    """One opened object."""

    block_bytes = 4 << 20

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        head = source.head(_HEAD_BYTES)
        if not head:
            raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
        declared = codec_name(spec.encoding) if spec.encoding else None
        self._encoding, self._bom = settle_encoding(head, declared, complete=len(head) < _HEAD_BYTES)
        if len(head) == self._bom:
            raise BadInput(f"{source.name} holds no line", code="empty_object", where=source.name)
        self._source, self._spec = source, spec
        self._columns = Columns(pl.Schema({TEXT: pl.String()}), [text_column(spec)])
        self.schema = self._columns.schema
        data = {"encoding": self._encoding}
        self.findings = [Finding(code="plain_text", message=f"{source.name}: one row per line", data=dict(data))]
        self.findings += encoding_findings(source.name, spec.encoding, Dialect(self._encoding))

    def batches(self) -> Iterator[Batch]:
        with self._source.open() as file:
            blocks = characters(file, self._encoding, self._bom, self.block_bytes)
            for found in lines(blocks, "\n", self._spec.max_record_bytes):
                yield self._batch(found)

    def _batch(self, records: Records | Rejected) -> Batch:
        if isinstance(records, Rejected):
            return Batch(pl.DataFrame(schema={**self.schema, POINTER: pl.Int64}), [records])
        keep = records.numbers > self._spec.skip_lines
        if self._spec.comment:
            keep &= ~records.begins_with(self._spec.comment)
        records = records if keep.all() else records.pick(keep)
        odd = self._odd(records)
        rejected = records.refuse(np.flatnonzero(odd).tolist(), lambda row: self._fault(records, row))
        kept = records.pick(~odd) if odd.any() else records
        text = ragged_column(kept.codes[kept.inside()], kept.lengths).alias(TEXT)
        frame, bad = self._columns.apply(pl.DataFrame([text, pl.Series(POINTER, kept.numbers, pl.Int64)]))
        faults = {b.row: (b.rule, b.reason, b.column) for b in bad}
        rejected += kept.refuse(faults, faults.__getitem__)
        return Batch(frame[[*self.schema, POINTER]], sorted(rejected, key=lambda r: r.line))

    def _odd(self, records: Records) -> NDArray[np.bool_]:
        """Records that are too long, hold a NUL, or bytes that the encoding does not know."""
        codes = records.codes
        marks = np.flatnonzero(codes == 0 if codes.dtype == np.uint8 else (codes == 0) | (codes == MARK))
        odd: NDArray[np.bool_] = records.lengths > self._spec.max_record_bytes
        rows = np.searchsorted(records.starts, marks, side="right") - 1
        held = (rows >= 0) & (marks < records.ends[rows]) if len(records) else np.zeros(len(marks), bool)
        odd[rows[held]] = True  # a mark outside of all records is in a line that was left out
        return odd

    def _fault(self, records: Records, row: int) -> Verdict:
        if records.ends[row] - records.starts[row] > self._spec.max_record_bytes:
            return "record_too_long", f"the record is longer than max_record_bytes={self._spec.max_record_bytes}", ""
        if (records.codes[records.starts[row] : records.ends[row]] == 0).any():
            return "nul_byte", "the record holds a NUL byte", ""
        return "encoding", f"bytes that are not {self._encoding}", ""


def text_column(spec: ReadSpec) -> Column:
    """The one column, as declared.

    Raises:
        ConfigError: several are declared.
    """
    if not spec.columns:
        return Column(TEXT, TEXT)
    if len(spec.columns) > 1:
        raise ConfigError(
            "Plain text has one column, several are declared",
            code="columns_differ",
            where="read.columns",
            todo=f"declare one, or another read.format; without a declaration it is named {TEXT!r}",
        )
    wish = spec.columns[0]
    return Column(wish.name, TEXT, wish.type, wish.format, wish.required)
