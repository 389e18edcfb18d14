"""The FIX reader: messages to records, and the types of what stands in groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.fix.dictionary import GROUPS, NAMES, TYPES
from base_ops.worker.formats.fix.messages import Cut, Framing, cuts, fields_of
from base_ops.worker.formats.fix.values import COLUMN_TYPES, SCALE, record
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import Refused

_TEXT_TYPES = {name: COLUMN_TYPES[TYPES[tag]] for tag, name in NAMES.items() if TYPES[tag] in COLUMN_TYPES}
_KINDS = {name: TYPES[tag] for tag, name in NAMES.items()}
_GROUP_NAMES = {NAMES[tag] for tag in GROUPS}
_FIRST: dict[str, pl.DataType] = {
    "I": pl.Int64(),
    "#": pl.Int64(),
    "D": pl.Decimal(38, SCALE),
    "T": pl.Int64(),
    "L": pl.Int32(),
}
_LAST: dict[str, pl.DataType] = {**_FIRST, "T": pl.Datetime("us", "UTC"), "L": pl.Date()}
_HEAD_BYTES = 1 << 16
_SEPARATORS = {"SOH": "\x01", "\\x01": "\x01", "^A": "\x01"}


class FixReader(RecordReader):
    """Rows of the messages of one object."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        self._source = source
        self._encoding = _codec(spec.encoding)
        self._framing = Framing(_separator(source, spec))
        self._by_line = _has_lines(source.head(_HEAD_BYTES), self._framing)
        self._others = 0
        self._first_other = 0
        super().__init__(source.name, spec, self._all, types=_TEXT_TYPES)
        plain = self.schema
        declared = {c.name for c in spec.columns or () if c.type}
        self._groups = [n for n in plain if n in _GROUP_NAMES - declared and isinstance(plain[n], pl.List)]
        self.schema = pl.Schema({n: _typed(t, _LAST) if n in self._groups else t for n, t in plain.items()})
        self._first = {name: _typed(plain[name], _FIRST) for name in self._groups}

    def batches(self) -> Iterator[Batch]:
        schema = self.schema
        for batch in super().batches():
            frame = batch.frame.with_columns(pl.col(n).cast(t).cast(schema[n]) for n, t in self._first.items())
            yield Batch(frame, batch.rejected)
        if self._others:
            message = f"{self._others} pieces of text hold no message, the first at line {self._first_other}"
            data = {"count": self._others, "line": self._first_other}
            self.findings.append(Finding(code="other_text", severity="warning", message=message, data=dict(data)))

    def _all(self) -> Iterator[Record]:
        self._others = number = 0
        with self._source.open() as file:
            for cut in cuts(file, self._framing, self._spec.max_record_bytes):
                if cut.is_text:
                    self._others += 1
                    self._first_other = self._first_other or cut.line
                else:
                    number += 1
                    yield self._record(cut, cut.line if self._by_line else number)

    def _record(self, cut: Cut, number: int) -> Record:
        value: dict[str, Any] | None = None
        fault = cut.fault
        if fault is None:
            try:
                pairs = fields_of(cut.data, self._framing.separator)
                value = record([(tag, self._text(tag, raw)) for tag, raw in pairs])
                if prefix := cut.prefix.strip():
                    value["log_prefix"] = prefix.decode(self._encoding, "replace")
            except Refused as verdict:
                fault = verdict
        return Record(number, value, fault, cut.start, cut.end, cut.data)

    def _text(self, tag: int, raw: bytes) -> str:
        try:
            return raw.decode(self._encoding)
        except UnicodeDecodeError:
            reason = f"field {tag} holds bytes that are not {self._encoding}; declare encoding"
            raise Refused("encoding", reason, NAMES.get(tag, f"tag_{tag}")) from None


def _typed(dtype: pl.DataType, kinds: dict[str, pl.DataType]) -> pl.DataType:
    """The type of a group's column, its fields (texts so far) by their FIX data types."""
    if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
        return dtype
    fields = []
    for field in dtype.inner.fields:
        type = field.dtype
        if isinstance(type, pl.List):
            type = _typed(type, kinds)
        elif type == pl.String:
            type = kinds.get(_KINDS.get(field.name, "S"), type)
        fields.append(pl.Field(field.name, type))
    return pl.List(pl.Struct(fields))


def _separator(source: ByteSource, spec: ReadSpec) -> bytes:
    declared = spec.fix.separator
    if declared is not None:
        text = _SEPARATORS.get(declared, declared)
        if len(text) != 1 or not text.isascii() or text.isalnum() or text in "=\r\n":
            raise ConfigError(
                f"read.fix.separator={declared!r} is not possible",
                code="bad_separator",
                where="spec.read.fix.separator",
                expected="SOH, '|', or another single ASCII character",
            )
        return text.encode()
    found = re.search(rb"8=FIXT?\.\d\.\d([\x01|^;~ \t])9=", source.head(_HEAD_BYTES))
    if found is None:
        raise BadInput(
            f"{source.name} holds no FIX message",
            code="not_this_format",
            where=f"{source.name}, first {_HEAD_BYTES >> 10} KiB",
            expected="8=FIX.x.y, a separator, 9=length",
            todo="declare read.fix.separator if it is an unusual one",
        )
    return found[1]


def _codec(encoding: str | None) -> str:
    try:
        return "".encode(encoding or "utf-8").decode() or (encoding or "utf-8")
    except LookupError:
        raise ConfigError(
            f"encoding={encoding!r} is not known", code="unknown_encoding", where="spec.read.encoding"
        ) from None


def _has_lines(head: bytes, framing: Framing) -> bool:
    """Whether messages stand on lines of their own; else they are numbered."""
    first = framing.maybe.search(head)
    second = framing.maybe.search(head, first.end()) if first else None
    return second is None or first is None or b"\n" in head[first.end() : second.start()]
