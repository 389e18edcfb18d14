"""Cells out of a block of sheet XML with an XML parser: for whatever `scan` gives up on. Slow, and reads all of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from base_ops.worker.formats.office.cells import MAX_COLUMNS, MAX_ROWS, Cells, Kind, Strip, column_number
from base_ops.worker.formats.office.package import damaged, local_name, parse_xml

_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")


def parse(
    block: bytes, namespaces: bytes, kind_of: Callable[[str, int], Kind], *, name: str, after: int
) -> tuple[Cells, int]:
    """The cells of a block, and the number of its last row, which may have none.

    Args:
        namespaces: declarations of the sheet's root element, which the block's names may use.
        name: of the object, for messages.
        after: number of the row before the block; rows and cells may leave out where they are.

    Raises:
        BadInput: damaged.
    """
    root = parse_xml(name, "a sheet", b"<sheetData" + namespaces + b">" + block + b"</sheetData>")
    numbers: list[int] = []
    columns: dict[int, tuple[list[int], list[int], list[str]]] = {}
    for row in root:
        if local_name(row) != "row":
            continue
        number = _integer(row.get("r"), after + 1, name)
        if not after < number <= MAX_ROWS:
            damaged(name, f"row {number} comes after row {after}")
        after, last, is_used = number, -1, False
        for cell in row:
            if local_name(cell) != "c":
                continue
            last = _column(cell.get("r"), last + 1, number, name)
            found = _cell(cell, kind_of)
            if found is None:
                continue
            rows, kinds, texts = columns.setdefault(last, ([], [], []))
            if rows and rows[-1] == len(numbers):
                damaged(name, f"row {number} holds a cell twice")
            rows.append(len(numbers))
            kinds.append(found[0])
            texts.append(found[1])
            is_used = True
        if is_used:
            numbers.append(number)
    strips = {}
    for column, (rows, kinds, texts) in columns.items():
        series = pl.Series("", texts, pl.String)
        strips[column] = Strip(np.array(rows, np.int64), np.array(kinds, np.uint8), series)
    return Cells(np.array(numbers, np.int64), strips), after


def _integer(text: str | None, default: int, name: str) -> int:
    if text is None:
        return default
    if not text.isdigit() or not text.isascii() or len(text) > 9:
        damaged(name, f"{text[:20]!r} is no row number")
    return int(text)


def _column(reference: str | None, default: int, row: int, name: str) -> int:
    if reference is None:
        column = default
    elif (found := _REFERENCE.fullmatch(reference)) is not None:
        column = column_number(found[1])
        if int(found[2]) != row:
            damaged(name, f"row {row} holds the cell {reference}")
    else:
        damaged(name, f"{reference[:20]!r} is no cell")
    if column >= MAX_COLUMNS:
        damaged(name, f"a cell beyond column {MAX_COLUMNS}")
    return column


def _cell(cell: Any, kind_of: Callable[[str, int], Kind]) -> tuple[Kind, str] | None:
    """Kind and text of a cell; None where it holds nothing."""
    value = inline = None
    has_formula = False
    for child in cell:
        match local_name(child):
            case "v":
                value = "".join(child.itertext())
            case "is":
                inline = text_of(child)
            case "f":
                has_formula = True
    style = cell.get("s", "0")
    kind = kind_of(cell.get("t", "n"), int(style) if style.isascii() and style.isdigit() and len(style) < 9 else 0)
    if text := inline if inline is not None else value:
        return kind, text
    if not has_formula:
        return None
    return (kind, "") if kind == Kind.TEXT else (Kind.UNCALCULATED, "")


def text_of(element: Any) -> str:
    """Text of a string item, of all its runs, without phonetic guides."""
    parts = []
    for child in element:
        kind = local_name(child)
        if kind == "t":
            parts.append(child.text or "")
        elif kind == "r":
            parts += [t.text or "" for t in child if local_name(t) == "t"]
    return "".join(parts)
