"""Values of FIX fields by their data types, and entries of repeating groups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from base_ops.worker.formats.fix.dictionary import GROUPS, TYPES, name_of
from base_ops.worker.formats.records.values import Refused

MAX_DEPTH = 8
SCALE = 15
_INT = re.compile(r"-?\d{1,18}")
_DECIMAL = re.compile(r"-?(\d*)(?:\.(\d*))?")
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?")
_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
_EXPECTED = {"I": "an integer", "D": "a decimal number", "T": "YYYYMMDD-HH:MM:SS", "L": "YYYYMMDD", "B": "Y or N"}

COLUMN_TYPES = {"I": "int64", "D": f"decimal(38,{SCALE})", "T": "timestamp_utc", "L": "date", "#": "int64"}

Fields = Sequence[tuple[int, str]]


def record(fields: Fields) -> dict[str, Any]:
    """The columns of a message, groups as lists of objects. Raises Refused."""
    found: dict[str, Any] = {}
    index = 0
    while index < len(fields):
        tag, value = fields[index]
        name = name_of(tag)
        if name in found:
            raise Refused("duplicate_field", "the field stands twice outside a group", name)
        if tag in GROUPS:
            found[name], index = _group(fields, index, 1)
        else:
            found[name] = _top(tag, value)
            index += 1
    return found


def _group(fields: Fields, index: int, depth: int) -> tuple[list[dict[str, Any]] | None, int]:
    """The entries of the group whose NoXXX field stands at `index`, and where they end."""
    tag, text = fields[index]
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise Refused("group_size", "the number of entries is no number", name_of(tag))
    count, members = int(text), GROUPS[tag]
    index += 1
    if count == 0:
        return None, index
    if depth > MAX_DEPTH:
        raise Refused("too_deep", f"groups nested more than {MAX_DEPTH} deep", name_of(tag))
    first = fields[index][0] if index < len(fields) else 0
    if first not in members:
        raise Refused("group_size", f"{count} entries are told, none is there", name_of(tag))
    entries: list[dict[str, Any]] = []
    entry: dict[str, Any] = {}
    while index < len(fields) and (inner := fields[index][0]) in members:
        if inner == first:
            if len(entries) == count:
                raise Refused("group_size", f"{count} entries are told, more are there", name_of(tag))
            entry = {}
            entries.append(entry)
        name = name_of(inner)
        if name in entry:
            raise Refused("duplicate_field", "the field stands twice in one entry of a group", name)
        if inner in GROUPS:
            nested, index = _group(fields, index, depth + 1)
            if nested is not None:
                entry[name] = nested
        else:
            entry[name] = _inside(inner, fields[index][1])
            index += 1
    if len(entries) != count:
        raise Refused("group_size", f"{count} entries are told, {len(entries)} are there", name_of(tag))
    return entries, index


def _top(tag: int, text: str) -> Any:
    """A value as a text that worker/types.py reads, or a boolean."""
    kind = TYPES.get(tag, "S")
    if kind in "SX":
        return text
    if kind == "B":
        return _boolean(tag, text)
    if kind == "T":
        return _stamp(tag, text) + "Z"
    if kind == "L":
        return _day(tag, text).isoformat()
    return _number(tag, kind, text)


def _inside(tag: int, text: str) -> Any:
    """As `_top`; days and timestamps as numbers since 1970, which polars can cast inside a list."""
    kind = TYPES.get(tag, "S")
    if kind == "T":
        stamp = _stamp(tag, text)
        if len(stamp) > 26 and stamp[26:].strip("0"):
            raise Refused("type", "nanoseconds are not read inside a group", name_of(tag))
        since = datetime.fromisoformat(stamp[:26]) - _EPOCH
        return str((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    if kind == "L":
        return str(_day(tag, text).toordinal() - _EPOCH.toordinal())
    return _top(tag, text)


def _wrong(tag: int) -> Refused:
    return Refused("type", f"expected {_EXPECTED.get(TYPES.get(tag, 'S'), 'a number')}", name_of(tag))


def _boolean(tag: int, text: str) -> bool:
    if text not in ("Y", "N"):
        raise _wrong(tag)
    return text == "Y"


def _number(tag: int, kind: str, text: str) -> str:
    if kind == "D":
        found = _DECIMAL.fullmatch(text)
        if found is None or not (found[1] or found[2]):
            raise _wrong(tag)
        whole, fraction = found[1].lstrip("0"), (found[2] or "").rstrip("0")
        if len(whole) > 38 - SCALE or len(fraction) > SCALE:
            raise Refused("type", f"the number does not fit decimal(38,{SCALE})", name_of(tag))
        return ("-" if text[0] == "-" else "") + (found[1] or "0") + ("." + fraction if fraction else "")
    if _INT.fullmatch(text) is None or not text.isascii():
        raise _wrong(tag)
    return text


def _stamp(tag: int, text: str) -> str:
    found = _STAMP.fullmatch(text)
    if found is None or not text.isascii():
        raise _wrong(tag)
    fraction = (found[5] or "").rstrip("0")
    if len(fraction) > 9:
        raise Refused("type", "fractions finer than a nanosecond are not read", name_of(tag))
    day = f"{found[1]}-{found[2]}-{found[3]}T{found[4]}"
    try:
        datetime.fromisoformat(day)
    except ValueError:
        raise _wrong(tag) from None
    return f"{day}.{fraction}" if fraction else day


def _day(tag: int, text: str) -> date:
    found = _DAY.fullmatch(text)
    try:
        if found is None or not text.isascii():
            raise _wrong(tag)
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        raise _wrong(tag) from None
