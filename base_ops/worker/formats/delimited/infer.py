"""Types of text columns, from a sample: the narrowest type that keeps every text's meaning, else text.

What looks like a number but is a name stays text: leading zeros, long numbers with a plus. Integers beyond 64 bits
and numbers with more digits than a float64 holds become decimals. Dates that fit day/month and month/day alike
stay text and are reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from base_ops.core.protocol import Finding
from base_ops.worker.types import TimeUnit, parse_expr, unit_of

ENOUGH = 0.95
"""Share of the sample's cells that must fit; the others will be refused, one by one, with a reason."""

_INT = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NAMED_NUMBER = r"(?i)^([+-]?inf(inity)?|nan)$"
_NAME = r"^[+-]?0\d|^\+\d{7,}$"
_ISO_STAMP = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?"
_OFFSET = r" ?(Z|[+-]\d\d(:?\d\d)?)$"

_DATE_SHAPES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), formats)
    for pattern, formats in (
        (r"\d{4}/\d\d?/\d\d?", ("%Y/%m/%d",)),
        (r"\d{4}\.\d\d?\.\d\d?", ("%Y.%m.%d",)),
        (r"\d{4}-\d\d?-\d\d?", ("%Y-%m-%d",)),
        (r"\d\d?/\d\d?/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
        (r"\d\d?\.\d\d?\.\d{4}", ("%d.%m.%Y", "%m.%d.%Y")),
        (r"\d\d?-\d\d?-\d{4}", ("%d-%m-%Y", "%m-%d-%Y")),
        (r"\d\d? [A-Za-z]{3,9} \d{4}", ("%d %b %Y", "%d %B %Y")),
        (r"\d\d?-[A-Za-z]{3}-\d{4}", ("%d-%b-%Y",)),
        (r"[A-Za-z]{3,9} \d\d?, \d{4}", ("%b %d, %Y", "%B %d, %Y")),
    )
)
_TIME_SHAPES = tuple(
    (re.compile(pattern + r"\Z"), format)
    for pattern, format in (
        (r"", ""),
        (r"[ T]\d\d?:\d\d", "{}%H:%M"),
        (r"[ T]\d\d?:\d\d:\d\d", "{}%H:%M:%S"),
        (r"[ T]\d\d?:\d\d:\d\d\.\d+", "{}%H:%M:%S%.f"),
        (r" \d\d?:\d\d [AaPp][Mm]", "{}%I:%M %p"),
        (r" \d\d?:\d\d:\d\d [AaPp][Mm]", "{}%I:%M:%S %p"),
    )
)
_COMPACT = re.compile(r"\d{8}([ T])(\d{6}(?:\.\d+)?|\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\Z")


@dataclass(frozen=True)
class Guess:
    type: str = "string"
    format: str | None = None
    unit: TimeUnit = "us"
    finding: Finding | None = None


def infer(name: str, cells: pl.Series, decimal: str) -> Guess:
    """Type of a column, from its cells that hold something (no null tokens).

    Args:
        cells: texts as they stand in the file.
        decimal: decimal separator.
    """
    texts = cells.str.strip_chars(" ").rename("cell")
    texts = texts.filter(texts != "")
    if texts.is_empty():
        return Guess()
    if texts.str.to_lowercase().is_in(["true", "false"]).all():
        return Guess("boolean")
    return _number(texts, decimal) or _temporal(name, texts) or Guess()


def decimal_separator(sample: pl.DataFrame) -> str:
    """',' where numbers speak for it and none against; groups of three digits after a comma say nothing."""
    commas = points = False
    for series in sample.iter_columns():
        texts = series.drop_nulls().str.strip_chars(" ")
        texts = texts.filter(texts != "")
        if texts.is_empty():
            continue
        if texts.str.contains(r"^[+-]?\d*(,\d+)?$").all():
            commas |= bool(texts.str.contains(r",(\d{1,2}|\d{4,})$").any())
        elif texts.str.contains(r"^[+-]?\d*(\.\d+)?$").all():
            points |= bool(texts.str.contains(r"\.(\d{1,2}|\d{4,})$").any())
    return "," if commas and not points else "."


def _share(texts: pl.Series, type: str, format: str | None = None, unit: TimeUnit = "us") -> float:
    value = texts.to_frame().select(parse_expr("cell", type, format, unit=unit)).to_series()
    return 1 - value.null_count() / len(texts)


