"""Templates: lines of JSON that hold the same keys in the same order are cut at once, without a parser.

Software writes its records all alike: between the values stand the same bytes in every line. A template is what one
line, decoded strictly, showed to stand between them. A line fits where all of these bytes are there; what remains are
the spans of its values, each of which `spans.py` checks and reads by the grammar of its type. So every byte of a line
is compared or read, and a line that fits is as sure as one that was decoded; what does not fit is left to others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.formats.records.lines import Lines
from base_ops.worker.formats.records.values import Decoder, LineDecoder, Refused

Positions = NDArray[np.int64]
Mask = NDArray[np.bool_]
_KEY_END = re.compile(rb'":')
_QUOTE, _COLON, _BACKSLASH, _RETURN, _NEWLINE, _SPACE = b'":\\\r\n '


@dataclass(frozen=True)
class Slot:
    """One key of a template: the bytes from the value before it to its own value."""

    path: tuple[str, ...]
    literal: bytes
    behind: int
    """How many bytes of `literal` stand behind the key's closing quote."""
    opens: bool
    """Its value is an object, whose keys follow: no span of its own."""


@dataclass(frozen=True)
class Template:
    """The keys of a line, in order, and the bytes that end it."""

    slots: tuple[Slot, ...]
    tail: bytes

    @classmethod
    def of(cls, line: bytes, decoder: LineDecoder) -> Template | None:
        """What `line` shows; None where its values are no plain sequence (arrays of objects, escaped keys …)."""
        try:
            decoder.decode(line)
            return cls(*_slots(line))
        except (Refused, _NotPlain):
            return None


@dataclass(frozen=True)
class Grid:
    """The places in a block where keys end: `":`, by line."""

    data: NDArray[np.uint8]
    starts: Positions
    ends: Positions
    """Of each line, without its line end."""
    keys: Positions
    first: Positions
    """Index into `keys` of each line's first one."""
    counts: Positions
    quotes: int
    """How many there are; 0 where some are escaped."""
    is_plain: Mask
    """Lines without control characters, and with nothing but UTF-8."""

    @classmethod
    def of(cls, lines: Lines, begin: int, end: int, *, is_utf8: bool) -> Grid:
        """Of the lines from `begin` to before `end`; `lines` are to be all that `lines.data` holds."""
        low, high = int(lines.starts[begin]), int(lines.ends[end - 1])
        data = np.frombuffer(lines.data, np.uint8)[low:high]
        starts = lines.starts[begin:end] - low
        ends = lines.ends[begin:end] - low
        ends = np.maximum(ends - (data[ends - 1] == _RETURN), starts)
        pairs = data[:-1] == _QUOTE
        quotes = int(np.count_nonzero(pairs))
        pairs &= data[1:] == _COLON
        keys = np.flatnonzero(pairs)
        if lines.data.find(b"\\", low, high) >= 0:  # an escaped quote ends no key
            keys, quotes = keys[data[keys - 1] != _BACKSLASH], 0
        first, counts = _by_line(keys, starts, ends)
        return cls(data, starts, ends, keys, first, counts, quotes, _plain(data, starts, ends, is_utf8))

    def line(self, index: int) -> bytes:
        return self.data[self.starts[index] : self.ends[index]].tobytes()


@dataclass(frozen=True)
class Fit:
    """Lines that fit a template (`rows`: their indices), and the spans of their values, slot by slot."""

    rows: Positions
    spans: dict[int, tuple[Positions, Positions]]


def fit(template: Template, grid: Grid, rows: Positions) -> Fit:
    """Those of the lines `rows`, all of which have as many keys as the template, that fit it."""
    count = len(template.slots)
    whole = count > 0 and len(rows) * count == len(grid.keys)
    keys = grid.keys.reshape(-1, count) if whole else grid.keys[grid.first[rows][:, None] + np.arange(count)]
    ok = np.ones(len(rows), bool)
    spans: dict[int, tuple[Positions, Positions]] = {}
    before, opened = grid.starts[rows], True
    for index, slot in enumerate(template.slots):
        end = keys[:, index] + slot.behind + 1
        start = end - len(slot.literal)
        ok &= _stands(grid.data, start, slot.literal)
        ok &= start == before if opened else start >= before
        if not opened:
            spans[index - 1] = (before, start)
        before, opened = end, slot.opens
    last = grid.ends[rows]
    start = last - len(template.tail)
    ok &= _stands(grid.data, start, template.tail)
    ok &= start == before if opened else start >= before
    if not opened:
        spans[count - 1] = (before, start)
    if ok.all():
        return Fit(rows, spans)
    return Fit(rows[ok], {index: (s[ok], e[ok]) for index, (s, e) in spans.items()})


