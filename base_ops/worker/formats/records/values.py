"""JSON values, exactly (RFC 8259): numbers keep their text, and what is not JSON is refused with a reason."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NoReturn

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec

MAX_DEPTH = 100
"""Deeper nesting is refused: no real record needs it, hostile ones do."""
WHITESPACE = " \t\n\r"
BOM = b"\xef\xbb\xbf"
IS_JSON = ("duplicate_key", "too_deep")
"""Verdicts on a record that is JSON, if not one to be used."""
_LITERALS = {None: "null", True: "true", False: "false"}
_quoted = json.encoder.encode_basestring
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class IntText(str):
    """The text of a JSON number without fraction or exponent."""

    __slots__ = ()


class FloatText(str):
    """The text of a JSON number with a fraction or an exponent."""

    __slots__ = ()


class SpecialFloat(FloatText):
    """`inf`, `-inf` or `nan`, of formats that have them; JSON has not."""

    __slots__ = ()


class Refused(Exception):
    """One record cannot be used; its neighbours can."""

    def __init__(self, rule: str, reason: str, column: str = "", at: int | None = None) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason
        self.column = column
        self.at = at
        """Index of the fault in the text, where known."""


class Decoder:
    """Strict decoding of one value at a time: no NaN, no duplicate keys, no lone surrogates, limited depth."""

    def __init__(self) -> None:
        self._repeated: str | None = None
        scanner = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=IntText,
            parse_float=FloatText,
            parse_constant=_constant,
        )
        self._scan = scanner.raw_decode

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs) and self._repeated is None:
            seen: set[str] = set()
            self._repeated = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        return value

    def value_at(self, text: str, start: int = 0) -> tuple[Any, int, Refused | None]:
        """The value that begins at `start`, where it ends, and why the record cannot be used although it is JSON.

        Raises:
            Refused: rule `syntax` or `too_deep`; where the value ends is not known.
        """
        self._repeated = None
        try:
            value, end = self._scan(text, start)
        except json.JSONDecodeError as error:
            reason = f"{error.msg} at character {error.pos - start + 1} of the record"
            raise Refused("syntax", reason, at=error.pos) from None
        except RecursionError:
            raise Refused("too_deep", f"nested more than {MAX_DEPTH} levels deep") from None
        fault = None
        if self._repeated is not None:
            fault = Refused("duplicate_key", "the key appears twice in one object", self._repeated[:100])
        elif _SURROGATE.search(text, start, end) and not _is_unicode(value):
            fault = Refused("encoding", "an escape names half of a surrogate pair")
        if text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH and depth(value) > MAX_DEPTH:
            fault = Refused("too_deep", f"nested more than {MAX_DEPTH} levels deep")
        return value, end, fault

    def document(self, text: str) -> Any:
        """The one value of a text. Raises Refused."""
        value, end, fault = self.value_at(text, skip_space(text, 0))
        if skip_space(text, end) != len(text):
            raise Refused("syntax", f"more text after the value, at character {end + 1} of the record")
        if fault is not None:
            raise fault
        return value


def refuse_other_encodings(spec: ReadSpec) -> None:
    """RFC 8259 §8.1: JSON is UTF-8."""
    if spec.encoding is not None and spec.encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
        raise ConfigError(
            f"encoding={spec.encoding!r} is not possible for JSON, which is UTF-8",
            code="unsupported_encoding",
            where="spec.read.encoding",
            todo="leave encoding out, or convert the file to UTF-8",
        )


def skip_space(text: str, start: int) -> int:
    """Index of the first character from `start` on that is not JSON white space."""
    end = len(text)
    while start < end and text[start] in WHITESPACE:
        start += 1
    return start


def depth(value: Any) -> int:
    """Levels of objects and arrays, counted without recursion."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, level = stack.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, level)
            stack.extend((child, level + 1) for child in (item.values() if isinstance(item, dict) else item))
    return deepest


def to_json(value: Any) -> str:
    """The compact JSON text of a decoded value; numbers as they were written, those that JSON has not as strings."""
    kind = type(value)
    if kind is IntText or kind is FloatText:
        return str(value)
    if kind is SpecialFloat:
        return f'"{value}"'
    if kind is bytes:  # of formats that have them
        return f'{{"base64":"{base64.b64encode(value).decode()}"}}'
    if kind is str:
        return _quoted(value)
    if kind is dict:
        return "{" + ",".join([f"{_quoted(k)}:{to_json(v)}" for k, v in value.items()]) + "}"
    if kind is list:
        return "[" + ",".join(map(to_json, value)) + "]"
    return _LITERALS[value]


def kind_of(value: Any) -> str:
    """The JSON name of a value's kind, for messages."""
    if isinstance(value, IntText | FloatText):
        return "number"
    names: dict[type, str] = {str: "string", bytes: "bytes", bool: "boolean", dict: "object", list: "array"}
    return names.get(type(value), "null")


def _is_unicode(value: Any) -> bool:
    try:
        to_json(value).encode()
    except UnicodeEncodeError:
        return False
    except RecursionError:
        return True  # the depth check refuses it
    return True


def _constant(name: str) -> NoReturn:
    raise Refused("syntax", f"{name} is not JSON")


class LineDecoder:
    """Decodes lines one by one, strictly."""

    def __init__(self, max_record_bytes: int) -> None:
        self._max_record_bytes = max_record_bytes
        self._decoder = Decoder()

    def decode(self, line: bytes) -> dict[str, Any]:
        """The object in a line. Raises Refused."""
        if len(line) > self._max_record_bytes:
            raise Refused("record_too_long", "")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise Refused("encoding", f"not UTF-8 at byte {error.start + 1} of the record") from None
        if "\0" in text:
            raise Refused("encoding", f"a NUL byte at byte {line.index(0) + 1} of the record")
        record = self._decoder.document(text)
        if not isinstance(record, dict):
            raise Refused("not_an_object", f"expected an object, found {kind_of(record)}")
        return record
