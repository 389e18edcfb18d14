"""A message as one JSON line, exactly, or the reason why it cannot be one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from base_ops.worker.connectors.extras import require

Value = Literal["json", "text", "bytes"]
Headers = Sequence[tuple[str, bytes | str | None]]
_LINES = bytes.maketrans(b"\r\n", b"  ")
"""Inside JSON texts raw line ends can only be white space between tokens."""


class Poison(Exception):
    """A message that is not what the source says it is."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


class Envelope:
    """Writes the lines of one source's messages."""

    def __init__(self, value: Value, key: Literal["text", "bytes"] = "text", *, extra: str = "sse") -> None:
        """`extra` is the one to install where the JSON library is missing."""
        orjson = require("orjson", extra)
        self._dumps, self._loads, self._json_error = orjson.dumps, orjson.loads, orjson.JSONDecodeError
        writers: dict[str, Callable[[bytes], bytes]] = {"json": self._json, "text": self._text, "bytes": _base64}
        self._value, self._key = writers[value], writers[key]

    def line(self, facts: bytes, headers: Headers, value: bytes | None, key: bytes | None = None) -> bytes:
        """The message's line; `facts` are members of an object, e.g. `"offset":1`, without braces.

        Raises:
            Poison: value or key are not what they should be.
        """
        return b'{%b,"key":%b,"headers":%b,"value":%b}\n' % (
            facts,
            b"null" if key is None else self._field("key", self._key, key),
            self._dumps([_header(*pair) for pair in headers]) if headers else b"[]",
            b"null" if value is None else self._field("value", self._value, value),
        )

    def dead(
        self, poison: Poison, facts: bytes, headers: Headers, value: bytes | None, key: bytes | None, batch: str
    ) -> bytes:
        """The line of a message that cannot be used: everything of it, and why."""
        return b'{"rule":%b,"reason":%b,"batch":%b,%b,"key_base64":%b,"headers":%b,"value_base64":%b}\n' % (
            self._dumps(poison.rule),
            self._dumps(poison.reason),
            self._dumps(batch),
            facts,
            b"null" if key is None else _base64(key),
            self._dumps([_header(*pair) for pair in headers]) if headers else b"[]",
            b"null" if value is None else _base64(value),
        )

    def members(self, **facts: Any) -> bytes:
        """Facts as members of a JSON object, without braces."""
        return bytes(self._dumps(facts)[1:-1])

    def _field(self, name: str, write: Callable[[bytes], bytes], data: bytes) -> bytes:
        try:
            return write(data)
        except Poison as fault:
            raise Poison(fault.rule, f"the {name} {fault.reason}") from None

    def _json(self, data: bytes) -> bytes:
        try:
            self._loads(data)
        except self._json_error as error:
            raise Poison("not_json", f"is not JSON: {_told(error)}") from None
        return data.translate(_LINES) if b"\n" in data or b"\r" in data else data

    def _text(self, data: bytes) -> bytes:
        try:
            return bytes(self._dumps(data.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise Poison("not_text", f"is not UTF-8 at byte {error.start}") from None


def _told(error: ValueError) -> str:
    """What is wrong and where, without the data."""
    return f"{getattr(error, 'msg', 'not readable')} at character {getattr(error, 'pos', 0) + 1}"


def _base64(data: bytes) -> bytes:
    return b'"' + base64.b64encode(data) + b'"'


def _header(name: str, value: bytes | str | None) -> dict[str, str | None]:
    """Text as text; what is not UTF-8 under another name, as base64."""
    if not isinstance(value, bytes):
        return {"name": name, "value": value}
    try:
        return {"name": name, "value": value.decode("utf-8")}
    except UnicodeDecodeError:
        return {"name": name, "value": None, "base64": base64.b64encode(value).decode()}


def json_time(ms: int | None) -> bytes:
    """Milliseconds since 1970 as ISO 8601 in quotes; null for None and for what no calendar has."""
    if ms is None:
        return b"null"
    try:
        return b'"%b.%03dZ"' % (_second(ms // 1000).encode(), ms % 1000)
    except (ValueError, OverflowError, OSError):
        return b"null"


@lru_cache(maxsize=4096)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]
