"""The moments of a schedule, forwards and backwards in time: what a timetable and the scheduler agent ask.

All moments are aware and in UTC. Nothing is remembered between calls, so that every answer can be reproduced.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim

from base_ops.calendars.calendar import Calendar, Session, load_calendar
from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.schedules import (
    CronSchedule,
    IntervalSchedule,
    MaintenanceSpec,
    MarketSchedule,
    TimeSchedule,
    duration,
    moment_of_session,
)

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_LOST, _MAX_GAP = 10, timedelta(days=400)
"""More moments than this in a row, over more time than this, all in maintenance or outside market hours: such a
schedule is said never to run."""
_MAX_SESSIONS = 400
"""So many sessions in a row without a moment: likewise."""


class Recurrence(Protocol):
    """Moments that come again and again."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Those later than `moment`, in order."""
        ...

    def until(self, moment: datetime) -> Iterator[datetime]:
        """Those not later than `moment`, the last first."""
        ...


def recurrence(when: TimeSchedule, config_dir: Path | None = None) -> Recurrence:
    """The moments of a schedule. Calendars are read at once, so that a wrong name is known at once.

    Args:
        config_dir: the configuration folder; default that of the settings.

    Raises:
        ConfigError: an unknown calendar.
    """
    return _recurrence(type(when), when.model_dump_json(), config_dir)


@lru_cache(maxsize=4096)
def _recurrence(kind: type[TimeSchedule], text: str, config_dir: Path | None) -> Recurrence:
    when = kind.model_validate_json(text)
    found = _bare(when, config_dir)
    return Maintained(found, tuple(_window(window) for window in when.windows)) if when.windows else found


def _bare(when: TimeSchedule, config_dir: Path | None) -> Recurrence:
    if isinstance(when, CronSchedule):
        found: Recurrence = Cron(when.cron, ZoneInfo(when.timezone))
        return found if when.market is None else WhileOpen(found, Market(when.market, config_dir))
    if isinstance(when, MarketSchedule):
        market = Market(when.market, config_dir)
        if when.every is None:
            return AtSessions(market, tuple(moment_of_session(text) for text in when.at))
        start, end = moment_of_session(when.start), moment_of_session(when.end)
        return ThroughSessions(market, duration(when.every), start, end)
    if isinstance(when, IntervalSchedule):
        return Interval(duration(when.every))
    raise TypeError(f"{type(when).__name__} is no schedule by the clock")


class Market:
    """A calendar by name, read again when its file changes (a scheduler process lives for weeks)."""

    def __init__(self, name: str, config_dir: Path | None = None) -> None:
        self.name, self._config_dir = name, config_dir
        _ = self.calendar

    @property
    def calendar(self) -> Calendar:
        return load_calendar(self.name, self._config_dir)


@dataclass(frozen=True)
class Interval:
    """Evenly from the epoch."""

    every: timedelta

    def after(self, moment: datetime) -> Iterator[datetime]:
        number = (moment - _EPOCH) // self.every
        while True:
            number += 1
            yield _EPOCH + number * self.every

    def until(self, moment: datetime) -> Iterator[datetime]:
        number = (moment - _EPOCH) // self.every
        while True:
            yield _EPOCH + number * self.every
            number -= 1


@dataclass(frozen=True)
class Cron:
    """A cron expression on a wall clock; Debian cron's rules where the clock jumps (cronsim)."""

    expression: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> Iterator[datetime]:
        for found in CronSim(self.expression, moment.astimezone(self.zone)):
            found = found.astimezone(UTC)
            if found > moment:
                yield found

    def until(self, moment: datetime) -> Iterator[datetime]:
        later = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        for found in CronSim(self.expression, later.astimezone(self.zone), reverse=True):
            found = found.astimezone(UTC)
            if found <= moment:
                yield found


@dataclass(frozen=True)
class AtSessions:
    """Moments of each session, each with its offset."""

    market: Market
    moments: tuple[tuple[str, timedelta], ...]

    def after(self, moment: datetime) -> Iterator[datetime]:
        each = [_one(self.market.calendar, anchor, offset, moment, 1) for anchor, offset in self.moments]
        return _distinct(heapq.merge(*each))

    def until(self, moment: datetime) -> Iterator[datetime]:
        each = [_one(self.market.calendar, anchor, offset, moment, -1) for anchor, offset in self.moments]
        return _distinct(heapq.merge(*each, reverse=True))


def _one(calendar: Calendar, anchor: str, offset: timedelta, moment: datetime, step: int) -> Iterator[datetime]:
    lost = 0
    for session in _sessions(calendar, moment - offset, step):
        at = getattr(session, anchor)
        lost = lost + 1 if at is None else 0
        if lost > _MAX_SESSIONS:
            raise _never(f"{lost} sessions of {calendar.name} in a row have no {anchor}")
        if at is not None and (at + offset > moment if step > 0 else at + offset <= moment):
            yield at + offset


