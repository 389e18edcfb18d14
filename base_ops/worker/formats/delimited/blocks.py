"""From a byte stream to blocks of whole records, read ahead in one background thread.

A block is UTF-8, ends with a line end, and its quotes are well-formed: what is not was settled here, record by
record, and is either rewritten in the plainest form (RFC 4180) or refused.
"""

from __future__ import annotations

import codecs
import io
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.engine.plan import Rejected
from base_ops.worker.exact_floats import has_long_fractions, has_small_exponents
from base_ops.worker.formats.delimited.dialect import Dialect
from base_ops.worker.formats.delimited.structure import Glance, Layout, Positions, as_array, glance, layout

T = TypeVar("T")
Reasons = str | Callable[[Positions], Iterable[str]]
"""Why records are refused: one reason for all, or one for each, given their numbers in the block."""
BLOCK_BYTES = 8 << 20
RAW_BYTES = 4096
DETAILED = 10_000
"""Rejected records of one block and rule that are listed one by one."""
_PROBE_BYTES = 1 << 15
UNDECODABLE = "\uffff"
"""Stands in transcoded text for bytes that the encoding does not know; a non-character, never in data."""


@dataclass
class Block:
    """Whole records. Its fields answer where each record came from; nothing is computed before it is asked for."""

    data: bytes
    dialect: Dialect
    line: int
    """Physical line (from 1) of the first record of `origin`."""
    offset: int
    """Byte offset of `origin` in the stream as decoded to UTF-8, byte-order mark included."""
    quoted: bool
    """Whether a quote character occurs."""
    newlines: int = 0
    """Physical lines in `origin`."""
    source_offset: int = 0
    """Byte offset of `origin` in the stream as it was encoded."""
    origin: bytes = b""
    """The bytes before repair."""
    spans: tuple[Positions, Positions] | None = None
    """Start and line end in `origin` of every record, where `data` is not `origin`."""
    whole: Block | None = None
    """The block that this one is a part of, if any."""
    is_last: bool = False
    """Whether nothing follows."""
    rejected: list[Rejected] = field(default_factory=list)
    _layout: Layout | None = None
    _glance: Glance | None = None
    _lines: Positions | None = None

    def __post_init__(self) -> None:
        self.origin = self.origin or self.data

    @property
    def layout(self) -> Layout:
        if self._layout is None:
            self._layout = layout(self.data, self.dialect, quoted=self.quoted)
        return self._layout

    def glance(self, firsts: bytes) -> Glance:
        """What the bytes of `data` show at a glance; looked at once."""
        if self._glance is None or self._glance.looked_for != firsts:
            self._glance = glance(self.data, self.dialect, quoted=self.quoted, firsts=firsts)
        return self._glance

    @cached_property
    def has_long_fractions(self) -> bool:
        """Whether some number may have more digits than a float64 keeps."""
        return has_long_fractions(self.data, b"." if self.dialect.delimiter == "," else b".,")

    @cached_property
    def has_small_exponents(self) -> bool:
        """Whether some number may be written with an exponent below zero."""
        return has_small_exponents(self.data)

    @property
    def is_measured(self) -> bool:
        """Whether `layout` costs nothing."""
        return self._layout is not None

    @property
    def origins(self) -> tuple[Positions, Positions]:
        """Start and line end of every record in `origin`."""
        return self.spans if self.spans is not None else (self.layout.starts, self.layout.ends)

    def lines(self) -> Positions:
        """Physical line of every record."""
        if self._lines is None:
            if self.spans is None and not self.quoted:
                self._lines = np.arange(self.line, self.line + len(self.layout.ends))
            else:
                breaks = np.flatnonzero(as_array(self.origin) == ord(self.dialect.eol))
                self._lines = self.line + np.searchsorted(breaks, self.origins[0])
        return self._lines

    def keep(self, mask: NDArray[np.bool_]) -> Block:
        """A block of the records where `mask` is true."""
        starts, ends = self.layout.starts, self.layout.ends
        edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2)
        view = memoryview(self.data)
        runs = zip(starts[edges[:, 0]].tolist(), (ends[edges[:, 1] - 1] + 1).tolist(), strict=True)
        data = b"".join([view[start:end] for start, end in runs])
        spans = self.origins[0][mask], self.origins[1][mask]
        kept = Layout(np.cumsum((ends - starts + 1)[mask]) - 1, self.layout.delimiters[mask])
        return Block(
            data, self.dialect, self.line, self.offset, self.quoted, self.newlines, self.source_offset,
            self.origin, spans, self.whole or self, self.is_last, _layout=kept, _lines=self.lines()[mask],
        )  # fmt: skip

    def replace(self, records: dict[int, bytes]) -> Block:
        """A block in which some records are written anew."""
        starts, ends = self.layout.starts, self.layout.ends
        parts, at = [], 0
        for index in sorted(records):
            parts += [self.data[at : starts[index]], records[index]]
            at = int(ends[index])
        parts.append(self.data[at:])
        data = b"".join(parts)
        return self.rewritten(data, quoted=self.dialect.plain_quote.encode() in data)

    def rewritten(self, data: bytes, *, quoted: bool) -> Block:
        """A block of the same records, written another way."""
        return Block(
            data, self.dialect, self.line, self.offset, quoted, self.newlines, self.source_offset,
            self.origin, self.origins, is_last=self.is_last,
        )  # fmt: skip

    def record(self, index: int) -> bytes:
        """One record as it is in `data`, without its line end."""
        start = int(self.layout.ends[index - 1]) + 1 if index else 0
        return strip_cr(self.data[start : int(self.layout.ends[index])], self.dialect)

    def reject(self, rows: Positions, rule: str, reasons: Reasons, column: str = "") -> list[Rejected]:
        """Refuse records (ascending). Beyond the first DETAILED the rest is one entry that counts them."""
        if not len(rows):
            return []
        listed, more = rows[:DETAILED], rows[DETAILED:]
        texts = repeat(reasons) if isinstance(reasons, str) else reasons(listed)
        places = SourceOffsets(self)
        starts, ends, raws = places.of(self.origins[0][listed], self.origins[1][listed])
        lines = self.lines()
        found = list(map(Rejected, lines[listed].tolist(), repeat(rule), texts, repeat(column), starts, ends, raws))
        if len(more):
            first = reasons if isinstance(reasons, str) else next(iter(reasons(more[:1])))
            text = f"{len(more)} more records up to line {lines[more[-1]]}, the first: {first}"
            byte_start, byte_end = places.at(int(self.origins[0][more[0]])), places.at(int(self.origins[1][more[-1]]))
            found.append(Rejected(int(lines[more[0]]), rule, text, column, byte_start, byte_end, records=len(more)))
        return found


