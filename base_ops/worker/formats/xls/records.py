"""Records of a workbook's stream (MS-XLS §2.1.4) that xlrd passes over."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_FORMULA, _EOF, _SHEET, _RECALCULATED = 0x0006, 0x000A, 0x0085, 0x01C1
_BOF = 0x0809
_MACROS = (1, 6)
"""Types of sheets (§2.4.28): Excel 4 macros, and Visual Basic modules of Excel 5 and 95."""
_ZERO, _BLANK = bytes(8), 3
"""Results of formulas (§2.5.133): the number 0, and the first byte of the empty text."""
_TO_CALCULATE = 0x03
"""Calculate always; calculate on load."""
_EXCEL_5 = 50


def records(data: Any, start: int) -> Iterator[tuple[int, bytes]]:
    """Type and content of the records of the substream that begins there, without those of charts within it."""
    depth = 0
    while 0 <= start <= len(data) - 4:
        kind, length = struct.unpack_from("<HH", data, start)
        start += 4 + length
        depth += (kind == _BOF) - (kind == _EOF)
        if depth == 1:
            yield kind, data[start - length : start]
        if depth < 1:
            return


def holds_macro_sheets(book: Any) -> bool:
    """Whether some sheets of an opened workbook are macros."""
    if book.biff_version < _EXCEL_5:
        return False
    sheets = (body for kind, body in records(book.mem, book.base) if kind == _SHEET)
    return any(len(body) > 5 and body[5] in _MACROS for body in sheets)


def never_calculated(book: Any) -> tuple[dict[int, set[tuple[int, int]]], int]:
    """Formulas of an opened workbook without a result of theirs: nothing in the file says otherwise.

    A program that calculates leaves its number behind (§2.4.215), or some result. One that does not writes the empty
    text; or 0 and the wish to be calculated, which might be a result.

    Returns:
        Places (row and column from 0, by sheet) of formulas that have none, and the number of those that may have.
    """
    if book.biff_version < _EXCEL_5 or any(kind == _RECALCULATED for kind, _ in records(book.mem, book.base)):
        return {}, 0
    places: dict[int, set[tuple[int, int]]] = {}
    uncertain = 0
    for index, start in enumerate(book._sh_abs_posn):
        for kind, body in records(book.mem, start):
            if kind != _FORMULA or len(body) < 16:
                continue
            row, column, _, result, flags = struct.unpack_from("<HHH8sH", body)
            is_blank = result[0] == _BLANK and result[6:] == b"\xff\xff"
            if is_blank and not flags & _TO_CALCULATE:
                places.setdefault(index, set()).add((row, column))
            elif flags & _TO_CALCULATE and (is_blank or result == _ZERO):
                uncertain += 1
            else:
                return {}, 0
    return places, uncertain
