"""Texts of a workbook's XML: references resolved, and its own escapes for characters XML cannot hold."""

from __future__ import annotations

import re

import polars as pl

_REFERENCE = re.compile(r"&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w+));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


class NotXml(ValueError):
    """A reference to nothing."""


def unescaped(texts: pl.Series) -> pl.Series:
    """XML texts with their references resolved. Raises NotXml."""
    at = texts.str.contains("&", literal=True).arg_true()
    if at.is_empty():
        return texts
    return texts.scatter(at, [_resolved(text) for text in texts.gather(at)])


def _resolved(text: str) -> str:
    made, count = _REFERENCE.subn(_character, text)
    if count != text.count("&"):
        raise NotXml
    return made


def _character(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    if name is not None:
        if name not in _NAMED:
            raise NotXml
        return _NAMED[name]
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    if code in (9, 10, 13) or 32 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000:
        return chr(code)
    raise NotXml


def with_escapes(texts: pl.Series) -> pl.Series:
    """Texts with `_xHHHH_` as the character it stands for (ECMA-376 part 1, §22.9.2.19, ST_Xstring)."""
    at = texts.str.contains("_x", literal=True).arg_true()
    if at.is_empty():
        return texts
    return texts.scatter(at, [_unescape(text) for text in texts.gather(at)])


def _unescape(text: str) -> str:
    made = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return made.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
