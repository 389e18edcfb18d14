"""What a number format says a number is (ECMA-376 part 1, §18.8.30 and §18.8.31), and the styles of cells."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from base_ops.worker.formats.office.cells import Kind
from base_ops.worker.formats.office.package import local_name

_TYPES = {
    "s": Kind.SHARED,
    "str": Kind.TEXT,
    "inlineStr": Kind.TEXT,
    "b": Kind.BOOLEAN,
    "e": Kind.ERROR,
    "d": Kind.ISO,
}

_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.S)
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]")
_CLOCK = re.compile(r"am/pm|a/p|上午/下午")
_PLACE = re.compile(r"[0#?@a-z]")
"""What stands for the value, or for a part of it."""
_BUILT_IN = {
    **dict.fromkeys((2, 4, 7, 8, 9, 10, 11, 12, 13, 39, 40, 43, 44, 48, 60, 62, *range(67, 71)), Kind.FRACTION),
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 36, *range(50, 55), 57, 58, *range(71, 75), 81), Kind.DATE),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35, 45, 47, 55, 56, 75, 76, 78, 80), Kind.TIME),
    **dict.fromkeys((22, 77), Kind.STAMP),
    **dict.fromkeys((46, 79), Kind.SPAN),
}
"""27 to 36 and 50 to 81 by the tables for East Asian and Thai workbooks; others do not use these numbers."""


def kind_of_format(number: int, code: str | None) -> Kind:
    """Kind of a number by its format: a built-in one by number, any other by its code."""
    return _BUILT_IN.get(number, Kind.NUMBER) if code is None else kind_of_code(code)


def kind_of_code(code: str) -> Kind:
    """Kind of a number by the first section of a format code that shows it, e.g. the second of `[=0]"";yyyy-mm-dd`."""
    text = next(filter(_PLACE.search, _LITERAL.sub("", code.lower()).split(";")), "")
    if "general" in text or text.strip() == "@":
        return Kind.NUMBER
    if _ELAPSED.search(text):
        return Kind.SPAN
    has_clock = bool(_CLOCK.search(text))
    text = _CLOCK.sub("", text)
    has_time = has_clock or "h" in text or "s" in text
    has_date = "y" in text or "d" in text or "g" in text or "aaa" in text or (not has_time and "m" in text)
    if has_date:
        return Kind.STAMP if has_time else Kind.DATE
    if has_time:
        return Kind.TIME
    return Kind.FRACTION if re.search(r"[.%/]|e[+-]", text) else Kind.NUMBER


class Styles:
    """What cells are by their type and style.

    Args:
        root: of the part of styles; empty where there is none.
    """

    def __init__(self, root: Any) -> None:
        self.unknown: set[int] = set()
        """Numbers of styles that cells had and the workbook has not."""
        codes: dict[str, str] = {}
        kinds: list[Kind] = []
        for group in root:
            if local_name(group) == "numFmts":
                codes = {f.get("numFmtId", ""): f.get("formatCode", "") for f in group if local_name(f) == "numFmt"}
        for group in root:
            if local_name(group) == "cellXfs":
                numbers = [f.get("numFmtId", "0") for f in group if local_name(f) == "xf"]
                kinds = [kind_of_format(int(n) if n.isdigit() else 0, codes.get(n)) for n in numbers]
        self._kinds = kinds or [Kind.NUMBER]
        self.kind_of = lru_cache(maxsize=1 << 14)(self._kind_of)

    def _kind_of(self, type: str, style: int) -> Kind:
        if type != "n":
            return _TYPES.get(type, Kind.DAMAGED)
        if style < len(self._kinds):
            return self._kinds[style]
        self.unknown.add(style)
        return Kind.NUMBER
