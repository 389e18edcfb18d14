"""Cells out of a block of sheet XML at once, with numpy: for rows as nearly every writer writes them.

A block is whole `<row>` elements. Every tag is found and counted; where a block holds anything but rows, cells, values,
formulas and plain inline texts with their references (ECMA-376 part 1, §18.3.1), `scan` gives up, and the block goes to
an XML parser (`rows.py`). So the fast way cannot read anything but what the slow one would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from base_ops.worker.formats.office.cells import MAX_COLUMNS, MAX_ROWS, Cells, Kind, Positions, Strip
from base_ops.worker.formats.xlsx.texts import NotXml, unescaped

KindOf = Callable[[str, int], Kind]
"""Kind of a cell by its type (attribute t) and style number (attribute s)."""

_PADDING = bytes(32)
_ROW, _CELL, _VALUE, _FORMULA, _INLINE, _TEXT, _CLOSE, _QUOTE = (ord(c) for c in 'rcvfit/"')
_ATTRIBUTE = re.compile(rb' (\w+)="([^"<&]*)"')
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(8)] + [(1 << 64) - 1], np.uint64)
_WORDS = 3
_MOST_KINDS = 256
"""Different attributes that the cells of a column may have."""
_BEYOND = 8
"""Tags that may be looked at behind the last one."""
_ROW_OPENS = np.frombuffer(b'<row r="', np.uint64)[0]
_CELL_OPENS = np.frombuffer(b'<c r="\0\0', np.uint64)[0]


class _Irregular(Exception):
    pass


def scan(block: bytes, kind_of: KindOf) -> Cells | None:
    """The cells of a block, or None where it takes an XML parser to tell them."""
    if b"\r" in block or b"\0" in block:
        return None
    try:
        return _Scan(block, kind_of).cells()
    except (_Irregular, NotXml):
        return None


def tags_of(data: bytes) -> tuple[Positions, Positions, NDArray[np.uint8]] | None:
    """Where tags open and end in XML, and the first character of each; None where a `>` stands for itself."""
    array = np.frombuffer(data, np.uint8)
    marks = np.flatnonzero((array & 0xFD) == ord("<"))
    opens, ends = marks[::2], marks[1::2]
    if len(marks) % 2 or (array[opens] != ord("<")).any() or (array[ends] != ord(">")).any():
        return None
    return opens, ends, array[opens + 1]


def between(data: pa.Buffer, starts: Positions, ends: Positions) -> pl.Series:
    """Texts of a buffer of UTF-8, which lie one behind the other."""
    if not len(starts):
        return pl.Series("", [], pl.String)
    offsets = np.empty(2 * len(starts), np.int64)
    offsets[::2], offsets[1::2] = starts, ends
    pieces = pa.LargeStringArray.from_buffers(2 * len(starts) - 1, pa.py_buffer(offsets), data)
    # by way of its buffer: pa.array imports pandas where it is installed
    every_second = pa.Array.from_buffers(pa.int64(), len(starts), [None, pa.py_buffer(np.arange(0, len(pieces), 2))])
    return pl.Series(pl.from_arrow(pieces.take(every_second))).alias("")


class _Scan:
    def __init__(self, block: bytes, kind_of: KindOf) -> None:
        self._data, self._kind_of = block + _PADDING, kind_of
        if not block.isascii():
            block.decode()  # what polars takes over must be UTF-8
        self._escaped = b"&" in block
        self._bytes = np.frombuffer(self._data, np.uint8)
        self._words = np.ndarray(len(self._data) - 7, "<u8", self._data, 0, (1,))
        marks = tags_of(block)
        _require(marks is not None)
        assert marks is not None
        self._opens, self._ends, tags = marks
        self._tags = np.append(tags, np.zeros(_BEYOND, np.uint8))

    def cells(self) -> Cells:
        rows = np.flatnonzero(self._tags[:-_BEYOND] == _ROW)
        numbers, digits = self._row_numbers(self._opens[rows])
        named = self._words[self._opens[rows] + 8] & _MASKS[digits + 1]
        if self._are_regular(rows):
            return self._regular(numbers, digits, named)
        return self._irregular(rows, numbers, digits, named)

    def _are_regular(self, rows: Positions) -> bool:
        """Whether all rows have as many cells, and all cells a value and nothing else."""
        count = len(self._opens)
        tags, rest = divmod(count, max(len(rows), 1))
        width, odd = divmod(tags - 2, 4)
        if rest or odd or width < 1:
            return False
        row = np.array([_ROW, *(_CELL, _VALUE, _CLOSE, _CLOSE) * width, _CLOSE], np.uint8)
        if (self._tags[:count].reshape(-1, tags) != row).any():
            return False
        return bool((self._opens.reshape(-1, tags)[:, 3::4] > self._ends.reshape(-1, tags)[:, 2::4] + 1).all())

    def _regular(self, numbers: Positions, digits: Positions, named: NDArray[np.uint64]) -> Cells:
        opens, ends = self._opens.reshape(len(numbers), -1), self._ends.reshape(len(numbers), -1)
        columns, quotes = self._columns(opens[:, 1:-1:4], digits[:, None], named[:, None])
        first = columns[0]
        _require(bool((columns == first).all() and (np.diff(first) > 0).all()))
        kinds = self._kinds(quotes + 1, ends[:, 1:-1:4])
        found = Cells(numbers)
        for place, column in enumerate(first.tolist()):
            texts = self._texts(ends[:, 4 * place + 2] + 1, opens[:, 4 * place + 3])
            found.strips[column] = Strip(None, kinds[place], texts)
        return found

    def _irregular(self, rows: Positions, numbers: Positions, digits: Positions, named: NDArray[np.uint64]) -> Cells:
        cells = np.flatnonzero(self._tags == _CELL)
        row_of = np.searchsorted(rows, cells) - 1
        _require(not len(cells) or row_of[0] >= 0)
        values, has_formula = self._values(rows, cells)
        columns, quotes = self._columns(self._opens[cells], digits[row_of], named[row_of])
        attributes = self._ends[cells] - self._closed(cells)
        starts = np.where(values >= 0, self._ends[values] + 1, 0)
        ends = np.where(values >= 0, self._opens[np.minimum(values + 1, len(self._opens) - 1)], 0)
        used = (ends > starts) | has_formula
        kept, places = np.unique(row_of[used], return_inverse=True)
        found = Cells(numbers[kept])
        columns, quotes, attributes = columns[used], quotes[used], attributes[used]
        starts, ends = starts[used], ends[used]
        for column, part in _by_column(columns, len(kept)):
            strip_rows = places[part]
            _require(bool((np.diff(strip_rows) > 0).all()))
            (kinds,) = self._kinds(quotes[part, None] + 1, attributes[part, None])
            strip = self._strip(kinds, starts[part], ends[part])
            found.strips[column] = Strip(None if len(strip_rows) == len(kept) else strip_rows, *strip)
        return found

    def _row_numbers(self, start: Positions) -> tuple[Positions, Positions]:
        """Sheet row numbers, and how many digits they have, of the rows whose tags open there."""
        _require(bool((self._words[start] == _ROW_OPENS).all()))
        number = np.zeros(len(start), np.int64)
        digits = np.zeros(len(start), np.int64)
        open = np.ones(len(start), bool)
        for place in range(8):
            digit = self._bytes[start + 8 + place].astype(np.int64)
            open &= digit != _QUOTE
            _require(bool(((digit >= 48) & (digit <= 57))[open].all()))
            number = np.where(open, number * 10 + digit - 48, number)
            digits += open
            if not open.any():
                break
        _require(not open.any() and bool((digits > 0).all()) and bool((np.diff(number) > 0).all()))
        _require(not len(number) or (number[0] >= 1 and number[-1] <= MAX_ROWS))
        return number, digits

    def _columns(self, start: Positions, digits: Positions, named: NDArray[np.uint64]) -> tuple[Positions, Positions]:
        """Column numbers of the cells whose tags open there, and where the reference's closing quote is.

        Args:
            start: where the tags open.
            digits, named: of the numbers of the cells' rows: how many, and they with the quote behind them.
        """
        begin = self._words[start]
        _require(bool(((begin & _MASKS[6]) == _CELL_OPENS).all()))
        begin = (begin >> np.uint64(48)).astype(np.int64)
        first = (begin & 0xFF) - 65
        column, letters = first, np.ones_like(first)
        second = (begin >> 8) - 65
        if (two := second >= 0).any():
            third = self._bytes[start + 8].astype(np.int64) - 65
            three = two & (third >= 0)
            wide = np.where(three, ((first + 1) * 26 + second + 1) * 26 + third, (first + 1) * 26 + second)
            column, letters = np.where(two, wide, first), 1 + two + three
            _require(bool((second < 26).all()) and bool((third[three] < 26).all()))
        _require(bool(((first >= 0) & (first < 26) & (column < MAX_COLUMNS)).all()))
        row = start + 6 + letters
        _require(bool(((self._words[row] & _MASKS[digits + 1]) == named).all()))
        return column, row + digits

    def _values(self, rows: Positions, cells: Positions) -> tuple[Positions, NDArray[np.bool_]]:
        """The tag that opens each cell's value (-1: none), and whether it is a formula's.

        The tags of all cells and rows together must be all tags there are.
        """
        tags, closed = self._tags, self._closed
        following = tags[cells + 1]
        counted = len(cells)
        has_formula = following == _FORMULA
        inside = cells + 1
        if has_formula.any():
            whole = has_formula & ~closed(inside)
            _require(bool((tags[inside + 1][whole] == _CLOSE).all()))
            inside = inside + has_formula + whole
            counted += int(has_formula.sum() + whole.sum())
            following = tags[inside]
        is_value = following == _VALUE
        values = np.where(is_value, inside, -1)
        full = is_value
        if (empty := is_value & closed(inside)).any():
            values[empty] = -1
            full = is_value & ~empty
        _require(bool((tags[inside + 1][full] == _CLOSE).all()))
        after = inside + is_value + full
        counted += int(is_value.sum() + full.sum())
        if (inline := following == _INLINE).any():
            texts = inside + 1
            _require(bool((tags[texts][inline] == _TEXT).all()) and not closed(texts[inline]).any())
            _require(all(bool((tags[texts + n][inline] == _CLOSE).all()) for n in (1, 2)))
            values = np.where(inline, texts, values)
            after = np.where(inline, inside + 4, after)
            counted += 4 * int(inline.sum())
        alone = closed(cells)
        ends = ~alone
        _require(bool((tags[after][ends] == _CLOSE).all()) and not (alone & (after != cells + 1)).any())
        counted += int(ends.sum())
        row_ends = int((~closed(rows)).sum())
        _require(counted + len(rows) + row_ends == len(self._opens))
        return values, has_formula

    def _closed(self, tags: Positions) -> NDArray[np.bool_]:
        """Whether tags close themselves."""
        found: NDArray[np.bool_] = self._bytes[self._ends[np.minimum(tags, len(self._ends) - 1)] - 1] == _CLOSE
        return found

    # -- one column

    def _strip(
        self,
        kinds: NDArray[np.uint8] | int,
        starts: Positions,
        ends: Positions,
    ) -> tuple[NDArray[np.uint8] | int, pl.Series]:
        """Kinds and texts of cells whose values lie there; those without one are formulas."""
        present = ends > starts
        if present.all():
            return kinds, self._texts(starts, ends)
        # a text that is a formula's result may be empty; any other formula without a result was never calculated
        kind_array = np.full(len(starts), kinds, np.uint8) if isinstance(kinds, int) else kinds
        kind_array = np.where(present | (kind_array == Kind.TEXT), kind_array, np.uint8(Kind.UNCALCULATED))
        texts = pl.Series("", [""], pl.String).new_from_index(0, len(starts))
        if present.any():
            texts = texts.scatter(np.flatnonzero(present), self._texts(starts[present], ends[present]))
        return kind_array, texts

    def _texts(self, starts: Positions, ends: Positions) -> pl.Series:
        texts = between(pa.py_buffer(self._data), starts, ends)
        return unescaped(texts) if self._escaped else texts

    def _kinds(self, starts: Positions, ends: Positions) -> list[NDArray[np.uint8] | int]:
        """Kinds by the attributes behind the reference, of each column; mostly they are the same in all its cells."""
        lengths = ends - starts
        longest = int(lengths.max())
        _require(longest <= 8 * _WORDS)
        keys = []
        for word in range(-(-longest // 8)):
            mask = _MASKS[np.clip(lengths - 8 * word, 0, 8)]
            keys.append(self._words[starts + 8 * word] & mask)
        same = np.logical_and.reduce([(key == key[0]).all(axis=0) for key in keys] or [np.ones(starts.shape[1], bool)])
        return [
            int(self._kind(int(starts[0, c]), int(ends[0, c])))
            if same[c]
            else self._mixed([key[:, c] for key in keys], starts[:, c], ends[:, c])
            for c in range(starts.shape[1])
        ]

    def _mixed(self, keys: list[NDArray[np.uint64]], starts: Positions, ends: Positions) -> NDArray[np.uint8]:
        kinds = np.zeros(len(starts), np.uint8)
        left = np.ones(len(starts), bool)
        for _ in range(_MOST_KINDS):
            if not left.any():
                return kinds
            first = int(left.argmax())
            same = np.logical_and.reduce([key == key[first] for key in keys])
            kinds[same] = self._kind(int(starts[first]), int(ends[first]))
            left &= ~same
        raise _Irregular

    def _kind(self, start: int, end: int) -> Kind:
        text = self._data[start:end].rstrip()
        found = dict(_ATTRIBUTE.findall(text))
        _require(len(_ATTRIBUTE.sub(b"", text)) == 0)
        style = found.get(b"s", b"0")
        _require(style.isdigit())
        return self._kind_of(found.get(b"t", b"n").decode(), int(style))


def _by_column(columns: Positions, rows: int) -> list[tuple[int, Any]]:
    """The cells of each column: a slice where every row has the same columns, else their positions."""
    count = len(columns)
    if not count:
        return []
    width = count // rows
    first = columns[:width]
    if width * rows == count and bool((columns.reshape(rows, width) == first).all() and (np.diff(first) > 0).all()):
        return [(int(column), slice(place, None, width)) for place, column in enumerate(first)]
    order = np.argsort(columns.astype(np.int16), kind="stable")
    ordered = columns[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    return [(int(ordered[s]), part) for s, part in zip(starts, np.split(order, starts[1:]), strict=True)]


def _require(holds: bool) -> None:
    if not holds:
        raise _Irregular
