"""Records that lost a delimiter before a quoted cell, so that the delimiters inside of the quotes would count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from base_ops.worker.formats.delimited.structure import Positions, Scan

_NONE = np.zeros((0, 2), np.int64)
_CR = 13


def torn_records(found: Scan, array: NDArray[np.uint8], lines: Positions, delimiter: int, eol: int) -> Positions:
    """(start, line end) of the records in which a quote opens within one cell and closes at the end of another.

    9.99"Table, round",x: the comma inside of the quotes would count.

    Args:
        found: what is a quote of which kind.
        lines: all line ends of the block.
    """
    literal = found.literal
    if len(literal) < 2:
        return _NONE
    before, after = array[literal - 1], array[np.minimum(literal + 1, len(array) - 1)]
    apart = np.isin(np.arange(256), [delimiter, eol, _CR, ord(" "), ord("\t")])
    opens = (literal > 0) & ~apart[before] & ~apart[after]
    closes = (after == delimiter) | (after == eol) | (after == _CR)
    if not opens.any() or not closes.any():
        return _NONE
    ends = lines[: np.searchsorted(lines, found.complete)]
    ends = ends[found.outside(ends)]
    marks = np.flatnonzero((array[: found.complete] == delimiter) | (array[: found.complete] == eol))
    marks = marks[found.outside(marks)]
    _, first, count = np.unique(np.searchsorted(marks, literal), return_index=True, return_counts=True)
    last, odd, record = first + count - 1, count % 2 == 1, np.searchsorted(ends, literal[first])
    opening, closing = np.flatnonzero(odd & opens[first]), np.flatnonzero(odd & closes[last])
    opened = dict(zip(record[opening[::-1]].tolist(), opening[::-1].tolist(), strict=True))  # the first of each
    closed = zip(record[closing].tolist(), closing.tolist(), strict=True)
    rows = sorted({index for index, cell in closed if opened.get(index, cell) < cell})
    starts = np.concatenate(([0], ends + 1))
    return np.stack([starts[rows], ends[rows]], axis=1) if rows else _NONE
