"""The reader of workbooks: chooses the sheets, settles their columns, and reads them block by block."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.delimited.columns import name_columns
from base_ops.worker.formats.office.cells import Cells, Kind, Strip, column_letters, shown
from base_ops.worker.formats.office.columns import Bad, Context, SheetColumn, infer_type, understood
from base_ops.worker.formats.office.table import Range, Table, find_table

SHEET = "_sheet"
"""String column with the sheet's name, where several sheets are read as one."""
_THREADS = 2
_RAW_BYTES = 4096


class Sheet(Protocol):
    """One sheet of an opened workbook."""

    name: str
    is_hidden: bool

    def blocks(self) -> Generator[Callable[[], Cells]]:
        """Blocks of rows in sheet order; each is taken apart when it is called, in whatever thread."""
        ...

    def findings(self) -> list[Finding]:
        """What was met; asked for when all blocks are read."""
        ...


def sheet_findings(sheet: str, merged: Sequence[str], hidden_rows: int, hidden_columns: int) -> list[Finding]:
    """What a sheet holds that a table does not show."""
    found = []
    if merged:
        message = f"{sheet}: {len(merged)} merged cells; their value is in the first cell only"
        found.append(Finding(code="merged_cells", message=message, data={"sheet": sheet, "cells": list(merged[:50])}))
    for code, count in (("hidden_rows", hidden_rows), ("hidden_columns", hidden_columns)):
        if count:
            message = f"{sheet}: {count} {code.replace('_', ' ')} (or groups of them) are read as well"
            found.append(Finding(code=code, message=message, data={"sheet": sheet, "count": count}))
    return found


def maybe_uncalculated(what: str) -> Finding:
    """Formulas whose stored results may be those of no calculation."""
    message = f"{what} may have no result but 0 or an empty text: the workbook is to be calculated when it is opened"
    return Finding(code="not_calculated", message=message)


@dataclass
class _Chosen:
    """A sheet that is read, its table, and which of its columns each output column is."""

    sheet: Sheet
    table: Table
    names: list[str]
    sample: list[Cells]
    places: list[int]


