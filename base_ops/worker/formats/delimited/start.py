"""Where the table starts: what stands above its header, and what stands between the header and the records.

Nothing is passed over that could be a record: a row above the header must be of another width or mostly empty, and a
row below it must hold words, and no value, where the column holds values. What is passed over is reported.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from base_ops.data_ingestion.options.reading import ReadSpec

_LONGEST = 50
"""Rows a preamble has at most."""
_LABEL_ROWS = 3
_SHORT = 64
_MOST = 0.8
_NUMBER = re.compile(r"[+-]?[$€£¥]?\s?(\d{1,3}([,. ]\d{3})+|\d+)?([.,]\d+)?([eE][+-]?\d+)?\s?[%€£$¥]?")
_MOMENT = re.compile(
    r"(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[- ][A-Za-z]{3,9}[- ,]*\d{2,4})?"
    r"([T ]?\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?)?(Z| ?[+-]\d{2}:?\d{2})?"
)
_NAMES = re.compile(r"\s*[^\W\d][^\n\r]{0,120}")
_NO_VALUE = re.compile(r"(?i)[\W_]*|n\.?/?a\.?|nan|null|nil|none|missing|unknown|inf(inity)?|tb[cda]")


@dataclass(frozen=True)
class Row:
    """One record of the head; no blank lines."""

    line: int
    """Physical line, from 1, on which it starts."""
    cells: list[str]

    @property
    def filled(self) -> set[str]:
        return {cell for cell in self.cells if cell}

    @property
    def is_full(self) -> bool:
        """Whether it may name the columns: more than half of the cells say something, and not all the same."""
        return 2 * sum(map(bool, self.cells)) > len(self.cells) and 4 * len(self.filled) > len(self.cells)

    @property
    def has_value(self) -> bool:
        return any(map(is_value, self.cells))


@dataclass(frozen=True)
class Start:
    line: int
    """Physical line of the header, or of the first record."""
    header: bool
    label_rows: int = 0
    """Records below the header that are no data: units, a second line of names."""


def find_start(rows: list[Row], spec: ReadSpec) -> Start:
    """Judge by the first records of a text."""
    rows = [Row(row.line, [cell.strip() for cell in row.cells]) for row in rows]
    if not rows:
        return Start(1, bool(spec.header))
    at = 0
    if spec.header is not False and not spec.skip_lines:
        at = _named_as_declared(rows, spec) or _below_preamble(rows)
    header = spec.header
    if header is None:
        is_title = len(rows[0].cells) == 1 < _width(rows)
        header = at > 0 or (not is_title and has_header(rows, spec))
    return Start(rows[at].line if at else 1, header, _label_rows(rows[at:]) if header and spec.columns is None else 0)


# -- above the header


def _named_as_declared(rows: list[Row], spec: ReadSpec) -> int:
    wanted = {column.source_name or column.name for column in spec.columns or ()}
    for at, row in enumerate(rows[:_LONGEST]):
        if wanted and 2 * len(wanted & set(row.cells)) > len(wanted):
            return at
    return 0


def _below_preamble(rows: list[Row]) -> int:
    """Number of rows above the header."""
    width = _width(rows)
    if width < 2:
        return 0
    rows = [_cut(row, width) for row in rows]
    at = _below_narrow(rows, width)
    at += _below_sparse(rows[at:], width)
    return at


def _cut(row: Row, width: int) -> Row:
    """The row without the empty cells beyond a width."""
    return row if any(row.cells[width:]) else Row(row.line, row.cells[:width])


def _width(rows: list[Row]) -> int:
    """Cells of most rows that have more than one."""
    widths = Counter(len(row.cells) for row in rows if len(row.cells) > 1)
    return widths.most_common(1)[0][0] if widths else 1


def _below_narrow(rows: list[Row], width: int) -> int:
    at = next((i for i, row in enumerate(rows[: _LONGEST + 1]) if len(row.cells) >= width), 0)
    if len(rows[at].cells) > width:  # a title with commas, where a row below it names the table better
        at = next((i for i, row in enumerate(rows[: _LONGEST + 1]) if len(row.cells) == width), at)
        if any(map(_NO_VALUE.fullmatch, rows[at].cells)):
            return 0
    below = [row for row in rows[at:] if len(row.cells) == width]
    if not at or len(rows[at].cells) != width or len(below) < 2:
        return 0
    last = len(rows[at - 1].cells)
    if 1 < last < width and not any(cell for row in below for cell in row.cells[last:]):
        at -= 1  # a header without the delimiter that ends every record
        below = [rows[at], *below]
    if not at or _has_table(rows[:at]):
        return 0
    if _is_named_by(below):
        return at
    sparse = _below_sparse(rows[at:], width)
    titles = max(len(row.cells) for row in rows[:at]) == 1 and at + sparse < len(rows)
    return at if sparse or (titles and has_header(below)) else 0


def _has_table(rows: list[Row]) -> bool:
    """Whether three rows in a run are alike and too wide for names with values."""
    widths = [len(row.cells) for row in rows]
    return any(a == b == c > 2 for a, b, c in zip(widths, widths[1:], widths[2:], strict=False))


def _below_sparse(rows: list[Row], width: int) -> int:
    """Rows as wide as the table that hold a title or the names of groups: few distinct cells, and no value."""
    zone: list[Row] = []
    for row in rows[:_LONGEST]:
        if len(row.cells) != width or (row.has_value and not (len(row.filled) <= 1 and width > 2)):
            break
        zone.append(row)
    below = [row for row in rows[len(zone) :] if len(row.cells) == width]
    if not below:  # words only: a title is what stands alone
        alone = next((i for i, row in enumerate(zone) if len(row.filled) > 1), 0)
        return alone if width > 2 and 2 * len(zone[alone].filled) > width else 0
    if width == 2 and not all(_holds_values(below, column) for column in range(2)):
        return 0
    full = next((i for i, row in enumerate(zone) if row.is_full), None)
    if full is None:
        return 0
    return full if not zone[full].has_value and _is_named_by([zone[full], *zone[full + 1 :], *below]) else 0


def _is_named_by(rows: list[Row]) -> bool:
    """Whether the first row holds words where some column below holds values."""
    first, below = rows[0], rows[1:]
    return not _values(first) and any(cell and _holds_values(below, column) for column, cell in enumerate(first.cells))


def _values(row: Row) -> list[str]:
    """The values among a header's cells; years in order are names."""
    found = [cell for cell in row.cells if is_value(cell)]
    return [] if _are_years(found, row.cells) else found


