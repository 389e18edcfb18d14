"""Blanks around quoted cells, which belong to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from base_ops.worker.formats.delimited.structure import Positions, Scan


def runs(found: Scan, array: NDArray[np.uint8], blanks: bytes) -> Positions:
    """(start, end) of each run of blanks beside a quote that opens or closes."""
    opened, closed = found.opened[found.opened < found.complete], found.closed[found.closed < found.complete]
    before = np.stack([past(array, opened, blanks, -1) + 1, opened], axis=1)
    after = np.stack([closed + 1, past(array, closed, blanks, 1)], axis=1)
    both = np.concatenate([before, after])
    return both[both[:, 0] < both[:, 1]]


def past(array: NDArray[np.uint8], positions: Positions, blanks: bytes, step: int) -> Positions:
    """The next positions on one side of each that hold no blank."""
    beside = positions + step
    if not blanks:
        return beside
    wanted = np.isin(np.arange(256), np.frombuffer(blanks, np.uint8))
    moving = np.arange(len(beside))
    while len(moving):
        at = beside[moving]
        inside = (at >= 0) & (at < len(array))
        moving = moving[inside & wanted[array[np.clip(at, 0, len(array) - 1)]]]
        beside[moving] += step
    return beside
