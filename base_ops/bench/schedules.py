"""Computing the next run of 1000 schedules, and forecasting a week of load: both have a second.

base-ops bench --only schedule
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime

from base_ops.calendars.calendar import load_calendar
from base_ops.calendars.recurrence import next_moment
from base_ops.data_ingestion.options.schedules import TimeSchedule, parse_when

LIMIT_S = 1.0
_MARKETS = ("XNYS", "XLON", "XTKS", "XHKG", "CMES", "XETR", "XTAE", "XASX", "24/5", "XBOM")


def schedules(number: int) -> list[TimeSchedule]:
    """All kinds in turn, no two alike."""
    maintenance = {"start": "0 2 * * 0", "duration": "2h", "then": "shift"}
    found = []
    for n in range(number):
        market, minute, hour = _MARKETS[n // 5 % len(_MARKETS)], n % 60, n // 60 % 24
        forms = (
            {"market": market, "at": f"close+{n + 1}m"},
            {"market": market, "every": f"{n % 58 + 1}m", "start": f"open+{n // 58 + 1}s"},
            {"cron": f"{minute} */{n % 3 + 1} * * 1-5", "timezone": "America/New_York", "market": market},
            {"cron": f"{minute} {hour} * * *", "timezone": "Europe/London", "maintenance": maintenance},
            {"every": f"{60 + n}s"},
        )
        found.append(parse_when(forms[n % 5]))
    return found


def next_runs_seconds(number: int = 1000) -> tuple[float, float]:
    """(seconds with nothing read yet, seconds once calendars are in memory) for the next runs of as many schedules."""
    all_of_them = schedules(number)
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        for when in all_of_them:
            next_moment(when, now)
        taken.append(time.perf_counter() - began)
    return taken[0], taken[1]


def forecast_seconds() -> tuple[float, float, float]:
    """(seconds, error, error of the rule) of a week's forecast from half a year."""
    from base_ops.data_ingestion.models.scheduling.forecast import forecast, last_week, mape
    from base_ops.data_ingestion.models.scheduling.slots import PER_WEEK
    from base_ops.data_ingestion.models.scheduling.synthetic import history

    calendar, first = load_calendar("XNYS"), date(2026, 1, 5)
    load = history(calendar, first, 189, seed=1)
    known = load[:-PER_WEEK]
    began = time.perf_counter()
    found = forecast(datetime(first.year, first.month, first.day, tzinfo=UTC), known, calendar, calendar.zone)
    seconds = time.perf_counter() - began
    actual = load[-PER_WEEK:]
    return seconds, mape(actual, found.expected), mape(actual, last_week(known))
