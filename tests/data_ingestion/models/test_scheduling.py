"""The forecast of load: better than the rule on load a calendar drives, and the rule where it is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from base_ops.calendars.calendar import load_calendar
from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.models.scheduling.forecast import HORIZON, Floats, forecast, last_week, mape
from base_ops.data_ingestion.models.scheduling.slots import PER_DAY, PER_WEEK, describe
from base_ops.data_ingestion.models.scheduling.synthetic import history

DAYS = 91


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@pytest.mark.parametrize("market", ["XNYS", "XHKG", "XETR"])
@pytest.mark.parametrize(
    "first",
    [date(2025, 8, 1), date(2025, 9, 28), date(2025, 12, 1), date(2026, 4, 1)],
    ids=["clocks change", "Christmas", "winter", "independence day"],
)
def test_within_ten_per_cent_on_load_a_calendar_drives(market: str, first: date) -> None:
    calendar = load_calendar(market)
    load = history(calendar, first, DAYS + 7, seed=first.month)
    known, actual = load[:-HORIZON], load[-HORIZON:]
    found = forecast(midnight(first), known, calendar, calendar.zone)
    assert found.source == "model"
    assert found.start == midnight(first) + timedelta(days=DAYS)
    error = mape(actual, found.expected)
    assert error < 0.10
    assert error < mape(actual, last_week(known))
    inside = np.mean((found.low <= actual) & (actual <= found.high))
    assert 0.6 < inside < 0.97


def test_over_many_weeks_the_intervals_hold_what_they_promise() -> None:
    calendar, inside = load_calendar("XNYS"), []
    for seed in range(8):
        first = date(2025, 1, 6) + timedelta(weeks=5 * seed)
        load = history(calendar, first, 70 + 7, seed)
        found = forecast(midnight(first), load[:-HORIZON], calendar, calendar.zone)
        inside.append(np.mean((found.low <= load[-HORIZON:]) & (load[-HORIZON:] <= found.high)))
    assert 0.72 < float(np.mean(inside)) < 0.92


def week(seed: int = 1) -> Floats:
    return np.random.default_rng(seed).uniform(1, 100, PER_WEEK)


def test_the_rule_decides_where_history_is_short() -> None:
    load = np.tile(week(), 3)
    found = forecast(midnight(date(2026, 1, 5)), load, None, ZoneInfo("UTC"))
    assert (found.source, found.reason) == ("fallback", "less than 28 days of history")
    assert np.array_equal(found.expected, week())


def test_the_rule_decides_where_it_is_the_better_one() -> None:
    load = np.tile(week(), 8)  # every week exactly alike, each slot its own: what the model's parts cannot say
    found = forecast(midnight(date(2026, 1, 5)), load, None, ZoneInfo("UTC"))
    assert found.source == "fallback"
    assert found.backtest["fallback"] == pytest.approx(0)
    assert np.allclose(found.low, found.expected)


def test_less_than_a_week_is_too_little() -> None:
    with pytest.raises(BadInput, match="too little history"):
        forecast(midnight(date(2026, 1, 5)), week()[:-1], None, ZoneInfo("UTC"))


def test_a_week_ahead_must_be_in_the_calendar() -> None:
    calendar = load_calendar("XNYS")
    with pytest.raises(ConfigError, match="says nothing about 2029"):
        forecast(midnight(date(2028, 11, 1)), np.ones(58 * PER_DAY), calendar, calendar.zone)


def test_gaps_and_silence_do_no_harm() -> None:
    calendar, first = load_calendar("XNYS"), date(2026, 3, 2)
    load = history(calendar, first, 63, seed=2)
    load[100:400] = np.nan
    load[1000:1100] = 0
    found = forecast(midnight(first), load, calendar, calendar.zone)
    assert found.source == "model"
    assert np.isfinite(np.concatenate([found.low, found.expected, found.high])).all()
    silent = forecast(midnight(first), np.zeros(63 * PER_DAY), calendar, calendar.zone)
    assert not silent.expected.any()


def test_last_week_fills_its_gaps_from_the_weeks_before() -> None:
    load = np.concatenate([np.full(PER_WEEK, 1.0), np.full(PER_WEEK, 2.0), np.full(PER_WEEK, np.nan)])
    load[-PER_WEEK + 5] = 3.0
    found = last_week(load)
    assert found[5] == 3.0 and found[0] == 2.0 and found.min() == 2.0


def test_an_early_close_brings_the_rush_into_the_close_earlier() -> None:
    calendar = load_calendar("XNYS")
    usual = describe(datetime(2026, 11, 25, 20, 45, tzinfo=UTC), 1, calendar, calendar.zone)
    early = describe(datetime(2026, 11, 27, 17, 45, tzinfo=UTC), 1, calendar, calendar.zone)
    assert usual.key[0] == early.key[0]
    assert early.flags[0, 0] and not usual.flags[0, 0]
