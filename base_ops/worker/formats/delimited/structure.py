"""Where records begin and end, and how many cells each has: on whole blocks of bytes, with numpy.

A quote opens at the start of a cell only, and closes where a delimiter or a line end follows; a doubled quote inside
stands for itself. While that holds, the parity of quotes tells inside from outside, and a block is settled with a few
array operations. A quote inside of a bare cell is a character. A record whose quotes cannot be understood gives up its
first physical line only, and the next line is taken for the start of a record.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.formats.delimited import padding
from base_ops.worker.formats.delimited.dialect import Dialect
from base_ops.worker.formats.delimited.torn import torn_records

Positions = NDArray[np.int64]
_CR = 13
SLICE = 1 << 17
"""Bytes looked at in a go: few enough for the processor's cache."""


@dataclass(frozen=True)
class Layout:
    """Records of a well-formed block: position of each one's line end, and its number of delimiters."""

    ends: Positions
    delimiters: Positions

    @property
    def starts(self) -> Positions:
        return np.concatenate(([0], self.ends[:-1] + 1)) if len(self.ends) else self.ends


@dataclass
class Scan:
    """A block in which quotes may be malformed."""

    complete: int
    """Bytes that make up whole records; the rest waits for more."""
    opened: Positions
    closed: Positions
    """Quotes that open and close, in order and in pairs; a doubled quote closes and opens again."""
    literal: Positions
    """Quotes that are mere characters of a bare cell: not for a plain reader."""
    malformed: Positions
    """Physical lines given up, a row of start and line end for each."""
    comments: Positions
    """Comment lines that hold a quote, which says nothing there; likewise."""
    padding: Positions
    """Blanks around quoted cells, a row of start and end for each run."""

    def outside(self, positions: Positions) -> NDArray[np.bool_]:
        """Which positions are not inside of quotes."""
        if not len(self.opened):
            return np.ones(len(positions), bool)
        region = np.searchsorted(self.opened, positions) - 1
        return np.asarray((region < 0) | (self.closed[region] < positions))


