"""FIX messages cut out of a stream, and their fields: framing, body length and checksum (FIX session protocol)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from base_ops.worker.formats.fix.dictionary import DATA_OF
from base_ops.worker.formats.records.lines import read_full
from base_ops.worker.formats.records.values import Refused

_BLOCK_BYTES = 1 << 20
_PREFIX_BYTES = 1 << 16
_HEADER_BYTES = 64
"""BeginString and BodyLength are shorter."""
_TAG = re.compile(rb"[1-9]\d{0,8}")


@dataclass(slots=True)
class Cut:
    """One message; or something that begins as one, and why it is none; or (`is_text`) lines without any."""

    line: int
    start: int
    end: int
    data: bytes
    prefix: bytes = b""
    fault: Refused | None = None
    is_text: bool = False


class Framing:
    """The patterns of one separator."""

    def __init__(self, separator: bytes) -> None:
        mark = re.escape(separator)
        self.separator = separator
        self.maybe = re.compile(rb"(?<![0-9])8=FIX|8=FIXT?\.\d\.\d" + mark + rb"9=\d{1,9}" + mark + rb"35=")
        self.begin = re.compile(rb"8=FIXT?\.\d\.\d" + mark + rb"9=(\d{1,9})" + mark)
        self.end = re.compile(rb"(?<=" + mark + rb")10=\d{3}(?:" + mark + rb"|(?=[\r\n])|\Z)")
        self.later_end = re.compile(mark + rb"10=[^\x01|\r\n]{0,10}(?:" + mark + rb"|(?=[\r\n])|\Z)")

    def message(self, buffer: bytes, start: int, at_end: bool, max_bytes: int) -> tuple[int, Refused | None] | None:
        """Where the message that begins at `start` ends, and what is wrong with it; None: more bytes are needed."""
        begin = self.begin.match(buffer, start)
        if begin is None and len(buffer) - start < _HEADER_BYTES and not at_end:
            return None
        fault = Refused("header", "expected BeginString (8) and BodyLength (9) first")
        if begin is not None:
            stop = begin.end() + int(begin[1])
            fault = Refused("body_length", "BodyLength (9) does not lead to the CheckSum (10)")
            if stop - start > max_bytes:
                fault = Refused("record_too_long", f"the message is longer than max_record_bytes={max_bytes}")
            elif len(buffer) < stop + 8 and not at_end:
                return None
            elif end := self.end.match(buffer, stop):
                return end.end(), None
        return self._end_of_bad(buffer, start, at_end, max_bytes, fault)

    def _end_of_bad(
        self, buffer: bytes, start: int, at_end: bool, max_bytes: int, fault: Refused
    ) -> tuple[int, Refused | None] | None:
        """At its CheckSum, else at the end of its line, else at the next message."""
        following = self.maybe.search(buffer, start + 5)
        limit = following.start() if following else len(buffer)
        if end := self.later_end.search(buffer, start + 5, limit):
            if end.end() < len(buffer) or at_end:
                return end.end(), fault
            return None
        if following is None and not at_end and len(buffer) - start <= max_bytes + _BLOCK_BYTES:
            return None
        newline = buffer.find(b"\n", start, limit)
        return (limit if newline < 0 else newline), fault


def cuts(file: BinaryIO, framing: Framing, max_bytes: int) -> Iterator[Cut]:
    """Messages in order, and the text between them; what stands before a message in its line is its prefix."""
    buffer, offset, line, at_end = b"", 0, 1, False
    while True:
        done = 0  # everything before is told
        while (found := framing.maybe.search(buffer, done)) is not None:
            start = found.start()
            message = framing.message(buffer, start, at_end, max_bytes)
            if message is None:
                break
            text_end = buffer.rfind(b"\n", done, start) + 1 or done
            yield from _text(buffer[done:text_end], line, offset + done)
            line += buffer.count(b"\n", done, start)
            end, fault = message
            data, prefix = buffer[start:end], buffer[text_end:start]
            yield Cut(line, offset + start, offset + end, data, prefix, fault)
            line += data.count(b"\n")
            done = end
        if at_end:
            yield from _text(buffer[done:], line, offset + done)
            return
        if found is None:  # whole lines without a message, and what is too long to be a prefix
            keep = max(buffer.rfind(b"\n", done) + 1, done, len(buffer) - _PREFIX_BYTES)
            yield from _text(buffer[done:keep], line, offset + done)
            line += buffer.count(b"\n", done, keep)
            done = keep
        part = read_full(file, _BLOCK_BYTES)
        at_end = len(part) < _BLOCK_BYTES
        buffer, offset = buffer[done:] + part, offset + done


def _text(text: bytes, line: int, start: int) -> Iterator[Cut]:
    if text.strip():
        blank = len(text) - len(text.lstrip())
        yield Cut(line + text.count(b"\n", 0, blank), start, start + len(text), text, is_text=True)


def fields_of(data: bytes, separator: bytes) -> list[tuple[int, bytes]]:
    """Tags and values of a message whose framing is right; checks its checksum. Raises Refused."""
    body = data[: -len(separator)] if data.endswith(separator) else data
    cells = body.split(separator)
    fields: list[tuple[int, bytes]] = []
    index, count = 0, len(cells)
    wanted: tuple[int, int] | None = None  # a data field and its length
    inside = 0  # separators, or characters that look like them, in data fields
    while index < count:
        tag, equals, value = cells[index].partition(b"=")
        index += 1
        if not equals or _TAG.fullmatch(tag) is None:
            raise Refused("syntax", f"field {len(fields) + 1} is not tag=value")
        number = int(tag)
        if wanted is not None:
            if number != wanted[0]:
                raise Refused("data_length", f"expected field {wanted[0]} behind its length", str(wanted[0]))
            last, size = index, len(value)
            while size < wanted[1] and last < count:
                size, last = size + len(separator) + len(cells[last]), last + 1
            value = separator.join([value, *cells[index:last]])
            index, inside = last, inside + last - index
            if len(value) != wanted[1]:
                raise Refused("data_length", f"field {number} has not the length that is told", str(number))
            wanted = None
        elif not value:
            raise Refused("empty_field", f"field {number} is empty", str(number))
        elif number in DATA_OF:
            if not value.isdigit() or len(value) > 9:
                raise Refused("data_length", f"field {number} is no length", str(number))
            wanted = (DATA_OF[number], int(value))
        fields.append((number, value))
    _check(body, separator, fields, inside)
    return fields


def _check(body: bytes, separator: bytes, fields: list[tuple[int, bytes]], inside: int) -> None:
    """The sum of all bytes before field 10, separators counted as SOH, modulo 256.

    Of those inside data fields it is not known how many were SOH: any number may be right.
    """
    if len(fields) < 4 or [tag for tag, _ in fields[:3]] != [8, 9, 35] or fields[-1][0] != 10:
        raise Refused("header", "expected the fields 8, 9 and 35 first, and 10 last")
    end = body.rfind(separator + b"10=") + len(separator)
    surplus, told = separator[0] - 1, int(fields[-1][1])
    total = sum(body[:end]) - (len(fields) - 1) * surplus
    if all((total - more * surplus) % 256 != told for more in range(min(inside, 256) + 1)):
        raise Refused("checksum", f"the bytes sum up to {total % 256:03d}, CheckSum (10) says {told:03d}", "10")