class SourceOffsets:
    """Byte offsets in the stream as it was encoded, asked for in ascending order."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.seen, self.place = 0, block.source_offset

    def of(self, starts: Positions, ends: Positions) -> tuple[list[int], list[int], list[bytes]]:
        """Byte ranges of records, and the first RAW_BYTES of each."""
        origin, limits = self.block.origin, np.minimum(ends, starts + RAW_BYTES)
        raws = [origin[start:end] for start, end in zip(starts.tolist(), limits.tolist(), strict=True)]
        if self.block.dialect.is_utf8:
            return (starts + self.block.offset).tolist(), (ends + self.block.offset).tolist(), raws
        ranges = [(self.at(start), self.at(end)) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return [r[0] for r in ranges], [r[1] for r in ranges], [self.encode(raw)[:RAW_BYTES] for raw in raws]

    def at(self, position: int) -> int:
        if self.block.dialect.is_utf8:
            return self.block.offset + position
        if position >= self.seen:
            self.place += len(self.encode(self.block.origin[self.seen : position]))
            self.seen = position
        return self.place

    def encode(self, data: bytes) -> bytes:
        return data if self.block.dialect.is_utf8 else encode_back(data, self.block.dialect.encoding)


def encode_back(data: bytes, encoding: str) -> bytes:
    return data.decode("utf-8", "ignore").encode(encoding, "replace")


def strip_cr(record: bytes, dialect: Dialect) -> bytes:
    return record[:-1] if dialect.eol == "\n" and record.endswith(b"\r") else record


# -- reading


def decoded(file: BinaryIO, dialect: Dialect, block_bytes: int) -> Iterator[bytes]:
    """The stream as UTF-8 without its byte-order mark, in chunks."""
    file.read(dialect.bom_bytes)
    if dialect.is_utf8:
        while chunk := file.read(_whole_lines(file, dialect, block_bytes)):
            yield chunk
        return
    codecs.register_error("base_ops.mark", lambda error: (UNDECODABLE, error.end))  # type: ignore[attr-defined]
    decoder = codecs.getincrementaldecoder(dialect.encoding)("base_ops.mark")
    while chunk := file.read(block_bytes // 2):
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _whole_lines(file: BinaryIO, dialect: Dialect, block_bytes: int) -> int:
    """Bytes to read so that a chunk of a plain file ends with a line, which spares copying the rest of it."""
    if block_bytes <= _PROBE_BYTES or not isinstance(getattr(file, "raw", file), io.FileIO):
        return block_bytes
    tail = os.pread(file.fileno(), _PROBE_BYTES, file.tell() + block_bytes - _PROBE_BYTES)
    end = tail.rfind(dialect.eol.encode()) + 1
    return block_bytes - _PROBE_BYTES + end if end and len(tail) == _PROBE_BYTES else block_bytes


def read_ahead(items: Iterator[T], depth: int = 2) -> Generator[T]:
    """Make items in a background thread, `depth` ahead at most. The thread ends when the generator is closed."""
    made: queue.Queue[T | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def work() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                made.put(item)
                if stopped.is_set():
                    return
        except BaseException as error:  # handed to the consumer, whatever it is
            end = error
        made.put(end)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := made.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        while thread.is_alive():
            while not made.empty():
                made.get_nowait()
            thread.join(0.01)
