"""Blocks of whole lines out of a byte stream, with the number and place of each line; memory is bounded."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.engine.plan import Rejected

BLOCK_BYTES = 8 << 20
RAW_BYTES = 4096
_NEWLINE = 10
_PROBE_BYTES = 1 << 15


@dataclass(frozen=True)
class Lines:
    """Some lines of one block; `starts` and `ends` (without the newline) are positions in `data`."""

    data: bytes
    offset: int
    """Where `data` begins in the object, bytes."""
    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, data: bytes, number: int, offset: int) -> Lines:
        """All lines of a block that begins with line `number`."""
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
        if not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
        return cls(data, offset, np.arange(number, number + len(ends)), starts, ends)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.starts[index] : self.ends[index]]

    def pick(self, chosen: slice | NDArray[Any]) -> Lines:
        return Lines(self.data, self.offset, self.numbers[chosen], self.starts[chosen], self.ends[chosen])

    def joined(self) -> bytes:
        """The lines' bytes: the block itself where nothing was taken out of it."""
        begin, end = int(self.starts[0]), int(self.ends[-1])
        if (self.starts[1:] == self.ends[:-1] + 1).all():
            return self.data if (begin, end) == (0, len(self.data) - 1) else self.data[begin:end]
        return b"\n".join(self[index] for index in range(len(self)))

    def rejected(self, index: int, rule: str, reason: str, column: str = "") -> Rejected:
        start, end = int(self.starts[index]), int(self.ends[index])
        return Rejected(
            line=int(self.numbers[index]),
            rule=rule,
            reason=reason,
            column=column,
            byte_start=self.offset + start,
            byte_end=self.offset + end,
            raw=self.data[start : min(end, start + RAW_BYTES)],
        )


def blocks(file: BinaryIO, max_record_bytes: int, block_bytes: int = BLOCK_BYTES) -> Iterator[Lines | Rejected]:
    """The lines of a stream, about `block_bytes` at a time.

    A line without end in sight is not kept: after `max_record_bytes` and a block it is refused and skipped.
    """
    rest, number, offset = b"", 1, 0
    while part := read_full(file, _whole_lines(file, block_bytes)):
        data = rest + part
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if cut:
            block = Lines.of(data[:cut], number, offset)
            yield block
            number, offset = number + len(block), offset + cut
        if len(rest) > max_record_bytes:
            length, tail = _skip_line(file, block_bytes)
            yield too_long(number, offset, offset + len(rest) + length, rest[:RAW_BYTES], max_record_bytes)
            number, offset, rest = number + 1, offset + len(rest) + length + 1, tail
    if rest:
        yield Lines.of(rest, number, offset)


def too_long(number: int, start: int, end: int, raw: bytes, max_record_bytes: int) -> Rejected:
    reason = f"the record is longer than max_record_bytes={max_record_bytes}"
    return Rejected(number, "record_too_long", reason, byte_start=start, byte_end=end, raw=raw)


def read_full(file: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end (a stream may hand out less per read)."""
    parts, left = [], size
    while left > 0 and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _whole_lines(file: BinaryIO, size: int) -> int:
    """Bytes to read, `size` at most, so that a block of a plain file ends with a line: it need not be copied then."""
    if size <= _PROBE_BYTES or not isinstance(file, io.FileIO):
        return size
    tail = os.pread(file.fileno(), _PROBE_BYTES, file.tell() + size - _PROBE_BYTES)
    end = tail.rfind(b"\n") + 1
    return size - _PROBE_BYTES + end if end and len(tail) == _PROBE_BYTES else size


def _skip_line(file: BinaryIO, block_bytes: int) -> tuple[int, bytes]:
    """Read to the end of the line: (bytes skipped before the newline, what was read behind it)."""
    skipped = 0
    while part := read_full(file, block_bytes):
        end = part.find(b"\n")
        if end >= 0:
            return skipped + end, part[end + 1 :]
        skipped += len(part)
    return skipped, b""
