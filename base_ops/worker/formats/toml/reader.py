"""Reading a TOML document: the parser's values as records, with the types that TOML gave them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import MAX_DEPTH, FloatText, IntText, SpecialFloat, refuse_other_encodings
from base_ops.worker.formats.records.whole import read_whole

MAX_BYTES = 100 << 20
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}")
"""The parser takes time with the square of the length of such a key."""
_FINE = re.compile(r"\d\d:\d\d:\d\d\.\d{6}\d*[1-9]")
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")


def open_toml(source: ByteSource, spec: ReadSpec) -> Reader:
    """A reader of the records of a document.

    Raises:
        BadInput: too_large, empty_object, not_this_format, too_deep, too_fine, records_not_found.
    """
    refuse_other_encodings(spec)
    document = _parse(_load(source), source.name)
    records, findings = _records(document, source.name, spec.records)
    types: dict[str, str | None] = {}
    values = [_value(record, "", 1, types, source.name) for record in records]

    def each() -> Iterator[Record]:
        for number, value in enumerate(values, 1):
            yield Record(number, value)

    reader = RecordReader(source.name, spec, each, types={name: type for name, type in types.items() if type})
    reader.findings[:0] = findings
    return reader


def _load(source: ByteSource) -> str:
    expected = f"at most {MAX_BYTES >> 20} MiB, since a document is read whole"
    data = read_whole(source, "one TOML document", MAX_BYTES, expected)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _not_toml(source.name, "it is not UTF-8", f"line {line}") from None
    if not text.strip():
        raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
    return text


def _parse(text: str, name: str) -> dict[str, Any]:
    if _LONG_KEY.search(text):
        raise _too_deep(name)
    try:
        document = tomllib.loads(text, parse_float=_float)
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:  # TOMLDecodeError, and integers of more digits than Python converts
        place = _PLACE.search(str(error))
        where = f"line {place[1]}, column {place[2]}" if place else "its end"
        raise _not_toml(name, str(error).split(" (at ")[0][:200], where) from None
    fine = sum(len(_FINE.findall(line.split("#")[0])) for line in text.split("\n") if ":" in line)
    if fine and fine > _fine_texts(document):
        raise BadInput(
            f"{name} holds times with a fraction finer than a microsecond, which would be cut",
            code="too_fine",
            where=name,
            todo="write them as strings, or to the microsecond",
        )
    return document


def _fine_texts(document: Any) -> int:
    """How often such a fraction stands in strings, where it is none."""
    found, stack = 0, [document]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack += [*item, *item.values()]
        elif isinstance(item, list):
            stack += item
        elif type(item) is str:
            found += len(_FINE.findall(item))
    return found


def _float(text: str) -> FloatText:
    text = text.replace("_", "").removeprefix("+")
    return SpecialFloat(text) if text.endswith(("inf", "nan")) else FloatText(text)


def _records(document: dict[str, Any], name: str, path: str | None) -> tuple[list[Any], list[Finding]]:
    if path is not None:
        return _at(document, name, path), []
    tables = [key for key, value in document.items() if _is_tables(value)]
    if len(tables) == 1:
        others = [key for key in document if key != tables[0]]
        message = f"{name}: the records are those of {tables[0]!r}; beside them stand {', '.join(others[:20])}"
        found = [Finding(code="outside_records", message=message, data={"keys": list(others[:100])})] if others else []
        return document[tables[0]], found
    if not tables:
        return [document], []
    message = (
        f"{name} is one record, since it has several arrays of tables: {', '.join(tables[:20])}; name one in records"
    )
    return [document], [Finding(code="several_lists", message=message, severity="warning", data={"keys": list(tables)})]


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _at(document: dict[str, Any], name: str, path: str) -> list[Any]:
    value: Any = document
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            keys = ", ".join(map(repr, list(value)[:10])) if isinstance(value, dict) else "no table"
            raise BadInput(
                f"{name} has no records at {path!r}",
                code="records_not_found",
                where="spec.read.records",
                expected="the path of the list of records, keys joined by '.'",
                found=keys or "no keys",
            )
        value = value[key]
    return value if isinstance(value, list) else [value]


def _value(value: Any, path: str, depth: int, types: dict[str, str | None], name: str) -> Any:
    """A parsed value as the records' readers take it; notes the type of what becomes a text under `path`."""
    if depth > MAX_DEPTH:
        raise _too_deep(name)
    if isinstance(value, dict):
        lead = f"{path}." if path else ""
        return {key: _value(item, f"{lead}{key}", depth + 1, types, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, f"{path}[]", depth + 1, types, name) for item in value]
    if type(value) is int:
        return IntText(value)
    if isinstance(value, datetime):
        _note(types, path, "timestamp" if value.tzinfo is None else "timestamp_utc")
        return value.isoformat()
    if isinstance(value, date | time):
        _note(types, path, "date" if isinstance(value, date) else "time")
        return value.isoformat()
    if type(value) is str:
        _note(types, path, None)
    return value


def _note(types: dict[str, str | None], path: str, type: str | None) -> None:
    types[path] = type if types.get(path, type) == type else None


def _too_deep(name: str) -> BadInput:
    return BadInput(f"{name} is nested more than {MAX_DEPTH} levels deep", code="too_deep", where=name)


def _not_toml(name: str, what: str, where: str) -> BadInput:
    return BadInput(f"{name} is not TOML: {what}", code="not_this_format", where=f"{name}, {where}")
