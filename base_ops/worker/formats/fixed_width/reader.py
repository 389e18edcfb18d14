"""The reader of fixed-width text."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import numpy as np
import polars as pl

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.layouts import FixedField, FixedWidthOptions
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.blocks import read_ahead
from base_ops.worker.formats.delimited.dialect import Dialect, codec_name
from base_ops.worker.formats.delimited.encoding import encoding_findings, settle_encoding
from base_ops.worker.formats.fixed_width.chars import Codes, characters, padded_column, with_point
from base_ops.worker.formats.fixed_width.codepages import MARK
from base_ops.worker.formats.fixed_width.cutter import Records, Verdict, chunks, lines
from base_ops.worker.formats.fixed_width.propose import as_yaml, find_spans, has_names
from base_ops.worker.formats.fixed_width.types import RecordTypes
from base_ops.worker.formats.texts import TextColumns

_HEAD_BYTES = 1 << 16
_PARSERS = 2
_LINE_ENDS = ("\n", "\x85", "\r")


class FixedWidthReader:
    """One opened object: layout and types are settled, no row is read yet."""

    block_bytes = 4 << 20
    sample_bytes = 2 << 20

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        head = source.head(_HEAD_BYTES)
        declared = codec_name(spec.encoding) if spec.encoding else None
        self._encoding, self._bom = settle_encoding(head, declared, complete=len(head) < _HEAD_BYTES)
        self._source, self._spec = source, spec
        text = head[self._bom :].decode(self._encoding, "replace")
        if spec.fixed_width is None:
            raise no_layout(source.name, text)
        self._options: FixedWidthOptions = spec.fixed_width
        self._eol = self._line_end(text)
        self._length = self._options.record_length or 0
        sample = self._sample()
        self._texts = TextColumns([f.name for f in self._options.fields], sample, self._typed_spec(), source.name)
        self.schema = self._texts.schema
        self.findings: list[Finding] = [self._layout_found(), *self._texts.findings]
        self.findings += encoding_findings(source.name, spec.encoding, Dialect(self._encoding))

    # -- layout

    def _line_end(self, head: str) -> str | None:
        """None where records follow each other without line ends."""
        if self._options.framing == "fixed":
            return None
        found = next((mark for mark in _LINE_ENDS if mark in head), None)
        return "\n" if found is None and self._options.framing == "lines" else found

    def _least_length(self) -> int:
        return max(field.start + field.length - 1 for field in self._options.fields)

    def _settle_length(self, records: Records) -> int:
        """Of most of the first records: a layout may leave out what is not wanted, also at the end."""
        common = Counter(records.lengths[: self._spec.sample_rows].tolist()).most_common(1)
        return max(self._least_length(), common[0][0] if common else 0)

    def _typed_spec(self) -> ReadSpec:
        """The fields as declared columns: their own types first, then those of read.columns."""
        known = {field.name for field in self._options.fields}
        wishes = {wish.source_name or wish.name: wish for wish in self._spec.columns or ()}
        if unknown := sorted(set(wishes) - known):
            raise ConfigError(
                f"read.columns names what is no field: {', '.join(unknown)}",
                code="unknown_column",
                where="read.columns",
                expected=", ".join(sorted(known)),
            )
        columns = tuple(_column(field, wishes.get(field.name)) for field in self._options.fields)
        return self._spec.model_copy(update={"columns": columns, "null_values": ()})  # done when cells are cut out

    def _layout_found(self) -> Finding:
        used = np.zeros(self._length, bool)
        for field in self._options.fields:
            used[field.start - 1 : field.start - 1 + field.length] = True
        free = np.flatnonzero(np.diff(np.concatenate(([True], used, [True]))))
        gaps = [f"{a + 1}-{b}" for a, b in free.reshape(-1, 2).tolist()]
        data = {
            "record_length": self._length,
            "encoding": self._encoding,
            "framing": "fixed" if self._eol is None else "lines",
            "undeclared_characters": gaps,
        }
        return Finding(code="layout", message=f"{self._source.name}: layout", data=dict(data))

    # -- records

    def _sample(self) -> pl.DataFrame:
        anything = False
        with closing(self._records(self.sample_bytes)) as records:
            for found in records:
                anything = True
                if isinstance(found, Records) and len(found):
                    kept, _ = self._sound(found)
                    if len(kept):
                        return self._cells(kept.matrix(self._length)).head(self._spec.sample_rows)
        if not anything:
            raise BadInput(f"{self._source.name} holds no record", code="empty_object", where=self._source.name)
        self._length = self._length or self._least_length()
        return pl.DataFrame({field.name: pl.Series([], dtype=pl.String) for field in self._options.fields})

    def _records(self, block_bytes: int, types: RecordTypes | None = None) -> Generator[Records | Rejected]:
        """Records that are rows; `types`: keeps account of the others."""
        if types is None and self._options.record_type is not None:
            types = RecordTypes(self._options.record_type, self._source.name)
        with self._source.open() as file:
            blocks = characters(file, self._encoding, self._bom, block_bytes)
            limit = max(self._spec.max_record_bytes, self._length)
            if self._eol is None:
                self._length = self._length or self._least_length()
                found: Iterator[Records | Rejected] = chunks(blocks, self._length)
            else:
                found = lines(blocks, self._eol, limit)
            is_first = True
            for records in found:
                if isinstance(records, Rejected):
                    if types is not None:
                        types.pass_over()
                    yield records
                    continue
                records = self._without_others(records, is_first)
                is_first = is_first and not len(records)
                if types is not None:
                    records, refused = types.rows(records)
                    yield from refused
                if len(records):
                    self._length = self._length or self._settle_length(records)
                    yield records

    def _without_others(self, records: Records, is_first: bool) -> Records:
        """Without blank lines, comments, skipped lines and the header line."""
        keep = records.lengths > 0
        if self._spec.skip_lines:
            keep &= records.numbers > self._spec.skip_lines
        if self._spec.comment:
            keep &= ~records.begins_with(self._spec.comment)
        if is_first and self._spec.header and keep.any():
            keep[np.flatnonzero(keep)[0]] = False
        return records if keep.all() else records.pick(keep)

    def _sound(self, records: Records) -> tuple[Records, list[Rejected]]:
        """The records of the right length, and the others refused."""
        lengths = records.lengths
        wrong = lengths > self._length if self._options.allow_short else lengths != self._length
        if not wrong.any():
            return records, []
        rejected = records.refuse(
            np.flatnonzero(wrong).tolist(),
            lambda row: ("record_length", f"{lengths[row]} characters where {self._length} are expected", ""),
        )
        return records.pick(~wrong), rejected

    # -- rows

    def batches(self) -> Iterator[Batch]:
        """Rows in order, two blocks at a time."""
        options = self._options.record_type
        types = RecordTypes(options, self._source.name) if options is not None else None
        pending: deque[Future[Batch]] = deque()
        found = self._records(self.block_bytes, types)
        with closing(read_ahead(found)) as records, ThreadPoolExecutor(_PARSERS, "parse") as pool:
            for item in records:
                pending.append(pool.submit(self._batch, item))
                if len(pending) > _PARSERS:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        if types is not None:
            self.findings += types.finish()

    def _batch(self, records: Records | Rejected) -> Batch:
        if isinstance(records, Rejected):
            return Batch(pl.DataFrame(schema={**self.schema, POINTER: pl.Int64}), [records])
        records, rejected = self._sound(records)
        matrix = records.matrix(self._length)
        if (odd := _odd_rows(matrix)) is not None:
            rejected += records.refuse(np.flatnonzero(odd).tolist(), lambda row: self._odd(matrix[row]))
            records, matrix = records.pick(~odd), matrix[~odd]
        frame, bad = self._texts.apply(self._cells(matrix))
        frame = frame.with_columns(pl.Series(POINTER, records.numbers, pl.Int64))
        if bad:
            faults = {b.row: (b.rule, b.reason, b.column) for b in bad}
            rejected += records.refuse(faults, faults.__getitem__)
            keep = np.ones(len(records), bool)
            keep[list(faults)] = False
            frame = frame.filter(pl.Series(keep))
        return Batch(frame, sorted(rejected, key=lambda r: r.line))

    def _odd(self, row: Codes) -> Verdict:
        if (row == 0).any():
            return "nul_byte", "the record holds a NUL byte", ""
        return "encoding", f"bytes that are not {self._encoding}", ""

    def _cells(self, matrix: Codes) -> pl.DataFrame:
        cells = []
        for f in self._options.fields:
            text = padded_column(matrix, f.start - 1, f.start - 1 + f.length, f.pad, f.align)
            cells.append(with_point(self._without_nulls(text, f.length), f.implied_decimals).alias(f.name))
        return pl.DataFrame(cells)

    def _without_nulls(self, text: pl.Series, length: int) -> pl.Series:
        """Null tokens become null; only those are looked for that fit into the field."""
        for token in self._spec.null_values:
            if len(token) <= length and (found := text == token).any():
                text = text.set(found, None)
        return text


def _odd_rows(matrix: Codes) -> np.ndarray | None:
    """Rows with a NUL or with bytes that the encoding does not know; None: there are none."""
    if not matrix.size:
        return None
    is_narrow = matrix.dtype == np.uint8
    if matrix.min() > 0 and (is_narrow or not (matrix == MARK).any()):
        return None
    odd: np.ndarray = ((matrix == 0) | (matrix == MARK)).any(axis=1) if not is_narrow else (matrix == 0).any(axis=1)
    return odd


def _column(field: FixedField, wish: ColumnSpec | None) -> ColumnSpec:
    type = field.type or (wish.type if wish else None)
    if type is None and field.implied_decimals:
        type = f"decimal({min(38, max(field.length, field.implied_decimals))},{field.implied_decimals})"
    return ColumnSpec(
        name=wish.name if wish else field.name,
        type=type,
        format=field.format or (wish.format if wish else None),
        required=field.required or bool(wish and wish.required),
        source_name=field.name,
    )


def no_layout(name: str, text: str) -> ConfigError:
    """The error for a file without a layout; it holds one that fits the first lines."""
    found = [line.removesuffix("\r") for line in text.split("\n")[:500]]
    lines = [line for line in found[: max(1, len(found) - 1)] if line.strip() and len(line) < 10_000]
    layout = as_yaml(find_spans(lines)[:500], header=has_names(lines))
    proposal = f", e.g. as found from the columns that are blank:\n{layout}" if lines else ""
    return ConfigError(
        f"{name} looks like fixed-width text, which cannot be read right without its layout",
        code="layout_required",
        where="read.fixed_width.fields",
        todo=f"declare the fields from the sender's specification{proposal}",
    )