def _stands(data: NDArray[np.uint8], at: Positions, literal: bytes) -> Mask:
    """Whether the bytes `literal` (not ending in NUL) stand at each of the places."""
    if len(data) < len(literal):
        return np.zeros(len(at), bool)
    windows = np.ndarray((len(data) - len(literal) + 1,), f"S{len(literal)}", data.data, strides=(1,))
    if len(at) and (at[0] < 0 or at[-1] >= len(windows)):  # they ascend
        inside = (at >= 0) & (at < len(windows))
        found = np.zeros(len(at), bool)
        found[inside] = windows[at[inside]] == literal
        return found
    return windows[at] == literal  # type: ignore[no-any-return]


def _by_line(keys: Positions, starts: Positions, ends: Positions) -> tuple[Positions, Positions]:
    lines = len(starts)
    each, rest = divmod(len(keys), lines)
    if each and not rest:  # as a rule every line has as many
        grid = keys.reshape(lines, each)
        if (grid[:, 0] > starts).all() and (grid[:, -1] < ends).all():
            return np.arange(0, len(keys), each), np.full(lines, each)
    first = np.searchsorted(keys, starts)
    return first, np.searchsorted(keys, ends) - first


def _plain(data: NDArray[np.uint8], starts: Positions, ends: Positions, is_utf8: bool) -> Mask:
    plain = np.ones(len(starts), bool)
    low = data < _SPACE
    if not is_utf8:
        low |= data >= 128
    line_ends = len(data) - int((ends - starts).sum())
    if np.count_nonzero(low) != line_ends:  # they are all there is between lines, and each byte of them counts
        at = np.flatnonzero(low)
        index = np.minimum(np.searchsorted(ends, at, side="right"), len(starts) - 1)
        plain[index[at >= starts[index]]] = False
    return plain


# -- learning


class _NotPlain(Exception):
    pass


def _slots(line: bytes) -> tuple[tuple[Slot, ...], bytes]:
    """Slots and tail of a line that is one valid object."""
    line = line.removesuffix(b"\r")
    slots: list[Slot] = []
    path: list[str] = []
    before = 0
    for key_start, key_end, value_start, value_end, behind, opens in _members(line):
        name = line[key_start + 1 : key_end]
        here = (*path, name.decode())
        slots.append(Slot(here, line[before:value_start], value_start - key_end - 1, opens))
        before = value_end
        if opens:
            path.append(name.decode())
        else:
            del path[len(path) - behind :]
    tail = line[before:]
    if not tail or not (slots or tail.strip(b" {}") == b""):
        raise _NotPlain
    return tuple(slots), tail


def _members(line: bytes) -> Iterator[tuple[int, int, int, int, int, bool]]:
    """Of each key: its quotes, its value's begin and end, how many known objects end there, whether it opens one."""
    ends = [m.start() for m in _KEY_END.finditer(line)]
    starts = [line.rfind(b'"', 0, end) for end in ends]
    depth, values = 1, Decoder()
    for index, (key_start, key_end) in enumerate(zip(starts, ends, strict=True)):
        is_last = index == len(ends) - 1
        raw = line[key_end + 2 : len(line) if is_last else starts[index + 1]]
        body = raw.rstrip(b" ,}")
        value_start = key_end + 2 + len(body) - len(body.lstrip(b" "))
        value_end = key_end + 2 + len(body)
        tail = raw[len(body) :]
        opens = body.strip(b" ") == b"{"
        closing = tail.count(b"}")
        depth += opens - closing
        if b"\\" in line[key_start:key_end] or key_start < 0 or (opens and tail.strip(b" ")) or depth < 0:
            raise _NotPlain
        if opens:
            value_start = value_end = key_end + 2 + len(raw)
        else:
            values.document(body.strip(b" ").decode())  # an array of objects is cut by their keys, and is no value
        if (depth == 0) != is_last:
            raise _NotPlain
        yield key_start, key_end, value_start, value_end, min(closing, depth + closing - 1), opens
