"""Records that speak of the same moment although their clocks differ: groups of rows near in time.

A group begins at its earliest record and takes those behind it that are at most the tolerance away, until a source
would be in it twice with different times: what one source tells apart stays apart. Records of one moment stay together,
so that their order tells nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
_ROUNDS = 8
"""Groups of a chain found by array operations; a longer chain is walked."""


def first_rows(starts: Mask, moments: NDArray[np.int64], sources: NDArray[Any], tolerance: int) -> Mask:
    """Which rows begin a group.

    Args:
        starts: rows that differ from the one before in another column of the key; the first does.
        moments: ascending from one start to the next.
        tolerance: in the unit of `moments`.
    """
    first = starts.copy()
    first[1:] |= moments[1:] - moments[:-1] > tolerance
    again = _of_moment(_before_of_same_source(first, moments, sources), first, moments)
    begins = np.flatnonzero(first)
    ends = np.append(begins[1:], len(first))
    for _ in range(_ROUNDS):
        begins, ends = _split(begins, ends, moments, again, tolerance)
        if not len(begins):
            return first
        first[begins] = True
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        for row in range(begin + 1, end):
            if moments[row] - moments[begin] > tolerance or again[row] >= begin:
                begin = row
                first[row] = True
    return first


def _before_of_same_source(chain: Mask, moments: NDArray[np.int64], sources: NDArray[Any]) -> NDArray[np.int64]:
    """Per row, the last row before it in its chain that is of the same source, but another moment; else -1."""
    rows = len(chain)
    number = np.cumsum(chain)
    order = np.lexsort((np.arange(rows), sources, number))
    same = np.zeros(rows, bool)
    same[1:] = (number[order][1:] == number[order][:-1]) & (sources[order][1:] == sources[order][:-1])
    changed = np.ones(rows, bool)
    changed[1:] = ~same[1:] | (moments[order][1:] != moments[order][:-1])
    # the first row of the run of equal moments; what lies before it is of another moment
    run = np.maximum.accumulate(np.where(changed, np.arange(rows), 0))
    before = np.full(rows, -1, np.int64)
    has = same[run]
    before[order[has]] = order[run[has] - 1]
    return before


def _of_moment(before: NDArray[np.int64], chain: Mask, moments: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per row, the greatest of all rows of its moment."""
    begins = chain.copy()
    begins[1:] |= moments[1:] != moments[:-1]
    places = np.flatnonzero(begins)
    return np.repeat(np.maximum.reduceat(before, places), np.diff(places, append=len(before)))


def _split(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    moments: NDArray[np.int64],
    again: NDArray[np.int64],
    tolerance: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the first group of each chain ends before the chain does, the rest of the chain."""
    lengths = ends - begins
    wanted = lengths > 1
    begins, ends, lengths = begins[wanted], ends[wanted], lengths[wanted]
    if not len(begins):
        return begins, ends
    offsets = np.cumsum(lengths) - lengths
    begin = np.repeat(begins, lengths)
    rows = np.arange(int(lengths.sum())) - np.repeat(offsets, lengths) + begin
    breaks = (moments[rows] - moments[begin] > tolerance) | (again[rows] >= begin)
    cut = np.minimum.reduceat(np.where(breaks, rows, len(moments)), offsets)
    left = cut < ends
    return cut[left], ends[left]
