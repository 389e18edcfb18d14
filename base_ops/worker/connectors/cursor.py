"""The greatest value of a field over records that are not trusted: where an incremental fetch goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import JsonValue

_AHEAD = timedelta(hours=1)
_FARTHEST_ZONE = timedelta(hours=14)
_KINDS = ("time", "number", "text")
Rank = Callable[[JsonValue], tuple[str, Any] | None]
"""(kind, what to compare) of a cursor; only those of one kind have an order. None: it has none."""


@dataclass
class Watermark:
    """Takes values one by one and keeps the greatest, apart for times, numbers and other texts.

    A broken record must not carry the cursor away: values that are not of the cursor's kind, and times more than
    an hour ahead of `now`, are counted in `ignored` and do not move it.
    """

    now: datetime
    ignored: int = 0
    _best: dict[str, tuple[Any, JsonValue]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def take(self, values: Iterable[JsonValue]) -> None:
        """Look at more values; null and absent ones say nothing."""
        for value in values:
            if value is None:
                continue
            ranked = rank(value)
            if ranked is None or self._is_ahead(ranked):
                self.ignored += 1
                continue
            kind, key = ranked
            self._counts[kind] = self._counts.get(kind, 0) + 1
            if kind not in self._best or key > self._best[kind][0]:
                self._best[kind] = (key, value)

    def after(self, before: JsonValue) -> JsonValue:
        """The cursor to go on from: never behind `before`."""
        started = rank(before) if before is not None else None
        if started is not None:
            kind = started[0]
        elif self._counts:
            kind = max(_KINDS, key=lambda k: self._counts.get(k, 0))
        else:
            return before
        self.ignored += sum(n for k, n in self._counts.items() if k != kind)
        key, value = self._best.get(kind, (None, before))
        return before if key is None or (started is not None and key <= started[1]) else value

    def _is_ahead(self, ranked: tuple[str, Any]) -> bool:
        if ranked[0] != "time":
            return False
        moment, text = ranked[1]
        return bool(moment > self.now + _AHEAD + (timedelta(0) if _has_zone(text) else _FARTHEST_ZONE))


def furthest(one: JsonValue, other: JsonValue, ranked: Rank) -> JsonValue:
    """The later of two cursors, as their source orders them; the other where the one has no order of its own."""
    if other is None:
        return one
    left, right = (ranked(value) if value is not None else None for value in (one, other))
    if left is None or (right is not None and left[0] == right[0] and right[1] > left[1]):
        return other
    return one


def rank(value: JsonValue) -> tuple[str, Any] | None:
    """(kind, what to compare): numbers as numbers, ISO 8601 as moments (text breaks ties), the rest as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    text = str(value).strip()
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if number.is_finite():
        return "number", number
    try:
        moment = datetime.fromisoformat(text)
        return "time", (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC), text)
    except (ValueError, OverflowError):
        return "text", text


def _has_zone(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None
