"""Writes the calendars' data files from exchange_calendars, and proves each equal to it, session by session.

    make calendars

For developers: needs exchange_calendars with pandas<3, which the make target fetches; nothing that runs imports it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from base_ops.calendars.calendar import DATA, WEEKDAYS, Minutes, Session, file_stem, format_times, parse_calendar

FIRST = date(1990, 1, 1)
YEARS_AHEAD = 2
_WINDOW = 26
"""Weeks that are looked at to tell new regular hours from an exception."""
_DAY = timedelta(days=1)


def reference(name: str, first: date, last: date) -> tuple[str, date, date, list[Session]]:
    """(time zone, first, last, sessions) by exchange_calendars, within the bounds it knows."""
    factory = _factory(name)
    low, high = factory.bound_min(), factory.bound_max()
    first = max(first, low.date()) if low is not None else first
    last = min(last, high.date()) if high is not None else last
    try:
        calendar = factory(start=first.isoformat(), end=last.isoformat())
    except ValueError:  # it contradicts itself in early years (XTAE): from where the library begins by itself
        first = factory.default_start().date()
        calendar = factory(start=first.isoformat(), end=last.isoformat())
    rows = zip(calendar.schedule.index, calendar.schedule.itertuples(index=False), strict=True)
    return str(calendar.tz), first, last, [_session(day.date(), row) for day, row in rows]


def _factory(name: str) -> Any:
    """Their calendar. On pandas 3 two kinds of offsets of theirs do not work, one of them without a word."""
    import pandas as pd
    from exchange_calendars.calendar_utils import _default_calendar_factories
    from exchange_calendars.pandas_extensions.offsets import OrthodoxEaster

    OrthodoxEaster._add_datetime = OrthodoxEaster._apply
    factory: Any = _default_calendar_factories[name]
    if hasattr(factory, "special_weekmasks") and int(pd.__version__.split(".")[0]) > 2:
        raise RuntimeError(f"{name}: its changing weeks come out wrong on pandas {pd.__version__}; use pandas<3")
    return factory


def _session(day: date, row: Any) -> Session:
    def moment(value: Any) -> datetime | None:
        return None if value != value else value.to_pydatetime().astimezone(UTC)  # NaT is not itself

    begin, end = moment(row.open), moment(row.close)
    if begin is None or end is None:
        raise ValueError(f"the session {day} has no open or close")
    return Session(day, begin, end, moment(row.break_start), moment(row.break_end))


def describe(name: str, first: date, last: date, source: str) -> dict[str, Any]:
    """The content of a calendar's file.

    Raises:
        ValueError: it would not give back exactly the sessions of the reference.
    """
    from zoneinfo import ZoneInfo

    zone, first, last, sessions = reference(name, first, last)
    by_day = {session.date: _minutes(session, ZoneInfo(zone)) for session in sessions}
    hours, exceptions = _regular_hours(by_day, first, last)
    closed: dict[str, list[str]] = {}
    special: dict[str, dict[str, str]] = {}
    for day, times in sorted(exceptions.items()):
        year, rest = day.isoformat()[:4], day.isoformat()[5:]
        if times:
            special.setdefault(year, {})[rest] = format_times(times)
        else:
            closed.setdefault(year, []).append(rest)
    content = {
        "calendar": name,
        "timezone": zone,
        "first": first.isoformat(),
        "last": last.isoformat(),
        "source": source,
        "hours": hours,
        "closed": {year: " ".join(days) for year, days in closed.items()},
        "special": special,
    }
    if list(parse_calendar(content).sessions(first, last)) != sessions:
        raise ValueError(f"{name}: the file would not give back the sessions of the reference")
    return content


def _minutes(session: Session, zone: Any) -> Minutes:
    """Wall-clock minutes from the midnight of the session's date."""
    midnight = datetime(session.date.year, session.date.month, session.date.day)  # noqa: DTZ001 - wall clock
    moments = (session.open, session.break_start, session.break_end, session.close)
    found = []
    for moment in moments:
        if moment is not None:
            seconds = (moment.astimezone(zone).replace(tzinfo=None) - midnight).total_seconds()
            if seconds % 60:
                raise ValueError(f"a session of {session.date} has a moment between minutes: {moment}")
            found.append(int(seconds // 60))
    return tuple(found)


def _regular_hours(
    by_day: Mapping[date, Minutes], first: date, last: date
) -> tuple[list[dict[str, str]], dict[date, Minutes]]:
    """Regular hours by weekday, and what departs from them."""
    rows: dict[tuple[date, Minutes], list[int]] = {}
    exceptions: dict[date, Minutes] = {}
    for weekday in range(7):
        start = first + _DAY * ((weekday - first.weekday()) % 7)
        days = [start + _DAY * 7 * week for week in range((last - start).days // 7 + 1)]
        seen = [by_day.get(day, ()) for day in days]
        now: Minutes = ()
        for number, times in enumerate(seen):
            if number == 0 or times != now:
                usual, often = Counter(seen[number : number + _WINDOW]).most_common(1)[0]
                if usual != now and (number == 0 or (times == usual and often > _WINDOW // 2)):
                    now = usual
                    rows.setdefault((first if number == 0 else days[number], usual), []).append(weekday)
            if times != now:
                exceptions[days[number]] = times
    return [
        {
            "from": start.isoformat(),
            "days": " ".join(WEEKDAYS[weekday] for weekday in weekdays),
            "times": format_times(times),
        }
        for (start, times), weekdays in sorted(rows.items())
    ], exceptions


def text_of(content: Mapping[str, Any]) -> str:
    """One line per fact, so that a correction is a small diff."""

    def item(key: str, value: Any) -> str:
        if key == "hours":
            return "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n ]"
        if isinstance(value, dict):
            return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()) + "\n }"
        return json.dumps(value)

    return "{\n" + ",\n".join(f" {json.dumps(key)}: {item(key, value)}" for key, value in content.items()) + "\n}\n"


def main(names: list[str]) -> None:
    """Write the files of some calendars, by default of all."""
    import exchange_calendars

    last = date(datetime.now(UTC).year + YEARS_AHEAD, 12, 31)
    source = f"exchange_calendars {exchange_calendars.__version__}"
    for name in names or exchange_calendars.get_calendar_names(include_aliases=False):
        write(name, describe(name, FIRST, last, source), DATA)


def write(name: str, content: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{file_stem(name)}.json").write_text(text_of(content), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
