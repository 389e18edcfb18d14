"""Cuts characters into records: one per line, or one per fixed number of characters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.engine.plan import Rejected
from base_ops.worker.formats.fixed_width.chars import Chars, Codes, joined, text_of
from base_ops.worker.formats.records.lines import RAW_BYTES

Positions = NDArray[np.int64]
Verdict = tuple[str, str, str]
"""Rule, reason and column."""
_END_OF_FILE = 26
"""The mark of DOS."""
DETAILED = 10_000
"""Refused records of one block that are listed one by one."""


@dataclass(frozen=True)
class Records:
    """Whole records of one block; `starts` and `ends` (without line ends) are positions in `codes`."""

    codes: Codes
    offset: int | None
    """Byte at which `codes` begins, where every character is one byte."""
    numbers: Positions
    """Line, or number of the record, from 1."""
    starts: Positions
    ends: Positions
    places: Positions | None = None
    """Byte at which every record begins, where `offset` cannot tell."""

    @property
    def lengths(self) -> Positions:
        return self.ends - self.starts

    def __len__(self) -> int:
        return len(self.numbers)

    def text(self, index: int) -> str:
        return text_of(self.codes[self.starts[index] : self.ends[index]])

    def pick(self, chosen: NDArray[np.bool_] | slice) -> Records:
        places = None if self.places is None else self.places[chosen]
        return Records(self.codes, self.offset, self.numbers[chosen], self.starts[chosen], self.ends[chosen], places)

    def begins_with(self, text: str, start: int = 0) -> NDArray[np.bool_]:
        """Which records hold `text` at a place."""
        found: NDArray[np.bool_] = self.lengths >= start + len(text)
        for shift, char in enumerate(text):
            found[found] = self.codes[self.starts[found] + start + shift] == ord(char)
        return found

    def matrix(self, width: int, blank: int = ord(" ")) -> Codes:
        """One row per record, filled up with blanks; no record is longer than `width`."""
        if not len(self):
            return np.zeros((0, width), self.codes.dtype)
        lengths = self.lengths
        if (lengths == width).all():
            stride = int(self.starts[1] - self.starts[0]) if len(self) > 1 else width
            if (np.diff(self.starts) == stride).all():
                first = int(self.starts[0])
                step = self.codes.strides[0]
                return np.lib.stride_tricks.as_strided(
                    self.codes[first:], (len(self), width), (stride * step, step), writeable=False
                )
            return self.codes[self.inside()].reshape(len(self), width)
        filled = np.full((len(self), width), blank, self.codes.dtype)
        filled[np.arange(width) < lengths[:, None]] = self.codes[self.inside()]
        return filled

    def inside(self) -> NDArray[np.bool_]:
        """Which of `codes` belong to the records."""
        edges = np.zeros(len(self.codes) + 1, np.int8)
        full = self.lengths > 0  # an empty record begins where the next one does
        edges[self.starts[full]] += 1
        edges[self.ends[full]] -= 1
        inside: NDArray[np.bool_] = np.cumsum(edges[:-1], dtype=np.int8) == 1
        return inside

    def rejected(self, index: int, rule: str, reason: str, column: str = "") -> Rejected:
        start, end = int(self.starts[index]), int(self.ends[index])
        begin: int | None = None
        if self.places is not None:
            begin = int(self.places[index])
        elif self.offset is not None:
            begin = self.offset + start
        finish = None if begin is None else begin + end - start
        raw = shown(self.codes[start : min(end, start + RAW_BYTES)])
        return Rejected(int(self.numbers[index]), rule, reason, column, begin, finish, raw)

    def refuse(self, rows: Iterable[int], verdict: Callable[[int], Verdict]) -> list[Rejected]:
        """Refuse records; beyond the first DETAILED the rest is one entry that counts them."""
        listed = sorted(rows)
        found = [self.rejected(row, *verdict(row)) for row in listed[:DETAILED]]
        if rest := listed[DETAILED:]:
            rule, reason, column = verdict(rest[0])
            text = f"{len(rest)} more records up to {self.numbers[rest[-1]]}, the first: {reason}"
            found.append(Rejected(int(self.numbers[rest[0]]), rule, text, column, records=len(rest)))
        return found


def shown(codes: Codes) -> bytes:
    """What quarantine shows of a record: UTF-8."""
    return (codes.tobytes() if codes.dtype == np.uint8 else text_of(codes).encode("utf-8", "replace"))[:RAW_BYTES]


def lines(blocks: Iterable[Chars], eol: str, limit: int) -> Iterator[Records | Rejected]:
    """Records of one line each (a CR before the end belongs to it); a line beyond the limit is passed over."""
    mark = ord(eol)
    rest: Codes = np.zeros(0, np.uint8)
    number, base, too_long = 1, None, None
    for block in blocks:
        codes = joined(rest, block.codes)
        base = None if block.offset is None else block.offset - len(rest)
        ends = _ends(codes, mark)
        if too_long is not None:
            rest = codes[:0]
            if not len(ends):
                continue
            yield too_long
            number, too_long = number + 1, None
            cut = int(ends[0]) + 1
            codes, ends, base = codes[cut:], ends[1:] - cut, None if base is None else base + cut
        if len(ends):
            yield _lines(codes, base, number, ends)
            number += len(ends)
        done = int(ends[-1]) + 1 if len(ends) else 0
        rest, base = codes[done:], None if base is None else base + done
        if len(rest) > limit:
            too_long, rest = _too_long(rest, base, number, limit), rest[:0]
    if too_long is not None:
        yield too_long
    elif len(rest) and not (len(rest) == 1 and rest[0] == _END_OF_FILE):
        yield _lines(rest, base, number, np.array([len(rest)]))


def _ends(codes: Codes, mark: int) -> Positions:
    """Positions of the line ends; quick where all lines are equally long."""
    found = codes == mark
    first = int(found.argmax())
    regular = np.arange(first, len(codes), first + 1)
    if found[first] and len(regular) == np.count_nonzero(found) and found[first :: first + 1].all():
        return regular
    return np.flatnonzero(found)


def _lines(codes: Codes, offset: int | None, number: int, ends: Positions) -> Records:
    starts = np.concatenate(([0], ends[:-1] + 1))
    has_cr = (ends > starts) & (codes[np.maximum(ends - 1, 0)] == 13)
    return Records(codes, offset, np.arange(number, number + len(ends)), starts, ends - has_cr)


def _too_long(codes: Codes, offset: int | None, number: int, limit: int) -> Rejected:
    reason = f"the record is longer than max_record_bytes={limit}"
    return Rejected(number, "record_too_long", reason, byte_start=offset, raw=shown(codes[:RAW_BYTES]))


def chunks(blocks: Iterable[Chars], length: int) -> Iterator[Records]:
    """Records of `length` characters each; the last may be shorter."""
    rest: Codes = np.zeros(0, np.uint8)
    number, base = 1, None
    for block in blocks:
        codes = joined(rest, block.codes)
        base = None if block.offset is None else block.offset - len(rest)
        whole = len(codes) // length
        if whole:
            starts = np.arange(whole) * length
            yield Records(codes, base, np.arange(number, number + whole), starts, starts + length)
        number += whole
        rest, base = codes[whole * length :], None if base is None else base + whole * length
    if len(rest) and not np.isin(rest, (10, 13, _END_OF_FILE)).all():
        yield Records(rest, base, np.array([number]), np.array([0]), np.array([len(rest)]))
