"""What is known of a quarter-hour before it comes: where it lies in its session, and what kind of day it is.

Positions are counted from the open in a session's first half and from the close in its second, in the exchange's own
time: so daylight saving time moves nothing, and an early close brings the close's rush earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from base_ops.calendars.calendar import Calendar

SLOT = timedelta(minutes=15)
PER_DAY = 96
PER_WEEK = 7 * PER_DAY
_CLOSED, _FIRST_HALF, _SECOND_HALF = 0, 1, 2
PHASES = 3
_SPAN = 4 * PER_DAY
"""Positions of one phase; a session may begin on the evening before."""
KEYS = PHASES * _SPAN

DAY_KINDS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "holiday", "night before or after a session")
_NIGHT = 8
_BEFORE_OPEN, _AFTER_CLOSE = 8, 16
"""So many slots around a session belong to its day; farther off it is night, which the kind of day does not touch."""
FLAGS = ("early close", "first session of the month", "last session of the month", "session after a holiday")


@dataclass(frozen=True)
class Slots:
    """Consecutive quarter-hours, described."""

    key: NDArray[np.int64]
    """Position: phase × place in it."""
    kind: NDArray[np.int64]
    """Number in DAY_KINDS."""
    flags: NDArray[np.bool_]
    """Slots × FLAGS."""
    day: NDArray[np.float64]
    """Days since the first slot."""

    def __len__(self) -> int:
        return len(self.key)

    @property
    def phase(self) -> NDArray[np.int64]:
        return self.key // _SPAN

    def part(self, start: int, end: int) -> Slots:
        """Some of them; `day` is counted on."""
        return Slots(self.key[start:end], self.kind[start:end], self.flags[start:end], self.day[start:end])


def describe(start: datetime, number: int, calendar: Calendar | None, zone: ZoneInfo) -> Slots:
    """Describe quarter-hours from `start` on.

    Args:
        calendar: whose sessions drive the load; None: days of the week in `zone` do.

    Raises:
        ConfigError: the calendar does not reach so far.
    """
    keys, kinds, flags = np.empty(number, np.int64), np.empty(number, np.int64), np.zeros((number, len(FLAGS)), bool)
    days: dict[date, _Day] = {}
    for index in range(number):
        local = (start + index * SLOT).astimezone(zone)
        day = days.get(local.date())
        if day is None:
            day = days[local.date()] = _day(local.date(), calendar, zone)
        keys[index], kinds[index], flags[index] = day.at(local.hour * 60 + local.minute)
    return Slots(keys, kinds, flags, np.arange(number) / PER_DAY)


@dataclass(frozen=True)
class _Day:
    kind: int
    flags: tuple[bool, ...]
    open_minute: int | None = None
    close_minute: int = 0

    def at(self, minute: int) -> tuple[int, int, tuple[bool, ...]]:
        """Key, kind and flags of a minute of the day."""
        kind, flags = self.kind, self.flags
        if self.open_minute is None:
            phase, place = _CLOSED, minute // 15
        elif minute < (self.open_minute + self.close_minute) / 2:
            phase, place = _FIRST_HALF, (minute - self.open_minute) // 15
            night = place < -_BEFORE_OPEN
        else:
            phase, place = _SECOND_HALF, (minute - self.close_minute) // 15
            night = place > _AFTER_CLOSE
        if self.open_minute is not None and night:
            kind, flags = _NIGHT, (False,) * len(flags)
        return phase * _SPAN + min(max(place + _SPAN // 2, 0), _SPAN - 1), kind, flags


@lru_cache(maxsize=4096)
def _day(day: date, calendar: Calendar | None, zone: ZoneInfo) -> _Day:
    if calendar is None:
        return _Day(day.weekday(), (False,) * len(FLAGS))
    session = calendar.session(day)
    if session is None:
        usual = calendar.weekday_hours(day)
        return _Day(DAY_KINDS.index("holiday") if usual else day.weekday(), (False,) * len(FLAGS))
    begin, end = _minute(session.open, day, zone), _minute(session.close, day, zone)
    usual = calendar.weekday_hours(day)
    before, after = _next_session(calendar, day, -1), _next_session(calendar, day, 1)
    flags = (
        bool(usual) and end < usual[-1],
        before is not None and before.month != day.month,
        after is not None and after.month != day.month,
        before is not None and _skipped_holiday(calendar, before, day),
    )
    return _Day(day.weekday(), flags, begin, end)


def _minute(moment: datetime, day: date, zone: ZoneInfo) -> int:
    local = moment.astimezone(zone).replace(tzinfo=None)
    return int((local - datetime(day.year, day.month, day.day)).total_seconds() // 60)  # noqa: DTZ001 - wall clock


def _next_session(calendar: Calendar, day: date, step: int) -> date | None:
    for _ in range(15):
        day += timedelta(days=step)
        if not calendar.first <= day <= calendar.last:
            return None
        if calendar.session(day) is not None:
            return day
    return None


def _skipped_holiday(calendar: Calendar, before: date, day: date) -> bool:
    between = (before + timedelta(days=number) for number in range(1, (day - before).days))
    return any(calendar.weekday_hours(closed) for closed in between)


def floor_slot(moment: datetime) -> datetime:
    """The quarter-hour a moment lies in, by its start in UTC."""
    moment = moment.astimezone(UTC)
    return moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
