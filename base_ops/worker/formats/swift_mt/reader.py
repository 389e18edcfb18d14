"""The SWIFT MT reader: messages to records.

mt-940, the well-kept library for statements, was measured and is not stood upon: it keeps one set of statement fields
for a whole file, loses what a :61: says where :86: has no such sub-field, reads RC as money in, moves or drops what
does not fit without a word, knows no lines or bytes, and holds the whole file; it also takes longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.encoding import settle_encoding
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.swift_mt import payment, statement
from base_ops.worker.formats.swift_mt.blocks import SERVICE, read_blocks
from base_ops.worker.formats.swift_mt.messages import MAX_MESSAGE_BYTES, Message, fields, messages
from base_ops.worker.formats.swift_mt.notes import Notes

_STATEMENTS = ("940", "942", "950")
_PAYMENTS = ("103", "202", "202COV")
_HEAD_BYTES = 1 << 20


class SwiftMtReader(RecordReader):
    """Rows of the messages of one object."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        self._source, self._encoding = source, _encoding(source, spec)
        self._notes = Notes()
        types = {**payment.TYPES, **statement.TYPES, "report_time": "timestamp_utc"}
        super().__init__(source.name, spec, self._all, types=types)

    def batches(self) -> Iterator[Batch]:
        yield from super().batches()
        self.findings += self._notes.findings()

    def _all(self) -> Iterator[Record]:
        """The records, from the beginning; notes are those of this reading."""
        self._notes = Notes()
        with self._source.open() as file:
            for message in messages(fields(file, self._spec.max_record_bytes)):
                yield from self._records_of(message)

    def _records_of(self, message: Message) -> Iterator[Record]:
        if not message.fields and not message.blocks:
            self._stray(message)
            return
        head, faults = _envelope(message)
        if head.get("service") == SERVICE:
            self._notes.add("service_message", message.line, "an acknowledgement, which is no row")
            return
        tags = {item.tag for item in message.fields}
        kind = self._kind(head, tags)
        head["message_type"] = kind
        if message.preamble:
            head["preamble"] = message.preamble.decode(self._encoding, "replace")
        end = message.fields[-1].end if message.fields else message.start
        raw = message.blocks + b"".join(item.raw for item in message.fields[:20])

        def refused(rule: str, reason: str, column: str = "") -> Record:
            return Record(max(message.line, 1), None, Refused(rule, reason, column), message.start, end, raw)

        if message.size > MAX_MESSAGE_BYTES:
            yield refused("record_too_long", f"the message is longer than {MAX_MESSAGE_BYTES >> 20} MiB")
        elif kind in _STATEMENTS and message.fields:
            for fault in faults:
                rule = "truncated_message" if fault == _CUT else "bad_envelope"
                self._notes.add(rule, message.line, fault)
            yield from statement.rows(head, message.fields, self._encoding, self._notes)
        elif kind in _PAYMENTS and message.fields:
            if faults:
                rule = "truncated_message" if faults[0] == _CUT else "bad_envelope"
                yield refused(rule, "; ".join(faults))
                return
            try:
                value = payment.row(kind, head, message.fields, self._encoding)
            except Refused as verdict:
                yield refused(verdict.rule, verdict.reason, verdict.column)
            else:
                yield Record(message.line, value, None, message.start, end, raw)
        else:
            found = f"an MT{kind}" if kind else "a message of unknown type"
            yield refused("unsupported_message", f"{found}; MT103, 202, 940, 942 and 950 are read")

    def _kind(self, head: dict[str, Any], tags: set[str]) -> str | None:
        """The message type: of block 2, declared, or told by the fields."""
        named = head.get("message_type")
        if named == "202" and (head.get("validation_flag") == "COV" or any(tag[:2] == "50" for tag in tags)):
            return "202COV"
        if named is not None:
            return str(named)
        if self._spec.swift_mt.message_type is not None:
            return self._spec.swift_mt.message_type
        return payment.kind_of(tags) or statement.kind_of(tags)

    def _stray(self, message: Message) -> None:
        self._notes.add("stray_text", max(message.line, 1), "text behind the last message is not read")


_CUT = "the message ends without -}"


def _envelope(message: Message) -> tuple[dict[str, Any], list[str]]:
    if not message.blocks:
        return {}, []
    head, faults = read_blocks(message.blocks, message.trailer)
    if not message.is_ended and "service" not in head:
        faults.insert(0, _CUT)
    return dict(head), faults


def _encoding(source: ByteSource, spec: ReadSpec) -> str:
    head = source.head(_HEAD_BYTES)
    try:
        encoding, _ = settle_encoding(head, spec.encoding, complete=len(head) < _HEAD_BYTES)
    except LookupError:
        raise ConfigError(
            f"encoding={spec.encoding!r} is not known", code="unknown_encoding", where="spec.read.encoding"
        ) from None
    if encoding.startswith(("utf-16", "utf-32")):
        raise BadInput(
            f"{source.name} is {encoding}, which SWIFT messages are not",
            code="unsupported_encoding",
            where=source.name,
            todo="convert the file to UTF-8",
        )
    return encoding