def _holds_values(rows: list[Row], column: int) -> bool:
    cells = [
        row.cells[column] for row in rows if column < len(row.cells) and not _NO_VALUE.fullmatch(row.cells[column])
    ]
    return len(cells) > 0 and sum(map(is_value, cells)) >= _MOST * len(cells)


# -- the header and below


def has_header(rows: list[Row], spec: ReadSpec | None = None) -> bool:
    """Whether the first row names the columns."""
    if not rows:
        return False
    first, rest = rows[0].cells, [row.cells for row in rows[1:]]
    if spec is not None and {c.source_name or c.name for c in spec.columns or ()} & set(first):
        return True
    if _is_numbered(first, rest):
        return True
    if _values(rows[0]):
        return False
    names = [cell for cell in first if cell]
    if len(names) * 2 < len(first) or not names:
        return False
    if any(is_value(cell) for row in rest for cell in row if cell):
        return True
    if len(names) > 1 and len(set(names)) == 1:
        return False  # words and their translation, word by word the same
    below = [{row[i] for row in rest if i < len(row)} for i in range(len(first))]
    return all(_NAMES.match(n) for n in names) and not any(
        c and c in seen for c, seen in zip(first, below, strict=True)
    )


def _label_rows(rows: list[Row]) -> int:
    """Rows below the header that say more about the columns: words where all others hold values."""
    width = max((place for place, cell in enumerate(rows[0].cells, 1) if cell), default=0)
    rows = [_cut(row, width) for row in rows]
    for count in range(min(_LABEL_ROWS, len(rows) - 3), 0, -1):
        below = [row for row in rows[count + 1 :] if len(row.cells) == width]
        typed = {column for column in range(width) if _holds_values(below, column)}
        if len(below) > 1 and all(_is_label(row, typed, width) for row in rows[1 : count + 1]):
            return count
    return 0


def _is_label(row: Row, typed: set[int], width: int) -> bool:
    if len(row.cells) != width or width < 2 or row.has_value:
        return False
    words = {column for column, cell in enumerate(row.cells) if not _NO_VALUE.fullmatch(cell)}
    return len(words & typed) > 1 or (bool(words) and words <= typed)


def is_value(cell: str) -> bool:
    """Whether a cell is a number, a moment or a truth value."""
    return _known_value(cell) if len(cell) <= _SHORT else _is_value(cell)


def _is_value(cell: str) -> bool:
    return bool(cell) and bool(_NUMBER.fullmatch(cell) or _MOMENT.fullmatch(cell) or cell.lower() in ("true", "false"))


_known_value = lru_cache(1 << 13)(_is_value)  # each cell is asked about several times


def _is_numbered(first: list[str], rest: list[list[str]]) -> bool:
    """,0,1,2 or 1,2,3 above words: columns that have numbers for names."""
    numbers = first if first[0] else first[1:]
    if len(numbers) < 2 or numbers[0] not in ("0", "1") or not all(number.isdecimal() for number in numbers):
        return False
    if any(int(b) - int(a) != 1 for a, b in pairwise(numbers)) or all(len(row) != len(first) for row in rest):
        return False
    return not first[0] or (len(rest) > 1 and not any(is_value(cell) for row in rest for cell in row))


def _are_years(values: list[str], first: list[str]) -> bool:
    """country, 2019, 2020, …: numbers that name columns."""
    if len(values) < 2 or first[0] in values or not all(re.fullmatch(r"(19|20)\d\d", v) for v in values):
        return False
    return all(int(b) - int(a) == 1 for a, b in pairwise(values))