def as_array(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def tokens(data: bytes, dialect: Dialect, *, quoted: bool) -> tuple[Positions, NDArray[np.uint8]]:
    """Positions and bytes of the delimiters and line ends outside of quotes, in a well-formed block."""
    array = as_array(data)
    mask = array == ord(dialect.delimiter)
    mask |= array == ord(dialect.eol)
    if quoted:
        mask |= array == ord(dialect.plain_quote)
    found = np.flatnonzero(mask)
    kinds = array[found]
    if quoted:
        is_quote = kinds == ord(dialect.plain_quote)
        outside = ~np.bitwise_xor.accumulate(is_quote) & ~is_quote
        found, kinds = found[outside], kinds[outside]
    return found, kinds


def layout(data: bytes, dialect: Dialect, *, quoted: bool) -> Layout:
    """Records and delimiters of a well-formed block that ends with a line end.

    Slice by slice: what is looked at stays in the processor's cache.
    """
    array, delimiter, eol, quote = as_array(data), ord(dialect.delimiter), ord(dialect.eol), ord(dialect.plain_quote)
    buffers = np.empty((2, SLICE), bool)
    ends, marks = [], []
    seen, inside = 0, False
    for begin in range(0, len(array), SLICE):
        part = array[begin : begin + SLICE]
        mask, hit = buffers[:, : len(part)]
        np.equal(part, delimiter, out=mask)
        mask |= np.equal(part, eol, out=hit)
        if quoted:
            mask |= np.equal(part, quote, out=hit)
        found = np.flatnonzero(mask)
        kinds = part[found]
        if quoted:
            is_quote = kinds == quote
            within = np.bitwise_xor.accumulate(is_quote) ^ inside
            inside = bool(within[-1]) if len(within) else inside
            outside = ~(within | is_quote)
            found, kinds = found[outside], kinds[outside]
        at = np.flatnonzero(kinds == eol)
        ends.append(found[at] + begin)
        marks.append(at + seen)
        seen += len(found)
    if not ends:
        return Layout(np.zeros(0, np.int64), np.zeros(0, np.int64))
    counted = np.concatenate([np.array([-1]), *marks])
    return Layout(np.concatenate(ends), counted[1:] - counted[:-1] - 1)


_NO_LINES = np.zeros((0, 2), np.int64)
_ZERO, _NINE, _COMMA = ord("0"), ord("9"), ord(",")


@dataclass(frozen=True)
class Glance:
    """What one pass over the bytes of a block shows, whatever is in quotes.

    `zero` and `firsts` are filters that let through too much rather than too little.
    """

    newlines: int
    delimiters: int
    zero: bool
    """Some cell may begin with a zero and another digit."""
    looked_for: bytes
    firsts: Positions
    """Where cells may begin with one of the bytes of `looked_for`."""


def glance(data: bytes, dialect: Dialect, *, quoted: bool, firsts: bytes) -> Glance:
    """Count and filter slice by slice: each stays in the processor's cache, and no memory is asked for."""
    delimiter, eol = ord(dialect.delimiter), ord(dialect.eol)
    before = {delimiter, eol, ord(" ")} | ({ord(dialect.plain_quote)} if quoted else set())
    low = max(mark for mark in before if mark <= _COMMA)  # little else than marks lies up to ','
    others = [mark for mark in before if mark > _COMMA]
    newlines = delimiters = 0
    zero = data[:1] == b"0"
    found = [np.zeros(int(data[:1] in [firsts[i : i + 1] for i in range(len(firsts))]), np.int64)]
    array = as_array(data)
    buffers = np.empty((2, SLICE), bool)
    for begin in range(0, len(array), SLICE):
        part = array[begin : begin + SLICE]
        separator, hit = buffers[:, : len(part)]
        newlines += int(np.count_nonzero(np.equal(part, eol, out=hit)))
        delimiters += int(np.count_nonzero(np.equal(part, delimiter, out=hit)))
        np.less_equal(part, low, out=separator)
        for mark in others:
            separator |= np.equal(part, mark, out=hit)
        cell = array[begin + 1 : begin + 1 + SLICE]
        separator, hit = separator[: len(cell)], hit[: len(cell)]
        for first in firsts:
            if np.equal(cell, first, out=hit).any():
                found.append(np.flatnonzero(np.logical_and(hit, separator, out=hit)) + (begin + 1))
        if not zero:
            zero = _has_leading_zero(cell, array[begin + 2 : begin + 2 + SLICE], separator, hit)
    return Glance(newlines, delimiters, zero, firsts, np.concatenate(found))


def _has_leading_zero(
    cell: NDArray[np.uint8], second: NDArray[np.uint8], separator: NDArray[np.bool_], hit: NDArray[np.bool_]
) -> bool:
    """Whether some cell begins with a zero and another digit. Overwrites `separator` and `hit`."""
    separator &= np.equal(cell, _ZERO, out=hit)
    separator, hit = separator[: len(second)], hit[: len(second)]
    separator &= np.greater_equal(second, _ZERO, out=hit)
    return bool(separator.any()) and bool((separator & (second <= _NINE)).any())


def scan(data: bytes, dialect: Dialect, *, final: bool, limit: int) -> Scan:
    """Find the records of a block whose quotes are not to be trusted.

    Args:
        final: nothing follows; `data` then ends with a line end.
        limit: bytes within which an opened quote must close.
    """
    comments = _commented_quotes(data, dialect)
    if not dialect.escape and not len(comments) and (found := _well_formed(data, dialect, final=final, limit=limit)):
        return found
    while True:
        found = _Scanner(data, dialect, final, limit, comments).run()
        outside = found.outside(comments[:, 0])
        if outside.all():
            found.comments = comments[comments[:, 1] < found.complete]
            return found
        comments = comments[outside]  # the others are part of a quoted cell


def _commented_quotes(data: bytes, dialect: Dialect) -> Positions:
    """(start, line end) of the lines that begin like a comment and hold a quote, as rows."""
    if not dialect.comment or not dialect.quote or dialect.comment.encode() not in data:
        return _NO_LINES
    marks, array = dialect.comment.encode(), as_array(data)
    ends = np.flatnonzero(array == ord(dialect.eol))
    starts = np.concatenate(([0], ends + 1))
    starts, ends = starts[array[np.minimum(starts, len(array) - 1)] == marks[0]], np.append(ends, len(array))
    quotes = np.flatnonzero(array == ord(dialect.quote))
    stops = ends[np.searchsorted(ends, starts)]
    holding = np.searchsorted(quotes, starts) < np.searchsorted(quotes, stops)
    rows = [
        (a, b)
        for a, b in zip(starts[holding].tolist(), stops[holding].tolist(), strict=True)
        if data.startswith(marks, a)
    ]
    return np.array(rows, np.int64) if rows else _NO_LINES


def _well_formed(data: bytes, dialect: Dialect, *, final: bool, limit: int) -> Scan | None:
    """The scan of a block in which every quote is what parity says; None where one is not."""
    array, eol = as_array(data), dialect.eol.encode()
    quotes = np.flatnonzero(array == ord(dialect.quote))
    open_end = int(quotes[-1]) if len(quotes) % 2 else None
    if open_end is not None and final:
        return None
    before, after = np.zeros(256, bool), np.zeros(256, bool)
    before[[ord(dialect.delimiter), ord(dialect.eol), ord(dialect.quote)]] = True
    after[[ord(dialect.delimiter), ord(dialect.eol), ord(dialect.quote), _CR]] = True
    openers, closers = quotes[0::2], quotes[1::2]
    if not before[array[openers[1:] - 1]].all() or (openers[0] and not before[array[openers[0] - 1]]):
        return None
    inner = closers[:-1] if len(closers) and closers[-1] == len(array) - 1 else closers
    followers = array[inner + 1]
    if not after[followers].all():
        return None
    if ord(dialect.eol) != _CR and (bare := inner[followers == _CR] + 2).size:
        bare = bare[:-1] if bare[-1] == len(array) else bare
        if (array[bare] != ord(dialect.eol)).any():
            return None
    complete = data.rfind(eol, 0, open_end) + 1
    while complete:  # not inside of quotes
        region = int(np.searchsorted(openers[: len(closers)], complete - 1)) - 1
        if region < 0 or closers[region] < complete - 1:
            break
        complete = data.rfind(eol, 0, int(openers[region])) + 1
    if open_end is not None and len(data) - complete > limit:
        return None
    return Scan(complete, openers[: len(closers)], closers, quotes[:0], _NO_LINES, _NO_LINES, _NO_LINES)


class _Scanner:
    """Pairs up quotes by parity, as far as each can be what parity says; settles the exceptions one by one.

    Two kinds of quotes are exceptions so often that they are sorted out beforehand: those that can neither open nor
    close (5" pipe), and those that can only close, but follow one that did (pipe 5",).
    """

    def __init__(self, data: bytes, dialect: Dialect, final: bool, limit: int, comments: Positions) -> None:
        self.array = as_array(data)
        self.final, self.limit = final, limit
        self.delimiter, self.eol, self.padding = ord(dialect.delimiter), ord(dialect.eol), dialect.padding
        self.lines = np.flatnonzero(self.array == self.eol)
        self.all = np.flatnonzero(self.array == ord(dialect.quote)) if dialect.quote else self.lines[:0]
        if dialect.escape:
            self.all = self.all[~_escaped(self.array, self.all, ord(dialect.escape))]
        if len(comments):
            line = np.searchsorted(comments[:, 0], self.all, side="right") - 1
            self.all = self.all[(line < 0) | (comments[line, 1] < self.all)]
        self._classify()
        self.pairs: list[tuple[int, int]] = []
        """Slices of `quotes` that are pairs."""
        self.malformed: list[int] = []
        """Start and line end, in turn."""

    def _classify(self) -> None:
        array, quotes = self.array, self.all
        self.adjacent = np.diff(quotes, prepend=-2) == 1
        first = padding.past(array, quotes, self.padding, -1) + 1
        before = array[np.maximum(first - 1, 0)]
        opens = (before == self.delimiter) | (before == self.eol) | (first == 0)
        last, end = len(array) - 1, padding.past(array, quotes, self.padding, 1) - 1
        after, second = array[np.minimum(end + 1, last)], array[np.minimum(end + 2, last)]
        closes = (after == self.delimiter) | (after == self.eol) | (end == last)
        closes |= (after == _CR) & ((second == self.eol) | (end + 1 == last))
        closes[:-1] |= self.adjacent[1:]
        may_open = opens | self.adjacent
        chosen = np.flatnonzero(may_open | closes)
        only_closes = ~may_open[chosen]
        chosen = chosen[~(only_closes & np.concatenate(([True], only_closes[:-1])))]
        follows = np.diff(chosen, prepend=-2) == 1
        self.index, self.quotes = chosen, quotes[chosen]
        self.opens = opens[chosen] | (self.adjacent[chosen] & follows)
        self.closes = closes[chosen] & follows

    @cached_property
    def _lines(self) -> list[int]:
        """`lines` for looking up one after another, which an array is slow at."""
        lines: list[int] = self.lines.tolist()
        return lines

    @cached_property
    def _quotes(self) -> list[int]:
        quotes: list[int] = self.quotes.tolist()
        return quotes

    def run(self) -> Scan:
        even = np.arange(len(self.quotes)) % 2 == 0
        broken = [np.flatnonzero(~np.where(even == start, self.opens, self.closes)) for start in (True, False)]
        first = floor = 0
        stop: int | None = None
        while True:
            faults = broken[first % 2]
            at = int(faults.searchsorted(first))
            fault = int(faults[at]) if at < len(faults) else len(self.quotes)
            paired = fault - (fault - first) % 2
            self.pairs.append((first, paired))
            if paired >= len(self.quotes):
                break
            if paired == fault:  # cannot open, outside of quotes: a character, and so are its neighbours
                first = fault + 1
                while first < len(self.quotes) and self.adjacent[self.index[first]]:
                    first += 1
                continue
            start = self._record_start(int(self.quotes[paired]), floor)
            unclosed = fault >= len(self.quotes)
            line = bisect_left(self._lines, start)
            if line == len(self.lines) or (unclosed and not self.final and len(self.array) - start <= self.limit):
                stop = start
                break
            end = int(self.lines[line])
            self.malformed.extend((start, end))
            self._forget(start)
            floor = end + 1
            first = bisect_left(self._quotes, floor)
        return self._finish(stop)

    def _record_start(self, position: int, floor: int) -> int:
        """Start of the record around `position`, which lies outside of all pairs found so far."""
        while True:
            at = bisect_left(self._lines, position) - 1
            line = self._lines[at] if at >= 0 else -1
            if line < floor:
                return floor
            opening = self._region_around(line)
            if opening < 0:
                return line + 1
            position = opening

    def _region_around(self, position: int) -> int:
        """Position of the opening quote of the pair around `position`; -1 where it is outside."""
        before = bisect_left(self._quotes, position) - 1
        for first, end in reversed(self.pairs):
            if before >= first:
                return self._quotes[before] if before < end and (before - first) % 2 == 0 else -1
        return -1

    def _forget(self, start: int) -> None:
        """Drop the pairs behind `start`."""
        kept = bisect_left(self._quotes, start)
        while self.pairs and self.pairs[-1][1] > kept:
            first, _ = self.pairs.pop()
            if first < kept:
                self.pairs.append((first, kept))

    def _finish(self, stop: int | None) -> Scan:
        opened = np.concatenate([self.index[first:end:2] for first, end in self.pairs])
        closed = np.concatenate([self.index[first + 1 : end : 2] for first, end in self.pairs])
        used = np.zeros(len(self.all), bool)
        used[opened] = used[closed] = True
        found = Scan(0, self.all[opened], self.all[closed], self.all[~used], _NO_LINES, _NO_LINES, _NO_LINES)
        ends = self.lines if stop is None else self.lines[: np.searchsorted(self.lines, stop)]
        ends = ends[-1:] if not len(ends) or found.outside(ends[-1:]).all() else ends[found.outside(ends)]
        found.complete = int(ends[-1]) + 1 if len(ends) else 0
        found.literal = found.literal[found.literal < found.complete]
        if self.padding:
            found.padding = padding.runs(found, self.array, self.padding)
        if self.malformed:
            lines = np.array(self.malformed, np.int64).reshape(-1, 2)
            found.malformed = lines[lines[:, 1] < found.complete]
            found.literal = _not_in(found.literal, found.malformed)
        torn = torn_records(found, self.array, self.lines, self.delimiter, self.eol)
        if len(torn):
            found.literal = _not_in(found.literal, torn)
            found.malformed = np.concatenate([found.malformed, torn])
            found.malformed = found.malformed[found.malformed[:, 0].argsort()]
        return found


def _not_in(positions: Positions, lines: Positions) -> Positions:
    """The positions that are in none of the lines, each a row of start and line end."""
    if not len(lines):
        return positions
    line = np.searchsorted(lines[:, 0], positions, side="right") - 1
    return positions[(line < 0) | (lines[line, 1] < positions)]


def _escaped(array: NDArray[np.uint8], positions: Positions, escape: int) -> NDArray[np.bool_]:
    """Which positions stand behind an odd number of escape characters."""
    marks = np.flatnonzero(array == escape)
    if not len(marks):
        return np.zeros(len(positions), bool)
    run_start = marks[np.maximum.accumulate(np.where(np.diff(marks, prepend=-2) != 1, np.arange(len(marks)), 0))]
    at = np.searchsorted(marks, positions) - 1
    behind = (at >= 0) & (marks[at] == positions - 1)
    return np.asarray(behind & ((positions - run_start[at]) % 2 == 1))
