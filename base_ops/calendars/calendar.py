"""A calendar: the sessions of an exchange, day by day, within the range its data file vouches for.

The file is JSON:

    {"calendar": "XNYS", "timezone": "America/New_York", "first": "1990-01-01", "last": "2028-12-31", "source": "…",
     "hours": [{"from": "1990-01-01", "days": "Mon Tue Wed Thu Fri", "times": "09:30 16:00"}, …],
     "closed": {"1990": "01-01 02-19 …", …},
     "special": {"1992": {"12-24": "09:30 13:00"}, …}}

`times` are local wall-clock times: open and close, or open, break start, break end and close; `17:00-1d` is on the day
before the session's date, `24:00` its end; empty: closed on these weekdays from then on. A row of `hours` holds for its
weekdays until a later row for them. `closed` and `special` are exceptions. All is turned into UTC by the time zone's
rules, so that sessions follow daylight saving time.
"""

from __future__ import annotations

import json
import re
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from base_ops.core.errors import ConfigError, did_you_mean

DATA = Path(__file__).parent / "data"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME = re.compile(r"(\d\d):(\d\d)(?:([+-]\d)d)?")
_DAY = timedelta(days=1)

_LOOK_AGAIN_S = 5.0
_looked: dict[tuple[str, Path | None], tuple[float, Calendar]] = {}
"""Calendars by name, with when their files were last looked at: a scheduler asks a thousand times a second."""

Minutes = tuple[int, ...]
"""Open, (break start, break end,) close in minutes from the local midnight of the session's date; () = closed."""


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day; all moments in UTC."""

    date: date
    open: datetime
    close: datetime
    break_start: datetime | None = None
    break_end: datetime | None = None

    def is_open(self, moment: datetime) -> bool:
        """Whether trade goes on; both ends belong to it, the inside of a lunch break does not."""
        if not self.open <= moment <= self.close:
            return False
        return self.break_start is None or self.break_end is None or not self.break_start < moment < self.break_end


class Calendar:
    """Sessions by date. Dates outside `first`..`last` are refused: nobody vouches for them."""

    def __init__(
        self,
        name: str,
        zone: str,
        first: date,
        last: date,
        hours: Mapping[int, list[tuple[int, Minutes]]],
        exceptions: Mapping[int, Minutes],
    ) -> None:
        self.name = name
        self.zone = ZoneInfo(zone)
        self.first = first
        self.last = last
        self._exceptions = exceptions
        self._starts = {weekday: [start for start, _ in rows] for weekday, rows in hours.items()}
        self._hours = {weekday: [times for _, times in rows] for weekday, rows in hours.items()}

    def session(self, day: date) -> Session | None:
        """The session of a date, None on a closed one.

        Raises:
            ConfigError: the date lies outside the calendar's validity (code calendar_not_valid).
        """
        self.check(day)
        times = self._exceptions.get(day.toordinal())
        if times is None:
            times = self.weekday_hours(day)
        if not times:
            return None
        at = [self._utc(day, minutes) for minutes in times]
        return Session(day, at[0], at[-1], *at[1:-1])

    def sessions(self, first: date, last: date) -> Iterator[Session]:
        """The sessions of a range of dates, both ends included."""
        day = first
        while day <= last:
            found = self.session(day)
            if found is not None:
                yield found
            day += _DAY

    def session_at(self, moment: datetime) -> Session | None:
        """The session that is open at a moment."""
        day = moment.astimezone(self.zone).date()
        for near in (day, day + _DAY, day - _DAY):  # some sessions begin on the evening before or end after midnight
            if self.first <= near <= self.last or near == day:
                found = self.session(near)
                if found is not None and found.is_open(moment):
                    return found
        return None

    def check(self, day: date) -> None:
        """Raises: ConfigError where nobody vouches for the date."""
        if not self.first <= day <= self.last:
            raise ConfigError(
                f"The calendar {self.name} says nothing about {day.isoformat()}",
                code="calendar_not_valid",
                where=f"calendar {self.name}",
                expected=f"a date from {self.first.isoformat()} to {self.last.isoformat()}",
                found=day.isoformat(),
                todo="install a newer version, or put a newer file into <config>/data_ingestion/calendars/",
            )

    def weekday_hours(self, day: date) -> Minutes:
        """The regular hours of a date's weekday at that time, whether or not the date is an exception."""
        weekday = day.weekday()
        number = bisect_right(self._starts.get(weekday, []), day.toordinal())
        return self._hours[weekday][number - 1] if number else ()

    def _utc(self, day: date, minutes: int) -> datetime:
        local = datetime(day.year, day.month, day.day, tzinfo=self.zone) + timedelta(minutes=minutes)  # wall clock
        return local.astimezone(UTC)


