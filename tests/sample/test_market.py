"""The sample market's data: what is planted is what is said."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import date
from typing import Any

import pytest

from base_ops.sample import CONFLICTS, PLANTED, Planted, market

COLUMNS = [
    "symbol",
    "date",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "currency",
    "venue",
    "trader_email",
    "updated_at",
]


def drop_lines(later: bool = False) -> list[list[str]]:
    """All lines of all files without the headers, read as plain text."""
    found = []
    for name, data in market.drop_files(later=later).items():
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            lines = list(csv.reader(io.StringIO(archive.read(name.replace(".zip", ".csv")).decode())))
        assert lines[0] == COLUMNS
        found += lines[1:]
    return found


def counted(lines: list[list[Any]]) -> Planted:
    """The account of a delivery, taken from the lines alone."""
    count = dict.fromkeys(("ragged", "bad_number", "bad_date", "negative_price", "missing_symbol"), 0)
    closes: dict[Any, list[Any]] = {}
    for line in lines:
        row = dict(zip(COLUMNS, line, strict=False))
        if len(line) != len(COLUMNS):
            count["ragged"] += 1
        elif row["symbol"] in (None, ""):
            count["missing_symbol"] += 1
        elif not _is(float, row["close"]):
            count["bad_number"] += 1
        elif not _is(date.fromisoformat, row["date"]):
            count["bad_date"] += 1
        elif float(row["close"]) < 0:
            count["negative_price"] += 1
        else:
            closes.setdefault((row["symbol"], row["date"]), []).append(line)
    repeated = [(first, again) for first, *more in closes.values() for again in more]
    duplicates = sum(first == again for first, again in repeated)
    return Planted(
        good=len(closes), duplicates=duplicates, corrections=len(repeated) - duplicates, later_corrections=0, **count
    )


def _is(kind: Any, text: Any) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("source", PLANTED)
def test_what_is_planted(source: str) -> None:
    api = [list(row.values()) for row in market.api_rows()]
    lines = api if source == "sample_api" else drop_lines()
    expected = PLANTED[source]
    assert len(lines) == expected.rows
    found = counted(lines)
    assert found == Planted(**{**vars(expected), "later_corrections": 0})


def test_conflicts_and_later_corrections() -> None:
    truth = {(row["symbol"], row["date"]): row for row in market.quotes()}
    first = {(row["symbol"], row["date"]): row for row in market.drop_quotes()}
    later = {(row["symbol"], row["date"]): row for row in market.drop_quotes(later=True)}
    assert sum(first[key]["close"] != truth[key]["close"] for key in truth) == CONFLICTS
    assert sum(first[key] != truth[key] for key in truth) == CONFLICTS
    assert sum(first[key] != later[key] for key in truth) == PLANTED["sample_drop"].later_corrections
    sent, sent_later = market.api_rows(), market.api_rows(later=True)
    assert sent_later[: len(sent)] == sent
    assert len(sent_later) - len(sent) == PLANTED["sample_api"].later_corrections
    assert all(row["updated_at"] > sent[-1]["updated_at"] for row in sent_later[len(sent) :])


def test_the_newest_quote_of_each_key() -> None:
    truth = {(row["symbol"], row["date"]): row for row in market.quotes()}
    corrections = PLANTED["sample_api"].corrections
    later = sum(planted.later_corrections for planted in PLANTED.values())
    for newest, changed in ((market.newest(), CONFLICTS + corrections), (market.newest(later=True), CONFLICTS + corrections + later)):  # fmt: skip
        assert newest.keys() == truth.keys()
        assert sum(newest[key]["close"] != truth[key]["close"] for key in truth) == changed


def test_prices_are_sound() -> None:
    for row in market.api_quotes(later=True) + market.drop_quotes(later=True):
        assert 0 < row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]


def test_the_same_bytes_each_time() -> None:
    first = market.drop_files()
    market.quotes.cache_clear()
    assert market.drop_files() == first
    assert len(first) == 12


def test_no_object_has_too_many_broken_rows() -> None:
    """The default limit of a converter is 5 % of an object."""
    for start in range(0, 800, 100):
        rows = market.api_rows()[start : start + 100]
        assert sum("BROKEN" in (row["symbol"] or "BROKEN") for row in rows) <= 4
    lines = drop_lines()
    assert (
        sum(len(line) != 11 or "BROKEN" in line[0] or not line[0] for line in lines)
        == PLANTED["sample_drop"].broken
        == 11
    )
