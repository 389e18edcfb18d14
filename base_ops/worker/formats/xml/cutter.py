"""Cuts a document into its records, in one pass and bounded memory, and survives a record that is not well-formed.

One expat parser sees everything but the records that a `Template` reads: it decides what is a record, where comments
and CDATA end, and which elements are open around it. Between records, the end of the next one is found by looking for
its end tag; so a record that the parser refuses can be set aside, and a new parser goes on behind it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from base_ops.core.errors import BadInput
from base_ops.worker.formats.records.lines import RAW_BYTES
from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.xml.handlers import Ended, Handler, Skipper
from base_ops.worker.formats.xml.lexical import NEXT, SPACES, TAG, end_of_element
from base_ops.worker.formats.xml.schema import Validator
from base_ops.worker.formats.xml.template import Read, Template

_LEAST_OUTER_BYTES = 1 << 20
_LONGEST_NAME = 1 << 10
_CUT_OFF = {
    expat.errors.codes[text]
    for text in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}


@dataclass(frozen=True)
class Cut:
    """One record: its value, or why it has none."""

    line: int
    start: int
    end: int
    """Byte range in the document as UTF-8."""
    value: dict[str, Any] | None
    fault: Refused | None
    raw: bytes


@dataclass(frozen=True)
class Run:
    """Consecutive records that the template read."""

    read: Read
    """By positions in `data`."""
    lines: NDArray[np.int64]
    context: dict[str, Any]
    data: bytes
    offset: int
    """Where `data` begins in the document."""

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, index: int) -> tuple[int, int, bytes]:
        """Byte range of a record in the document, and its first bytes."""
        start = int(self.read.starts[index])
        end = self.data.rfind(b">", start, int(self.read.ends[index])) + 1
        return self.offset + start, self.offset + end, self.data[start : min(end, start + RAW_BYTES)]


class Cutter:
    """One pass over a document.

    Args:
        chunks: of the document as UTF-8.
        max_bytes: of one record, and of one tag, comment or text outside of records.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        handler: Handler,
        name: str,
        max_bytes: int,
        template: Template | None = None,
        validator: Validator | None = None,
    ) -> None:
        self._chunks, self._handler, self._name, self._max_bytes = chunks, handler, name, max_bytes
        self._max_outer_bytes = max(max_bytes, _LEAST_OUTER_BYTES)
        self._template, self._validator = template, validator
        handler.raw = self._raw
        self._data, self._offset = b"", 0
        self._at = 0
        """Where the parser stands; a record that it began begins here too, and `_ahead` bytes of it are fed."""
        self._ahead = 0
        self._line, self._line_at = 1, 0
        self._parser: Any = None
        self._fed = 0
        self._shift = 0
        """Position in `_data` minus position in the parser, while it is fed."""
        self._opening: bytes | None = None
        """Name of the record that begins at `_at`."""
        self._last: bytes | None = None
        """Name of the last record."""
        self._is_between = False
        """The parser stands in the content of an element that holds records, not inside of a comment or the like."""

    def cuts(self) -> Generator[Cut | Run, None, None]:
        """All records, in order.

        Raises:
            BadInput: truncated, syntax, xml_entities, xml_dtd, too_deep, too_long, too_many_names, xsd_invalid.
        """
        self._renew()
        while True:
            found: Cut | Run | None = None
            if self._opening is not None:
                found = self._record(self._opening)
            elif self._is_between:
                found = self._run()
                if found is None:
                    self._between()
            elif not self._gap():
                return
            if found is not None:
                yield found

    # -- the three states

    def _gap(self) -> bool:
        """Feed what lies before the next record; False at the end of the document."""
        data = self._data
        for found in NEXT.finditer(data, self._at):
            start = found.start()
            if not self._handler.may_record(found[1]):
                continue
            tag = TAG.match(data, start)
            if tag is not None:
                self._feed_gap(tag.end(), start)
                if self._handler.opened:
                    self._at, self._ahead, self._opening = start, len(tag[0]), found[1]
                    return True
                continue
            following = data.find(b"<", start + 1)
            if following < 0:
                break
            self._feed_gap(following)  # no tag, or inside a comment
        cut = data.rfind(b"<", self._at)
        is_open = cut >= 0 and data.find(b">", cut) < 0 and len(data) - cut <= self._max_outer_bytes
        self._feed_gap(cut if is_open else len(data))
        return self._more() or self._end()

    def _between(self) -> None:
        """Look what comes next where a record has just ended."""
        space = SPACES.match(self._data, self._at)
        self._at = space.end() if space else self._at
        found = NEXT.match(self._data, self._at)
        if found is not None and self._handler.may_record(found[1]):
            self._opening = found[1]
        elif found is not None or len(self._data) - self._at > _LONGEST_NAME or not self._more():
            self._is_between = False

    def _run(self) -> Run | None:
        """The records from here on that are as the template says."""
        template, handler = self._template, self._handler
        if template is None or not template.fits(handler.frames[-1] if handler.frames else None, self._data):
            return None
        read = template.read(self._data, self._at, self._max_bytes)
        if read is None:
            return None
        begin, self._at = int(read.starts[0]), int(read.ends[-1])
        span = np.frombuffer(self._data, np.uint8, self._at - begin, begin)
        lines = self._line_of(begin) + np.searchsorted(np.flatnonzero(span == 10), read.starts - begin)
        return Run(read, lines, handler.context(), self._data, self._offset)

    def _record(self, name: bytes) -> Cut | None:
        """The record that begins here."""
        end = end_of_element(self._data, self._at, name)
        too_long = (end if end is not None else len(self._data)) - self._at > self._max_bytes
        if end is None and not too_long:
            if self._more():
                return None
            self._at += self._ahead
            self._end()
            self._refuse(None, len(self._data), cut_off=True)
        line, start = self._line_of(self._at), self._offset + self._at
        raw = self._data[self._at : self._at + RAW_BYTES]
        value, fault = None, None
        if too_long:
            fault = Refused("record_too_long", f"the record is longer than max_record_bytes={self._max_bytes}")
            end = self._skip() if end is None else end
            self._renew()
        else:
            assert end is not None
            value, fault = self._value(end, self._ahead > 0 or name == self._last)
        if fault is not None and not self._handler.frames:  # the document is the record
            self._refuse(fault, self._at)
        if value is not None:
            self._last = name
        self._at, self._ahead, self._opening, self._is_between = end, 0, None, True
        self._handler.opened = False
        if value is None and fault is None:
            return None  # an element of the same name that is no record
        return Cut(line, start, self._offset + end, value, fault, raw[: self._offset + end - start])

    def _value(self, end: int, is_known: bool) -> tuple[dict[str, Any] | None, Refused | None]:
        """The record's value, or why it has none; neither where it is no record after all."""
        handler, fed = self._handler, self._at + self._ahead
        try:
            self._feed(fed, end)
            if handler.is_inside:
                raise Refused("syntax", "the record's tags, comments or CDATA sections do not close")
            if handler.opened and handler.began + self._shift != self._at:
                self._refuse(Refused("nested_records", "records lie inside of an element named like them"), fed)
            value = handler.take()
            return value, self._validator.check(self._data[self._at : end]) if self._validator else None
        except (expat.ExpatError, Refused) as error:
            fault = self._fault(error, fed, end)
        if not (is_known or handler.is_inside or handler.opened):
            self._refuse(fault, fed)
        self._renew()
        return None, fault

    def _fault(self, error: Exception, start: int, end: int) -> Refused:
        if not isinstance(error, expat.ExpatError):
            assert isinstance(error, Refused)
            return error
        try:
            self._data[start:end].decode()
        except UnicodeDecodeError as wrong:
            return Refused("encoding", f"not UTF-8 at byte {start - self._at + wrong.start + 1} of the record")
        place = self._line_of(self._at) + self._data.count(b"\n", self._at, max(self._error_at(), self._at))
        return Refused("syntax", f"{expat.errors.messages[error.code]}, in line {place}")

    def _skip(self) -> int:
        """Read over a record of any length without keeping it; returns its end in the data then at hand."""
        skipper = Skipper()
        self._renew(skipper)
        start = self._at
        while True:
            try:
                self._feed(start, len(self._data))
                self._check_pending()
            except Ended:
                tag = TAG.match(self._data, skipper.end + self._shift)
                assert tag is not None
                return tag.end()
            except (expat.ExpatError, Refused) as error:
                self._refuse(error, start)
            self._line_of(len(self._data))
            self._at = max(self._parser.CurrentByteIndex + self._shift, 0)
            kept = len(self._data) - self._at
            if not self._more():
                self._refuse(None, len(self._data), cut_off=True)
            start = self._at + kept

    # -- the parser

    def _renew(self, handler: Any = None) -> None:
        """A new parser that stands where the old one stood before the record."""
        self._handler.abandon()
        self._parser = expat.ParserCreate("utf-8", "}")
        self._parser.buffer_text = True
        self._parser.namespace_prefixes = True
        opening = self._handler.reopening()
        self._parser.Parse(opening, False)
        self._fed = len(opening)
        (handler or self._handler).attach(self._parser)

    def _feed(self, start: int, end: int) -> None:
        self._shift = start - self._fed
        self._parser.Parse(self._data[start:end], False)
        self._fed += end - start

    def _feed_gap(self, end: int, probe: int | None = None) -> None:
        """Feed up to `end`; from `probe` on it may be the start tag of a record."""
        start, self._at = self._at, end
        try:
            self._feed(start, end)
            self._check_pending()
        except (expat.ExpatError, Refused) as error:
            self._refuse(error, start)
        if self._validator is not None:
            self._validator.feed_gap(self._data[start : probe if probe is not None and self._handler.opened else end])

    def _check_pending(self) -> None:
        """Nothing outside of records may be longer than a record: expat would keep it all."""
        pending = self._fed - self._parser.CurrentByteIndex
        text = sum(map(len, self._handler.parts)) if self._parser.CharacterDataHandler else 0
        if max(pending, text) > self._max_outer_bytes:
            raise Refused("too_long", f"a tag, comment or text of more than {self._max_outer_bytes} bytes")

    def _raw(self, start: int, end: int) -> str:
        """The content between a start tag and an end tag, by the parser's positions."""
        tag = TAG.match(self._data, start + self._shift)
        return self._data[tag.end() : end + self._shift].decode() if tag and tag.end() <= end + self._shift else ""

    # -- the data

    def _more(self) -> bool:
        """Get another chunk; False where there is none."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._line_of(self._at)
        self._data = self._data[self._at :] + chunk
        self._offset += self._at
        self._line_at -= self._at
        self._at = 0
        return True

    def _end(self) -> bool:
        start, self._at = self._at, len(self._data)
        try:
            self._feed(start, self._at)
            self._parser.Parse(b"", True)
        except (expat.ExpatError, Refused) as error:
            self._refuse(error, start)
        if self._validator is not None:
            self._validator.close()
        return False

    def _line_of(self, at: int) -> int:
        """The line of a position; asked for in ascending order."""
        if at > self._line_at:
            self._line += self._data.count(b"\n", max(self._line_at, 0), at)
            self._line_at = at
        return self._line

    def _error_at(self) -> int:
        return min(max(int(self._parser.ErrorByteIndex) + self._shift, 0), len(self._data))

    def _refuse(self, error: Exception | None, start: int, *, cut_off: bool = False) -> NoReturn:
        """The document as a whole cannot be used."""
        is_exact = isinstance(error, expat.ExpatError)  # what a handler raises is seen when all is parsed
        at = len(self._data) if cut_off else self._error_at() if is_exact else start
        line = self._line + self._data.count(b"\n", max(self._line_at, 0), at)
        where = f"{self._name}, line {line}" + ("" if is_exact or cut_off else " or behind")
        if cut_off or (isinstance(error, expat.ExpatError) and error.code in _CUT_OFF):
            raise BadInput(
                f"{self._name} is cut off",
                code="truncated",
                where=where,
                expected="the end tags of all elements",
                found="the end of the file",
                todo="fetch it again",
            ) from None
        if isinstance(error, Refused):
            raise BadInput(f"{self._name}: {error.reason}", code=error.rule, where=where) from None
        assert isinstance(error, expat.ExpatError)
        raise BadInput(
            f"{self._name} is not well-formed XML",
            code="syntax",
            where=where,
            found=expat.errors.messages[error.code],
            todo="correct the source; outside of records one fault refuses the document",
        ) from None
