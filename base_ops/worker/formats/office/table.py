"""Where the table of a sheet is: its header, what stands above it, a row of units below it, and its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.office import WorkbookOptions
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.formats.office.cells import SERIALS, Cells, Kind, column_letters, column_number, floats, shown
from base_ops.worker.formats.office.columns import Context

_LOOKED_AT = 200
_HIGHEST_HEADER = 50
"""A header is looked for among so many rows that are not empty."""
_COVERED = 0.6
"""Share of the table's columns that its header names."""
_FILLED = 0.5
"""A column of the table is filled in this share of the rows."""
_RECURRING = 0.1
"""A text that this share of the rows repeats is a value. Headers are repeated, too, but on every page at most."""
_UNIT = re.compile(r"[\[(]?[^\W\d_%°€$£¥²³/*·. -]?[\w%°€$£¥²³/*·. -]{0,14}[\])]?")
_YEARS = range(1900, 2101)
_RANGE = re.compile(r"\$?([A-Za-z]{1,3})\$?(\d{1,7}):\$?([A-Za-z]{1,3})\$?(\d{1,7})")

_Row = dict[int, tuple[int, str]]
"""Kind and text of the filled cells of a row, by column."""


@dataclass(frozen=True)
class Range:
    """A block of a sheet: columns from 0, rows from 1, both ends included."""

    first_column: int
    first_row: int
    last_column: int
    last_row: int

    @classmethod
    def parse(cls, text: str) -> Range | None:
        """A range such as B3:F100; None where it is none."""
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            return None
        columns = sorted((column_number(found[1]), column_number(found[3])))
        rows = sorted((int(found[2]), int(found[4])))
        return cls(columns[0], rows[0], columns[1], rows[1])

    def of(self, cells: Cells) -> Cells:
        """The cells within."""
        start, stop = np.searchsorted(cells.numbers, (self.first_row, self.last_row + 1)).tolist()
        whole = start == 0 and stop == len(cells.numbers)
        return (cells if whole else cells.slice(start, stop)).columns(self.first_column, self.last_column)


@dataclass
class Table:
    """One sheet's table."""

    columns: list[int]
    """Sheet column numbers from 0."""
    header: list[str] | None
    """Names of the columns as the sheet has them ('' where it has none); None: the sheet names none."""
    last_above: int
    """Sheet row number of the last row that is no data: header, units, or what stands above them; 0: none."""
    findings: list[Finding] = field(default_factory=list)


def find_table(sheet: str, sample: Sequence[Cells], spec: ReadSpec, context: Context) -> Table | None:
    """The table of a sheet by its first rows; None where they are all empty."""
    numbers, rows = _rows(sample, context)
    if not rows:
        return None
    place = _header_place(rows, numbers, spec)
    findings = []
    header_row: _Row = {}
    last_above = 0
    if place is not None:
        header_row, last_above = rows[place], numbers[place]
        findings = _tell_header(sheet, rows, numbers, place, context)
        if place + 1 < len(rows) and (units := _units(header_row, rows[place + 1 :])):
            last_above = numbers[place + 1]
            found = {shown(*header_row[c], is_1904=context.is_1904): u for c, u in units.items() if c in header_row}
            message = f"{sheet}: row {last_above} holds units; it is no record"
            findings.append(Finding(code="units", message=message, data={"units": dict(found)}))
    columns = sorted({*header_row, *_used_columns(sample, last_above)})
    if POINTER in (
        names := [shown(*header_row[c], is_1904=context.is_1904) if c in header_row else "" for c in columns]
    ):
        names[names.index(POINTER)] = ""
    return Table(columns, names if place is not None else None, last_above, findings)


def _rows(sample: Sequence[Cells], context: Context) -> tuple[list[int], list[_Row]]:
    """Numbers and filled cells of the first rows that have any."""
    numbers: list[int] = []
    rows: list[_Row] = []
    for cells in sample:
        part = cells.slice(0, _LOOKED_AT - len(rows))
        made: list[_Row] = [{} for _ in part.numbers]
        for column, strip in part.strips.items():
            kinds = strip.kind_array().tolist()
            places = range(len(made)) if strip.rows is None else strip.rows.tolist()
            for row, kind, text in zip(places, kinds, strip.texts, strict=True):
                if kind != Kind.TEXT or text.strip():
                    made[row][column] = (kind, text)
        for number, row in zip(part.numbers.tolist(), made, strict=True):
            if row:
                numbers.append(number)
                rows.append(row)
        if len(rows) >= _LOOKED_AT:
            break
    return numbers, rows