def load_calendar(name: str, config_dir: Path | None = None) -> Calendar:
    """A calendar by name (a MIC such as XNYS). Its file is read again once it has changed, within seconds.

    Args:
        config_dir: the configuration folder; default that of the settings.

    Raises:
        ConfigError: no such calendar (with what is known), or a file that is not right.
    """
    looked, found = _looked.get((name, config_dir), (-_LOOK_AGAIN_S, None))
    now = time.monotonic()
    if found is None or now - looked > _LOOK_AGAIN_S:
        found = _find(name, config_dir)
        _looked[name, config_dir] = now, found
    return found


def _find(name: str, config_dir: Path | None) -> Calendar:
    for folder in _folders(config_dir):
        path = folder / f"{file_stem(name)}.json"
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            continue
        return _read(path, changed)
    raise ConfigError(
        f"The calendar {name!r} is not known. {did_you_mean(name, known_calendars(config_dir))}",
        code="unknown_calendar",
        todo="a calendar is one file in <config>/data_ingestion/calendars/",
    )


def known_calendars(config_dir: Path | None = None) -> list[str]:
    """Names of all calendars there are."""
    return sorted({path.stem.replace("-", "/") for folder in _folders(config_dir) for path in folder.glob("*.json")})


def file_stem(name: str) -> str:
    """`24/7` is kept in 24-7.json; nothing else can leave the folder."""
    return re.sub(r"[^A-Za-z0-9_]", "-", name)


def _folders(config_dir: Path | None) -> tuple[Path, Path]:
    if config_dir is None:
        from base_ops.core.config import config_dir as configured

        config_dir = configured()
    return config_dir / "data_ingestion" / "calendars", DATA


@lru_cache(maxsize=256)
def _read(path: Path, _changed: int) -> Calendar:
    try:
        return parse_calendar(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"The calendar file {path.name} is not right: {type(error).__name__}: {error}",
            code="bad_calendar",
            where=str(path),
            todo="see base_ops/calendars/calendar.py for its form",
        ) from None


def parse_calendar(raw: Mapping[str, Any]) -> Calendar:
    """A calendar from the content of its file.

    Raises:
        ValueError, KeyError: it is not in the form above.
    """
    hours: dict[int, list[tuple[int, Minutes]]] = {}
    for row in raw["hours"]:
        start, times = date.fromisoformat(row["from"]).toordinal(), parse_times(row["times"])
        for weekday in row["days"].split():
            rows = hours.setdefault(WEEKDAYS.index(weekday), [])
            if rows and rows[-1][0] >= start:
                raise ValueError(f"hours of {weekday} from {row['from']} come after later ones")
            rows.append((start, times))
    exceptions: dict[int, Minutes] = {}
    for year, days in raw["closed"].items():
        exceptions.update((_ordinal(year, day), ()) for day in days.split())
    for year, special in raw["special"].items():
        exceptions.update((_ordinal(year, day), parse_times(times)) for day, times in special.items())
    first, last = date.fromisoformat(raw["first"]), date.fromisoformat(raw["last"])
    return Calendar(str(raw["calendar"]), raw["timezone"], first, last, hours, exceptions)


def parse_times(text: str) -> Minutes:
    """`09:30 16:00` → (570, 960)."""
    minutes = []
    for part in text.split():
        match = _TIME.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is no time such as 09:30, 24:00 or 17:00-1d")
        minutes.append(int(match[1]) * 60 + int(match[2]) + int(match[3] or 0) * 1440)
    if len(minutes) not in (0, 2, 4) or minutes != sorted(minutes):
        raise ValueError(f"{text!r} is not an open and a close, or these around a break, in order")
    return tuple(minutes)


def format_times(times: Minutes) -> str:
    """The inverse of `parse_times`."""
    return " ".join(_format_time(minutes) for minutes in times)


def _format_time(minutes: int) -> str:
    day, rest = (0, minutes) if 0 <= minutes <= 1440 else divmod(minutes, 1440)
    return f"{rest // 60:02}:{rest % 60:02}" + (f"{day:+}d" if day else "")


def _ordinal(year: str, day: str) -> int:
    return date.fromisoformat(f"{year}-{day}").toordinal()