@dataclass(frozen=True)
class ThroughSessions:
    """Evenly through each session, from one of its moments to another, but not inside its lunch break."""

    market: Market
    every: timedelta
    start: tuple[str, timedelta]
    end: tuple[str, timedelta]

    def after(self, moment: datetime) -> Iterator[datetime]:
        for inside in self._each(moment - max(timedelta(), self.end[1]), 1):
            for at in inside:
                if at > moment:  # also where the end of one session lies behind the start of the next
                    yield (moment := at)

    def until(self, moment: datetime) -> Iterator[datetime]:
        for inside in self._each(moment - min(timedelta(), self.start[1]), -1):
            for at in reversed(inside):
                if at <= moment:
                    yield at
                    moment = at - _TICK

    def _each(self, moment: datetime, step: int) -> Iterator[list[datetime]]:
        """The moments of each session, in order."""
        lost = 0
        for session in _sessions(self.market.calendar, moment, step):
            inside = self._inside(session)
            lost = 0 if inside else lost + 1
            if lost > _MAX_SESSIONS:
                span = f"from {self.start[0]} to {self.end[0]}"
                raise _never(f"{lost} sessions of {self.market.name} in a row have no moment {span}")
            yield inside

    def _inside(self, session: Session) -> list[datetime]:
        (first, before), (last, later) = self.start, self.end
        start, end = getattr(session, first), getattr(session, last)
        if start is None or end is None:
            return []
        start, end = start + before, end + later
        moments = [start + number * self.every for number in range((end - start) // self.every + 1)]
        if session.break_start is None or session.break_end is None:
            return moments
        return [at for at in moments if not session.break_start < at < session.break_end]


def _sessions(calendar: Calendar, moment: datetime, step: int) -> Iterator[Session]:
    """Sessions around a moment and on, up to the end of what the calendar vouches for; then it says so."""
    day = moment.astimezone(calendar.zone).date()
    calendar.check(day)
    day = min(max(day - 2 * step * _DAY, calendar.first), calendar.last)
    while True:
        session = calendar.session(day)
        if session is not None:
            yield session
        day += step * _DAY


@dataclass(frozen=True)
class WhileOpen:
    """Only the moments at which a market is open."""

    moments: Recurrence
    market: Market

    def after(self, moment: datetime) -> Iterator[datetime]:
        return self._open(self.moments.after(moment))

    def until(self, moment: datetime) -> Iterator[datetime]:
        return self._open(self.moments.until(moment))

    def _open(self, moments: Iterable[datetime]) -> Iterator[datetime]:
        return _kept(moments, lambda at: at if self.market.calendar.session_at(at) else None)


@dataclass(frozen=True)
class Window:
    """Maintenance that comes again and again."""

    starts: Cron
    length: timedelta
    shifts: bool

    def around(self, moment: datetime) -> tuple[datetime, datetime] | None:
        """Start and end of the window a moment falls into; the end is outside."""
        start = next(self.starts.until(moment))
        return (start, start + self.length) if moment < start + self.length else None


def _window(spec: MaintenanceSpec) -> Window:
    return Window(Cron(spec.start, ZoneInfo(spec.timezone)), duration(spec.duration), spec.then == "shift")


@dataclass(frozen=True)
class Maintained:
    """Moments without those in maintenance windows; those that windows shift come at the end, once."""

    moments: Recurrence
    windows: tuple[Window, ...]

    def after(self, moment: datetime) -> Iterator[datetime]:
        begin = moment
        while found := [around[0] for window in self.windows if (around := window.around(begin))]:
            begin = min(found) - _TICK  # what was shifted to the end of a window was due inside it
            _check_gap(begin, moment)
        return _distinct(_kept(self.moments.after(begin), lambda at: _later(self._moved(at), moment)))

    def until(self, moment: datetime) -> Iterator[datetime]:
        return _distinct(_kept(self.moments.until(moment), lambda at: _no_later(self._moved(at), moment)))

    def _moved(self, due: datetime) -> datetime | None:
        """When a run due at a moment starts; None: not at all."""
        moment = due
        while True:
            _check_gap(due, moment)
            for window in self.windows:
                around = window.around(moment)
                if around is not None:
                    if not window.shifts:
                        return None
                    moment = around[1]
                    break
            else:
                return moment


def _later(found: datetime | None, moment: datetime) -> datetime | None:
    return found if found is not None and found > moment else None


def _no_later(found: datetime | None, moment: datetime) -> datetime | None:
    return found if found is not None and found <= moment else None


def _kept(moments: Iterable[datetime], keep: Callable[[datetime], datetime | None]) -> Iterator[datetime]:
    """What `keep` makes of the moments; a schedule of which nothing is left must not be sought for ever."""
    lost, since = 0, None
    for at in moments:
        kept = keep(at)
        if kept is not None:
            lost, since = 0, None
            yield kept
            continue
        lost, since = lost + 1, since or at
        if lost > _MAX_LOST and abs(at - since) > _MAX_GAP:
            raise _never(f"{lost} moments in a row that are not, from {since.isoformat()} on")


def _check_gap(start: datetime, end: datetime) -> None:
    if end - start > _MAX_GAP:
        raise _never(f"one maintenance window after the other, from {start.isoformat()} on")


def _never(found: str) -> ConfigError:
    return ConfigError(
        "A schedule never runs",
        code="never_runs",
        expected="a moment outside maintenance at which the market is open",
        found=found,
        todo="change its cron expression, market, moments or maintenance",
    )


def _distinct(moments: Iterable[datetime]) -> Iterator[datetime]:
    last: datetime | None = None
    for at in moments:
        if at != last:
            yield at
        last = at


def next_moment(when: TimeSchedule, moment: datetime) -> datetime:
    """The first moment of a schedule after another."""
    return next(recurrence(when).after(moment))


def moments_between(when: TimeSchedule, start: datetime, end: datetime) -> Iterator[datetime]:
    """Those after `start` and not later than `end`."""
    for at in recurrence(when).after(start):
        if at > end:
            return
        yield at


def last_vouched(when: TimeSchedule) -> date | None:
    """The last date its calendar knows; None where it needs no calendar."""
    market = getattr(when, "market", None)
    return load_calendar(market).last if market else None
