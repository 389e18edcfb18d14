"""The data of the sample market, the same on every machine, and the account of the faults planted in it.

Both vendors quote 12 symbols on the same 60 trading days (key: symbol, date). They agree except where `PLANTED` and
`CONFLICTS` say otherwise. A correction repeats a key with another close and a later `updated_at`.
"""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

Row = dict[str, Any]

SEED = 20250106
VENUES = {
    "XNAS": ("USD", ("AAPL", "AMZN", "GOOG", "MSFT", "NVDA")),
    "XNYS": ("USD", ("JPM",)),
    "XLON": ("GBP", ("BARC", "HSBA", "SHEL")),
    "XETR": ("EUR", ("SAP", "SIE")),
    "XAMS": ("EUR", ("ASML",)),
}
DAYS = 60
FIRST_DAY = date(2025, 1, 6)
LATER = "2025-04-02T06:00:00Z"
"""When the corrections became known that only `correct` sends: after everything of the first delivery."""


@dataclass(frozen=True)
class Planted:
    """What one vendor sends, counted. Broken rows come on top of the good ones and have keys of their own."""

    good: int
    """Rows that are right, each of a key not sent before."""
    duplicates: int
    """Exact repetitions of good rows."""
    corrections: int
    """Keys repeated with another close and a later updated_at, in the first delivery."""
    later_corrections: int
    """Keys whose close changes only after `correct`."""
    ragged: int
    bad_number: int
    bad_date: int
    negative_price: int
    missing_symbol: int

    @property
    def unreadable(self) -> int:
        """Rows that typed reading rejects."""
        return self.ragged + self.bad_number + self.bad_date

    @property
    def broken(self) -> int:
        """Rows that must not reach the table."""
        return self.unreadable + self.negative_price + self.missing_symbol

    @property
    def rows(self) -> int:
        """All rows of the first delivery."""
        return self.good + self.duplicates + self.corrections + self.broken


# fmt: off
API = Planted(
    good=720, duplicates=10, corrections=8, later_corrections=5,
    ragged=0, bad_number=2, bad_date=2, negative_price=3, missing_symbol=2,
)
DROP = Planted(
    good=720, duplicates=6, corrections=0, later_corrections=4,
    ragged=3, bad_number=2, bad_date=1, negative_price=3, missing_symbol=2,
)
# fmt: on
PLANTED = {"sample_api": API, "sample_drop": DROP}
CONFLICTS = 24
"""Keys whose first close differs between the vendors; the drop folder's quote is ten minutes younger."""


@cache
def quotes() -> tuple[Row, ...]:
    """What truly happened: one row per symbol and day, a random walk."""
    dice = random.Random(SEED)  # noqa: S311 - made-up prices
    weekdays = [day for n in range(2 * DAYS) if (day := FIRST_DAY + timedelta(days=n)).weekday() < 5][:DAYS]
    rows = []
    for venue, (currency, symbols) in VENUES.items():
        for symbol in symbols:
            price = 50 + 400 * dice.random()
            for day in weekdays:
                start, price = price, price * (0.98 + 0.04 * dice.random())
                rows.append(
                    {
                        "symbol": symbol,
                        "date": day.isoformat(),
                        "open": round(start, 2),
                        "high": round(max(start, price) * (1 + 0.01 * dice.random()), 2),
                        "low": round(min(start, price) * (1 - 0.01 * dice.random()), 2),
                        "close": round(price, 2),
                        "volume": int(100_000 + 9_900_000 * dice.random()),
                        "currency": currency,
                        "venue": venue,
                        "trader_email": f"trader{1 + int(7 * dice.random())}@example.com",
                        "updated_at": f"{day}T22:00:00Z",
                    }
                )
    return tuple(rows)


def picks() -> dict[str, list[int]]:
    """Which quotes each fault is planted on, by their numbers; no quote has two faults."""
    dice = random.Random(SEED + 1)  # noqa: S311
    order = sorted(range(API.good), key=lambda _: dice.random())
    sizes = {
        "conflict": CONFLICTS,
        "api_correction": API.corrections,
        "api_later": API.later_corrections,
        "api_duplicate": API.duplicates,
        "drop_later": DROP.later_corrections,
        "drop_duplicate": DROP.duplicates,
    }
    return {name: [order.pop() for _ in range(size)] for name, size in sizes.items()}


