"""The reader of every format whose records are decoded one by one: it finds the columns, and fills them.

A format yields `Record`s of decoded values (see `values.py`: texts, booleans, IntText, FloatText, lists, objects) and
gets columns, exact casts, flattening, refusals and findings. Where all scalars are texts (XML, logs, tagged messages),
`texts=True` types the text columns from the sample as those of a delimited file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.declared import BadRow, Column, Columns
from base_ops.worker.formats.delimited.infer import infer
from base_ops.worker.formats.records.layout import Layout
from base_ops.worker.formats.records.lines import RAW_BYTES
from base_ops.worker.formats.records.shape import Shape
from base_ops.worker.formats.records.values import Refused, kind_of
from base_ops.worker.formats.texts import without_null_texts

_BATCH_ROWS = 1 << 14


@dataclass(frozen=True)
class Record:
    """One record by its place in the object."""

    number: int
    """1-based: the line where the format has lines, else the record's number."""
    value: Any
    fault: Refused | None = None
    """Why it cannot be used, although the records behind it can."""
    byte_start: int | None = None
    byte_end: int | None = None
    raw: bytes = b""
    """What quarantine shows of it."""


class RecordReader:
    """Rows of one object, from a function that yields its records from the beginning each time it is called.

    Args:
        name: of the object, for messages.
        records: may raise BadInput at any point: the object as a whole cannot be read.
        texts: type text columns from the sample.
        types: of text columns, names from worker/types.py, where the format knows them; the others then stay text.
            Declared types go before.
    """

    def __init__(
        self,
        name: str,
        spec: ReadSpec,
        records: Callable[[], Iterator[Record]],
        *,
        texts: bool = False,
        types: Mapping[str, str] | None = None,
    ) -> None:
        self._spec, self._records = spec, records
        self._null_texts = list(spec.null_values) if texts else []
        sample, is_whole, is_empty = self._sample()
        if is_empty:
            raise BadInput(f"{name} holds no record", code="empty_object", where=name)
        shape = Shape()
        for value in sample:
            shape.see(value)
        self._layout = Layout(shape, spec, open_ended=not is_whole)
        self.findings: list[Finding] = list(self._layout.findings)
        columns = self._typed(sample) if texts else self._layout.columns
        self._columns = Columns(self._layout.schema, self._with_known(columns, types))
        self.schema = self._columns.schema

    def batches(self) -> Iterator[Batch]:
        with closing(_closable(self._records())) as records:
            while chunk := list(islice(records, _BATCH_ROWS)):
                yield self._batch(chunk)
        self.findings += self._layout.late_findings()

    # -- the columns

    def _sample(self) -> tuple[list[dict[str, Any]], bool, bool]:
        """The first usable records, whether there are no others, and whether there is no record at all."""
        sample: list[dict[str, Any]] = []
        is_empty = True
        with closing(_closable(self._records())) as records:
            for record in records:
                is_empty = False
                if record.fault is None and isinstance(record.value, dict):
                    if len(sample) == self._spec.sample_rows:
                        return sample, False, False
                    sample.append(record.value)
        return sample, True, is_empty

    def _with_known(self, columns: list[Column], types: Mapping[str, str] | None) -> list[Column]:
        """The columns, the text ones of no declared type with the types the format knows."""
        if types is None:
            return columns
        declared = {c.source_name or c.name for c in self._spec.columns or () if c.type}
        texts = {name for name, dtype in self._layout.schema.items() if dtype == pl.String} - declared
        return [replace(c, type=types.get(c.source, "string")) if c.source in texts else c for c in columns]

    def _typed(self, sample: list[dict[str, Any]]) -> list[Column]:
        """The layout's columns, those of inferred type typed by their texts."""
        frame = self._without_null_texts(self._layout.rows(enumerate(sample)).frame)
        texts = {name for name, dtype in frame.schema.items() if dtype == pl.String}
        untyped = [c for c in self._layout.columns if c.type is None and c.source in texts]
        cells = pl.DataFrame([frame[c.source].alias(str(place)) for place, c in enumerate(untyped)])
        guesses = infer([c.name for c in untyped], cells, ".")
        self.findings += [guess.finding for guess in guesses if guess.finding is not None]
        typed = {
            column.name: replace(column, type=guess.type, format=guess.format, nanos=guess.unit == "ns")
            for column, guess in zip(untyped, guesses, strict=True)
            if guess.type != "string"
        }
        return [typed.get(column.name, column) for column in self._layout.columns]

    # -- the rows

    def _batch(self, chunk: list[Record]) -> Batch:
        refused: list[tuple[int, Refused | BadRow]] = []
        good: list[tuple[int, dict[str, Any]]] = []
        for index, record in enumerate(chunk):
            if record.fault is not None:
                refused.append((index, record.fault))
            elif isinstance(record.value, dict):
                good.append((index, record.value))
            else:
                found = f"expected an object, found {kind_of(record.value)}"
                refused.append((index, Refused("not_an_object", found)))
        rows = self._layout.rows(good)
        numbers = [chunk[index].number for index in rows.kept]
        frame = self._without_null_texts(rows.frame).with_columns(pl.Series(POINTER, numbers, pl.Int64))
        frame, bad = self._columns.apply(frame)
        refused += rows.refused
        refused += [(rows.kept[b.row], b) for b in bad]
        rejected = [_rejected(chunk[i], verdict) for i, verdict in sorted(refused, key=lambda pair: pair[0])]
        return Batch(frame[[*self.schema, POINTER]], rejected)

    def _without_null_texts(self, frame: pl.DataFrame) -> pl.DataFrame:
        return without_null_texts(frame, self._null_texts) if self._null_texts else frame


def _rejected(record: Record, verdict: Refused | BadRow) -> Rejected:
    return Rejected(
        line=record.number,
        rule=verdict.rule,
        reason=verdict.reason,
        column=verdict.column,
        byte_start=record.byte_start,
        byte_end=record.byte_end,
        raw=record.raw[:RAW_BYTES],
    )


def _closable(records: Iterator[Record]) -> Any:
    return records if hasattr(records, "close") else (record for record in records)
