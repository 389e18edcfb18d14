"""Reads XLS workbooks with xlrd, sheet by sheet."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import polars as pl
import xlrd

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.office.cells import NUMBERS, SERIALS, Cells, Kind, Strip, column_letters
from base_ops.worker.formats.office.ole import OLE, WORKBOOKS, ole_names, password_protected, refuse_ole
from base_ops.worker.formats.office.package import damaged, local_copy
from base_ops.worker.formats.office.sheets import SheetsReader, maybe_uncalculated, sheet_findings
from base_ops.worker.formats.xls.records import holds_macro_sheets, never_calculated
from base_ops.worker.formats.xlsx.styles import kind_of_format

MAX_BYTES = 50 << 20
MAX_SHEETS = 50
_BLOCK_ROWS = 1 << 13
_MACROS = ("_VBA_PROJECT_CUR", "MACROS", "VBA")
_EXACT_FLOAT = 1 << 53
_VISIBILITY = 0x03
"""The other bits beside it mean nothing (MS-XLS §2.4.28)."""


def open_workbook(source: ByteSource, spec: ReadSpec) -> SheetsReader:
    """Raises: BadInput where the object is no workbook, is damaged, or holds what is refused."""
    options = spec.workbook
    local = local_copy(source, options.max_bytes or MAX_BYTES)
    with local.open() as file:
        data = file.read()
    has_macros = False
    if data.startswith(OLE):
        names = ole_names(local)
        if names and names.isdisjoint(WORKBOOKS):
            refuse_ole(local)
        has_macros = not names.isdisjoint(_MACROS)
    book = _guarded(
        source.name,
        lambda: xlrd.open_workbook(
            file_contents=data,
            logfile=io.StringIO(),
            on_demand=True,
            formatting_info=True,
            ragged_rows=True,
            encoding_override=spec.encoding,
        ),
    )
    findings = []
    if has_macros or _guarded(source.name, lambda: holds_macro_sheets(book)):
        what = f"{source.name} holds macros"
        if not options.allow_macros:
            todo = "have it sent without them, or set allow_macros: they are then not run"
            raise BadInput(what, code="macros", where=source.name, todo=todo)
        findings.append(Finding(code="macros", message=f"{what}; they are not used"))
    if book.nsheets > MAX_SHEETS:
        what = f"{source.name} has {book.nsheets} sheets"
        raise BadInput(what, code="too_many_sheets", where=source.name, expected=f"at most {MAX_SHEETS}")
    without, uncertain = _guarded(source.name, lambda: never_calculated(book))
    if uncertain:
        findings.append(maybe_uncalculated(f"{uncertain} formulas"))
    sheets = [XlsSheet(source.name, book, index, without.get(index, set())) for index in range(book.nsheets)]
    reader = SheetsReader(source.name, sheets, spec, is_1904=book.datemode == 1)
    reader.findings[:0] = findings
    return reader


def _guarded(name: str, work: Callable[[], Any]) -> Any:
    """What xlrd makes of a file nobody vouches for: it has no errors of its own for most damage."""
    try:
        return work()
    except (xlrd.XLRDError, xlrd.compdoc.CompDocError) as error:
        if "encrypted" in str(error).lower():
            password_protected(name)
        damaged(name, str(error))
    except MemoryError:
        raise
    except Exception as error:
        damaged(name, f"{type(error).__name__}: {error}")


class XlsSheet:
    """One worksheet; see office/sheets.py."""

    def __init__(self, name: str, book: Any, index: int, uncalculated: set[tuple[int, int]]) -> None:
        self.name = book.sheet_names()[index]
        self._object, self._book, self._index = name, book, index
        self.is_hidden = bool(book._sheet_visibility[index] & _VISIBILITY)
        self._uncalculated = uncalculated
        self._kinds: dict[int, Kind] = {}
        self._findings: list[Finding] = []

    def blocks(self) -> Generator[Callable[[], Cells]]:
        """Blocks of rows. Raises BadInput where the sheet is damaged."""
        sheet = _guarded(self._object, lambda: self._book.sheet_by_index(self._index))
        for start in range(0, sheet.nrows, _BLOCK_ROWS):
            cells = _guarded(self._object, lambda first=start: self._cells(sheet, first))  # type: ignore[misc]
            yield lambda cells=cells: cells  # type: ignore[misc]
        merged = [f"{column_letters(c1)}{r1 + 1}:{column_letters(c2 - 1)}{r2}" for r1, r2, c1, c2 in sheet.merged_cells]
        rows = sum(bool(info.hidden) for info in sheet.rowinfo_map.values())
        columns = sum(bool(info.hidden) for info in sheet.colinfo_map.values())
        self._findings = sheet_findings(self.name, merged, rows, columns)

    def findings(self) -> list[Finding]:
        """Merged cells, hidden rows and columns."""
        return self._findings

    def _cells(self, sheet: Any, start: int) -> Cells:
        numbers: list[int] = []
        columns: dict[int, tuple[list[int], list[int], list[str]]] = {}
        for index in range(start, min(start + _BLOCK_ROWS, sheet.nrows)):
            is_used = False
            for column, cell in enumerate(sheet.row(index)):
                found = self._cell(cell)
                if (index, column) in self._uncalculated:
                    found = Kind.UNCALCULATED, ""
                if found is None:
                    continue
                rows, kinds, texts = columns.setdefault(column, ([], [], []))
                rows.append(len(numbers))
                kinds.append(found[0])
                texts.append(found[1])
                is_used = True
            if is_used:
                numbers.append(index + 1)
        strips = {}
        for column, (rows, kinds, texts) in columns.items():
            strips[column] = Strip(np.array(rows), np.array(kinds, np.uint8), pl.Series("", texts, pl.String))
        return Cells(np.array(numbers, np.int64), strips)

    def _cell(self, cell: Any) -> tuple[Kind, str] | None:
        """Kind and text of a cell; None where it holds nothing."""
        match cell.ctype:
            case xlrd.XL_CELL_TEXT:
                return Kind.TEXT, cell.value
            case xlrd.XL_CELL_NUMBER | xlrd.XL_CELL_DATE:
                value = cell.value
                kind = self._number_kind(cell.xf_index)
                return kind, str(int(value)) if abs(value) < _EXACT_FLOAT and value == int(value) else repr(value)
            case xlrd.XL_CELL_BOOLEAN:
                return Kind.BOOLEAN, str(int(bool(cell.value)))
            case xlrd.XL_CELL_ERROR:
                return Kind.ERROR, xlrd.error_text_from_code.get(cell.value, f"error {cell.value}")
        return None

    def _number_kind(self, style: int | None) -> Kind:
        if style is None:
            return Kind.NUMBER
        if style not in self._kinds:
            number = self._book.xf_list[style].format_key
            found = self._book.format_map.get(number)
            kind = kind_of_format(number, found.format_str if found is not None else None)
            self._kinds[style] = kind if kind in (*NUMBERS, *SERIALS) else Kind.NUMBER
        return self._kinds[style]
