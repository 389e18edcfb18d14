"""Bounds: is a value inside a range? Exact for every type, one comparison per row."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import polars as pl

from base_ops.core.errors import ConfigError
from base_ops.worker.literals import moment_of, number_of

Raw = int | float | str | None


def inside(column: str, dtype: pl.DataType, low: Raw, high: Raw, *, exclusive: bool, where: str) -> pl.Expr:
    """True where the column lies between the bounds, null where it is null; NaN lies outside.

    Raises:
        ConfigError: the type has no order that people mean, or a bound cannot be read as the type.
    """
    if dtype.is_float():
        return _floats(column, dtype, low, high, exclusive, where)
    if dtype.is_integer() or dtype.is_decimal():
        return _exact(column, dtype, low, high, exclusive, where)
    if dtype in (pl.Date, pl.Datetime, pl.Time):
        bounds = [None if b is None else moment_of(b, dtype, where) for b in (low, high)]
        return between(column, dtype, *bounds, exclusive=exclusive, where=where)
    raise ConfigError(
        f"A column of type {dtype} has no range",
        code="unfit_type",
        where=where,
        expected="numbers, dates, times or timestamps",
        todo="give the column its type where it is read; for text, use a pattern, an enum or a length",
    )


def between(
    column: str, dtype: pl.DataType, low: Any, high: Any, *, exclusive: bool = False, where: str = ""
) -> pl.Expr:
    """As `inside`, with bounds that are values of the column's type."""
    if low is not None and high is not None and (low > high or (exclusive and low == high)):
        raise ConfigError("The range is empty", code="empty_range", where=where, expected="min below max")
    value = pl.col(column)
    ends = [None if b is None else pl.lit(b, dtype=dtype) for b in (low, high)]
    if ends[0] is not None and ends[1] is not None:
        return value.is_between(ends[0], ends[1], closed="none" if exclusive else "both")
    if ends[0] is not None:
        return value > ends[0] if exclusive else value >= ends[0]
    if ends[1] is not None:
        return value < ends[1] if exclusive else value <= ends[1]
    return value.is_not_null() | pl.lit(None, dtype=pl.Boolean)  # no bound can be broken


def fresh(
    column: str, dtype: pl.DataType, now: datetime, age_s: float | None, ahead_s: float | None, where: str
) -> pl.Expr:
    """True where a time is neither too old nor too far ahead of `now` (aware). A date stands for its whole day, UTC."""
    oldest = None if age_s is None else now - timedelta(seconds=age_s)
    newest = None if ahead_s is None else now + timedelta(seconds=ahead_s)
    if dtype == pl.Date:
        return between(column, dtype, oldest and oldest.date(), newest and newest.date(), where=where)
    if dtype == pl.Datetime:
        low, high = (None if b is None else moment_of(b.isoformat(), dtype, where) for b in (oldest, newest))
        return between(column, dtype, low, high, where=where)
    raise ConfigError(
        f"A column of type {dtype} has no age",
        code="unfit_type",
        where=where,
        expected="dates or timestamps",
        todo="give the column its type where it is read",
    )


def _floats(column: str, dtype: pl.DataType, low: Raw, high: Raw, exclusive: bool, where: str) -> pl.Expr:
    """Both ends are always given, since in polars NaN is greater than every number."""
    least = -float("inf") if low is None else float(number_of(low, where))
    most = float("inf") if high is None else float(number_of(high, where))
    if least > most or (exclusive and least == most):
        raise ConfigError("The range is empty", code="empty_range", where=where, expected="min below max")
    open_ends = (exclusive and low is not None, exclusive and high is not None)
    closed: Any = {(False, False): "both", (True, False): "right", (False, True): "left", (True, True): "none"}[
        open_ends
    ]
    return pl.col(column).is_between(pl.lit(least, dtype=dtype), pl.lit(most, dtype=dtype), closed=closed)


def _exact(column: str, dtype: pl.DataType, low: Raw, high: Raw, exclusive: bool, where: str) -> pl.Expr:
    """Integers and decimals: the bounds become the outermost allowed values of the column's own grid."""
    step = Decimal(1).scaleb(-dtype.scale) if isinstance(dtype, pl.Decimal) else Decimal(1)
    least, most = limits_of(dtype)
    first = least if low is None else _grid(number_of(low, where), step, ROUND_CEILING, exclusive)
    last = most if high is None else _grid(number_of(high, where), step, ROUND_FLOOR, exclusive)
    if low is not None and high is not None and first > last:
        raise ConfigError("The range is empty", code="empty_range", where=where, expected="min below max")
    if first > most or last < least:  # no value of this type lies inside
        return pl.when(pl.col(column).is_not_null()).then(False)
    ends = [None if first <= least else first, None if last >= most else last]
    if not isinstance(dtype, pl.Decimal):
        ends = [None if end is None else int(end) for end in ends]  # type: ignore[misc]
    return between(column, dtype, *ends, where=where)


def _grid(bound: Decimal, step: Decimal, rounding: str, exclusive: bool) -> Decimal:
    if not bound.is_finite() or abs(bound.adjusted()) > 60:
        return Decimal(10) ** 60 if bound > 0 else -(Decimal(10) ** 60)
    rounded = (bound / step).to_integral_value(rounding) * step
    if exclusive and rounded == bound:
        rounded += step if rounding == ROUND_CEILING else -step
    return rounded


def limits_of(dtype: pl.DataType) -> tuple[Decimal, Decimal]:
    """Least and greatest value of an integer or decimal type."""
    if isinstance(dtype, pl.Decimal):
        most = Decimal((0, (9,) * dtype.precision, -dtype.scale))
        return -most, most
    bits = int(str(dtype).lstrip("UInt"))
    if dtype.is_unsigned_integer():
        return Decimal(0), Decimal(2**bits - 1)
    return Decimal(-(2 ** (bits - 1))), Decimal(2 ** (bits - 1) - 1)
