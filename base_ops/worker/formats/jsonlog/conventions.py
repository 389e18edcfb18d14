"""The conventions of JSON logs: which keys tell them, and where the time stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from base_ops.worker.formats.records.values import BOM, FloatText, IntText, LineDecoder, Refused

_LOOKED_AT = 50
_TEXT, _NUMBER, _INTEGER = (str,), (IntText, FloatText), (IntText,)
_NUMBER_LEVELS = frozenset(("10", "20", "30", "40", "50", "60"))


@dataclass(frozen=True)
class Convention:
    """Keys that a record must have, by the types of their values, and the unit of an epoch time."""

    name: str
    keys: Mapping[str, Sequence[type]]
    time: str
    unit: Literal["s", "ms"] | None = None
    """None: ISO 8601."""
    also: Callable[[dict[str, Any]], bool] = lambda _: True

    def fits(self, record: dict[str, Any]) -> bool:
        return all(type(record.get(key)) in types for key, types in self.keys.items()) and self.also(record)


def _is_ecs(record: dict[str, Any]) -> bool:
    nested = record.get("ecs")
    return type(record.get("ecs.version")) is str or (isinstance(nested, dict) and type(nested.get("version")) is str)


def _has_number_level(record: dict[str, Any]) -> bool:
    return record["level"] in _NUMBER_LEVELS


def _is_stamp(key: str) -> Callable[[dict[str, Any]], bool]:
    return lambda record: record[key][:4].isdigit() and record[key][4:5] == "-" and record[key][10:11] in ("T", " ")


def _is_docker(record: dict[str, Any]) -> bool:
    return record["stream"] in ("stdout", "stderr") and _is_stamp("time")(record)


CONVENTIONS = (
    Convention(
        "bunyan",
        {
            "v": _INTEGER,
            "level": _INTEGER,
            "name": _TEXT,
            "hostname": _TEXT,
            "pid": _INTEGER,
            "time": _TEXT,
            "msg": _TEXT,
        },
        "time",
        also=_has_number_level,
    ),
    Convention(
        "pino",
        {"level": _INTEGER, "time": _INTEGER, "pid": _INTEGER, "hostname": _TEXT},
        "time",
        "ms",
        _has_number_level,
    ),
    Convention("ecs", {"@timestamp": _TEXT, "message": _TEXT}, "@timestamp", also=_is_ecs),
    Convention("logstash", {"@timestamp": _TEXT, "@version": (str, IntText), "message": _TEXT}, "@timestamp"),
    Convention(
        "gelf",
        {"version": _TEXT, "host": _TEXT, "short_message": _TEXT, "timestamp": _NUMBER},
        "timestamp",
        "s",
        lambda record: record["version"] in ("1.0", "1.1"),
    ),
    Convention("docker", {"log": _TEXT, "stream": _TEXT, "time": _TEXT}, "time", also=_is_docker),
    Convention("cloudwatch", {"timestamp": _INTEGER, "message": _TEXT, "ingestionTime": _INTEGER}, "timestamp", "ms"),
    Convention(
        "structlog", {"event": _TEXT, "level": _TEXT, "timestamp": _TEXT}, "timestamp", also=_is_stamp("timestamp")
    ),
)


def lines_of(head: bytes) -> list[bytes]:
    """The first whole lines that are not blank; a single one even if it may be cut off."""
    lines = [line for line in head.removeprefix(BOM).split(b"\n")[: _LOOKED_AT + 1] if line.strip()]
    whole = head.endswith(b"\n") or len(lines) > _LOOKED_AT
    return (lines if whole else lines[:-1] or lines)[:_LOOKED_AT]


def convention_of_lines(lines: Sequence[bytes]) -> tuple[Convention | None, int]:
    """The convention that all lines that are JSON objects follow, and how many these are."""
    records = []
    for line in lines:
        try:
            records.append(LineDecoder(len(line)).decode(line))
        except Refused:
            continue
    for convention in CONVENTIONS:
        if records and all(convention.fits(record) for record in records):
            return convention, len(records)
    return None, len(records)