def api_quotes(*, later: bool = False) -> list[Row]:
    """Vendor A without its broken rows, oldest first; a correction comes as a row of its own."""
    rows, at = quotes(), picks()
    sent = [*rows, *(rows[n] for n in at["api_duplicate"])]
    sent += [
        _corrected(rows[n], f"{date.fromisoformat(rows[n]['date']) + timedelta(days=1)}T06:00:00Z")
        for n in at["api_correction"]
    ]
    if later:
        sent += [_corrected(rows[n], LATER) for n in at["api_later"]]
    return sorted(sent, key=lambda row: row["updated_at"])


def drop_quotes(*, later: bool = False) -> list[Row]:
    """Vendor B without its broken rows, by symbol; a correction replaces the row in a new file of the same name."""
    rows, at = quotes(), picks()
    changed = {n: _corrected(rows[n], f"{rows[n]['date']}T22:10:00Z") for n in at["conflict"]}
    if later:
        changed |= {n: _corrected(rows[n], LATER) for n in at["drop_later"]}
    sent = [changed.get(n, row) for n, row in enumerate(rows)]
    return [row for n, row in enumerate(sent) for _ in range(2 if n in at["drop_duplicate"] else 1)]


def newest(*, later: bool = False) -> dict[tuple[str, str], Row]:
    """What a table of both vendors holds in the end, by (symbol, date), if the last update wins."""
    rows = sorted(api_quotes(later=later) + drop_quotes(later=later), key=lambda row: row["updated_at"])
    return {(row["symbol"], row["date"]): row for row in rows}


def api_rows(*, later: bool = False) -> list[Row]:
    """All that vendor A sends, oldest first."""
    return sorted(api_quotes(later=later) + _broken(API, "A"), key=lambda row: row["updated_at"])


def drop_files(*, later: bool = False) -> dict[str, bytes]:
    """All that vendor B sends: a zipped CSV per symbol, by file name. One broken row at most in each."""
    broken = _broken(DROP, "B")
    files: dict[str, bytes] = {}
    rows = drop_quotes(later=later)
    for number, symbol in enumerate(dict.fromkeys(row["symbol"] for row in rows)):
        lines = [list(row.values()) for row in rows if row["symbol"] == symbol]
        if number < len(broken):
            lines.insert(DAYS // 2, list(broken[number].values()))
        elif number < len(broken) + DROP.ragged:
            short, long = lines[0][1:6], [*lines[0][1:], "one", "two"]
            lines.insert(DAYS // 2, [f"B-RAGGED{number}", *(short if number % 2 else long)])
        files[f"{symbol}.zip"] = _zip(f"{symbol}.csv", [list(rows[0]), *lines])
    return files


def _corrected(row: Row, at: str) -> Row:
    close = round(row["close"] * 1.01, 2)
    return row | {"close": close, "high": max(close, row["high"]), "updated_at": at}


def _broken(planted: Planted, vendor: str) -> list[Row]:
    """One fault each, on copies of quotes that lie 79 apart, under symbols of their own."""
    faults: list[Row] = [{"close": "12,3x"}] * planted.bad_number + [{"date": "2025-02-30"}] * planted.bad_date
    faults += [{"low": -5.0, "close": -5.0}] * planted.negative_price + [{"symbol": None}] * planted.missing_symbol
    rows = quotes()
    return [rows[79 * n % len(rows)] | {"symbol": f"{vendor}-BROKEN{n}"} | fault for n, fault in enumerate(faults)]


def _zip(name: str, lines: list[list[Any]]) -> bytes:
    """The same bytes each time: the archive's own time stamp is fixed."""
    text, packed = io.StringIO(), io.BytesIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (2025, 4, 1, 0, 0, 0)), text.getvalue())
    return packed.getvalue()


def to_json(rows: list[Row], following: str | None) -> bytes:
    """One page of vendor A's API."""
    return json.dumps({"data": rows, "next": following}).encode()