class SheetsReader:
    """A Reader over the chosen sheets of a workbook.

    Args:
        name: of the object, for messages.
        sheets: all worksheets of it, in order.

    Raises:
        BadInput, ConfigError: no sheet, or no single table, can be chosen; a declared column is not there.
    """

    def __init__(self, name: str, sheets: Sequence[Sheet], spec: ReadSpec, *, is_1904: bool = False) -> None:
        self._name, self._spec = name, spec
        self._context = Context(["", *spec.null_values], is_1904)
        self.findings: list[Finding] = []
        self._range = _range(spec)
        self._chosen = self._choose(sheets)
        self._columns = self._settle()
        self._has_sheet = len(self._chosen) > 1
        self.schema = pl.Schema({column.name: column.dtype for column in self._columns})
        if self._has_sheet:
            self.schema[SHEET] = pl.String()

    # -- the sheets

    def _choose(self, sheets: Sequence[Sheet]) -> list[_Chosen]:
        wanted = self._spec.workbook.sheet
        if wanted is not None:
            found = [sheet for sheet in sheets if sheet.name == wanted]
            if not found:
                raise BadInput(
                    f"{self._name} has no sheet {wanted!r}",
                    code="missing_sheet",
                    where=self._name,
                    found=", ".join(sheet.name for sheet in sheets[:50]),
                    todo="correct read.workbook.sheet, or the source",
                )
        else:
            found = [sheet for sheet in sheets if not sheet.is_hidden]
            if hidden := [sheet.name for sheet in sheets if sheet.is_hidden]:
                message = f"hidden sheets are not read: {', '.join(hidden[:20])}"
                self.findings.append(Finding(code="hidden_sheets", message=message, data={"sheets": list(hidden)}))
        tables = [chosen for sheet in found if (chosen := self._table(sheet)) is not None]
        if not tables:
            raise BadInput(f"{self._name} holds no cell with a value", code="empty_object", where=self._name)
        first, *others = tables
        if any(sorted(other.names) != sorted(first.names) for other in others):
            raise BadInput(
                f"{self._name} has several sheets, which do not have the same columns",
                code="several_sheets",
                where=self._name,
                expected="one sheet with data, or sheets with the same columns",
                found="; ".join(f"{t.sheet.name!r} ({', '.join(t.names)[:200]})" for t in tables[:50]),
                todo="name one of them in read.workbook.sheet",
            )
        for table in tables:
            self.findings += table.table.findings
        return tables

    def _table(self, sheet: Sheet) -> _Chosen | None:
        sample = list(self._sampled(sheet))
        table = find_table(sheet.name, sample, self._spec, self._context)
        if table is None:
            return None
        names, found = name_columns(table.header, len(table.columns))
        if SHEET in names:
            names[names.index(SHEET)] = f"{SHEET}_2"
        table.findings += found
        start = table.last_above + 1
        body = [cells.slice(int(np.searchsorted(cells.numbers, start)), len(cells.numbers)) for cells in sample]
        return _Chosen(sheet, table, names, body, [])

    def _sampled(self, sheet: Sheet) -> Iterator[Cells]:
        left = self._spec.sample_rows
        with closing(sheet.blocks()) as blocks:
            for block in blocks:
                cells = self._within(block())
                yield cells.slice(0, left) if len(cells.numbers) > left else cells
                left -= len(cells.numbers)
                if left <= 0:
                    return

    def _within(self, cells: Cells) -> Cells:
        if self._spec.skip_lines:
            cells = cells.slice(int(np.searchsorted(cells.numbers, self._spec.skip_lines + 1)), len(cells.numbers))
        return cells if self._range is None else self._range.of(cells)

    # -- the columns

    def _settle(self) -> list[SheetColumn]:
        first = self._chosen[0]
        wishes = self._wishes(first)
        columns, mixed = [], []
        for source, wish in wishes.items():
            for chosen in self._chosen:
                chosen.places.append(chosen.table.columns[chosen.names.index(source)])
            name = wish.name if wish is not None else source
            if wish is not None and wish.type is not None:
                column = SheetColumn(
                    name, wish.type, self._context, format=wish.format, required=wish.required, declared=True
                )
            else:
                strips = [cells.strips[c.places[-1]] for c in self._chosen for cells in c.sample
                          if c.places[-1] in cells.strips]  # fmt: skip
                type, is_mixed = infer_type(strips, self._context)
                mixed += [name] * is_mixed
                column = SheetColumn(name, type, self._context, required=wish is not None and wish.required)
            columns.append(column)
        if mixed:
            message = f"no single type holds all values of {', '.join(mixed[:20])}: they are kept as text"
            self.findings.append(Finding(code="mixed_columns", message=message, data={"columns": list(mixed[:100])}))
        return columns

    def _wishes(self, first: _Chosen) -> dict[str, ColumnSpec | None]:
        """The columns to read, by their names in the sheet, with what was declared about them."""
        declared = self._spec.columns
        if declared is None:
            return dict.fromkeys(first.names)
        if first.table.header is None:
            if len(declared) != len(first.names):
                raise BadInput(
                    f"{self._name} has {len(first.names)} columns, {len(declared)} are declared",
                    code="columns_differ",
                    where=self._name,
                    expected=", ".join(wish.name for wish in declared),
                )
            return dict(zip(first.names, declared, strict=True))
        wishes: dict[str, ColumnSpec | None] = {wish.source_name or wish.name: wish for wish in declared}
        names = [wish.name for wish in declared]
        if twice := [name for name in names if names.count(name) > 1 or name == POINTER]:
            what = f"read.columns gives the name {twice[0]!r} twice, or it is reserved"
            raise ConfigError(what, code="duplicate_column", where="read.columns")
        if missing := [name for name in wishes if name not in first.names]:
            raise BadInput(
                f"{self._name} lacks the declared columns {', '.join(missing)}",
                code="missing_column",
                where=f"{self._name}, sheet {first.sheet.name!r}",
                expected=", ".join(wishes),
                found=", ".join(first.names[:50]),
                todo="correct read.columns (source_name is the name in the sheet), or read.workbook.header_row",
            )
        if left_out := [name for name in first.names if name not in wishes]:
            message = f"not declared, so not read: {', '.join(left_out[:20])}"
            self.findings.append(Finding(code="undeclared_fields", message=message, data={"keys": list(left_out)}))
        return wishes

    # -- the rows

    def batches(self) -> Iterator[Batch]:
        """Rows in sheet order; POINTER is the row's number in its sheet."""
        for chosen in self._chosen:
            pending: deque[Future[Batch]] = deque()
            with ThreadPoolExecutor(_THREADS, "sheet") as pool, closing(chosen.sheet.blocks()) as blocks:
                for block in blocks:
                    pending.append(pool.submit(self._batch, chosen, block))
                    if len(pending) > _THREADS:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            self.findings += chosen.sheet.findings()

    def _batch(self, chosen: _Chosen, block: Callable[[], Cells]) -> Batch:
        cells = self._within(block())
        if len(cells.numbers) and cells.numbers[0] <= chosen.table.last_above:
            start = int(np.searchsorted(cells.numbers, chosen.table.last_above + 1))
            cells = cells.slice(start, len(cells.numbers))
        bad: dict[int, tuple[Bad, str]] = {}
        height = len(cells.numbers)
        for column, strip in cells.strips.items():
            if self._spec.columns is None and column not in chosen.table.columns:
                for row in _filled(strip, self._context):
                    cell = f"{column_letters(column)}{cells.numbers[row]}"
                    reason = f"{cell}: a cell outside the columns that the first rows have"
                    bad.setdefault(row, (Bad(row, "unexpected_cell", reason), ""))
        made = []
        for wanted, place in zip(self._columns, chosen.places, strict=True):
            values, faults = wanted.values(cells.strips.get(place), height, place, cells.numbers)
            if wanted.required and values.null_count():
                rows = {fault.row for fault in faults}
                missing = (row for row in values.is_null().arg_true().to_list() if row not in rows)
                faults += [Bad(row, "required", f"{wanted.name}: a value is required") for row in missing]
            for fault in faults:
                bad.setdefault(fault.row, (fault, wanted.name))
            made.append(values.alias(wanted.name))
        if self._has_sheet:
            made.append(pl.Series(SHEET, [chosen.sheet.name]).new_from_index(0, height))
        frame = pl.DataFrame([*made, pl.Series(POINTER, cells.numbers, pl.Int64)])
        return self._without(frame, cells, bad, _blank_rows(frame, cells), chosen)

    def _without(
        self, frame: pl.DataFrame, cells: Cells, bad: dict[int, tuple[Bad, str]], blank: list[int], chosen: _Chosen
    ) -> Batch:
        """The batch without refused and blank rows."""
        rejected = []
        prefix = f"sheet {chosen.sheet.name!r}, " if self._has_sheet else ""
        for row in sorted(bad):
            fault, column = bad[row]
            raw = _raw(cells, row, self._context)
            rejected.append(Rejected(int(cells.numbers[row]), fault.rule, prefix + fault.reason, column, raw=raw))
        if bad or blank:
            frame = frame.filter(pl.Series([True]).new_from_index(0, frame.height).scatter([*bad, *blank], False))
        return Batch(frame, rejected)


