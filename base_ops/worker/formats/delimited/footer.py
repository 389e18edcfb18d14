"""The last record of a file may be no record but the total of the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.core.protocol import Finding
from base_ops.worker.engine.plan import POINTER

_TOTAL = re.compile(r"(?i)\s*(grand |sub ?)?(totals?|sums?|summe|gesamt|insgesamt|totaux|somme|totale)\s*[:=]?\s*")
_LEAST_ROWS = 3


@dataclass(frozen=True)
class Total:
    """What was seen of the last row: whether it is refused, its line, and the text that gave it away."""

    row: int
    line: int
    text: str
    is_certain: bool

    @property
    def reason(self) -> str:
        return f"the last record is not one but the total of the others: {self.text!r}"

    def finding(self, source: str) -> Finding:
        message = f"{source}: the last record, line {self.line}, may be the total of the others: {self.text!r}"
        return Finding(code="possible_total", message=message, severity="warning", data={"line": self.line})


def total_of(frame: pl.DataFrame, left: NDArray[np.bool_]) -> Total | None:
    """The last row, where its first text says that it is a total. Certain is that only where the row is empty in a
    column that is always filled.

    Args:
        frame: the last rows of a file, with the pointer column.
        left: which of them are rows, all else said.
    """
    rows = np.flatnonzero(left)
    if len(rows) < _LEAST_ROWS:
        return None
    last = int(rows[-1])
    values = {name: frame[name][last] for name in frame.columns}
    text = next((value for value in values.values() if isinstance(value, str) and value.strip()), "")
    if not _TOTAL.fullmatch(text):
        return None
    others = frame[rows[:-1]]
    certain = any(value is None and not others[name].null_count() for name, value in values.items())
    return Total(last, values[POINTER], text.strip(), certain)
