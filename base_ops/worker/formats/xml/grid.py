"""Records that are written exactly alike but for their texts, found in a block of bytes all at once.

The bytes between the texts of one such record are its skeleton: literals that each begin at a `<` or `"`, while the
texts hold neither. So the nth delimiter of every record lies at the same place of the skeleton, the texts between them
are known without looking at each byte, and comparing the literals, eight bytes at a time, says which records are
truly alike. The texts are not copied: the columns are views into the block.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

_DELIMITERS = b'<"'
_SPECIAL = re.compile(rb"[\x00-\x1f&\]]")
_WORD = 8
_INLINE = 12
"""Longest text that an Arrow string view holds itself."""
_MARGIN = 24
"""Bytes behind a literal that may be looked at."""
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], np.uint64)
_HALF = np.uint64(32)
_NOT_XML = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")


@dataclass(frozen=True)
class Skeleton:
    """The literals of a record, and for each text (between two of them) the number of its group."""

    literals: tuple[bytes, ...]
    groups: tuple[int, ...]

    @classmethod
    def of(cls, found: re.Match[bytes]) -> Skeleton:
        """The skeleton of one record that the template's pattern matched."""
        literals, groups, at = [], [], found.start()
        for group in range(1, found.re.groups + 1):
            start, end = found.span(group)
            if start >= 0:
                literals.append(found.string[at:start])
                groups.append(group - 1)
                at = end
        return cls((*literals, found.string[at : found.end()]), tuple(groups))


@dataclass(frozen=True)
class Found:
    """Consecutive records: their texts by group, where each begins, and where the last one ends."""

    texts: dict[int, pl.Series]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class Grid:
    """One block of bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        array = np.frombuffer(data, np.uint8)
        self._words: NDArray[np.uint64] = np.ndarray((max(len(data) - _WORD + 1, 0),), "<u8", data, strides=(1,))
        self._delimiters = np.flatnonzero((array == _DELIMITERS[0]) | (array == _DELIMITERS[1]))
        self._special = np.flatnonzero((array < 32) | (array == ord("&")) | (array == ord("]")))
        """What the texts must not hold: control characters, references, and what may be the end of a CDATA section."""

    def read(self, skeleton: Skeleton, at: int, most: int, max_bytes: int) -> Found | None:
        """At most `most` records of a skeleton, from `at` on."""
        literals = skeleton.literals
        marks = [sum(map(literal.count, map(bytes, ([d] for d in _DELIMITERS)))) for literal in literals]
        first = int(np.searchsorted(self._delimiters, at))
        last = int(np.searchsorted(self._delimiters, len(self.data) - max(map(len, literals)) - _MARGIN))
        count = min((last - first) // sum(marks), most)
        if count <= 0:
            return None
        places = self._delimiters[first : first + count * sum(marks)].reshape(count, -1)
        begins = [places[:, column] for column in np.cumsum([0, *marks[:-1]])]
        starts, ends = begins[0], begins[-1] + len(literals[-1])
        good = (starts == np.append(at, ends[:-1])) & (ends - starts <= max_bytes)
        for begin, literal in zip(begins, literals, strict=True):
            self._compare(good, begin, literal)
        good &= self._specials(starts, int(ends[-1])) == sum(len(_SPECIAL.findall(literal)) for literal in literals)
        kept = count if good.all() else int(np.argmin(good))
        if kept == 0 or not self._is_text(at, int(ends[kept - 1])):
            return None
        texts = {
            group: self._texts(begins[i][:kept] + len(literals[i]), begins[i + 1][:kept])
            for i, group in enumerate(skeleton.groups)
        }
        return Found(texts, starts[:kept], ends[:kept])

    def _compare(self, good: NDArray[np.bool_], begin: NDArray[np.int64], literal: bytes) -> None:
        """Note at which places the literal does not stand."""
        if len(literal) < _WORD:
            wanted = np.uint64(int.from_bytes(literal, "little"))
            good &= (self._words[begin] & _MASKS[len(literal)]) == wanted
            return
        for at in {*range(0, len(literal) - _WORD, _WORD), len(literal) - _WORD}:
            good &= self._words[begin + at] == np.uint64(int.from_bytes(literal[at : at + _WORD], "little"))

    def _specials(self, starts: NDArray[np.int64], end: int) -> NDArray[np.int64]:
        """How many special characters each record holds."""
        first, last = np.searchsorted(self._special, (starts[0], end))
        records = np.searchsorted(starts, self._special[first:last], side="right") - 1
        return np.bincount(records, minlength=len(starts))

    def _is_text(self, start: int, end: int) -> bool:
        """Whether all is UTF-8 and allowed in XML; texts lie between ASCII, so none can be cut amid a character."""
        part = self.data[start:end]
        if part.isascii():
            return True
        try:
            part.decode()
        except UnicodeDecodeError:
            return False
        return not any(character in part for character in _NOT_XML)

    def _texts(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> pl.Series:
        """A column of views: length and first bytes, and the rest of the bytes or where they lie."""
        lengths = (ends - starts).astype(np.uint64)
        head = self._words[starts] & _MASKS[np.minimum(lengths, _WORD)]
        tail = self._words[starts + _WORD] & _MASKS[np.clip(lengths, _WORD, _INLINE) - _WORD]
        views = np.empty((len(starts), 2), np.uint64)
        views[:, 0] = lengths | (head << _HALF)
        inline = (head >> _HALF) | (tail << _HALF)
        views[:, 1] = np.where(lengths <= _INLINE, inline, starts.astype(np.uint64) << _HALF)
        buffers = [None, pa.py_buffer(views), pa.py_buffer(self.data)]
        array = pa.Array.from_buffers(pa.string_view(), len(starts), buffers)
        return pl.DataFrame(pl.from_arrow(pa.Table.from_arrays([array], names=[""]))).to_series()
