"""Reading YAML: the events of the C parser, cut into records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.lines import RAW_BYTES
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import Refused, kind_of
from base_ops.worker.formats.records.whole import USE_NDJSON, read_whole
from base_ops.worker.formats.yaml.builder import Builder

MAX_BYTES = 100 << 20
_MOST_SKIPPED = 4 << 20
"""A record longer than max_record_bytes and this refuses the object: to skip it takes as long as to read it."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # only its events are used
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def open_yaml(source: ByteSource, spec: ReadSpec) -> Reader:
    """A reader of the records of a stream.

    Raises:
        BadInput: too_large, empty_object, not_this_format, encoding, alias_bomb, recursive_alias, records_not_found.
    """
    text = _load(source, spec)
    return RecordReader(source.name, spec, lambda: _Stream(text, source.name, spec).records())


def _load(source: ByteSource, spec: ReadSpec) -> str:
    data = read_whole(source, "YAML", MAX_BYTES, f"at most {MAX_BYTES >> 20} MiB", USE_NDJSON)
    encoding = spec.encoding or next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        where = f"{source.name}, line {data.count(bytes([10]), 0, error.start) + 1}"
        raise BadInput(f"{source.name} is not {encoding}", code="encoding", where=where) from None
    except LookupError:
        raise ConfigError(f"The encoding {encoding!r} is not known", code="unknown_encoding") from None
    if not text.strip():
        raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
    return text


class _Stream:
    """One reading of a stream."""

    def __init__(self, text: str, name: str, spec: ReadSpec) -> None:
        self._text, self._name = text, name
        self._path = spec.records.split(".") if spec.records else []
        self._limit = spec.max_record_bytes
        self._builder = Builder(name)
        self._number = 0
        self._wraps: bool | None = None
        """Whether records are no mappings, but values of one column."""
        self._parser = _Loader(text)

    def records(self) -> Iterator[Record]:
        try:
            while (event := self._parser.get_event()) is not None:
                if isinstance(event, yaml.DocumentStartEvent):
                    self._builder.begin_document()
                    yield from self._document()
        except yaml.YAMLError as error:
            raise self._not_yaml(error) from None
        finally:
            self._parser.dispose()

    def _document(self) -> Iterator[Record]:
        event = self._parser.get_event()
        if isinstance(event, yaml.SequenceStartEvent) and not self._path and event.anchor is None:
            while not isinstance(event := self._parser.get_event(), yaml.SequenceEndEvent):
                yield self._record(*self._value(event))
            return
        value, start, end = self._value(event)
        if self._path:
            fault = self._builder.fault
            if fault is not None:
                raise BadInput(f"{self._name}: {fault.reason}", code=fault.rule, where=self._name)
            for item in self._at(value):
                yield self._record(item, start, start)
        elif isinstance(value, list) and self._builder.fault is None:
            for item in value:
                yield self._record(item, start, end)
        elif isinstance(value, dict) or self._builder.fault is not None:
            yield self._record(value, start, end)
        elif value is not None:
            raise BadInput(
                f"{self._name} is text, not YAML records",
                code="not_this_format",
                where=self._name,
                expected="mappings, or a list of them",
                found=f"a document that is one {kind_of(value)}",
            )

    def _value(self, event: yaml.Event) -> tuple[Any, int, int]:
        self._builder.begin()
        start = _index(event.start_mark)
        done, value = self._builder.take(event)
        while not done:
            event = self._parser.get_event()
            done, value = self._builder.take(event)
            if not self._path and _index(event.end_mark) - start > self._limit + _MOST_SKIPPED:
                raise BadInput(
                    f"{self._name} holds a record far beyond max_record_bytes={self._limit}",
                    code="record_too_long",
                    where=f"{self._name}, character {_index(event.end_mark)}",
                    todo="name the list of records in read.records, or raise max_record_bytes",
                )
        return value, start, _index(event.end_mark)

    def _record(self, value: Any, start: int, end: int) -> Record:
        self._number += 1
        fault = self._builder.fault
        if fault is None and end - start > self._limit:
            fault = Refused("record_too_long", f"the record is longer than max_record_bytes={self._limit}")
        if self._wraps is None and fault is None:
            self._wraps = not isinstance(value, dict)
        raw = self._text[start : min(end, start + RAW_BYTES)].encode()[:RAW_BYTES]
        return Record(self._number, {"value": value} if self._wraps else value, fault, raw=raw)

    def _at(self, value: Any) -> list[Any]:
        for key in self._path:
            if not isinstance(value, dict) or key not in value:
                raise BadInput(
                    f"{self._name} has no records at {'.'.join(self._path)!r}",
                    code="records_not_found",
                    where="spec.read.records",
                    expected="the path of the list of records, keys joined by '.'",
                    found=", ".join(map(repr, list(value)[:10])) if isinstance(value, dict) else f"a {kind_of(value)}",
                )
            value = value[key]
        return value if isinstance(value, list) else [] if value is None else [value]

    def _not_yaml(self, error: yaml.YAMLError) -> BadInput:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        where = f"{self._name}, line {mark.line + 1}" if mark else self._name
        return BadInput(f"{self._name} is not YAML: {what}", code="not_this_format", where=where)


def _index(mark: Any) -> int:
    """Of the character where the parser stands; its events always have marks."""
    return int(mark.index)
