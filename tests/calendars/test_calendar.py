"""Calendars: their sessions are those of the references, and nothing is said outside their range."""

from __future__ import annotations

import csv
import gzip
import json
import os
import warnings
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.calendars.calendar import (
    Session,
    format_times,
    known_calendars,
    load_calendar,
    parse_calendar,
    parse_times,
)
from base_ops.core.errors import ConfigError

MADE_OF_WEEKS_THAT_CHANGE = {"XBOM", "XKRX", "XMOS", "XTAE"}
"""exchange_calendars gets these wrong on pandas 3; facts about them stand in the table below."""
SIMPLE = {
    "calendar": "OFFICE",
    "timezone": "America/New_York",
    "first": "2024-01-01",
    "last": "2024-12-31",
    "hours": [{"from": "2024-01-01", "days": "Mon Tue Wed Thu Fri", "times": "09:00 17:00"}],
    "closed": {"2024": "07-04 12-25"},
    "special": {"2024": {"12-24": "09:00 12:00"}},
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(market: str, day: str) -> str:
    """The session of a date as `open [break start, break end] close`, in UTC."""
    found = load_calendar(market).session(date.fromisoformat(day))
    if found is None:
        return ""
    moments = (found.open, found.break_start, found.break_end, found.close)
    return " ".join(f"{moment:%m-%dT%H:%M}" for moment in moments if moment is not None)


@pytest.mark.corpora
@pytest.mark.parametrize("file", ["xnys", "xlon"])
def test_sessions_equal_the_reference_calendars(file: str) -> None:
    path = Path(os.environ["BASE_CORPORA"]) / "market-calendars" / f"{file}.csv.gz"
    with gzip.open(path, "rt") as lines:
        rows = [[utc(cell.rstrip("Z")) if cell else None for cell in row] for row in list(csv.reader(lines))[1:]]
    reference = [Session(row[0].date(), *[row[n] for n in (1, 2, 3, 4)]) for row in rows if row[0]]
    calendar = load_calendar(file.upper())
    assert len(reference) > 8000
    assert list(calendar.sessions(reference[0].date, reference[-1].date)) == reference


def library_sessions(name: str, first: date, last: date) -> list[Session]:
    from base_ops.calendars.build import reference

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their use of pandas is theirs
        return reference(name, first, last)[3]


@pytest.mark.parametrize("name", ["XNYS", "XLON", "XTKS", "XHKG", "ASEX", "CMES", "24/7", "XASX"])
def test_recent_sessions_equal_the_library(name: str) -> None:
    first, last = date(2023, 1, 1), load_calendar(name).last
    assert list(load_calendar(name).sessions(first, last)) == library_sessions(name, first, last)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(known_calendars()) - MADE_OF_WEEKS_THAT_CHANGE))
def test_all_sessions_equal_the_library(name: str) -> None:
    calendar = load_calendar(name)
    assert list(calendar.sessions(calendar.first, calendar.last)) == library_sessions(
        name, calendar.first, calendar.last
    )


def test_all_71_exchanges_reach_over_this_year_and_the_next_two_where_their_days_are_known() -> None:
    names = known_calendars()
    assert len([name for name in names if name != "OFFICE"]) >= 71
    short = {name for name in names if load_calendar(name).last < date(2028, 12, 31)}
    assert short == {"XBOM", "XSES", "XSHG"}  # moon holidays their governments have not announced


@pytest.mark.parametrize(
    ("market", "day", "expected"),
    [
        ("XNYS", "2026-03-06", "03-06T14:30 03-06T21:00"),
        ("XNYS", "2026-03-09", "03-09T13:30 03-09T20:00"),  # daylight saving time
        ("XNYS", "2026-11-26", ""),  # Thanksgiving
        ("XNYS", "2026-11-27", "11-27T14:30 11-27T18:00"),  # early close
        ("XNYS", "2001-09-11", ""),
        ("XNYS", "2026-11-28", ""),  # a Saturday
        ("XLON", "2022-09-19", ""),  # a day of mourning
        ("XHKG", "2026-11-25", "11-25T01:30 11-25T04:00 11-25T05:00 11-25T08:00"),  # lunch
        ("XTKS", "2024-11-01", "11-01T00:00 11-01T02:30 11-01T03:30 11-01T06:00"),
        ("XTKS", "2024-11-05", "11-05T00:00 11-05T02:30 11-05T03:30 11-05T06:30"),  # half an hour longer from then on
        ("CMES", "2026-11-25", "11-24T23:00 11-25T23:00"),  # begins on the evening before
        ("24/7", "2026-11-28", "11-28T00:00 11-29T00:00"),
        ("XTAE", "2025-11-23", "11-23T07:59 11-23T13:40"),  # Sundays …
        ("XTAE", "2026-01-16", "01-16T07:59 01-16T11:50"),  # … until 2026, Fridays since
        ("XTAE", "2026-01-18", ""),
        ("XKRX", "1998-11-28", "11-28T00:30 11-28T02:30 11-28T04:00 11-28T06:00"),  # Saturdays, long ago
        ("XMOS", "2024-04-27", "04-27T07:00 04-27T15:45"),  # a Saturday worked in advance
        ("XBOM", "2025-02-01", "02-01T03:45 02-01T10:00"),  # a Saturday with a budget
    ],
)  # fmt: skip
def test_sessions(market: str, day: str, expected: str) -> None:
    assert times(market, day) == expected


