"""Constants that people write in YAML or SQL, read as the type of the column they are compared with."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from base_ops.core.errors import ConfigError

_MAX_PATTERN_CHARS = 1_000


def number_of(raw: int | float | str, where: str) -> Decimal:
    """The exact number a literal stands for (0.1 is one tenth). Raises ConfigError for anything else, also NaN."""
    try:
        number = Decimal(str(raw).strip()) if not isinstance(raw, bool) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if number.is_nan():
        raise _bad(raw, where, "a number")
    return number


def moment_of(raw: Any, dtype: pl.DataType, where: str) -> date | datetime | time:
    """An ISO 8601 text as date, time or timestamp.

    Without an offset it is local time in the column's zone; with one next to a column without a zone it is
    turned to UTC, which is what such columns hold.
    """
    if not isinstance(raw, str):
        raise _bad(raw, where, f"ISO 8601 text for a column of type {dtype}")
    try:
        if dtype == pl.Date:
            return date.fromisoformat(raw)
        if re.search(r"[.,]\d{7,}", raw):
            raise _bad(raw, where, "at most 6 digits of a second's fraction")
        if dtype == pl.Time:
            return time.fromisoformat(raw)
        moment = datetime.fromisoformat(raw)
    except ValueError:
        raise _bad(raw, where, f"ISO 8601, for a column of type {dtype}") from None
    zone = getattr(dtype, "time_zone", None)
    if zone is None:
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(tzinfo=ZoneInfo(zone)) if moment.tzinfo is None else moment.astimezone(ZoneInfo(zone))


def value_of(raw: str | int | float | bool, dtype: pl.DataType, where: str) -> Any:
    """One allowed value in the type of its column; never a guess (1 is not '1', yes is not 'yes')."""
    if dtype == pl.String:
        if not isinstance(raw, str):
            raise _bad(raw, where, f"text; write it in quotes: '{raw}'")
        return raw
    if dtype == pl.Boolean:
        if not isinstance(raw, bool):
            raise _bad(raw, where, "true or false")
        return raw
    if dtype.is_numeric():
        number = number_of(raw, where)
        if dtype.is_float():
            return float(number)
        if dtype.is_decimal():
            return number
        if number != number.to_integral_value():
            raise _bad(raw, where, "a whole number")
        return int(number)
    if dtype.is_temporal() and dtype != pl.Duration:
        return moment_of(raw, dtype, where)
    raise ConfigError(f"Values of type {dtype} cannot be listed", code="unfit_type", where=where)


def regex_problem(pattern: str) -> str | None:
    """Why a regular expression cannot be used, or None. Rust syntax: linear time, no look-around."""
    if len(pattern) > _MAX_PATTERN_CHARS:
        return f"it is longer than {_MAX_PATTERN_CHARS} characters"
    for form in (pattern, rf"\A(?:{pattern})\z"):
        try:
            pl.Series([""]).str.contains(form)
        except pl.exceptions.ComputeError as error:
            lines = [line.strip() for line in str(error).split("\n\n")[0].splitlines()]
            return next((line for line in reversed(lines) if line), "it does not compile").removeprefix("regex error: ")
    return None


def _bad(raw: Any, where: str, expected: str) -> ConfigError:
    return ConfigError(f"The value {raw!r} does not fit", code="bad_literal", where=where, expected=expected)
