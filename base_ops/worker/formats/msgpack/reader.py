"""The MessagePack reader: one record at a time, each no longer than max_record_bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, BinaryIO, NoReturn

import msgpack

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import MAX_DEPTH, FloatText, IntText, Refused, SpecialFloat

_READ_BYTES = 1 << 16
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
_SECONDS = (-62_135_596_800, 253_402_300_799)
"""The years 1 to 9999."""


def open_msgpack(source: ByteSource, spec: ReadSpec) -> RecordReader:
    """Raises: BadInput where the object is not MessagePack."""

    def records() -> Iterator[Record]:
        with source.open() as file:
            yield from _Stream(file, source.name, spec.max_record_bytes).records()

    return RecordReader(source.name, spec, records)


class _Pairs(list[tuple[Any, Any]]):
    """A map as it was written: its keys may be no texts, and may repeat."""


class _Stream:
    def __init__(self, file: BinaryIO, name: str, max_record_bytes: int) -> None:
        self._file, self._name, self._limit = file, name, max_record_bytes
        self._fed = 0
        self._unpacker = msgpack.Unpacker(
            strict_map_key=False,
            unicode_errors="surrogateescape",
            object_pairs_hook=_Pairs,
            ext_hook=msgpack.ExtType,
            timestamp=0,
            max_buffer_size=max_record_bytes + _READ_BYTES,
            max_array_len=max_record_bytes,
            max_map_len=max_record_bytes,
        )

    def records(self) -> Iterator[Record]:
        number, left = 0, 0
        while self._unpacker.tell() < self._fed or self._feed():
            if left == 0 and (elements := self._array_header()) is not None:
                left = elements
                continue
            begin = self._unpacker.tell()
            value = self._call(self._unpacker.unpack, begin)
            end = self._unpacker.tell()
            number, left = number + 1, max(0, left - 1)
            try:
                if end - begin > self._limit:
                    raise Refused("record_too_long", f"longer than {self._limit} bytes")
                yield Record(number, _value(value, 1), None, begin, end)
            except Refused as verdict:
                yield Record(number, None, verdict, begin, end)
        if left:
            self._cut_off(self._fed, f"{left} more elements of an array")

    def _feed(self) -> bool:
        data = self._file.read(_READ_BYTES)
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull:
            raise BadInput(
                f"A record of {self._name} is longer than {self._limit} bytes",
                code="record_too_long",
                where=f"{self._name}, a record that ends behind byte {self._fed}",
                todo="if it is to be taken, raise max_record_bytes",
            ) from None
        self._fed += len(data)
        return bool(data)

    def _call(self, read: Callable[[], Any], begin: int) -> Any:
        """What `read` gives, with as many bytes as it takes."""
        while True:
            try:
                return read()
            except msgpack.OutOfData:
                if not self._feed():
                    self._cut_off(begin, "the rest of a record")
            except (ValueError, msgpack.UnpackException, RecursionError) as error:
                raise BadInput(
                    f"{self._name} is damaged, or no MessagePack",
                    code="corrupt",
                    where=f"{self._name}, the record at byte {begin}",
                    found=str(error) or type(error).__name__,
                    todo="fetch it again",
                ) from None

    def _array_header(self) -> int | None:
        """How many elements the array has that begins here; None where there is none."""

        def read() -> int | None:
            try:
                return int(self._unpacker.read_array_header())
            except ValueError:
                return None  # the position is as it was

        found: int | None = self._call(read, self._unpacker.tell())
        return found

    def _cut_off(self, byte: int, expected: str) -> NoReturn:
        raise BadInput(
            f"{self._name} is cut off",
            code="truncated",
            where=f"{self._name}, byte {byte}",
            expected=expected,
            todo="fetch it again",
        )


def _value(value: Any, level: int) -> Any:
    """A decoded value as those of records/values.py. Raises Refused."""
    kind = type(value)
    if value is None or kind is bool or kind is bytes:
        return value
    if kind is str:
        return _text(value)
    if kind is int:
        return IntText(value)
    if kind is float:
        text = repr(value)
        return FloatText(text) if text[-1].isdigit() else SpecialFloat(text)
    if level > MAX_DEPTH:
        raise Refused("too_deep", f"nested more than {MAX_DEPTH} levels deep")
    if kind is list:
        return [_value(child, level + 1) for child in value]
    if kind is _Pairs:
        return _object(value, level)
    if kind is msgpack.Timestamp:
        return _stamp(value)
    return {"type": IntText(value.code), "data": value.data}


def _object(pairs: _Pairs, level: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        name = _key(key)
        if name in found:
            raise Refused("duplicate_key", "the key appears twice in one map", name[:100])
        found[name] = _value(value, level + 1)
    return found


def _key(key: Any) -> str:
    if type(key) is str:
        return _text(key)
    if type(key) is int:
        return str(key)
    if type(key) is bytes:
        return _text(key.decode("utf-8", "surrogateescape"))
    raise Refused("key_type", f"a key of a map is neither text nor integer, but {type(key).__name__}")


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused("encoding", "a text is not UTF-8") from None
    return value


def _stamp(value: Any) -> str:
    """ISO 8601, which columns of timestamps are made of."""
    if not _SECONDS[0] <= value.seconds <= _SECONDS[1]:
        raise Refused("type", "the timestamp is beyond the years 1 to 9999")
    moment = (_EPOCH + timedelta(seconds=value.seconds)).isoformat(timespec="seconds")
    fraction = f".{value.nanoseconds:09d}".rstrip("0") if value.nanoseconds else ""
    return f"{moment}{fraction}Z"
