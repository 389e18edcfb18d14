"""Types of text columns, from a sample: the narrowest type that keeps every text's meaning, else text.

What looks like a number but is a name stays text: leading zeros, long numbers with a plus. Integers beyond 64 bits
and numbers with more digits than a float64 holds become decimals. Dates that fit day/month and month/day alike
stay text and are reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from base_ops.core.protocol import Finding
from base_ops.worker.formats.delimited.numbers import ENOUGH, NumberForm, grouped_form, written_number
from base_ops.worker.types import TimeUnit, parse_expr, unit_of

_SAFE_DIGITS = 16
"""A number of fewer characters fits a float64 exactly enough to be written back the same."""
_MOST_DIGITS = 17
"""As many does a program print of a float64."""
# polars and re mean the digits of every script by \d, which no number here is written with
_INT = r"^[+-]?[0-9]+$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NAMED_NUMBER = r"(?i)^([+-]?inf(inity)?|nan)$"
_NAME = r"^[+-]?0[0-9]|^\+[0-9]{7,}$"
_ISO_STAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_ISO_EXACT = re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(?:\.(\d{3}|\d{6}|\d{9}))?(Z?)\Z", re.ASCII)
_CLOCK = r"^[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?$"
_OFFSET = r" ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"

_DATE_SHAPES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern, re.ASCII), formats)
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
    (re.compile(pattern + r"\Z", re.ASCII), format)
    for pattern, format in (
        (r"", ""),
        (r"[ T]\d\d?:\d\d", "{}%H:%M"),
        (r"[ T]\d\d?:\d\d:\d\d", "{}%H:%M:%S"),
        (r"[ T]\d\d?:\d\d:\d\d\.\d+", "{}%H:%M:%S%.f"),
        (r" \d\d?:\d\d [AaPp][Mm]", "{}%I:%M %p"),
        (r" \d\d?:\d\d:\d\d [AaPp][Mm]", "{}%I:%M:%S %p"),
    )
)
_WRITTEN = re.compile(r"[(+-]?([$€£¥₹]|[A-Z]{1,3}[$ ]?)? ?[+-]?\d", re.ASCII)
_TIME_NAME = re.compile(r"(?i)time|date|epoch|stamp|(^|_)(ts|dt|day|at)(_|$)")
_EPOCHS = (946_684_800, 4_102_444_800)
"""Seconds since 1970 at the beginning of 2000 and of 2100."""
_COMPACT = re.compile(r"\d{8}([ T])(\d{6}(?:\.\d+)?|\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\Z", re.ASCII)


@dataclass(frozen=True)
class Guess:
    type: str = "string"
    format: str | None = None
    unit: TimeUnit = "us"
    finding: Finding | None = None
    form: NumberForm | None = None
    """Of numbers with thousands separators."""


def infer(names: Sequence[str], cells: pl.DataFrame, decimal: str) -> list[Guess]:
    """Types of columns, from their cells that hold something (null tokens are null); plainly written numbers only.

    Args:
        names: what each column is called in messages.
        cells: texts as they stand in the file.
        decimal: decimal separator.
    """
    if not names:
        return []
    texts = clean(cells, ())
    found = zip(names, texts.iter_columns(), traits_of(texts, decimal), strict=True)
    guesses = [(name, cells, guess_type(name, cells, traits, decimal)) for name, cells, traits in found]
    return [Guess(finding=written_number(n, cells.drop_nulls())) if g.form else g for n, cells, g in guesses]


def clean(sample: pl.DataFrame, nulls: Sequence[str]) -> pl.DataFrame:
    """The same texts without blanks around them; null where nothing is said. Columns are named by their place."""
    sample = pl.DataFrame([texts.alias(str(place)) for place, texts in enumerate(sample.iter_columns())])
    stripped = pl.all().str.strip_chars(" ")
    return (
        sample.select(pl.when(~pl.all().is_in(list(nulls)) & (stripped != "")).then(stripped))
        if sample.width
        else sample
    )


@dataclass(frozen=True)
class Traits:
    """What was counted of one column: its texts, those that are numbers, NaN or infinite, ISO timestamps; …"""

    count: int
    boolean: bool
    iso: int
    comparable: int
    """Texts that may be numbers under the decimal separator."""
    plain: int
    named: int
    names: bool = False
    """Some number may be a name: 007."""
    whole: bool = False
    too_long: int = 0
    """Numbers that are no int64."""
    low: int | None = None
    high: int | None = None
    longest: int = 0
    """Bytes of the longest number."""

    @property
    def is_numeric(self) -> bool:
        return bool(self.plain) and self.plain + self.named >= ENOUGH * self.comparable


def traits_of(texts: pl.DataFrame, decimal: str) -> list[Traits]:
    """The traits of all columns, counted together: asking for each column alone takes ten times as long."""
    every, written = pl.all(), _with_points(texts, decimal)
    shown = _rows(
        texts.select(every.count().name.suffix(" count")),
        texts.select(every.str.to_lowercase().is_in(["true", "false"]).all().name.suffix(" boolean")),
        texts.select(every.str.contains(_ISO_STAMP).sum().name.suffix(" iso")),
        written.select(every.count().name.suffix(" comparable")),
        written.select(every.str.contains(_NUMBER).sum().name.suffix(" plain")),
        written.select(every.str.contains(_NAMED_NUMBER).sum().name.suffix(" named")),
    )
    found = [Traits(**values) for values in shown]
    places = [str(place) for place, traits in enumerate(found) if traits.is_numeric]
    if places:
        numbers = written.select(places).select(pl.when(every.str.contains(_NUMBER)).then(every))
        integers = numbers.select(every.cast(pl.Int64, strict=False))
        more = _rows(
            numbers.select(every.str.contains(_NAME).any().name.suffix(" names")),
            numbers.select(every.str.contains(_INT).all().name.suffix(" whole")),
            integers.select(every.null_count().name.suffix(" too_long")),
            numbers.select(every.str.len_bytes().max().name.suffix(" longest")),
            integers.select(every.min().name.suffix(" low")),
            integers.select(every.max().name.suffix(" high")),
        )
        for place, values in zip(places, more, strict=True):
            traits = found[int(place)]
            values["too_long"] -= len(texts) - traits.plain
            found[int(place)] = replace(traits, **values)
    return found


def _rows(*counted: pl.DataFrame) -> list[dict[str, Any]]:
    """One mapping per column out of frames of one row whose columns are named "<place> <trait>"."""
    rows: dict[str, dict[str, Any]] = {}
    for frame in counted:
        for name, value in frame.row(0, named=True).items():
            place, trait = name.split(" ")
            rows.setdefault(place, {})[trait] = value
    return list(rows.values())


def _with_points(texts: pl.DataFrame, decimal: str) -> pl.DataFrame:
    """Texts with a point for the decimal comma; null where a point stands for something else."""
    if decimal == ".":
        return texts
    every = pl.all()
    return texts.select(pl.when(~every.str.contains(".", literal=True)).then(every.str.replace(",", ".", literal=True)))


def guess_type(name: str, texts: pl.Series, traits: Traits, decimal: str) -> Guess:
    """Type of a column, given what was counted of its clean texts."""
    if not traits.count:
        return Guess()
    if traits.boolean:
        return Guess("boolean")
    if traits.is_numeric:
        return _number(name, texts, traits, decimal)
    texts = texts.drop_nulls()
    return _temporal(name, texts, traits) or _written(name, texts) or Guess()


def _written(name: str, texts: pl.Series) -> Guess | None:
    """Numbers as people write them."""
    if not _WRITTEN.match(texts[0]):
        return None
    form = grouped_form(texts)
    guess = None
    if form is not None:
        plain = form.plain(texts).drop_nulls().rename("0")
        guess = guess_type(name, plain, traits_of(plain.to_frame(), ".")[0], ".")
    if guess is None or (guess.type not in ("int64", "float64") and not guess.type.startswith("decimal")):
        return Guess(finding=written_number(name, texts))
    assert form is not None
    message = f"{name}: numbers such as {texts[0]!r}, grouped by {form.thousands!r}, are read as {guess.type}"
    data = {"column": name, "thousands": form.thousands, "decimal": form.decimal}
    todo = "declare type: string to keep the texts"
    return replace(guess, form=form, finding=Finding(code="thousands", message=message, data={**data, "todo": todo}))


def decimal_separator(texts: pl.DataFrame) -> str:
    """',' where numbers speak for it and none against; groups of three digits after a comma say nothing."""
    every = pl.all()
    numeric = texts.select(every.str.contains(r"^[+-]?[0-9]*(,[0-9]+)?$").all() & (every.count() > 0)).row(0)
    commas = texts.select(name for name, is_so in zip(texts.columns, numeric, strict=True) if is_so)
    if not commas.width or not any(commas.select(every.str.contains(r",([0-9]{1,2}|[0-9]{4,})$").any()).row(0)):
        return "."
    plain = texts.select(every.str.contains(r"^[+-]?[0-9]*(\.[0-9]+)?$").all() & (every.count() > 0)).row(0)
    points = texts.select(name for name, is_so in zip(texts.columns, plain, strict=True) if is_so)
    fractions = points.select(every.str.contains(r"\.([0-9]{1,2}|[0-9]{4,})$").any())
    return "." if points.width and any(fractions.row(0)) else ","


def _share(texts: pl.Series, type: str, format: str | None = None, unit: TimeUnit = "us") -> float:
    value = texts.rename("cell").to_frame().select(parse_expr("cell", type, format, unit=unit)).to_series()
    return 1 - value.null_count() / len(texts)


def _number(name: str, texts: pl.Series, traits: Traits, decimal: str) -> Guess:
    if traits.names:
        return Guess()
    if traits.whole and not traits.named and not traits.too_long:
        assert traits.low is not None and traits.high is not None
        return Guess("int64", finding=_moments(name, texts, traits.low, traits.high))
    if traits.longest < _SAFE_DIGITS:
        return Guess("float64")
    numbers = _with_points(texts.to_frame(), decimal).to_series()
    numbers = numbers.filter(numbers.str.contains(_NUMBER).fill_null(False))
    if traits.whole and not traits.named:
        return _decimal(numbers)
    bare = numbers.str.replace(r"[eE].*$", "").str.replace_all(r"[+.-]", "").str.strip_chars_start("0")
    digits = bare.str.len_bytes()
    long = (digits > _MOST_DIGITS) | numbers.str.contains(r"^[+-]?[0-9]{16,}\.?0*$")
    # A program's print of floats: an odd one is refused, and makes no decimals of the others.
    of_a_program = 2 * int((digits >= _SAFE_DIGITS).sum()) > len(numbers)
    if long.any() and not (of_a_program and int(long.sum()) <= (1 - ENOUGH) * len(numbers)):
        return _decimal(numbers) if not traits.named else Guess()
    return Guess("float64")


def _moments(name: str, numbers: pl.Series, low: int, high: int) -> Finding | None:
    """Integers that may be moments stay what they are; this says what they may be."""
    hinted = bool(_TIME_NAME.search(name))
    for unit, scale in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        if _EPOCHS[0] * scale <= low <= high <= _EPOCHS[1] * scale and (hinted or (scale > 1 and low < high)):
            message = f"{name}: integers such as {low} may be moments in {unit} since 1970; left as int64"
            return Finding(code="epoch", message=message, data={"column": name, "unit": unit})
    if hinted and 19000101 <= low <= high <= 21001231 and _share(numbers.drop_nulls(), "date", "%Y%m%d") == 1:
        message = f"{name}: integers such as {low} may be dates; left as int64"
        todo = "declare type: date, format: '%Y%m%d'"
        return Finding(code="compact_date", message=message, data={"column": name, "todo": todo})
    return None


def _decimal(numbers: pl.Series) -> Guess:
    if numbers.str.contains(r"[eE]").any():
        return Guess()
    whole = _longest(numbers.str.extract(r"^[+-]?([0-9]*)"))
    scale = _longest(numbers.str.extract(r"\.([0-9]*)"))
    return Guess(f"decimal(38,{scale})") if whole + scale <= 38 else Guess()


def _longest(texts: pl.Series) -> int:
    return max((len(text) for text in texts.drop_nulls()), default=0)


def _temporal(name: str, texts: pl.Series, traits: Traits) -> Guess | None:
    first = texts[0]
    if not re.match(r"([A-Za-z]{3,9} )?[0-9]", first) or len(first) > 40:
        return None
    if traits.iso >= ENOUGH * traits.count:
        return _iso_stamp(name, texts)
    if texts.str.contains(_CLOCK).all() and _share(texts, "time") == 1:
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


def iso_format(text: str) -> tuple[str, bool] | None:
    """strptime format of an ISO 8601 timestamp, and whether it ends with Z; None where that cannot be read exactly."""
    found = _ISO_EXACT.match(text)
    if found is None:
        return None
    fraction = f".%{len(found[2])}f" if found[2] else ""
    return f"%Y-%m-%d{found[1]}%H:%M:%S{fraction}{found[3]}", bool(found[3])


def _iso_stamp(name: str, texts: pl.Series) -> Guess | None:
    if exact := iso_format(texts[0]):
        format, zulu = exact
        if not texts.str.to_datetime(format, strict=False, time_unit="us").has_nulls():
            return Guess("timestamp_utc" if zulu else "timestamp", None, "ns" if "%9f" in format else "us")
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
