"""Where records begin and end, and how many cells each has: on whole blocks of bytes, with numpy.

A quote opens at the start of a cell only, and closes where a delimiter or a line end follows; a doubled quote inside
stands for itself. While that holds, the parity of quotes tells inside from outside, and a block is settled with a few
array operations. Where it does not hold, the one record concerned is walked quote by quote, and the arrays take over
again behind it. A record whose quotes cannot be understood gives up its first physical line only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.formats.delimited.dialect import Dialect

Positions = NDArray[np.int64]
_CR = 13


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
    regions: tuple[Positions, Positions]
    """Positions of opening and closing quotes, in order."""
    literal: list[tuple[int, int]] = field(default_factory=list)
    """Records (start, line end) with a quote that is a mere character: not for a plain reader."""
    malformed: list[tuple[int, int]] = field(default_factory=list)
    """Physical lines (start, line end) given up."""


def as_array(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def count(data: bytes, mark: str) -> int:
    """How often a byte occurs (faster than bytes.count)."""
    return int(np.count_nonzero(as_array(data) == ord(mark)))


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
    """Records and delimiters of a well-formed block that ends with a line end."""
    found, kinds = tokens(data, dialect, quoted=quoted)
    at = np.flatnonzero(kinds == ord(dialect.eol))
    return Layout(found[at], np.diff(at, prepend=-1) - 1)


_SLICE = 1 << 17


def occurs(data: bytes, *classes: tuple[int, int]) -> bool:
    """Whether bytes of these classes (low, high; both included) follow one another anywhere: a cheap filter."""
    return any(hit.any() for _, hit in _matches(data, classes))


def places(data: bytes, *classes: tuple[int, int]) -> Positions:
    """Where bytes of these classes follow one another."""
    found = [np.flatnonzero(hit) + begin for begin, hit in _matches(data, classes)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _matches(data: bytes, classes: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    array = as_array(data)
    for begin in range(0, len(array) - len(classes) + 1, _SLICE):
        part = array[begin : begin + _SLICE + len(classes) - 1]
        size = len(part) - len(classes) + 1
        hit = np.ones(0, bool)
        for shift, (low, high) in enumerate(classes):
            column = part[shift : shift + size]
            found = column == low if low == high else (column - np.uint8(low)) <= high - low
            hit = np.logical_and(hit, found, out=hit) if shift else found
        yield begin, hit


def scan(data: bytes, dialect: Dialect, *, final: bool, limit: int) -> Scan:
    """Find the records of a block whose quotes are not to be trusted.

    Args:
        final: nothing follows; `data` then ends with a line end.
        limit: bytes within which an opened quote must close.
    """
    return _Scanner(data, dialect, final, limit).run()


class _Scanner:
    def __init__(self, data: bytes, dialect: Dialect, final: bool, limit: int) -> None:
        self.array = array = as_array(data)
        self.final, self.limit = final, limit
        self.delimiter, self.eol = ord(dialect.delimiter), ord(dialect.eol)
        self.lines = np.flatnonzero(array == self.eol)
        self.quotes = np.flatnonzero(array == ord(dialect.quote)) if dialect.quote else self.lines[:0]
        if dialect.escape and dialect.escape != dialect.quote:
            self.quotes = self.quotes[~_escaped(array, self.quotes, ord(dialect.escape))]
        self.opens, self.closes = self._rules()
        self.pairs: list[tuple[Positions, Positions]] = []
        self.scan = Scan(0, (self.quotes[:0], self.quotes[:0]))

    def _rules(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Of each quote: whether it may open a cell, and whether it may close one."""
        array, quotes = self.array, self.quotes
        adjacent = np.diff(quotes) == 1
        before = array[np.maximum(quotes - 1, 0)]
        opens = (before == self.delimiter) | (before == self.eol) | (quotes == 0)
        opens[1:] |= adjacent
        last = len(array) - 1
        after, second = array[np.minimum(quotes + 1, last)], array[np.minimum(quotes + 2, last)]
        closes = (after == self.delimiter) | (after == self.eol) | (quotes == last)
        closes |= (after == _CR) & ((second == self.eol) | (quotes + 1 == last))
        closes[:-1] |= adjacent
        return opens, closes

    def run(self) -> Scan:
        even = np.arange(len(self.quotes)) % 2 == 0
        broken = [np.flatnonzero(~np.where(even == start, self.opens, self.closes)) for start in (True, False)]
        first, floor, stop = 0, 0, None
        while True:
            faults = broken[first % 2]
            at = int(np.searchsorted(faults, first))
            fault = int(faults[at]) if at < len(faults) else len(self.quotes)
            paired = fault - (fault - first) % 2
            self.pairs.append((self.quotes[first:paired:2], self.quotes[first + 1 : paired : 2]))
            if paired >= len(self.quotes):
                break
            start = self._record_start(int(self.quotes[paired]), floor)
            floor = self._settle(start)
            if floor < 0:
                stop = start
                break
            first = int(np.searchsorted(self.quotes, floor))
        return self._finish(stop)

    def _record_start(self, position: int, floor: int) -> int:
        """Start of the record around `position`, which lies outside of all regions found so far."""
        opened, closed = self.pairs[-1]
        while True:
            at = int(np.searchsorted(self.lines, position)) - 1
            line = int(self.lines[at]) if at >= 0 else -1
            if line < floor:
                return floor
            region = int(np.searchsorted(opened, line)) - 1
            if region < 0 or closed[region] < line:
                return line + 1
            position = int(opened[region])

    def _settle(self, start: int) -> int:
        """Walk the record at `start`; returns where to go on, or -1 where more bytes are needed."""
        opened, closed = self.pairs.pop()
        kept = int(np.searchsorted(opened, start))
        self.pairs.append((opened[:kept], closed[:kept]))
        end, inner = self._walk(start)
        if end == _OPEN and not self.final and len(self.array) - start <= self.limit:
            return -1
        if end >= 0:
            if inner:
                self.pairs.append((np.array([p for p, _ in inner]), np.array([p for _, p in inner])))
            self.scan.literal.append((start, end))
            return end + 1
        line = int(np.searchsorted(self.lines, start))
        if line == len(self.lines):
            return -1
        self.scan.malformed.append((start, int(self.lines[line])))
        return int(self.lines[line]) + 1

    def _walk(self, start: int) -> tuple[int, list[tuple[int, int]]]:
        """(position of the record's line end, its quoted regions), or _OPEN or _MALFORMED instead of the position."""
        quotes, array = self.quotes, self.array
        at = int(np.searchsorted(quotes, start))
        inner: list[tuple[int, int]] = []
        position = start
        while True:
            line = int(np.searchsorted(self.lines, position))
            end = int(self.lines[line]) if line < len(self.lines) else len(array)
            if at == len(quotes) or quotes[at] > end:
                return (end if end < len(array) else _OPEN), inner
            opening = int(quotes[at])
            if opening != start and array[opening - 1] != self.delimiter:
                at += 1
                continue
            at += 1
            while at + 1 < len(quotes) and quotes[at + 1] == quotes[at] + 1:
                at += 2
            if at >= len(quotes):
                return _OPEN, inner
            closing = int(quotes[at])
            if closing - start > self.limit or not self.closes[at]:
                return _MALFORMED, inner
            inner.append((opening, closing))
            at, position = at + 1, closing + 1

    def _finish(self, stop: int | None) -> Scan:
        opened = np.concatenate([pair[0] for pair in self.pairs])
        closed = np.concatenate([pair[1] for pair in self.pairs])
        self.scan.regions = opened, closed
        ends = self.lines if stop is None else self.lines[: np.searchsorted(self.lines, stop)]
        while len(ends):  # the last line end outside of quotes
            region = int(np.searchsorted(opened, ends[-1])) - 1
            if region < 0 or closed[region] < ends[-1]:
                break
            ends = ends[: np.searchsorted(ends, opened[region])]
        self.scan.complete = int(ends[-1]) + 1 if len(ends) else 0
        return self.scan


_OPEN, _MALFORMED = -1, -2


def _escaped(array: NDArray[np.uint8], positions: Positions, escape: int) -> NDArray[np.bool_]:
    """Which positions stand behind an odd number of escape characters."""
    marks = np.flatnonzero(array == escape)
    if not len(marks):
        return np.zeros(len(positions), bool)
    run_start = marks[np.maximum.accumulate(np.where(np.diff(marks, prepend=-2) != 1, np.arange(len(marks)), 0))]
    at = np.searchsorted(marks, positions) - 1
    behind = (at >= 0) & (marks[at] == positions - 1)
    return np.asarray(behind & ((positions - run_start[at]) % 2 == 1))
