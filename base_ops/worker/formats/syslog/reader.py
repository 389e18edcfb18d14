"""The syslog reader: lines or counted frames to records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.lines import Lines, blocks, read_full
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import BOM, Refused
from base_ops.worker.formats.syslog.message import TYPES, Parser
from base_ops.worker.formats.textlines import codec_of, only_records

_BLOCK_BYTES = 1 << 20
_FRAME_BYTES = 32
"""Enough to know the head of a frame."""
_FRAME = re.compile(rb"[\r\n]{0,4}([1-9]\d{0,8}) (?=<\d{1,3}>)")


class SyslogReader(RecordReader):
    """Rows of the messages of one object."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        self._source, self._codec = source, codec_of(spec)
        self._is_counted = _FRAME.match(source.head(64).removeprefix(BOM)) is not None
        super().__init__(source.name, spec, self._all, types=TYPES)
        if not any(name == "format" for name in self._layout.schema):
            raise BadInput(
                f"{source.name} holds no syslog message",
                code="not_this_format",
                where=source.name,
                expected="<priority>version …, or Mmm dd hh:mm:ss host …",
            )

    def _all(self) -> Iterator[Record]:
        options = self._spec.syslog
        parser = Parser(self._codec, options.year, options.utc_offset_minutes)
        with self._source.open() as file:
            messages = self._frames(file) if self._is_counted else self._lines(file)
            for record in messages:
                if record.fault is None:
                    yield _parsed(parser, record)
                else:
                    yield record

    def _lines(self, file: BinaryIO) -> Iterator[Record]:
        for block in blocks(file, self._spec.max_record_bytes, _BLOCK_BYTES):
            for lines in only_records(block, self._spec):
                if isinstance(lines, Rejected):
                    fault = Refused(lines.rule, lines.reason)
                    yield Record(lines.line, None, fault, lines.byte_start, lines.byte_end, lines.raw)
                else:
                    yield from _each(lines)

    def _frames(self, file: BinaryIO) -> Iterator[Record]:
        """Messages behind their lengths; what is no frame is refused up to the next one."""
        limit = self._spec.max_record_bytes
        buffer, offset, number, at_end = b"", 0, 0, False
        while True:
            position = len(BOM) if offset == 0 and buffer.startswith(BOM) else 0
            while (cut := _frame(buffer, position, at_end, limit)) is not None:
                number += 1
                start, position, fault = cut
                data = buffer[start:position]
                yield Record(number, None, fault, offset + start, offset + position, data)
            if at_end:
                return
            part = read_full(file, _BLOCK_BYTES)
            at_end = not part
            buffer, offset = buffer[position:] + part, offset + position


def _frame(buffer: bytes, position: int, at_end: bool, limit: int) -> tuple[int, int, Refused | None] | None:
    """Where the next message begins and ends, and what is wrong with it; None: more bytes are needed, or none left."""
    found = _FRAME.match(buffer, position)
    if found is not None and int(found[1]) <= limit:
        start, end = found.end(), found.end() + int(found[1])
        if end <= len(buffer):
            return start, end, None
        fault = Refused("framing", "the message is shorter than its length says")
        return (start, len(buffer), fault) if at_end else None
    start = position if found is None else found.end()
    if found is None and not buffer[position:].strip(b"\r\n\0"):
        return None
    if not at_end and len(buffer) - start < _FRAME_BYTES:
        return None
    fault = Refused("framing", "expected the length of a message, a blank and its priority")
    if found is not None:
        fault = Refused("record_too_long", f"the message is longer than max_record_bytes={limit}")
    following = _FRAME.search(buffer, start + 1)
    if following is not None and (at_end or len(buffer) - following.start() >= _FRAME_BYTES):
        return start, following.start(), fault
    if at_end or len(buffer) - start > limit + _FRAME_BYTES:
        return start, len(buffer), fault
    return None


def _each(lines: Lines) -> Iterator[Record]:
    for index, number in enumerate(lines.numbers.tolist()):
        data = lines[index].removesuffix(b"\r")
        start = lines.offset + int(lines.starts[index])
        yield Record(number, None, None, start, start + len(data), data)


def _parsed(parser: Parser, record: Record) -> Record:
    try:
        value, fault = parser.parse(record.raw), None
    except Refused as verdict:
        value, fault = None, verdict
    return Record(record.number, value, fault, record.byte_start, record.byte_end, record.raw)
