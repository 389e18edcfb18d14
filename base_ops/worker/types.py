"""The type vocabulary of base_ops, and the one way a text becomes a value: exactly, or not at all.

    int64 int32 float64 decimal(p,s) string boolean date time timestamp timestamp_utc

`parse_expr` never changes a value in silence: what does not fit becomes null, and the caller, who still holds the
text, tells such a bad cell from an empty one. In particular

- numbers may stand between blanks and carry a sign; thousands separators, `1_000`, hexadecimal and digits beyond
  the type's range or scale do not fit; a finite text never becomes infinity;
- a year takes four digits; second 60 and hour 24 do not exist; fractions finer than the unit do not fit;
- `timestamp` is naive and refuses an offset; `timestamp_utc` converts any offset, and reads a naive text as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import polars as pl

from base_ops.core.errors import ConfigError, did_you_mean

TimeUnit = Literal["us", "ns"]

TYPE_NAMES = (
    "int64",
    "int32",
    "float64",
    "decimal(p,s)",
    "string",
    "boolean",
    "date",
    "time",
    "timestamp",
    "timestamp_utc",
)
_PLAIN: dict[str, pl.DataType] = {
    "int64": pl.Int64(),
    "int32": pl.Int32(),
    "float64": pl.Float64(),
    "string": pl.String(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "time": pl.Time(),
}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
TRUE_TEXTS = ("true", "t", "yes", "y", "1")
FALSE_TEXTS = ("false", "f", "no", "n", "0")
_DATE = "%Y-%m-%d"
_TIMES = ("%H:%M:%S%.f", "%H:%M")
_STAMPS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", _DATE)
_ZONED = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f %#z",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M%#z",
)
_NS_YEARS = (1678, 2261)
_OFFSET = re.compile(r"%(:|#|::)?z|%\+")


def dtype_of(name: str, unit: TimeUnit = "us") -> pl.DataType:
    """The polars type of a type name; `unit` is that of timestamps.

    Raises:
        ConfigError: the name is not known.
    """
    if name in _PLAIN:
        return _PLAIN[name]
    if name == "timestamp":
        return pl.Datetime(unit)
    if name == "timestamp_utc":
        return pl.Datetime(unit, "UTC")
    if found := _DECIMAL.fullmatch(name):
        precision, scale = int(found[1]), int(found[2])
        if 1 <= precision <= 38 and scale <= precision:
            return pl.Decimal(precision, scale)
    raise ConfigError(
        f"The type {name!r} is not known. {did_you_mean(name, TYPE_NAMES)}",
        code="unknown_type",
        expected="for decimals a precision of 1 to 38 and a scale up to it, e.g. decimal(18,4)",
    )


def type_name(dtype: pl.DataType) -> str:
    """The name of a polars type; of one outside the vocabulary (lists, structs, …) its polars name in lower case."""
    for name, known in _PLAIN.items():
        if dtype == known:
            return name
    if isinstance(dtype, pl.Datetime):
        return "timestamp" if dtype.time_zone is None else "timestamp_utc"
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    return str(dtype).lower()


def walk(dtype: pl.DataType) -> Iterator[pl.DataType]:
    """A type and all inside it."""
    yield dtype
    if isinstance(dtype, pl.List | pl.Array):
        yield from walk(_instance(dtype.inner))
    elif isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from walk(_instance(field.dtype))
    elif isinstance(dtype, pl.Map):
        yield from walk(_instance(dtype.key))
        yield from walk(_instance(dtype.value))


def _instance(dtype: Any) -> pl.DataType:
    found: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return found


def has_decimals(dtype: pl.DataType) -> bool:
    """Whether there is one, at any depth."""
    return any(isinstance(inner, pl.Decimal) for inner in walk(dtype))


def parse_expr(
    column: str,
    type: str,
    format: str | None = None,
    decimal: str | None = None,
    unit: TimeUnit = "us",
) -> pl.Expr:
    """Cast a text column to a type of the vocabulary, null where a text does not fit exactly.

    Args:
        column: name of a String column; the result keeps the name.
        type: name of the type.
        format: strptime format of dates and times; default ISO 8601.
        decimal: decimal separator, '.' or ','.
        unit: of timestamps; `ns` where texts have 7 to 9 fractional digits (see `unit_of`).

    Raises:
        ConfigError: the type is not known.
    """
    dtype = dtype_of(type, unit)
    text = pl.col(column)
    if type == "string":
        return text
    text = text.str.strip_chars(" ")
    if type == "boolean":
        return _boolean(text).alias(column)
    if type == "date":
        return _four_digit_year(text, text.str.to_date(format or _DATE, strict=False)).alias(column)
    if type == "time":
        return _time(text, format).alias(column)
    if isinstance(dtype, pl.Datetime):
        return _timestamp(text, dtype, format).alias(column)
    return _number(text, dtype, decimal).alias(column)


def unit_of(texts: pl.Series) -> TimeUnit:
    """`ns` where some text has seven to nine fractional digits of a second, else `us`."""
    return "ns" if texts.str.contains(r"[0-9][.,][0-9]{7,9}([^0-9]|$)").any() else "us"


def bad_cells(column: str, text: pl.Series, value: pl.Series, nulls: Iterable[str] = ()) -> pl.Series:
    """Which cells hold a text that did not become a value (null tokens and blank cells are no text)."""
    stripped = text.str.strip_chars(" ")
    return (text.is_not_null() & value.is_null() & (stripped != "") & ~stripped.is_in(list(nulls))).rename(column)


def _number(text: pl.Expr, dtype: pl.DataType, decimal: str | None) -> pl.Expr:
    if decimal == ",":
        text = pl.when(~text.str.contains(".", literal=True)).then(text.str.replace(",", ".", literal=True))
    if isinstance(dtype, pl.Decimal):
        fits = text.str.contains(
            rf"^[+-]?([0-9]+\.?|[0-9]*\.[0-9]{{1,{dtype.scale}}}0*|[0-9]+\.0*)$"
            if dtype.scale
            else r"^[+-]?[0-9]+(\.0*)?$"
        )
        return pl.when(fits).then(text).cast(dtype, strict=False)
    value = text.cast(dtype, strict=False)
    if dtype.is_float():
        named = text.str.contains(r"(?i)^[+-]?inf(inity)?$")
        return pl.when(value.is_infinite() & ~named).then(None).otherwise(value)
    return value


def _boolean(text: pl.Expr) -> pl.Expr:
    lower = text.str.to_lowercase()
    return pl.when(lower.is_in(TRUE_TEXTS)).then(True).when(lower.is_in(FALSE_TEXTS)).then(False).otherwise(None)


def _four_digit_year(text: pl.Expr, value: pl.Expr) -> pl.Expr:
    """chrono reads `24` as the year 24 under %Y."""
    return pl.when((value.dt.year() >= 1000) | text.str.contains(r"^[^.]*[0-9]{4}")).then(value)


def _fine(text: pl.Expr, digits: int) -> pl.Expr:
    """Without what chrono bends: second 60 becomes the next minute, digits beyond the unit are cut."""
    return pl.when(~text.str.contains(rf":60([^0-9]|$)|:[0-9]{{2}}[.,][0-9]{{{digits}}}[0-9]*[1-9]")).then(text)


def _time(text: pl.Expr, format: str | None) -> pl.Expr:
    text = _fine(text, 9)
    return pl.coalesce([text.str.to_time(f, strict=False) for f in ((format,) if format else _TIMES)])


def _timestamp(text: pl.Expr, dtype: pl.Datetime, format: str | None) -> pl.Expr:
    unit: TimeUnit = "ns" if dtype.time_unit == "ns" else "us"
    zone = "UTC" if dtype.time_zone else None
    fine = _fine(text, 9 if unit == "ns" else 6)
    value = _four_digit_year(text, _parse_stamps(fine, zone, format, unit))
    if format is not None and "%S" in format and ":%S" not in format and not _OFFSET.search(format):
        bent = text.str.contains("60", literal=True) & (value.dt.second() == 0) & (value.dt.to_string(format) != text)
        value = pl.when(~bent).then(value)
    if unit == "ns":  # beyond these years nanoseconds overflow an int64, which polars lets wrap
        value = pl.when(_parse_stamps(fine, zone, format, "us").dt.year().is_between(*_NS_YEARS)).then(value)
    return value


def _parse_stamps(text: pl.Expr, zone: str | None, format: str | None, unit: TimeUnit) -> pl.Expr:
    with_offset = _ZONED if format is None else (format,) if _OFFSET.search(format) else ()
    naive = _STAMPS if format is None else () if with_offset else (format,)
    values = [text.str.to_datetime(f, strict=False, time_unit=unit) for f in naive]
    if zone is not None:
        values = [value.dt.replace_time_zone(zone) for value in values]
        values += [text.str.to_datetime(f, strict=False, time_unit=unit, time_zone=zone) for f in with_offset]
    # a format with an offset for a naive timestamp: nothing can fit
    return pl.coalesce(values) if values else pl.lit(None, dtype=pl.Datetime(unit))
