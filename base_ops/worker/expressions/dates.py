"""Parts of dates, and the time between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from sqlglot import exp

from base_ops.core.errors import did_you_mean
from base_ops.worker.expressions.compiler import Compiler, Value, node_of

_PARTS: dict[str, Callable[[Any], pl.Expr]] = {
    "year": lambda dt: dt.year(),
    "quarter": lambda dt: dt.quarter(),
    "month": lambda dt: dt.month(),
    "week": lambda dt: dt.week(),
    "day": lambda dt: dt.day(),
    "dayofyear": lambda dt: dt.ordinal_day(),
    "doy": lambda dt: dt.ordinal_day(),
    "dayofweek": lambda dt: dt.weekday() % 7,
    "dow": lambda dt: dt.weekday() % 7,
    "isodow": lambda dt: dt.weekday(),
    "hour": lambda dt: dt.hour(),
    "minute": lambda dt: dt.minute(),
    "second": lambda dt: dt.second(),
}
"""Sunday is 0 in dow, Monday is 1 in isodow; in the column's own time zone."""


@node_of(exp.Extract)
def _extract(c: Compiler, node: exp.Extract) -> Value:
    return _part(c, node, node.this.name.lower(), node.expression)


@node_of(exp.Year, exp.Quarter, exp.Month, exp.Day, exp.Hour, exp.Minute, exp.Second, exp.DayOfWeek, args="this")
def _part_function(c: Compiler, node: exp.Func) -> Value:
    return _part(c, node, type(node).__name__.lower(), node.this)


def _part(c: Compiler, node: exp.Expr, part: str, moment: exp.Expr) -> Value:
    if part not in _PARTS:
        raise c.refuse(f"takes an unknown part {part!r} of a date", node, todo=did_you_mean(part, _PARTS))
    value = c.moment(moment)
    if value.dtype == pl.Date and part in ("hour", "minute", "second"):
        raise c.refuse(f"takes the {part} of a date without a time", node)
    return c.make(_PARTS[part](value.expr.dt).cast(pl.Int64))


_UNITS = {
    "day": ("1d", 86_400_000_000),
    "hour": ("1h", 3_600_000_000),
    "minute": ("1m", 60_000_000),
    "second": ("1s", 1_000_000),
}


@node_of(exp.DateDiff, args="this expression unit date_part_boundary")
def _date_diff(c: Compiler, node: exp.DateDiff) -> Value:
    unit = str(node.args["unit"].name if node.args.get("unit") else "day").lower()
    if unit not in _UNITS:
        raise c.refuse(f"counts an unknown unit {unit!r}", node, todo=did_you_mean(unit, _UNITS))
    end, start = c.same_kind(node, c.value(node.this), c.value(node.expression))
    for value in (end, start):
        if value.dtype not in (pl.Date, pl.Datetime):
            raise c.refuse("counts the time between values that are not dates", node, found=str(value.dtype))
    floor, size = _UNITS[unit]
    passed = _wall_time(end, unit).dt.truncate(floor) - _wall_time(start, unit).dt.truncate(floor)
    return c.make(passed.dt.total_microseconds() // size)


def _wall_time(value: Value, unit: str) -> pl.Expr:
    """Days pass at local midnight; hours and less are counted in UTC, so that a clock change counts right."""
    zone = getattr(value.dtype, "time_zone", None)
    if value.dtype == pl.Date or zone is None:
        return value.expr.cast(pl.Datetime("us"))
    expr = value.expr if unit == "day" else value.expr.dt.convert_time_zone("UTC")
    return expr.dt.replace_time_zone(None)
