"""Incremental reads with late commits: the cursor's axis is cut into windows, and the youngest are read again.

A window `(low, high]` is one object of the landing log: read again, it replaces its earlier version, so a row that is
read twice does not double, and needs no key. Ends never move once they were cut. Each run reads

1. the windows that ended less than `lag` before the newest value seen, as transactions that had not committed may
   since have added rows to them;
2. what is newer than the last end, cut in two at `newest - lag`, so that what the next run reads again is small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any, Literal

from base_ops.core.errors import BadInput

Kind = Literal["number", "time", "utc", "date"]
Value = Decimal | datetime | date
_START = "start"
AHEAD = timedelta(hours=1)
_FARTHEST_ZONE = timedelta(hours=14)
_DIGITS = 200
"""More than a number of any database has; decimals would else be rounded to 28 where they are subtracted."""


@dataclass(frozen=True)
class Window:
    """Values above `low`, up to and with `high`; low = None: from the beginning."""

    low: Any
    high: Any

    def name(self, kind: Kind) -> str:
        """Both ends in words, for the object's name."""
        return f"{_START if self.low is None else written(self.low, kind)}--{written(self.high, kind)}"

    @classmethod
    def named(cls, name: str, kind: Kind) -> Window | None:
        """The window of a name, or None where the name is none of a window of that kind."""
        low, _, high = name.partition("--")
        try:
            return cls(None if low == _START else read(low, kind), read(high, kind))
        except (ValueError, ArithmeticError):
            return None


def plan(bounds: Sequence[Any], newest: Any, lag: Any) -> tuple[list[Window], list[Any]]:
    """(windows to read now, bounds for the next run).

    Args:
        bounds: what the last run returned; [] on the first.
        newest: the greatest value there is now, None if none.
        lag: above zero, in the values' own unit.
    """
    ends: list[Any] = list(bounds) or [None]
    last = ends[-1]
    if newest is not None and (last is None or newest > last):
        if last is None or _before(newest, lag) > last:
            ends.append(_before(newest, lag))
        ends.append(newest)
    windows = [Window(low, high) for low, high in pairwise(ends)]
    if ends[-1] is None:
        return [], []
    settled = _before(ends[-1], lag)
    while len(ends) > 2 and ends[1] <= settled:
        ends.pop(0)
    return windows, ends


def _before(value: Any, lag: Any) -> Any:
    with localcontext(prec=_DIGITS):
        return value - lag


def lag_of(kind: Kind, lag_s: float, lag_keys: int) -> Any:
    """The lag in the values' own unit; never zero, since rows with the newest value itself may come later."""
    if kind == "number":
        return Decimal(max(lag_keys, 1))
    if kind == "date":
        return timedelta(days=max(1, -int(-lag_s // 86_400)))
    return timedelta(seconds=lag_s) or timedelta(microseconds=1)


def limit_of(kind: Kind, now: datetime) -> Any:
    """The greatest time a row may bear to move the cursor: an hour ahead of now, wherever the database's clock is."""
    ahead = now.astimezone(UTC) + AHEAD
    if kind == "number":
        return None
    if kind == "utc":
        return ahead
    local = ahead.replace(tzinfo=None) + _FARTHEST_ZONE
    return local.date() if kind == "date" else local


def written(value: Any, kind: Kind) -> str:
    """A value as text that `read` takes back exactly."""
    return f"{value:f}" if kind == "number" else str(value.isoformat())


def read(text: str, kind: Kind) -> Any:
    """A value from its text.

    Raises:
        ValueError, ArithmeticError: it is none.
    """
    if kind == "number":
        return Decimal(text)
    return date.fromisoformat(text) if kind == "date" else datetime.fromisoformat(text)


def known(names: Iterable[str], prefix: str, kind: Kind) -> list[Window]:
    """The windows among the names of objects, in order."""
    found = (Window.named(name.removeprefix(prefix), kind) for name in names if name.startswith(prefix))
    return sorted((w for w in found if w is not None), key=lambda w: w.high)


def saved_bounds(saved: Any, column: str, kind: Kind, where: str) -> list[Any]:
    """The bounds that a cursor in the landing log holds.

    Raises:
        BadInput: they are of another column or another type.
    """
    if not isinstance(saved, dict) or not saved.get("bounds"):
        return []
    if (saved.get("column"), saved.get("kind")) != (column, kind):
        raise BadInput(
            "The cursor in the landing log is of another column or type",
            code="cursor_changed",
            where=where,
            expected=f"{saved.get('column')} ({saved.get('kind')})",
            found=f"{column} ({kind})",
            todo="give the source a new id, which reads it from the beginning",
        )
    return [None if text is None else read(text, kind) for text in saved["bounds"]]
