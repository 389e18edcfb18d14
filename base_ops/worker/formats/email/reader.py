"""The e-mail reader: messages cut out of an object, bounded, to records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.email.message import TYPES, columns_of
from base_ops.worker.formats.records.lines import read_full
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import BOM, Refused

_BLOCK_BYTES = 1 << 20
_LINE_BYTES = 1 << 20
"""A line without end in sight is not kept together beyond this."""
_FROM = re.compile(rb"^From (?=[^\n]{0,900}\d{4})[^\n]*\n", re.M)
_QUOTED = re.compile(rb"^>(>*From )", re.M)


@dataclass(slots=True)
class Cut:
    """The bytes of one message, or of its beginning where it is too long."""

    line: int
    start: int
    end: int
    data: bytes
    is_too_long: bool = False


class EmailReader(RecordReader):
    """Rows of the messages of one object."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        self._source = source
        head = source.head(4096).removeprefix(BOM).lstrip(b"\r\n")
        self._is_mbox = _FROM.match(head) is not None
        self._first_fault: Refused | None = None
        super().__init__(source.name, spec, self._all, types=TYPES)
        if "subject" not in self._layout.schema:
            fault = self._first_fault
            raise BadInput(
                f"{source.name} holds no e-mail message that can be read",
                code="not_this_format" if fault is None or self._is_mbox else fault.rule,
                where=source.name,
                expected="header fields, a blank line and a body (RFC 5322)",
                found="" if fault is None else fault.reason,
            )

    def _all(self) -> Iterator[Record]:
        limits = self._spec.email
        with self._source.open() as file:
            cuts = (
                messages(file, limits.max_message_bytes) if self._is_mbox else _single(file, limits.max_message_bytes)
            )
            for cut in cuts:
                value = fault = None
                try:
                    if cut.is_too_long:
                        limit = limits.max_message_bytes
                        raise Refused("record_too_long", f"the message is longer than max_message_bytes={limit}")
                    value = columns_of(cut.data, limits.max_parts, limits.max_depth)
                except Refused as verdict:
                    fault = verdict
                    self._first_fault = self._first_fault or verdict
                yield Record(cut.line, value, fault, cut.start, cut.end, cut.data[:4096])


def _single(file: BinaryIO, limit: int) -> Iterator[Cut]:
    data = read_full(file, limit + 1)
    if data.strip():
        yield Cut(1, 0, len(data), data.removeprefix(BOM), len(data) > limit)


def messages(file: BinaryIO, limit: int) -> Iterator[Cut]:
    """The messages of an mbox, without their From lines, quoted From lines restored."""
    current = _Gathered(1, 0)
    rest, tail, offset, line = b"", b"\n\n", 0, 1
    is_line_start = True
    while True:
        part = read_full(file, _BLOCK_BYTES)
        data = rest + part
        end = len(data) if not part or len(rest) > _LINE_BYTES else data.rfind(b"\n") + 1
        data, rest = data[:end], data[end:]
        position = 0
        for found in _FROM.finditer(data):
            start = found.start()
            if not _is_blank_before(tail + data[max(start - 4, 0) : start]) or (start == 0 and not is_line_start):
                continue
            current.add(data[position:start], limit)
            yield from current.cut(limit)
            current = _Gathered(line + data.count(b"\n", 0, start), offset + start)
            position = start
        current.add(data[position:], limit)
        line, offset = line + data.count(b"\n"), offset + len(data)
        if data:
            tail, is_line_start = (tail + data[-4:])[-4:], data.endswith(b"\n")
        if not part:
            yield from current.cut(limit)
            return


class _Gathered:
    """The bytes of one message as they come; of one that is too long only the beginning."""

    def __init__(self, line: int, start: int) -> None:
        self._line, self._start = line, start
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes, limit: int) -> None:
        self._size += len(data)
        if self._size <= limit:
            self._parts.append(data)
        elif len(self._parts) != 1 or len(self._parts[0]) > 4096:
            self._parts = [(b"".join(self._parts) + data)[:4096]]

    def cut(self, limit: int) -> Iterator[Cut]:
        data = b"".join(self._parts)
        if data.strip():
            body = data[data.find(b"\n") + 1 :]
            if b"\n>" in body:
                body = _QUOTED.sub(rb"\1", body)
            yield Cut(self._line, self._start, self._start + self._size, body, self._size > limit)


def _is_blank_before(data: bytes) -> bool:
    return data[-4:].replace(b"\r", b"").endswith(b"\n\n")
