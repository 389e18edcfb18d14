"""The header of a delimited object: taken from the first block, and fitted to the records below it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.worker.formats.delimited.blocks import Block
from base_ops.worker.formats.delimited.cells import split_record

_SHOWN_LINES = 50
_SHOWN_CHARS = 500


@dataclass
class Header:
    """The first record, and the label rows below it; taken from one block after another until all are there."""

    wanted: int
    """Records still to be taken."""
    cells: list[str] = field(default_factory=list)
    raw: bytes = b""
    labels: list[tuple[int, str]] = field(default_factory=list)
    """Line and text of the records below it that are no data."""

    def take_from(self, block: Block) -> tuple[Block, Block]:
        """What is passed over up to the last record taken, and the rest of the block.

        Raises:
            BadInput: the header's quotes are malformed.
        """
        comment = block.dialect.comment.encode()
        lines, end = block.lines(), len(block.layout.ends)
        for index in range(end):
            if not self.wanted:
                end = index
                break
            record = block.record(index)
            if record and not (comment and record.startswith(comment)):
                self._take(record, int(lines[index]), block)
        keep = np.arange(len(block.layout.ends)) >= end
        kept = block.keep(keep)
        kept.rejected = block.rejected
        return block.keep(~keep), kept

    def _take(self, record: bytes, line: int, block: Block) -> None:
        self.wanted -= 1
        if self.cells:
            self.labels.append((line, record.decode("utf-8", "replace")[:_SHOWN_CHARS]))
            return
        if block.rejected and block.rejected[0].line < line:
            raise BadInput("the header cannot be read", code="bad_header", found=block.rejected[0].reason)
        cells = split_record(record, block.dialect) or []
        self.cells, self.raw = [cell.decode("utf-8", "replace") for cell, _ in cells], record


def passed_over(code: str, source: str, what: str, lines: list[tuple[int, str]], todo: str) -> Finding:
    """What was taken for no data, line by line."""
    first = lines[0]
    message = f"{source}: {len(lines)} {what}, not read as records; the first: line {first[0]}, {first[1][:80]!r}"
    shown: list[dict[str, int | str]] = [
        {"line": line, "text": text[:_SHOWN_CHARS]} for line, text in lines[:_SHOWN_LINES]
    ]
    return Finding(
        code=code, message=message, severity="warning", data={"count": len(lines), "lines": list(shown), "todo": todo}
    )


def header_differs(source: str, cells: int, width: int) -> Finding:
    message = f"{source}: the header has {cells} cells, most records have {width}; those are refused"
    todo = "correct the file; or read.skip_lines, read.header=false and read.columns in the order of the file"
    data = {"header_cells": cells, "record_cells": width, "todo": todo}
    return Finding(code="header_differs", message=message, severity="warning", data=dict(data))


def trailing_delimiter(source: str, named: int, width: int) -> Finding:
    message = f"{source}: records end with {width - named} empty cells that have no name; they make no columns"
    return Finding(code="trailing_delimiter", message=message, data={"columns": named, "cells": width})