def _used_columns(sample: Sequence[Cells], last_above: int) -> set[int]:
    used = set()
    for cells in sample:
        start = int(np.searchsorted(cells.numbers, last_above + 1))
        for column, strip in cells.strips.items():
            if (
                column not in used
                and (strip.rows is None or int(strip.rows[-1]) >= start)
                and start < len(cells.numbers)
            ):
                used.add(column)
    return used


# -- the header


def _header_place(rows: list[_Row], numbers: list[int], spec: ReadSpec) -> int | None:
    """Which of the rows names the columns."""
    options: WorkbookOptions = spec.workbook
    if options.header_row is not None:
        return numbers.index(options.header_row) if options.header_row in numbers else None
    if spec.header is False:
        return None
    for place in range(min(len(rows), _HIGHEST_HEADER)):
        row = rows[place]
        body = _body_columns(rows[place + 1 :])
        if body and len(body & row.keys()) < _COVERED * len(body):
            continue
        if _names_columns(row) and not _recurs(row, rows[place + 1 :]):
            return _better_place(rows, place)
        break
    return 0 if spec.header else None


def _better_place(rows: list[_Row], place: int) -> int:
    """The header, or a later row that names more columns, also such as hold no texts below: then it is the header."""
    while place + 2 < len(rows):
        row, following, rest = rows[place], rows[place + 1], rows[place + 2 :]
        body = _body_columns(rest)
        if not _names_columns(following) or len(body & following.keys()) <= len(body & row.keys()):
            break
        if not any(all(other[c][0] != Kind.TEXT for other in rest if c in other) for c in body & following.keys()):
            break
        place += 1
    return place


def _body_columns(rows: list[_Row]) -> set[int]:
    counts = Counter(column for row in rows for column in row)
    return {column for column, count in counts.items() if count >= _FILLED * len(rows)}


def _names_columns(row: _Row) -> bool:
    """Whether a row may be a header: texts, beside which ascending years or dates may stand."""
    others = [(kind, text) for kind, text in row.values() if kind != Kind.TEXT]
    if not others:
        return True
    if len(others) == len(row) > 1 and min(row) == 0:
        return False
    are_years = all(kind == Kind.NUMBER and text.isdigit() and int(text) in _YEARS for kind, text in others)
    if not are_years and not all(kind in SERIALS for kind, _ in others):
        return False
    values = floats(pl.Series([text for _, text in others]))
    return len(values) > 1 and bool((np.diff(values) > 0).all())


def _recurs(row: _Row, below: list[_Row]) -> bool:
    """Whether most of the texts stand below themselves again, as values do and names do not."""
    often = max(1, len(below) * _RECURRING)
    again = [column for column, cell in row.items() if sum(other.get(column) == cell for other in below) >= often]
    return len(again) * 2 >= len(row)


def _units(header: _Row, below: list[_Row]) -> dict[int, str]:
    """The row below a header where it holds units: short texts above columns of numbers."""
    row, rest = below[0], below[1:]
    numeric = {
        column
        for column in row
        if (kinds := [r[column][0] for r in rest if column in r])
        and all(kind not in (Kind.TEXT, Kind.BOOLEAN) for kind in kinds)
    }
    if not numeric or any(kind != Kind.TEXT for kind, _ in row.values()):
        return {}
    units = {column: text.strip() for column, (_, text) in row.items()}
    fits = all(_UNIT.fullmatch(units[column]) for column in units) and set(units) <= header.keys()
    return units if fits and len(numeric) * 2 >= len(units) else {}


def _tell_header(sheet: str, rows: list[_Row], numbers: list[int], place: int, context: Context) -> list[Finding]:
    message = f"{sheet}: row {numbers[place]} names the columns"
    findings = [Finding(code="header", message=message, data={"sheet": sheet, "row": numbers[place]})]
    if place:
        above = [
            f"{column_letters(c)}{numbers[i]}: {shown(*cell, is_1904=context.is_1904)[:100]}"
            for i in range(min(place, 20))
            for c, cell in sorted(rows[i].items())
        ]
        message = f"{sheet}: {place} rows above the header are no records"
        findings.append(Finding(code="preamble", message=message, data={"sheet": sheet, "cells": list(above[:50])}))
    return findings
