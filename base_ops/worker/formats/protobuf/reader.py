"""The Protocol Buffers reader: messages one by one, columns by the descriptor."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, BinaryIO, NoReturn

import polars as pl
import pyarrow as pa
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.binary import ProtobufOptions
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.declared import BadRow
from base_ops.worker.formats.frames import FrameReader, distinct_names
from base_ops.worker.formats.protobuf.descriptor import message_class
from base_ops.worker.formats.protobuf.fields import Column, Kinds, needs_nanos
from base_ops.worker.formats.records.values import Refused

_BATCH_ROWS = 1 << 13
_MAX_SINGLE = 256 << 20


class ProtobufReader(FrameReader):
    """A Reader over messages of one type."""

    def __init__(self, source: ByteSource, spec: ReadSpec, options: ProtobufOptions) -> None:
        """Raises: BadInput where the object cannot be read; ConfigError: the descriptor."""
        self._name, self._source, self._spec, self._options = source.name, source, spec, options
        self._class = message_class(options)
        flatten = spec.nested == "flatten"
        columns = Kinds(source.name, self._unit()).columns(self._class.DESCRIPTOR, flatten)
        findings: list[Finding] = []
        names = distinct_names((".".join(c.path) for c in columns), findings)
        self._fields = columns
        self._type = pa.schema([pa.field(n, c.kind.type) for n, c in zip(names, columns, strict=True)])
        empty = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([], schema=self._type)))
        super().__init__(source.name, empty.schema, spec)
        self.findings += findings
        self._unknown: dict[int, int] = {}
        self._with_unknown = 0

    def batches(self) -> Iterator[Batch]:
        first = 1
        with closing(self._messages()) as messages:
            while chunk := list(islice(messages, _BATCH_ROWS)):
                yield self._batch(chunk, first)
                first += len(chunk)
        if self._with_unknown:
            message = f"{self._with_unknown} messages hold fields that the descriptor does not have; they are not read"
            data = {"fields": {str(k): v for k, v in sorted(self._unknown.items())[:100]}}
            self.findings.append(Finding(code="unknown_fields", severity="warning", message=message, data=dict(data)))

    # -- messages

    def _unit(self) -> str:
        """The unit of timestamps and durations, by the first messages."""
        with closing(self._messages()) as messages:
            found = [m for m in islice(messages, self._spec.sample_rows) if not isinstance(m, Refused)]
        return "ns" if any(needs_nanos(message) for message in found) else "us"

    def _messages(self) -> Generator[Any, None, None]:
        """Messages, or why there is none."""
        with self._source.open() as file:
            frames = self._single(file) if self._options.framing == "single" else self._delimited(file)
            for number, (at, data) in enumerate(frames, 1):
                yield data if isinstance(data, Refused) else self._parsed(data, number, at)

    def _parsed(self, data: bytes, number: int, at: int) -> Any:
        message = self._class()
        try:
            message.MergeFromString(data)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(
                f"{self._name} is damaged, or holds other messages than {self._options.message}",
                code="corrupt",
                where=f"{self._name}, message {number} at byte {at}",
                found=str(error)[:300],
                todo="fetch it again, or correct read.protobuf",
            ) from None
        if not message.IsInitialized():
            return Refused("required", f"not set: {', '.join(message.FindInitializationErrors()[:5])}")
        return message

    def _single(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        data = file.read(_MAX_SINGLE + 1)
        if len(data) > _MAX_SINGLE:
            what = f"{self._name} is longer than {_MAX_SINGLE} bytes"
            raise BadInput(what, code="too_large", where=self._name, todo="write it as a stream of messages")
        if not data:
            raise BadInput(f"{self._name} is empty", code="empty_object", where=self._name)
        yield 0, data

    def _delimited(self, file: BinaryIO) -> Iterator[tuple[int, bytes | Refused]]:
        at = 0
        while (found := self._length(file, at)) is not None:
            size, width = found
            at += width
            if size > self._spec.max_record_bytes:
                self._skip(file, size, at)
                yield at, Refused("record_too_long", f"longer than {self._spec.max_record_bytes} bytes")
            else:
                data = file.read(size)
                while len(data) < size and (more := file.read(size - len(data))):
                    data += more
                if len(data) < size:
                    self._cut_off(at)
                yield at, data
            at += size
        if at == 0:
            raise BadInput(f"{self._name} is empty", code="empty_object", where=self._name)

    def _length(self, file: BinaryIO, at: int) -> tuple[int, int] | None:
        """A message's length and the bytes it is written in; None at the end."""
        value = 0
        for place in range(5):
            byte = file.read(1)
            if not byte:
                if place:
                    self._cut_off(at)
                return None
            value |= (byte[0] & 0x7F) << (7 * place)
            if not byte[0] & 0x80:
                return value, place + 1
        where = f"{self._name}, byte {at}"
        raise BadInput(f"{self._name} holds a length of more than 32 bits", code="corrupt", where=where)

    def _skip(self, file: BinaryIO, size: int, at: int) -> None:
        while size and (part := file.read(min(size, 1 << 20))):
            size -= len(part)
        if size:
            self._cut_off(at)

    def _cut_off(self, at: int) -> NoReturn:
        what, where = f"{self._name} is cut off", f"{self._name}, the message at byte {at}"
        raise BadInput(what, code="truncated", where=where, expected="the rest of a message", todo="fetch it again")

    # -- rows

    def _batch(self, chunk: list[Any], first: int) -> Batch:
        broken: dict[int, BadRow] = {}
        cells: list[list[Any]] = [[] for _ in self._fields]
        for row, message in enumerate(chunk):
            made: list[Any] = [None] * len(cells)
            verdict = message if isinstance(message, Refused) else self._fill(message, made)
            if verdict is not None:
                broken[row] = BadRow(row, verdict.rule, verdict.reason, verdict.column)
                made = [None] * len(cells)
            for column, cell in zip(cells, made, strict=True):
                column.append(cell)
        arrays = [pa.array(column, field.type) for column, field in zip(cells, self._type, strict=True)]
        if arrays:
            frame = pl.DataFrame(pl.from_arrow(pa.Table.from_arrays(arrays, schema=self._type)))
        else:
            frame = pl.DataFrame(height=len(chunk))
        return self.finish(frame, [], first, broken)

    def _fill(self, message: Any, made: list[Any]) -> Refused | None:
        for index, column in enumerate(self._fields):
            try:
                made[index] = _cell(message, column)
            except Refused as verdict:
                verdict.column = ".".join(column.path)
                return verdict
            except UnicodeError:
                return Refused("encoding", "a text is not UTF-8", ".".join(column.path))
        numbers = set(_unknown(message))
        self._with_unknown += bool(numbers)
        for number in numbers:
            self._unknown[number] = self._unknown.get(number, 0) + 1
        return None


def _cell(message: Any, column: Column) -> Any:
    for field in column.fields[:-1]:
        if not message.HasField(field.name):
            return None
        message = getattr(message, field.name)
    last = column.fields[-1]
    if last.has_presence and not message.HasField(last.name):
        return None
    return column.kind.make(getattr(message, last.name))


def _unknown(message: Any) -> Iterator[int]:
    """Numbers of the fields, at any depth, that the descriptor does not have; extensions are such fields as well."""
    for field in UnknownFieldSet(message):
        yield field.field_number
    for field, value in message.ListFields():
        if field.is_extension:
            yield field.number
        elif field.message_type is None:
            continue
        elif not field.is_repeated:
            yield from _unknown(value)
        elif field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for key in value:
                    yield from _unknown(value[key])
        else:
            for one in value:
                yield from _unknown(one)
