"""Messages cut out of a stream: fields with their lines and places, grouped; memory is bounded.

SWIFT User Handbook, FIN: a field is `:tag:value` at the start of a line of block 4; `-}` ends the block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from base_ops.worker.formats.records.lines import RAW_BYTES, read_full

MAX_MESSAGE_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
_TAG = (
    rb"13[A-Z]?|2[0135][A-Z]?|26[A-Z]|28[A-Z]?|3[23][A-Z]|34[A-Z]|36|5[0-9][A-Z]?|6[0-5][A-Z]?|70|71[A-Z]|72|"
    rb"77[A-Z]|86[A-Z]?|90[A-Z]|NS"
)
_TOKEN = re.compile(
    rb"^(?:\xef\xbb\xbf)?:(?:\r?\n)?(" + _TAG + rb"):|(\{1:)(?=[A-Z]\d\d)|^(-)(?:\}|[ \t]*(?=\r?$))", re.M
)
_TRAILER = re.compile(rb"\s*(\{5:(?:\{[^{}]*\})*[^{}]*\})?\s*(\{S:(?:\{[^{}]*\})*[^{}]*\})?")
HEADER, END = "{1:", "-"


@dataclass(slots=True)
class Field:
    """One field (or HEADER: blocks 1 to 3; END: what follows block 4; '': text before the first field)."""

    tag: str
    value: bytes
    line: int
    start: int
    end: int
    too_long: bool = False

    @property
    def raw(self) -> bytes:
        return b":%s:%s" % (self.tag.encode(), self.value)


@dataclass
class Message:
    """The fields of one message, and what surrounds them."""

    line: int
    start: int
    blocks: bytes = b""
    """Blocks 1 to 3 as they stand, from `{1:` on; empty where there are none."""
    preamble: bytes = b""
    """Text between the message before and this one."""
    fields: list[Field] = field(default_factory=list)
    trailer: bytes = b""
    is_ended: bool = False
    size: int = 0


def fields(file: BinaryIO, max_bytes: int) -> Iterator[Field]:
    """All fields of a stream, in order; of a longer one than `max_bytes` only the beginning."""
    buffer, offset, line = b"", 0, 1  # the buffer begins with the current field
    tag, skip, dropped = "", 0, False
    while True:
        part = read_full(file, _BLOCK_BYTES)
        buffer += part
        limit = buffer.rfind(b"\n") + 1 if part else len(buffer)
        begin = 0
        for found in _TOKEN.finditer(buffer, skip, limit):
            end = found.start()
            if not dropped:
                yield Field(tag, buffer[begin + skip : end], line, offset + begin, offset + end)
            line += buffer.count(b"\n", begin, end)
            begin, tag, skip, dropped = end, found[found.lastindex or 0].decode(), len(found[0]), False
        if not part:
            if not dropped:
                yield Field(tag, buffer[begin + skip :], line, offset + begin, offset + len(buffer))
            return
        buffer, offset = buffer[begin:], offset + begin
        if len(buffer) - skip > max_bytes:
            if not dropped:
                raw = buffer[skip : skip + RAW_BYTES]
                yield Field(tag, raw, line, offset, offset + len(buffer), too_long=True)
            dropped = True
        if dropped:
            rest = buffer[buffer.rfind(b"\n") + 1 :]
            line += buffer.count(b"\n")
            offset += len(buffer) - len(rest)
            if len(rest) > 64:  # inside an endless line: nothing of it begins a line
                offset += len(rest) - 64
                rest = b"~" + rest[-63:]
            buffer, skip = rest, 0


def messages(stream: Iterable[Field]) -> Iterator[Message]:
    """Fields as messages. One that grows beyond MAX_MESSAGE_BYTES has `size` above it, and only its first fields."""
    current: Message | None = None
    between = b""
    for item in stream:
        if item.tag in ("", END) and current is None:
            between = _joined(between, item.value)
        elif item.tag == HEADER:
            if current is not None:
                yield current
            current, between = Message(item.line, item.start, b"{1:" + item.value, between), b""
        elif item.tag == END and current is not None:
            trailer = _TRAILER.match(item.value)
            assert trailer is not None
            current.trailer, current.is_ended = trailer[0].strip(), True
            yield current
            current, between = None, _joined(b"", item.value[trailer.end() :])
        else:
            if current is not None and item.tag == "20" and current.fields:
                yield current
                current = None
            if current is None:
                current, between = Message(item.line, item.start, b"", between), b""
            current.size += len(item.value)
            if current.size <= MAX_MESSAGE_BYTES:
                current.fields.append(item)
    if current is not None:
        yield current
    elif between:
        yield Message(0, 0, preamble=between)


def _joined(before: bytes, value: bytes) -> bytes:
    text = value.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n\x01\x03\x1a\0}")
    return (before + b"\n" + text if before and text else before + text)[:RAW_BYTES]
