"""One syslog message: RFC 5424 section 6, RFC 3164 section 4."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from base_ops.worker.formats.records.values import BOM, Refused, to_json

_NAME = rb'[^\x00-\x20\x7f-\xff="\]]{1,32}'
_PARAM = rb" " + _NAME + rb'="(?:[^"\\\]]|\\.)*"'
_ELEMENT = rb"\[" + _NAME + rb"(?:" + _PARAM + rb")*\]"
_RFC_5424 = re.compile(
    rb"<(0|[1-9]\d{0,2})>([1-9]\d?) (-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) "
    rb"([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) (-|(?:" + _ELEMENT + rb")+)(?: (.*))?",
    re.S,
)
_RFC_3164 = re.compile(
    rb"(?:<(0|[1-9]\d{0,2})>)?([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[0-9:.]{8,15}(?:Z|[+-]\d\d:\d\d)) "
    rb"([!-~]+) (?:([^\s\[\]:]{1,64})(?:\[([^\]\s]{1,128})\])?: ?)?(.*)",
    re.S,
)
_PIECE = re.compile(rb"\[(" + _NAME + rb")((?:" + _PARAM + rb")*)\]", re.S)
_PAIR = re.compile(rb" (" + _NAME + rb')="((?:[^"\\\]]|\\.)*)"', re.S)
_ESCAPE = re.compile(r'\\(["\\\]])')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp"),
    *("audit", "alert", "clock", *(f"local{n}" for n in range(8))),
)
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
TYPES = {"timestamp": "timestamp_utc", "facility": "int64", "severity": "int64", "version": "int64"}


class Parser:
    """Messages of one object, in order: the year of RFC 3164 times runs on over new year."""

    def __init__(self, codec: str, year: int | None, offset_minutes: int) -> None:
        self._codec, self._year, self._offset = codec, year, timedelta(minutes=offset_minutes)
        self._month = 0

    def parse(self, data: bytes) -> dict[str, Any]:
        """The columns of one message. Raises Refused."""
        if found := _RFC_5424.fullmatch(data):
            return self._modern(found)
        if found := _RFC_3164.fullmatch(data):
            return self._old(found)
        raise Refused("syntax", "neither RFC 5424 nor RFC 3164")

    def _modern(self, found: re.Match[bytes]) -> dict[str, Any]:
        pri, version, stamp, host, app, proc, msg, data, text = found.groups()
        row = self._row("rfc5424", pri)
        row["version"] = version.decode()
        row["timestamp"] = _text(stamp)
        row["host"], row["app_name"], row["proc_id"], row["msg_id"] = map(_text, (host, app, proc, msg))
        row["structured_data"] = None if data == b"-" else self._structured(data)
        row["message"] = None if text is None else self._decoded(text)
        return row

    def _old(self, found: re.Match[bytes]) -> dict[str, Any]:
        pri, stamp, host, app, proc, text = found.groups()
        row = self._row("rfc3164", pri)
        row["timestamp_text"] = stamp.decode()
        row["timestamp"] = stamp.decode() if stamp[:1].isdigit() else self._stamp(stamp.decode())
        row["host"] = host.decode()
        row["app_name"] = None if app is None else self._decoded(app)
        row["proc_id"] = None if proc is None else self._decoded(proc)
        row["message"] = self._decoded(text)
        return row

    def _row(self, format: str, pri: bytes | None) -> dict[str, Any]:
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row["format"] = format
        if pri is not None:
            number = int(pri)
            if number > 191:
                raise Refused("priority", "expected a priority of 0 to 191", "facility")
            row["facility"], row["severity"] = str(number >> 3), str(number & 7)
            row["facility_name"], row["severity_name"] = FACILITIES[number >> 3], SEVERITIES[number & 7]
        return row

    def _structured(self, data: bytes) -> str:
        elements: dict[str, Any] = {}
        for name, params in _PIECE.findall(data):
            values: dict[str, list[str]] = {}
            for key, value in _PAIR.findall(params):
                values.setdefault(key.decode(), []).append(_ESCAPE.sub(r"\1", self._decoded(value)))
            if name.decode() in elements:
                raise Refused("structured_data", "an element stands twice", "structured_data")
            elements[name.decode()] = {k: texts[0] if len(texts) == 1 else texts for k, texts in values.items()}
        return to_json(elements)

    def _stamp(self, text: str) -> str | None:
        """An RFC 3164 time as ISO 8601, where the year is known."""
        if text[:3] not in _MONTHS:
            raise Refused("type", "expected a time Mmm dd hh:mm:ss", "timestamp")
        if self._year is None:
            return None
        month = _MONTHS.index(text[:3]) + 1
        if self._month - month > 6:
            self._year += 1
        elif month - self._month > 6 and self._month:  # a late message of last year
            return self._iso(self._year - 1, month, text)
        self._month = month
        return self._iso(self._year, month, text)

    def _iso(self, year: int, month: int, text: str) -> str:
        try:
            local = datetime(year, month, int(text[4:6]), *map(int, text[7:].split(":")))  # type: ignore[arg-type]  # noqa: DTZ001
            return (local - self._offset).isoformat() + "Z"
        except (ValueError, OverflowError):
            raise Refused("type", "expected a time Mmm dd hh:mm:ss", "timestamp") from None

    def _decoded(self, data: bytes) -> str:
        codec = "utf-8" if data.startswith(BOM) else self._codec
        try:
            return data.removeprefix(BOM).decode(codec)
        except UnicodeDecodeError:
            raise Refused("encoding", f"the message holds bytes that are not {codec}") from None


COLUMNS = (
    *("format", "facility", "facility_name", "severity", "severity_name", "version", "timestamp", "timestamp_text"),
    *("host", "app_name", "proc_id", "msg_id", "structured_data", "message"),
)


def _text(value: bytes) -> str | None:
    return None if value == b"-" else value.decode()
