"""The reader of COBOL data files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from base_ops.core.errors import BadInput, ConfigError, did_you_mean
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.layouts import CobolOptions
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.cobol.copybook import Item, parse_copybook
from base_ops.worker.formats.cobol.decode import Decoder
from base_ops.worker.formats.cobol.encoding import find_encoding, guess_encoding
from base_ops.worker.formats.cobol.framing import cut, find_recfm
from base_ops.worker.formats.cobol.layout import Leaf, lay_out
from base_ops.worker.formats.declared import Column, Columns
from base_ops.worker.formats.delimited.dialect import codec_name
from base_ops.worker.formats.fixed_width import codepages  # makes cp1047 known
from base_ops.worker.formats.fixed_width.cutter import Records

_HEAD_BYTES = 1 << 16
_MATRIX_BYTES = 1 << 23
_END_BYTES = 3
"""A line end and the mark of DOS may follow the last record."""
_TEMPORAL = ("date", "time", "timestamp", "timestamp_utc", "string")


class CobolReader:
    """One opened object: copybook, encoding and framing are settled, no record is read yet.

    Raises:
        BadInput: empty_object, framing_unknown.
    """

    block_bytes = 4 << 20

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        if spec.cobol is None:
            raise ConfigError(
                f"{source.name} cannot be read as COBOL data without its copybook",
                code="layout_required",
                where="read.cobol.copybook",
                todo="declare the copybook's text; for EBCDIC text without one read.fixed_width and read.encoding",
            )
        self._source, self._spec, self._options = source, spec, spec.cobol
        head = source.head(_HEAD_BYTES)
        if not head:
            raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
        record = _chosen(parse_copybook(self._options.copybook, self._options.copybook_format), self._options)
        self._layout = lay_out(record, spec.max_columns, spec.max_record_bytes)
        self._encoding = codec_name(spec.encoding) if spec.encoding else guess_encoding(head)
        has_ebcdic = self._encoding in codepages.EBCDIC
        self._recfm = self._options.recfm or find_recfm(head, self._layout.most_bytes, is_ebcdic=has_ebcdic)
        if not spec.encoding:
            needs_floats = self._options.floats is None
            self._encoding = find_encoding(head, self._recfm, self._layout, needs_floats=needs_floats)
        self._decoder = Decoder(self._layout, self._options, self._encoding)
        self._columns, self._as_text = self._declared()
        self.schema = self._columns.schema
        self.findings = [self._found()]
        if self._options.recfm is None and self._recfm == "F":
            self._check_size(len(head) if len(head) < _HEAD_BYTES else source.size)

    def _check_size(self, size: int | None) -> None:
        """Fixed length is what is left when no other framing is found: only the size can speak for it."""
        length = self._layout.most_bytes
        if size is None or size % length <= _END_BYTES:
            return
        raise BadInput(
            f"It cannot be told how the records of {self._source.name} follow each other",
            code="framing_unknown",
            where=self._source.name,
            expected=f"descriptor words, lines, or records of {length} bytes each",
            found=f"{size} bytes, {size % length} more than whole records",
            todo="declare read.cobol.recfm; where it is F, the copybook is another's or the object is cut off",
        )

    def _found(self) -> Finding:
        data = {
            "record": self._options.record or "",
            "record_length": self._layout.most_bytes,
            "encoding": self._encoding,
            "recfm": self._recfm,
            "redefined": ["/".join(names) for names in self._layout.storages],
        }
        return Finding(code="layout", message=f"{self._source.name}: layout", data=dict(data))

    def _declared(self) -> tuple[Columns, dict[str, Leaf]]:
        """The columns as declared, and the numbers that are wanted as texts or times, each under a name of its own."""
        schema, leaves = self._decoder.schema, {leaf.name: leaf for leaf in self._layout.leaves}
        if not self._spec.columns:
            return Columns(schema, [Column(name, name) for name in schema]), {}
        as_text: dict[str, Leaf] = {}
        columns = []
        for wish in self._spec.columns:
            source = wish.source_name or wish.name
            if source not in schema:
                raise ConfigError(
                    f"read.columns names {source!r}, which the copybook does not. {did_you_mean(source, schema)}",
                    code="unknown_column",
                    where="read.columns",
                )
            if wish.type in _TEMPORAL and _is_whole(schema[source]):
                leaf, source = leaves[source], f"{source} as text"
                as_text[source] = leaf
            columns.append(Column(wish.name, source, wish.type, wish.format, wish.required))
        return Columns(pl.Schema({**schema, **dict.fromkeys(as_text, pl.String())}), columns), as_text

    # -- records

    def batches(self) -> Iterator[Batch]:
        limit = max(self._spec.max_record_bytes, self._layout.most_bytes)
        anything = False
        with self._source.open() as file:
            for found in cut(file, self._recfm, self._layout.most_bytes, limit, self.block_bytes):
                anything = True
                if isinstance(found, Rejected):
                    yield Batch(pl.DataFrame(schema={**self.schema, POINTER: pl.Int64}), [found])
                    continue
                for records in self._portions(found):
                    yield self._batch(records)
        if not anything:
            raise BadInput(f"{self._source.name} holds no record", code="empty_object", where=self._source.name)

    def _portions(self, records: Records) -> Iterator[Records]:
        """So many records at a time that what is decoded of them stays small."""
        if self._recfm == "text":
            records = records.pick(records.lengths > 0)
        widest = int(records.lengths.max(initial=1))
        step = max(1, _MATRIX_BYTES // max(widest, 16 * len(self._layout.leaves)))
        for start in range(0, len(records), step):
            yield records.pick(slice(start, start + step)) if len(records) > step else records

    def _batch(self, records: Records) -> Batch:
        records, rejected = self._not_too_long(records)
        lengths = records.lengths
        if self._recfm == "text":  # trailing blanks are not written to such files
            matrix = records.matrix(self._layout.most_bytes, self._decoder.blank)
            decoded_lengths = np.full(len(records), self._layout.most_bytes)
        else:
            matrix = records.matrix(int(lengths.max(initial=0)))
            decoded_lengths = lengths
        frame, sizes, faults = self._decoder.decode(matrix, decoded_lengths)
        verdicts = {row: (fault.rule, fault.reason, fault.column) for row, fault in faults.items()}
        if self._recfm != "F":
            for row in np.flatnonzero(lengths > sizes).tolist():
                reason = f"{lengths[row]} bytes where {sizes[row]} are expected"
                verdicts.setdefault(row, ("record_length", reason, ""))
        rejected += records.refuse(verdicts, verdicts.__getitem__)
        frame = self._sources(frame).with_columns(pl.Series(POINTER, records.numbers, pl.Int64))
        if verdicts:
            keep = np.ones(len(records), bool)
            keep[list(verdicts)] = False
            frame, records = frame.filter(pl.Series(keep)), records.pick(keep)
        made, bad = self._columns.apply(frame)
        faulty = {b.row: (b.rule, b.reason, b.column) for b in bad}
        rejected += records.refuse(faulty, faulty.__getitem__)
        return Batch(made[[*self.schema, POINTER]], sorted(rejected, key=lambda r: r.line))

    def _not_too_long(self, records: Records) -> tuple[Records, list[Rejected]]:
        most = self._layout.most_bytes
        lengths = records.lengths
        wrong = lengths > most
        if self._recfm == "F":
            wrong = lengths != most
        if not wrong.any():
            return records, []
        rejected = records.refuse(
            np.flatnonzero(wrong).tolist(),
            lambda row: ("record_length", f"{lengths[row]} bytes where {most} are expected", ""),
        )
        return records.pick(~wrong), rejected

    def _sources(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What the declared columns are made of; numbers that are wanted as texts or times with all their digits."""
        nulls = [token for token in self._spec.null_values if token]
        columns = []
        for source in self._columns.sources:
            if (leaf := self._as_text.get(source)) is None:
                columns.append(frame[source])
                continue
            digits = leaf.item.picture.length if leaf.item.picture is not None else 0
            text = frame[leaf.name].cast(pl.String).str.zfill(digits)
            columns.append(text.set(text.is_in(nulls).fill_null(False), None).alias(source))
        return pl.DataFrame(columns)


def _is_whole(dtype: pl.DataType) -> bool:
    return dtype == pl.Int64 or (isinstance(dtype, pl.Decimal) and dtype.scale == 0)


def _chosen(records: list[Item], options: CobolOptions) -> Item:
    """The 01 level that is read."""
    names = {record.name or "FILLER": record for record in records}
    if options.record is not None:
        wanted = options.record.upper().replace("_", "-")
        if wanted in names:
            return names[wanted]
        found = f"there is no record {options.record!r}. {did_you_mean(wanted, names)}"
    elif len(records) == 1:
        return records[0]
    else:
        found = f"it describes several records: {', '.join(names)}"
    raise ConfigError(
        f"The copybook does not tell which record is meant: {found}",
        code="record_not_chosen",
        where="read.cobol.record",
        todo="name one of them",
    )
