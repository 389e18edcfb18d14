"""Plain scalars by the YAML 1.2 core schema (§10.3.2)."""

from __future__ import annotations

import re
from typing import Any

from base_ops.worker.formats.records.values import FloatText, IntText, Refused, SpecialFloat

CORE = "tag:yaml.org,2002:"
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), SpecialFloat("nan")),
    **dict.fromkeys((sign + text for sign in ("", "+") for text in (".inf", ".Inf", ".INF")), SpecialFloat("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), SpecialFloat("-inf")),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL = re.compile(r"0o[0-7]{1,2000}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,2000}")
_FLOAT = re.compile(r"([-+]?)(?:(0|[1-9][0-9]*)(?:\.([0-9]*))?|\.([0-9]+))([eE][-+]?[0-9]+)?")


def plain(text: str) -> Any:
    """The value of a plain scalar, as the records' readers take it."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    first = text[0]
    if not (first.isdigit() or first in "+-.") or not text.isascii():
        return text
    if _INTEGER.fullmatch(text):
        return IntText(text.removeprefix("+"))
    if found := _FLOAT.fullmatch(text):
        sign, whole, fraction, bare, exponent = found.groups()
        digits = f"{whole or '0'}.{fraction or bare or '0'}" if fraction is not None or bare else whole
        return FloatText(f"{sign if sign == '-' else ''}{digits}{exponent or ''}")
    if _OCTAL.fullmatch(text):
        return IntText(int(text[2:], 8))
    if _HEX.fullmatch(text):
        return IntText(int(text[2:], 16))
    return text


def tagged(tag: str, text: str) -> Any:
    """The value of a scalar with a tag of the core schema. Raises Refused."""
    if tag in ("!", f"{CORE}str"):
        return text
    value = plain(text)
    kind = "str" if type(value) is str else _KINDS[type(value)]
    if tag == f"{CORE}float" and kind == "int":
        return FloatText(value)
    if tag != f"{CORE}{kind}":
        known = any(tag == f"{CORE}{name}" for name in _KINDS.values())
        reason = f"the value is no {tag.removeprefix(CORE)}" if known else f"the tag {tag[:100]!r} is not supported"
        raise Refused("tag", reason)
    return value


_KINDS = {type(None): "null", bool: "bool", IntText: "int", FloatText: "float", SpecialFloat: "float"}
