"""The exact way: one record at a time, every cell with whether it was quoted. Slow; only odd records come here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from base_ops.worker.formats.delimited.dialect import Dialect

Cell = tuple[bytes, bool]
"""The cell's bytes as meant (unescaped), and whether it was quoted."""


def split_record(record: bytes, dialect: Dialect) -> list[Cell] | None:
    """Take apart one record (without its line end); None where its quotes are malformed.

    A quote opens only at the start of a cell; elsewhere it is a character like any other.
    """
    pattern = _cell_pattern(dialect.delimiter, dialect.quote, dialect.escape, dialect.padding)
    cells: list[Cell] = []
    position = 0
    while True:
        match = pattern.match(record, position)
        if match is None:
            return None
        quoted, plain = match.groups()
        if quoted is not None:
            cells.append((_unquote(quoted, dialect), True))
        else:
            cells.append((_unescape(plain, dialect), False))
        position = match.end() + 1
        if match.end() == len(record):
            return cells


def join_record(cells: Sequence[Cell], dialect: Dialect) -> bytes:
    """Write cells so that the plainest reader (RFC 4180) reads them back the same, quoted empties included."""
    quote = dialect.plain_quote.encode()
    special = (dialect.delimiter.encode(), quote, b"\r", b"\n")
    parts = []
    for value, quoted in cells:
        if quoted or any(mark in value for mark in special):
            value = quote + value.replace(quote, quote * 2) + quote
        parts.append(value)
    return dialect.delimiter.encode().join(parts)


@lru_cache(maxsize=64)
def _cell_pattern(delimiter: str, quote: str, escape: str, padding: bytes) -> re.Pattern[bytes]:
    d, q, e = (re.escape(mark.encode()) for mark in (delimiter, quote, escape))
    plain = rb"((?:%s[\s\S]|[^%s])*+)(?=%s|\Z)" % (e, d + e, d) if escape else rb"([^%s]*+)" % d
    if not quote:
        return re.compile(rb"(?:(\Zx)|%s)" % plain)
    inside = rb"(?:%s[\s\S]|%s%s|[^%s%s])*+" % (e, q, q, q, e) if escape else rb"(?:[^%s]|%s%s)*+" % (q, q, q)
    blanks = rb"[%s]*+" % padding if padding else b""
    return re.compile(rb"(?:%s%s(%s)%s%s(?=%s|\Z)|(?!%s%s)%s)" % (blanks, q, inside, q, blanks, d, blanks, q, plain))


def _unquote(value: bytes, dialect: Dialect) -> bytes:
    quote = dialect.quote.encode()
    if not dialect.escape:
        return value.replace(quote * 2, quote)
    mark = re.escape(dialect.escape.encode())
    return re.sub(rb"%s([\s\S])|%s(%s)" % (mark, re.escape(quote), re.escape(quote)), rb"\1\2", value)


def _unescape(value: bytes, dialect: Dialect) -> bytes:
    if not dialect.escape:
        return value
    return re.sub(rb"%s([\s\S])" % re.escape(dialect.escape.encode()), rb"\1", value)