@pytest.mark.parametrize(
    ("market", "moment", "is_open"),
    [
        ("XNYS", "2026-11-25T14:29:59", False),
        ("XNYS", "2026-11-25T14:30:00", True),
        ("XNYS", "2026-11-25T21:00:00", True),
        ("XNYS", "2026-11-25T21:00:01", False),
        ("XHKG", "2026-11-25T04:00:00", True),
        ("XHKG", "2026-11-25T04:30:00", False),
        ("XHKG", "2026-11-25T05:00:00", True),
        ("CMES", "2026-11-24T23:30:00", True),
        ("CMES", "2026-11-28T12:00:00", False),
    ],
)
def test_open_at(market: str, moment: str, is_open: bool) -> None:
    assert (load_calendar(market).session_at(utc(moment)) is not None) == is_open


@pytest.mark.parametrize("day", [date(1989, 12, 31), date(2029, 1, 1)])
def test_a_date_outside_the_range_is_an_error(day: date) -> None:
    with pytest.raises(ConfigError) as caught:
        load_calendar("XNYS").session(day)
    assert caught.value.code == "calendar_not_valid"
    assert "1990-01-01 to 2028-12-31" in caught.value.text()


def test_an_unknown_calendar_is_told_with_what_is_known() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'XNYS'"):
        load_calendar("XNYSE")


@pytest.mark.parametrize("name", ["../XNYS", "/etc/passwd", "", "XNYS\0"])
def test_no_name_leaves_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "XNYS.json").write_text(json.dumps(SIMPLE))
    with pytest.raises(ConfigError):
        load_calendar(name, tmp_path / "data_ingestion" / "calendars" / "x")


def test_a_calendar_of_ones_own_goes_first(tmp_path: Path) -> None:
    folder = tmp_path / "data_ingestion" / "calendars"
    folder.mkdir(parents=True)
    (folder / "OFFICE.json").write_text(json.dumps(SIMPLE))
    (folder / "XNYS.json").write_text(json.dumps({**SIMPLE, "calendar": "XNYS"}))
    office = load_calendar("OFFICE", tmp_path)
    assert [s.date.day for s in office.sessions(date(2024, 7, 1), date(2024, 7, 7))] == [1, 2, 3, 5]
    assert office.session(date(2024, 12, 24)) == Session(
        date(2024, 12, 24), utc("2024-12-24T14:00"), utc("2024-12-24T17:00")
    )
    assert load_calendar("XNYS", tmp_path).last == date(2024, 12, 31)


@pytest.mark.parametrize(
    "change",
    [
        {"hours": [{"from": "2024-01-01", "days": "Mon Tues", "times": "09:00 17:00"}]},
        {"hours": [{"from": "2024-01-01", "days": "Mon", "times": "17:00 09:00"}]},
        {"hours": [{"from": "2024-01-01", "days": "Mon", "times": "9:00 17:00"}]},
        {"hours": [{"from": "2024-02-01", "days": "Mon", "times": ""}, {"from": "2024-01-01", "days": "Mon", "times": ""}]},
        {"closed": {"2024": "02-30"}},
        {"special": {"2024": {"12-24": "09:00"}}},
        {"timezone": "America/New_Amsterdam"},
        {"first": "yesterday"},
        {"hours": None},
    ],
)  # fmt: skip
def test_a_file_that_is_not_right_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "data_ingestion" / "calendars"
    folder.mkdir(parents=True)
    (folder / "BAD.json").write_text(json.dumps({**SIMPLE, **change}))
    with pytest.raises(ConfigError) as caught:
        load_calendar("BAD", tmp_path)
    assert caught.value.code == "bad_calendar"


@given(st.lists(st.integers(-2880, 4320), min_size=0, max_size=4).map(sorted).filter(lambda t: len(t) in (0, 2, 4)))
def test_times_come_back(minutes: list[int]) -> None:
    assert parse_times(format_times(tuple(minutes))) == tuple(minutes)


@pytest.mark.parametrize("name", known_calendars())
def test_sessions_are_in_order_and_do_not_overlap(name: str) -> None:
    calendar = load_calendar(name)
    found = list(calendar.sessions(max(calendar.first, calendar.last - timedelta(days=800)), calendar.last))
    assert found
    for session in found:
        moments = [m for m in (session.open, session.break_start, session.break_end, session.close) if m is not None]
        assert moments == sorted(moments) and len(moments) in (2, 4)
    assert all(before.close <= after.open for before, after in pairwise(found))


def test_parse_calendar_knows_hours_that_change() -> None:
    hours = [
        {"from": "2024-01-01", "days": "Mon", "times": "09:00 17:00"},
        {"from": "2024-07-01", "days": "Mon", "times": ""},
    ]
    found = parse_calendar({**SIMPLE, "hours": hours})
    assert found.session(date(2024, 6, 24)) is not None
    assert found.session(date(2024, 7, 1)) is None
