"""Histories to measure forecasts with: load driven by a calendar, with holidays, early closes and daylight saving time.

Made from a seed. The forecast does not know these formulas: the shape within a session, growth, month ends and the
slow wandering of the level are made otherwise than it models them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from base_ops.calendars.calendar import Calendar, Session
from base_ops.data_ingestion.models.scheduling.slots import PER_DAY, SLOT

_WEEKDAY = (1.08, 1.0, 0.98, 1.02, 0.93, 0.9, 0.9)


def history(calendar: Calendar, first: date, days: int, seed: int, noise: float = 0.05) -> NDArray[np.float64]:
    """Load per quarter-hour from midnight UTC of `first` on.

    Args:
        noise: standard deviation of each slot's own luck, as a share of its load.
    """
    rng = np.random.default_rng(seed)
    number = days * PER_DAY
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    base, growth = rng.uniform(300, 3000), rng.uniform(-0.001, 0.002)
    hours = np.arange(number) % PER_DAY / 4
    load = 0.12 * base * (1 + 0.3 * np.sin(2 * np.pi * (hours - 3) / 24))  # what goes on at night and on holidays
    sessions = list(calendar.sessions(first - timedelta(days=2), first + timedelta(days=days + 15)))
    for session, following in pairwise(sessions):
        _add(load, start, session, base, session.date.month != following.date.month)
    wander = np.cumsum(rng.normal(0, 0.01, days)) * 0.98 ** np.arange(days)[::-1]
    daily = np.repeat(np.exp(wander + growth * np.arange(days)), PER_DAY)
    return np.asarray(load * daily * np.exp(rng.normal(0, noise, number)))


def _add(load: NDArray[np.float64], start: datetime, session: Session, base: float, month_end: bool) -> None:
    """A session's rush at the open, calm at noon, rush into the close, and the work after it."""
    begin, end = (session.open - start) / SLOT, (session.close - start) / SLOT
    size = base * _WEEKDAY[session.date.weekday()] * (1.25 if month_end else 1.0)
    for slot in range(max(0, round(begin) - 4), min(len(load), round(end) + 12)):
        if slot < begin:
            load[slot] += 0.15 * size * (slot - begin + 5)
        elif slot < end:
            since, until = slot - begin, end - slot
            load[slot] += size * (1 + 1.2 * np.exp(-since / 3) + 1.6 * np.exp(-until / 4))
        else:
            load[slot] += 0.9 * size * np.exp(-(slot - end) / 5)