def _number(texts: pl.Series, decimal: str) -> Guess | None:
    if decimal == ",":
        texts = texts.filter(~texts.str.contains(".", literal=True)).str.replace(",", ".", literal=True)
        if texts.is_empty():
            return None
    plain = texts.str.contains(_NUMBER)
    named = texts.str.contains(_NAMED_NUMBER)
    numbers = texts.filter(plain)
    if (plain | named).mean() < ENOUGH or numbers.is_empty():  # type: ignore[operator]
        return None
    if numbers.str.contains(_NAME).any():
        return Guess()
    whole = numbers.str.contains(_INT)
    if whole.all() and not named.any():
        return Guess("int64") if _share(numbers, "int64") == 1 else _decimal(numbers)
    digits = numbers.str.replace(r"[eE].*$", "").str.replace_all(r"[+.-]", "").str.strip_chars_start("0")
    if digits.str.len_bytes().max() > 17 or numbers.str.contains(r"^[+-]?\d{16,}\.?0*$").any():  # type: ignore[operator]
        return _decimal(numbers) if not named.any() else Guess()
    return Guess("float64")


def _decimal(numbers: pl.Series) -> Guess:
    if numbers.str.contains(r"[eE]").any():
        return Guess()
    whole = _longest(numbers.str.extract(r"^[+-]?(\d*)"))
    scale = _longest(numbers.str.extract(r"\.(\d*)"))
    return Guess(f"decimal(38,{scale})") if whole + scale <= 38 else Guess()


def _longest(texts: pl.Series) -> int:
    return max((len(text) for text in texts.drop_nulls()), default=0)


def _temporal(name: str, texts: pl.Series) -> Guess | None:
    first = texts[0]
    if not re.match(r"[A-Za-z]{3,9} \d|\d", first) or len(first) > 40:
        return None
    if texts.str.contains(_ISO_STAMP).mean() >= ENOUGH:  # type: ignore[operator]
        return _iso_stamp(name, texts)
    if texts.str.contains(r"^\d\d?:\d\d(:\d\d(\.\d{1,9})?)?$").all() and _share(texts, "time") == 1:
        return Guess("time")
    formats = _formats_of(first)
    if not formats:
        return None
    type = "timestamp" if any("%M" in f for f in formats) else "date"
    unit = unit_of(texts)
    shares = {f: _share(texts, type, f, unit) for f in formats}
    best = max(shares, key=lambda f: shares[f])
    fitting = [f for f in formats if shares[f] == 1]
    if len(fitting) > 1 and "%B" not in formats[1]:
        return _ambiguous(name, texts[0], fitting)
    if len(formats) > 1 and not fitting:
        return None
    if best == "%Y-%m-%d":
        return Guess(type) if shares[best] >= ENOUGH else None
    return Guess(type, best, unit) if shares[best] >= ENOUGH else None


def _iso_stamp(name: str, texts: pl.Series) -> Guess | None:
    unit = unit_of(texts)
    zoned = texts.str.contains(_OFFSET) & texts.str.contains(":")
    zoned &= texts.str.contains(_ISO_STAMP + _OFFSET)
    share = float(zoned.mean())  # type: ignore[arg-type]
    type = "timestamp" if share == 0 else "timestamp_utc"
    if 0 < share < 1:
        message = f"{name}: some timestamps carry an offset and some do not; left as text"
        return Guess(finding=Finding(code="mixed_offsets", message=message, severity="warning", data={"column": name}))
    return Guess(type, None, unit) if _share(texts, type, None, unit) >= ENOUGH else None


def _formats_of(text: str) -> tuple[str, ...]:
    if compact := _COMPACT.match(text):
        clock = compact[2]
        time = "%H%M%S" if ":" not in clock else "%H:%M" if clock.count(":") == 1 else "%H:%M:%S"
        return (f"%Y%m%d{compact[1]}{time}{'%.f' if '.' in clock else ''}",)
    for pattern, formats in _DATE_SHAPES:
        if found := pattern.match(text):
            rest = text[found.end() :]
            for shape, clock in _TIME_SHAPES:
                if shape.match(rest):
                    return tuple(f + clock.format(rest[:1]) for f in formats)
    return ()


def _ambiguous(name: str, example: str, formats: list[str]) -> Guess:
    message = f"{name}: dates such as {example!r} fit {' and '.join(formats)} alike; left as text"
    finding = Finding(
        code="ambiguous_date",
        message=message,
        severity="warning",
        data={"column": name, "formats": list(formats), "todo": f"declare the column's type and format: {formats[0]}"},
    )
    return Guess(finding=finding)
