"""What is read past inside of the table: blank lines and comments are no records, but they are counted and named."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from base_ops.core.protocol import Finding
from base_ops.worker.formats.delimited.blocks import Block
from base_ops.worker.formats.delimited.footer import Total
from base_ops.worker.formats.delimited.structure import as_array

_SHOWN = 20


class Passed:
    """Counts of one reading (of one thread of it), and the first lines."""

    def __init__(self) -> None:
        self.counts = {"blank_lines": 0, "comment_lines": 0}
        self.lines: dict[str, list[int]] = {"blank_lines": [], "comment_lines": []}
        self.total: Total | None = None
        """A last row that was kept and looks like a total."""

    def add(self, block: Block, skipped: NDArray[np.bool_]) -> None:
        """Note the skipped records of a block: those that are blank, and those that are comments."""
        starts, ends = block.origins
        rows, array = np.flatnonzero(skipped), as_array(block.origin)
        lengths = (ends - starts)[rows]
        first = array[np.minimum(starts[rows], len(array) - 1)] if len(array) else np.zeros(len(rows), np.uint8)
        blank = (lengths == 0) | ((lengths == 1) & (first == ord("\r")) & (block.dialect.eol == "\n"))
        comment = block.dialect.comment.encode()
        commented = ~blank & (first == comment[0]) if comment else np.zeros(len(rows), bool)
        for code, mask in (("blank_lines", blank), ("comment_lines", commented)):
            self.counts[code] += int(mask.sum())
            shown = self.lines[code]
            shown += block.lines()[rows[mask][: _SHOWN - min(_SHOWN, len(shown))]].tolist()


def findings_of(parts: Iterable[Passed], source: str) -> list[Finding]:
    """One finding for each kind that occurred."""
    found = []
    parts = list(parts)
    for code in ("blank_lines", "comment_lines"):
        count = sum(part.counts[code] for part in parts)
        if count:
            lines: list[int] = sorted(line for part in parts for line in part.lines[code])[:_SHOWN]
            what = "blank lines" if code == "blank_lines" else "comment lines"
            message = f"{source}: {count} {what} passed over, the first: line {lines[0]}"
            found.append(Finding(code=code, message=message, data={"count": count, "lines": list(lines)}))
    return found + [part.total.finding(source) for part in parts if part.total is not None]
