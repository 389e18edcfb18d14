"""Literals of SQL to texts: the usual ones a column at a time, the others one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.sql_dump.grammar import Grammar

_MYSQL_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_POSTGRES_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)|''", re.S)
_COPY_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.S)
_USUAL = r"^(?:'[^'\\]*'|[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|(?i:NULL))$"
_PREFIXED = re.compile(r"(_\w+|[nexb]|date|timestamp|time)\s*(?=')", re.I)
_CALL = re.compile(r"([^\W\d][\w.]*)\s*\(", re.I)
_CAST = re.compile(r"::[^|]*\Z")
_ORACLE_FORMATS = {
    "YYYY": "%Y", "RRRR": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "HH12": "%I", "HH": "%I", "MI": "%M",
    "SS": "%S", "MON": "%b", "MONTH": "%B", "RR": "%y", "YY": "%y", "AM": "%p", "PM": "%p",
}  # fmt: skip


class Literals:
    """The literals of one dialect."""

    def __init__(self, grammar: Grammar) -> None:
        self._dialect = grammar.dialect
        self._value = re.compile(rf"\s*({grammar.value}|[^\W\d]\w*)\s*", re.I | re.S)
        self._part = re.compile(rf"\s*({grammar.literal})\s*(?:\|\||\Z)", re.I | re.S)

    def column(self, tokens: Sequence[str], *, is_copy: bool, is_binary: bool) -> tuple[pl.Series, dict[int, Refused]]:
        """Texts of one column's values (null: NULL), and those that are none.

        Args:
            is_binary: give bytes as hexadecimal digits.
        """
        try:
            raw = pl.Series("cell", tokens, pl.String)
        except UnicodeEncodeError:  # bytes that are not of the encoding
            return self._one_by_one(tokens, range(len(tokens)), is_copy, is_binary)
        if is_copy:
            plain = ~raw.str.contains("\\", literal=True)
            value = raw
        else:
            plain = raw.str.contains(_USUAL)
            value = raw.str.strip_prefix("'").str.strip_suffix("'")
            is_null = raw.str.to_uppercase() == "NULL"
            value = value.set(is_null, None) if is_null.any() else value
        if is_binary:
            plain &= raw.str.to_uppercase() == "NULL"
        odd = (~plain).arg_true()
        if odd.is_empty():
            return value, {}
        slow, refused = self._one_by_one(tokens, odd.to_list(), is_copy, is_binary)
        return value.scatter(odd, slow), refused

    def _one_by_one(
        self, tokens: Sequence[str], rows: Sequence[int], is_copy: bool, is_binary: bool
    ) -> tuple[pl.Series, dict[int, Refused]]:
        texts: list[str | None] = []
        refused: dict[int, Refused] = {}
        for row in rows:
            try:
                value = _copied(tokens[row]) if is_copy else self.value(tokens[row])
                texts.append(_as_text(value, is_binary))
            except Refused as verdict:
                refused[row] = verdict
                texts.append(None)
        return pl.Series("cell", texts, pl.String), refused

    # -- one value

    def value(self, token: str) -> str | bytes | None:
        """What a literal stands for. Raises Refused (rule `expression`)."""
        parts, at = [], 0
        while at < len(token):
            found = self._part.match(token, at)
            if found is None:
                raise Refused("expression", "a value is neither a literal nor a function that can be read")
            parts.append(self._literal(found[1]))
            at = found.end()
        if len(parts) == 1:
            return parts[0]
        if not all(isinstance(part, str) for part in parts):
            raise Refused("expression", "parts of a text that are no texts")
        return "".join(str(part) for part in parts)

    def _literal(self, text: str) -> str | bytes | None:
        upper = text.upper()
        if upper == "NULL":
            return None
        if upper in ("TRUE", "FALSE"):
            return upper.lower()
        if text[0] == "'" or (text[0] == '"' and self._dialect == "mysql"):
            return self._string(text)
        if upper.startswith("0X"):
            return _hex(text[2:])
        if text[0] in "+-.0123456789":
            return _CAST.sub("", re.sub(r"\s", "", text))
        if text[0] == "$":
            return text.split("$", 2)[2].rsplit("$", 2)[0]
        if self._dialect == "oracle" and (found := re.match(r"n?q'(.)", text, re.I)):
            return text[found.end() : -2]
        if found := _PREFIXED.match(text):
            return self._prefixed(found[1].lower(), text[found.end() :])
        if found := _CALL.match(text):
            return self._call(found[1].lower(), _CAST.sub("", text)[found.end() : -1] if text[-1] == ")" else "")
        raise Refused("expression", f"the word {text[:40]!r} is no value")

    def _string(self, text: str, *, escapes: bool = False) -> str:
        end = text.rindex(text[0])
        inner = text[1:end]
        if self._dialect == "mysql":
            doubled = text[0] * 2
            return re.sub(rf"\\(.)|{doubled}", lambda m: _unescaped(m, text[0]), inner, flags=re.S)
        if escapes:
            return _ESCAPE.sub(_postgres_escape, inner)
        return inner.replace("''", "'")

    def _prefixed(self, prefix: str, text: str) -> str | bytes | None:
        if prefix == "x":
            return _hex(text[1:-1])
        if prefix == "b":
            bits = text[1:-1]
            if set(bits) - {"0", "1"}:
                raise Refused("expression", "bits that are neither 0 nor 1")
            return str(int(bits or "0", 2)) if self._dialect == "mysql" else bits
        value = self._string(text, escapes=prefix == "e")
        return value.encode("utf-8", "surrogateescape") if prefix == "_binary" else value

    # -- functions

    def _call(self, name: str, inner: str) -> str | bytes | None:
        arguments = self._arguments(inner)
        if name in ("cast", "try_cast", "convert") and arguments:
            return self.value(arguments[int(name == "convert" and self._dialect == "sqlserver" and len(arguments) > 1)])
        if name == "hextoraw" and len(arguments) == 1:
            return _hex(str(self.value(arguments[0])))
        if name in ("to_date", "to_timestamp", "to_timestamp_tz") and 1 <= len(arguments) <= 3:
            values = [self.value(argument) for argument in arguments[:2]]
            return _oracle_time(values[0], values[1] if len(values) > 1 else None)
        if name == "replace" and len(arguments) == 3:
            whole, old, new = (self.value(argument) for argument in arguments)
            if isinstance(whole, str) and isinstance(old, str) and isinstance(new, str):
                return whole.replace(old, new) if old else whole
        if name in ("char", "chr", "nchar") and all(re.fullmatch(r"[0-9]{1,6}", a) for a in arguments):
            return "".join(chr(int(a)) for a in arguments)
        if name == "unistr" and len(arguments) == 1 and isinstance(text := self.value(arguments[0]), str):
            return re.sub(r"\\(?:u?([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(\\))", _unistr, text)
        raise Refused("expression", f"the function {name[:40]} is not evaluated")

    def _arguments(self, inner: str) -> list[str]:
        found, at = [], 0
        while match := self._value.match(inner, at):
            found.append(match[1].strip())
            at = match.end()
            after = re.compile(r",|AS\b.*", re.I | re.S).match(inner, at)
            if after is None:
                break
            at = after.end()
        if at != len(inner):
            raise Refused("expression", "arguments of a function that cannot be read")
        return found


def _unescaped(found: re.Match[str], quote: str) -> str:
    char = found[1]
    if char is None:
        return quote
    return f"\\{char}" if char in "%_" else _MYSQL_ESCAPES.get(char, char)


def _postgres_escape(found: re.Match[str]) -> str:
    char = found[1]
    if char is None:
        return "'"
    if char[0] in "uU" and len(char) > 1:
        return _character(int(char[1:], 16))
    return _postgres_byte(char)


def _postgres_byte(char: str) -> str:
    if char[0] == "x" and len(char) > 1:
        code = int(char[1:], 16)
    elif char[0] in "01234567":
        code = int(char, 8)
    else:
        return _POSTGRES_ESCAPES.get(char, char)
    if code > 0x7F:
        raise Refused("encoding", "an escape that is a byte of a longer character")
    return chr(code)


def _character(code: int) -> str:
    if code > 0x10FFFF:
        raise Refused("encoding", "an escape that is no character")
    return chr(code)


def _copied(text: str) -> str | None:
    return None if text == "\\N" else _COPY_ESCAPE.sub(lambda found: _postgres_byte(found[1]), text)


def _unistr(found: re.Match[str]) -> str:
    if found[3]:
        return "\\"
    return _character(int(found[1] or found[2], 16))


def _hex(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits if len(digits) % 2 == 0 else f"0{digits}")
    except ValueError:
        raise Refused("expression", "a hexadecimal literal with other characters") from None


def _as_text(value: str | bytes | None, is_binary: bool) -> str | None:
    if isinstance(value, bytes):
        return value.hex()
    if value is None:
        return None
    if is_binary:
        return value[2:].lower() if value.startswith("\\x") else value.encode("utf-8", "surrogateescape").hex()
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("encoding", "bytes that are not of the dump's encoding") from None
    return value


def _oracle_time(value: str | bytes | None, form: str | bytes | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not isinstance(form, str | None):
        raise Refused("expression", "a time that is no text")
    if form is None:
        return value
    fraction = ""
    if found := re.search(r"[.,]FF\d?", form, re.I):
        form = form[: found.start()] + form[found.end() :]
        digits = re.search(r"[.,](\d{1,9})(?!.*[.,]\d)", value)
        if digits is not None:
            value, fraction = value[: digits.start()] + value[digits.end() :], f".{digits[1]}"
    names = "|".join(sorted(_ORACLE_FORMATS, key=len, reverse=True))
    pattern = re.sub(names, lambda m: _ORACLE_FORMATS[m[0].upper()], form, flags=re.I)
    try:
        moment = datetime.strptime(value.strip(), pattern)  # noqa: DTZ007
    except ValueError:
        raise Refused("expression", "a time that is not of its own format") from None
    return moment.isoformat(" ") + fraction
