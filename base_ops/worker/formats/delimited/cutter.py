"""Cuts a decoded stream into blocks of whole records, and settles what is odd about their quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from base_ops.worker.engine.plan import Rejected
from base_ops.worker.formats.delimited.blocks import RAW_BYTES, Block, encode_back
from base_ops.worker.formats.delimited.cells import join_record, split_record
from base_ops.worker.formats.delimited.dialect import Dialect
from base_ops.worker.formats.delimited.structure import SLICE, Layout, Positions, Scan, as_array, scan

_PIECE_BYTES = 1 << 20
_LINE_END = re.compile(rb"\r\n|\r|\n")
_CR, _LF = 13, 10


class Cutter:
    """One pass over one stream."""

    def __init__(self, dialect: Dialect, max_record_bytes: int, firsts: bytes = b"") -> None:
        """`firsts` is what the reader of the blocks will look for (Block.glance): better done in this thread."""
        self.dialect, self.firsts = dialect, firsts
        self.limit = max_record_bytes
        self.eol, self.quote, self.escape = (m.encode() for m in (dialect.eol, dialect.quote, dialect.escape))
        self.comment = dialect.comment.encode()
        self.line, self.offset, self.source_offset = 1, dialect.bom_bytes, dialect.bom_bytes
        self.lines_to_skip = dialect.skip_lines
        self.too_long: Rejected | None = None
        self._line_end = _LINE_END if dialect.eol == "\n" else re.compile(re.escape(self.eol))
        self._after_cr = False

    def blocks(self, chunks: Iterable[bytes]) -> Iterator[Block]:
        """Blocks in order. A physical line beyond the limit is passed over without being held in memory."""
        rest = b""
        for chunk in self._pieces(chunks):
            data = self._skip_lines(rest + chunk if rest else chunk)
            rest = b""
            if self.too_long is not None:
                end = data.find(self.eol)
                self._advance(data if end < 0 else data[:end])
                if end < 0:
                    continue
                yield self._end_too_long()
                self._advance(self.eol, 1)
                data = data[end + 1 :]
            block, rest = self._cut(data, final=False)
            if block is not None:
                yield block
            if len(rest) > self.limit and self.eol not in rest:
                self._begin_too_long(rest)
                rest = b""
        if self.too_long is not None:
            yield self._end_too_long()
        while rest:
            block, rest = self._cut(rest if rest.endswith(self.eol) else rest + self.eol, final=True)
            if block is not None:
                yield block

    def _pieces(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Chunks, smaller where every other byte is a mark: what is kept of each mark is a multiple of its size."""
        marks = [ord(mark) for mark in (self.dialect.delimiter, self.dialect.eol, self.dialect.plain_quote)]
        for chunk in chunks:
            probe = as_array(chunk)[::61]
            if sum(np.count_nonzero(probe == mark) for mark in marks) * 5 < len(probe) * 2:
                yield chunk
            else:
                yield from (chunk[at : at + _PIECE_BYTES] for at in range(0, len(chunk), _PIECE_BYTES))

    def _advance(self, data: bytes, newlines: int = 0) -> None:
        self.line += newlines
        self.offset += len(data)
        self.source_offset += len(data) if self.dialect.is_utf8 else len(encode_back(data, self.dialect.encoding))

    def _skip_lines(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                self._advance(b"\n")
                data = data[1:]
        position = newlines = 0
        while self.lines_to_skip:
            end = self._line_end.search(data, position)
            if end is None:
                position = len(data)
                break
            position, newlines = end.end(), newlines + 1
            self._after_cr = end[0] == b"\r" != self.eol and position == len(data)
            self.lines_to_skip -= 1
        self._advance(data[:position], newlines)
        return data[position:] if position else data

    def _begin_too_long(self, data: bytes) -> None:
        raw = data[:RAW_BYTES] if self.dialect.is_utf8 else encode_back(data[:RAW_BYTES], self.dialect.encoding)
        reason = f"the record is longer than max_record_bytes={self.limit}"
        self.too_long = Rejected(self.line, "record_too_long", reason, "", self.source_offset, None, raw[:RAW_BYTES])
        self._advance(data)

    def _end_too_long(self) -> Block:
        found, self.too_long = self.too_long, None
        assert found is not None
        done = Rejected(found.line, found.rule, found.reason, "", found.byte_start, self.source_offset, found.raw)
        return Block(b"", self.dialect, self.line, self.offset, quoted=False, rejected=[done])

    # -- cutting

    def _cut(self, data: bytes, *, final: bool) -> tuple[Block | None, bytes]:
        quoted = bool(self.quote) and self.quote in data
        escaped = bool(self.escape) and self.escape in data
        flat = _with_line_feeds(data) if self.eol == b"\n" else data
        found = scan(flat, self.dialect, final=final, limit=self.limit) if quoted or escaped else None
        complete = found.complete if found else flat.rfind(self.eol) + 1
        if complete == 0:
            return None, data
        whole, rest = (flat, b"") if complete == len(data) else (flat[:complete], data[complete:])
        if found and flat is not data:
            whole = _as_they_were(whole, data, found)
        block = Block(whole, self.dialect, self.line, self.offset, quoted, source_offset=self.source_offset)
        block.newlines = block.glance(self.firsts).newlines
        self._advance(whole, block.newlines)
        odd = found and (len(found.malformed) or len(found.comments) or len(found.literal) or len(found.padding))
        if found and (odd or escaped):
            block = self._settle(block, found, escaped=escaped)
        return block, rest

    def _settle(self, block: Block, found: Scan, *, escaped: bool) -> Block:
        """Refuse malformed lines, leaving a blank line for each; rewrite odd but clear cells in the plainest form."""
        lines = np.flatnonzero(as_array(block.data) == ord(self.dialect.eol))
        ends = lines[found.outside(lines)]
        block._layout = Layout(ends, np.zeros_like(ends))
        broken = np.searchsorted(ends, found.malformed[:, 1])
        if escaped:
            settled, broken = self._rewrite_records(block, found, broken)
        else:
            settled = self._rewrite_cells(block, found)
        reason = f"a quote {self.dialect.quote} opens a cell and is not closed before it ends, or opens within a cell"
        settled.rejected = block.reject(broken, "malformed_quote", reason)
        return settled

    def _rewrite_cells(self, block: Block, found: Scan) -> Block:
        """Put quotes around bare cells that hold a quote; where nothing is quoted, reading without quotes does."""
        array = as_array(block.data)
        edges = np.zeros(len(array) + 1, np.int8)
        for away in (found.malformed, found.comments, found.padding):
            np.add.at(edges, away[:, 0], 1)
            np.add.at(edges, away[:, 1], -1)
        keep = np.cumsum(edges[:-1], dtype=np.int8) == 0
        if not (found.opened < found.complete).any():
            return block.rewritten(array[keep].tobytes(), quoted=False)
        marks = np.flatnonzero((array == ord(self.dialect.delimiter)) | (array == ord(self.dialect.eol)))
        marks = marks[found.outside(marks)]
        cells = np.unique(np.searchsorted(marks, found.literal))
        stops = marks[cells]
        if self.dialect.eol == "\n":
            stops = stops - ((array[stops] == 10) & (array[stops - 1] == 13))
        starts = np.where(cells > 0, marks[np.maximum(cells - 1, 0)] + 1, 0)
        places = np.concatenate([starts, found.literal, stops])
        data = np.insert(array, places, ord(self.dialect.quote))
        return block.rewritten(data[np.insert(keep, places, True)].tobytes(), quoted=True)

    def _rewrite_records(self, block: Block, found: Scan, broken: Positions) -> tuple[Block, Positions]:
        """With an escape character: take odd records apart and write them anew. Also returns all that are broken."""
        array, ends = as_array(block.data), block.layout.ends
        marks = array == ord(self.escape)
        if not self.quote:  # rewriting puts cells in quotes: none may stand about unquoted
            marks |= array == ord(self.dialect.plain_quote)
        odd = np.concatenate([np.flatnonzero(marks), found.literal, found.padding[:, 0]])
        odd = np.unique(np.searchsorted(ends, odd))
        records = dict.fromkeys(np.searchsorted(ends, found.comments[:, 1]).tolist() + broken.tolist(), b"")
        more: list[int] = []
        for index in odd.tolist():
            record = block.record(index)
            if index in records:
                continue
            if self.comment and record.startswith(self.comment):
                records[index] = b""
            elif (cells := split_record(record, self.dialect)) is None:
                more.append(index)
                records[index] = b""
            else:
                records[index] = join_record(cells, self.dialect)
        return block.replace(records), np.union1d(broken, np.array(more, np.int64))


def _with_line_feeds(data: bytes) -> bytes:
    """The same bytes with a line feed for every carriage return that stands alone; the last byte waits for more."""
    if b"\r" not in data:
        return data
    returns, pairs = _returns(data)
    if returns == pairs:
        return data
    array = as_array(data)
    alone = np.flatnonzero(array[:-1] == _CR)
    changed = array.copy()
    changed[alone[array[alone + 1] != _LF]] = _LF
    return changed.tobytes()


def _returns(data: bytes) -> tuple[int, int]:
    """Carriage returns but for the last byte, and those of them before a line feed."""
    array = as_array(data)
    returns = pairs = 0
    for begin in range(0, len(array) - 1, SLICE):
        is_return = array[begin : begin + SLICE] == _CR
        following = array[begin + 1 : begin + 1 + SLICE] == _LF
        is_return = is_return[: len(following)]
        returns += int(np.count_nonzero(is_return))
        pairs += int(np.count_nonzero(is_return & following))
    return returns, pairs


def _as_they_were(whole: bytes, data: bytes, found: Scan) -> bytes:
    """With the carriage returns inside of quotes put back."""
    array = as_array(whole).copy()
    changed = np.flatnonzero(array != as_array(data)[: len(array)])
    array[changed[~found.outside(changed)]] = _CR
    return array.tobytes()
