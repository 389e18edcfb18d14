"""The objects of a JSON list, found at once by their brackets, and written as lines of JSON.

Only what stands outside of strings is looked at: which objects there are, and that nothing but commas and white space
stands between them. What is within an object is the line parser's to check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.formats.records.lines import Lines
from base_ops.worker.formats.records.values import MAX_DEPTH

Positions = NDArray[np.int64]
_CHUNK_BYTES = 4 << 20
_SHORT_GAP = 64
_WHITE = b" \t\r\n"
_QUOTE, _BACKSLASH, _COMMA, _SPACE, _OPEN, _CLOSE, _NEWLINE = b'"\\, {}\n'
_SPACES = np.isin(np.arange(256), list(b" \t\r\n"))
_JOINTS = np.isin(np.arange(256), list(b"{}[],:"))


class NotPlain(Exception):
    """Not a list of objects, or not JSON: to be looked at value by value.

    `at` is the byte where a value of the list begins with which, or behind which, something is wrong, if known.
    """

    def __init__(self, at: int | None = None) -> None:
        super().__init__()
        self.at = at


class TooDeep(Exception):
    """Nested deeper than is allowed, at byte `args[0]`."""


@dataclass(frozen=True)
class ObjectList:
    """The objects of a list: where each begins and ends in `data`, and where the list ends."""

    data: bytes
    starts: Positions
    ends: Positions
    end: int

    def __len__(self) -> int:
        return len(self.starts)

    def lines(self, chosen: NDArray[np.bool_], block_bytes: int) -> Iterator[Lines]:
        """The chosen objects, each as one line, numbered from 1.

        Raises:
            NotPlain: white space divides what would be one value without it, or stands for a control character.
        """
        begin = 0
        while begin < len(self):
            end = max(begin + 1, int(np.searchsorted(self.starts, self.starts[begin] + block_bytes)))
            kept = np.flatnonzero(chosen[begin:end]) + begin
            if len(kept):
                yield _as_lines(self.data, self.starts[kept], self.ends[kept], kept + 1)
            begin = end


def object_list(data: bytes, start: int) -> ObjectList:
    """The objects of the list that begins at `start`.

    Raises:
        NotPlain, TooDeep.
    """
    array = np.frombuffer(data, np.uint8)
    starts: list[Positions] = []
    ends: list[Positions] = []
    depth, in_string, at, escaping = 0, 0, start, False
    while at < len(data):
        stop = min(at + _CHUNK_BYTES, len(data))
        chunk = array[at:stop]
        folded = chunk | 32  # [ and ] fall on { and }
        marks = (folded == _OPEN) | (folded == _CLOSE)
        quotes = chunk == _QUOTE
        if escaping or data.find(b"\\", at, stop) >= 0:
            escaping = _unmark_escaped(quotes, chunk, escaping)
        marks |= quotes
        places = np.flatnonzero(marks)
        is_quote = quotes[places]
        parity = np.cumsum(is_quote.view(np.uint8), dtype=np.uint8) & 1
        brackets = places[~is_quote & (parity == in_string)]
        opens = folded[brackets] == _OPEN
        depths = depth + np.cumsum(np.where(opens, 1, -1))
        closed = np.flatnonzero(depths == 0)
        last = int(closed[0]) + 1 if len(closed) else len(brackets)
        brackets, opens, depths = brackets[:last], opens[:last], depths[:last]
        if len(depths) and depths.max() > MAX_DEPTH + 1:
            raise TooDeep(at + int(brackets[np.argmax(depths > MAX_DEPTH + 1)]))
        first, final = brackets[opens & (depths == 2)], brackets[~opens & (depths == 1)]
        starts.append(first + at)
        ends.append(final + at + 1)
        if (chunk[first] != _OPEN).any() or (chunk[final] != _CLOSE).any():
            raise NotPlain(_first(starts))
        if len(closed):
            end = at + int(brackets[-1]) + 1
            found = ObjectList(data, np.concatenate(starts), np.concatenate(ends), end)
            _check_between(found, array, start)
            return found
        depth = int(depths[-1]) if len(depths) else depth
        in_string ^= int(parity[-1]) if len(parity) else 0
        at = stop
    raise NotPlain(_last(starts, ends))


def _first(starts: list[Positions]) -> int | None:
    return next((int(found[0]) for found in starts if len(found)), None)


def _last(starts: list[Positions], ends: list[Positions]) -> int | None:
    """Where the last object begins that also ends."""
    closed = sum(map(len, ends))
    begun = np.concatenate(starts) if starts else np.zeros(0, np.int64)
    return int(begun[closed - 1]) if 0 < closed <= len(begun) else None


def _unmark_escaped(quotes: NDArray[np.bool_], chunk: NDArray[np.uint8], escaping: bool) -> bool:
    """Unmark the quotes that a backslash escapes; returns whether the chunk ends with a backslash that escapes.

    Args:
        escaping: whether the chunk before did.
    """
    slashes = np.flatnonzero(chunk == _BACKSLASH)
    if escaping:
        slashes = np.concatenate(([-1], slashes))
    run = np.flatnonzero(np.diff(slashes, prepend=-3) != 1)
    lengths = np.diff(run, append=len(slashes))
    escaped = (slashes[run] + lengths)[lengths % 2 == 1]
    quotes[escaped[escaped < len(chunk)]] = False
    return bool(len(escaped)) and int(escaped[-1]) == len(chunk)


def _check_between(found: ObjectList, array: NDArray[np.uint8], start: int) -> None:
    """Raises NotPlain where anything but one comma and white space stands between two objects, or around them."""
    data, starts, ends = found.data, found.starts, found.ends
    if data[found.end - 1 : found.end] != b"]":
        raise NotPlain(int(starts[-1]) if len(starts) else None)
    if not len(starts):
        if data[start + 1 : found.end - 1].strip(_WHITE):
            raise NotPlain
        return
    if data[start + 1 : starts[0]].strip(_WHITE):
        raise NotPlain
    gaps = starts[1:] - ends[:-1]
    commas = np.zeros(len(gaps), np.int64)
    for offset in range(min(int(gaps.max(initial=0)), _SHORT_GAP)):
        reaching = gaps > offset
        byte = array[(ends[:-1] + offset)[reaching]]
        commas[reaching] += np.where(byte == _COMMA, 1, np.where(_SPACES[byte], 0, 2))
    for index in np.flatnonzero(gaps > _SHORT_GAP).tolist():
        commas[index] = data[ends[index] : starts[index + 1]].strip(_WHITE) == b","
    if (commas != 1).any():
        raise NotPlain(int(starts[np.argmax(commas != 1)]))
    if data[ends[-1] : found.end - 1].strip(_WHITE):
        raise NotPlain(int(starts[-1]))


def _as_lines(data: bytes, starts: Positions, ends: Positions, numbers: Positions) -> Lines:
    low = int(starts[0])
    block = np.frombuffer(data, np.uint8)[low : int(ends[-1])]
    edges = np.zeros(len(block) + 1, np.int8)
    edges[starts - low] = 1
    edges[ends - low] -= 1
    keep = np.cumsum(edges[:-1], dtype=np.int8).view(np.bool_)
    low_bytes = block < _SPACE
    low_bytes &= keep
    if low_bytes.any():  # mere spaces may stay
        keep = _without_spaces(block, keep, has_escapes=data.find(b"\\", low, int(ends[-1])) >= 0)
    # each line is followed by the byte behind its object, which is no part of it, as its line end
    tail = (ends - low)[:-1]
    keep[tail] = True
    text = block[keep]
    sizes = np.add.reduceat(keep, starts - low, dtype=np.int64)
    stops = np.cumsum(sizes) - 1
    stops[-1] += 1
    text[stops[:-1]] = _NEWLINE
    begins = np.concatenate(([0], stops[:-1] + 1))
    return Lines(text.tobytes(), 0, numbers, begins, stops)


def _without_spaces(block: NDArray[np.uint8], keep: NDArray[np.bool_], *, has_escapes: bool) -> NDArray[np.bool_]:
    """`keep` less the white space between values."""
    quotes = block == _QUOTE
    if has_escapes:
        _unmark_escaped(quotes, block, False)
    in_string = np.cumsum(quotes.view(np.uint8), dtype=np.uint8) & 1 == 1
    spaces = (block <= _SPACE) & keep & ~in_string
    if not _SPACES[block[spaces]].all() or (block[in_string & keep] < _SPACE).any():
        raise NotPlain
    kept: NDArray[np.bool_] = keep & ~spaces
    places = np.flatnonzero(kept)
    parted = np.flatnonzero(np.diff(places) > 1)
    left, right = block[places[parted]], block[places[parted + 1]]
    if not (_JOINTS[left] | _JOINTS[right]).all():
        raise NotPlain
    return kept