def _filled(strip: Strip, context: Context) -> list[int]:
    """Rows of the cells of a strip that hold more than blanks and null tokens."""
    strip, _ = understood(strip, context)
    return list(range(len(strip))) if strip.rows is None else strip.rows.tolist()


def _blank_rows(frame: pl.DataFrame, cells: Cells) -> list[int]:
    """Rows whose cells hold nothing but blanks."""
    columns = [column for column in frame.iter_columns() if column.name not in (POINTER, SHEET)]
    if not columns or not all(column.null_count() or column.dtype == pl.String for column in columns):
        return []
    blank = (c.is_null() | (c.str.strip_chars() == "") if c.dtype == pl.String else c.is_null() for c in columns)
    empty = pl.DataFrame([column.alias(str(i)) for i, column in enumerate(blank)])
    rows = empty.select(pl.all_horizontal(pl.all())).to_series().arg_true().to_list()
    return [row for row in rows if all(k == Kind.TEXT and not text.strip() for k, text in cells.row(row).values())]


def _raw(cells: Cells, row: int, context: Context) -> bytes:
    """A row as a JSON list of its cells' texts, for quarantine."""
    found = cells.row(row)
    texts = [shown(*found[c], is_1904=context.is_1904) if c in found else None for c in sorted(cells.strips)]
    return json.dumps(texts, ensure_ascii=False).encode()[:_RAW_BYTES]


def _range(spec: ReadSpec) -> Range | None:
    text = spec.workbook.range
    found = None if text is None else Range.parse(text)
    if text is not None and found is None:
        what = f"read.workbook.range={text!r} is no range"
        raise ConfigError(what, code="bad_range", where="read.workbook.range", expected="two cells, e.g. B3:F100")
    return found
