"""Cells of a sheet: what was stored, column by column, before it is decided what type a column has."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import IntEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

Positions = NDArray[np.int64]

MAX_ROWS, MAX_COLUMNS = 1_048_576, 16_384
_EXACT_FLOAT = 1 << 53
_DAY_US = 86_400_000_000
_EPOCH_1900 = (date(1970, 1, 1) - date(1899, 12, 30)).days
_EPOCH_1904 = (date(1970, 1, 1) - date(1904, 1, 1)).days
_LEAP_BUG = 60
"""Serial day 60 of the 1900 system is 1900-02-29, which never was; before it days count from 1899-12-31."""
_LAST_DAY = {False: 2_958_466, True: 2_957_004}
"""Serial day of 10000-01-01."""
_MOST_DAYS = 100_000_000
_NOISE_US = (5, 100)
"""Writers keep 15 to 17 digits of a serial day: closer to a whole millisecond than this is that millisecond. The second
is for days of six digits, from the year 2173 on."""


class Kind(IntEnum):
    """What a cell holds: its stored type, and for numbers what their format says they mean."""

    NUMBER = 0
    FRACTION = 1
    """A number shown with decimals, as a percentage or with an exponent."""
    TEXT = 2
    BOOLEAN = 3
    ERROR = 4
    UNCALCULATED = 5
    """A formula without a stored result."""
    DATE = 6
    STAMP = 7
    TIME = 8
    SPAN = 9
    """Elapsed time, e.g. [h]:mm."""
    ISO = 10
    """A date or timestamp as ISO 8601 text."""
    DAMAGED = 11
    SHARED = 12
    """The number of a shared text: within the reader only."""


NUMBERS = (Kind.NUMBER, Kind.FRACTION)
SERIALS = (Kind.DATE, Kind.STAMP, Kind.TIME, Kind.SPAN)
"""Kinds whose text is a serial day."""
TRUE, FALSE = ("1", "true"), ("0", "false")
"""Texts of booleans."""


@dataclass
class Strip:
    """The cells of one column in a block of rows; rows without a cell have none here."""

    rows: Positions | None
    """Positions in the block's rows, ascending; None: every row has a cell."""
    kinds: NDArray[np.uint8] | int
    """Kind of each cell, or of all."""
    texts: pl.Series
    """String: the stored text of each cell; of numbers, serial days and booleans (1, 0) as well."""

    def __len__(self) -> int:
        return len(self.texts)

    def all_of(self, *kinds: Kind) -> bool:
        """Whether all cells are known to be of one of these kinds."""
        return isinstance(self.kinds, int) and self.kinds in kinds

    def kind_array(self) -> NDArray[np.uint8]:
        return np.full(len(self), self.kinds, np.uint8) if isinstance(self.kinds, int) else self.kinds

    def only(self, mask: NDArray[np.bool_]) -> Strip:
        """The cells of the strip that the mask names."""
        rows = np.flatnonzero(mask) if self.rows is None else self.rows[mask]
        kinds = self.kinds if isinstance(self.kinds, int) else self.kinds[mask]
        return Strip(rows, kinds, self.texts.filter(pl.Series(mask)))


@dataclass
class Cells:
    """A block of rows that follow each other in the sheet; empty rows are left out."""

    numbers: Positions
    """Sheet row numbers, from 1, ascending."""
    strips: dict[int, Strip] = field(default_factory=dict)
    """By column number from 0."""

    def row(self, row: int) -> dict[int, tuple[int, str]]:
        """Kind and text of the cells of one row, by its position in the block."""
        found = {}
        for column, strip in self.strips.items():
            at = row if strip.rows is None else int(np.searchsorted(strip.rows, row))
            if strip.rows is None or (at < len(strip.rows) and strip.rows[at] == row):
                kind = strip.kinds if isinstance(strip.kinds, int) else int(strip.kinds[at])
                found[column] = (kind, str(strip.texts[at]))
        return found

    def slice(self, start: int, stop: int) -> Cells:
        """Rows start to stop (exclusive) of the block."""
        kept = Cells(self.numbers[start:stop])
        for column, strip in self.strips.items():
            at = np.arange(len(self.numbers)) if strip.rows is None else strip.rows
            part = strip.only((at >= start) & (at < stop))
            if len(part) and part.rows is not None:
                part.rows = part.rows - start
                kept.strips[column] = part
        return kept

    def columns(self, first: int, last: int) -> Cells:
        """Only the columns first to last (inclusive), and the rows that have a cell there."""
        strips = {c: s for c, s in self.strips.items() if first <= c <= last}
        if any(s.rows is None for s in strips.values()):
            return Cells(self.numbers, strips)
        keep = np.zeros(len(self.numbers), bool)
        for strip in strips.values():
            keep[strip.rows] = True
        place = np.cumsum(keep) - 1
        for column, strip in strips.items():
            strips[column] = Strip(place[strip.rows], strip.kinds, strip.texts)
        return Cells(self.numbers[keep], strips)


def column_letters(column: int) -> str:
    """A, B, … AA … of a column number from 0."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def column_number(letters: str) -> int:
    """Column number from 0 of its letters."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def floats(texts: pl.Series) -> NDArray[np.float64]:
    """Numbers of texts, NaN where there is none."""
    return texts.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def serial_kinds(kinds: NDArray[np.uint8], values: NDArray[np.float64], *, is_1904: bool) -> NDArray[np.uint8]:
    """Kinds of serial days as their values have it, whatever part of them is shown.

    A time within a date is a timestamp, a day within a time too; a fraction alone is a time; what is no day of the
    calendar is DAMAGED.
    """
    found = np.where((kinds == Kind.DATE) & (values != np.floor(values)), Kind.STAMP, kinds)
    found = np.where((kinds == Kind.TIME) & (values >= 1), Kind.STAMP, found)
    valid = (values >= 0) & (values < _LAST_DAY[is_1904])
    if not is_1904:
        found = np.where(values < 1, Kind.TIME, found)
        valid &= (values < _LEAP_BUG) | (values >= _LEAP_BUG + 1)
    found = np.where(valid, found, Kind.DAMAGED)
    return np.where(kinds == Kind.SPAN, np.where(np.abs(values) < _MOST_DAYS, kinds, Kind.DAMAGED), found).astype(
        np.uint8
    )


def microseconds(serial: NDArray[np.float64]) -> Positions:
    """Whole microseconds of serial days; noise of the writer's rounding next to a millisecond is dropped."""
    days = np.floor(serial)
    part = np.rint((serial - days) * _DAY_US)
    milli = np.rint(part / 1000) * 1000
    noise = np.where(np.abs(serial) < 100_000, *_NOISE_US)
    part = np.where(np.abs(part - milli) <= noise, milli, part)
    return days.astype(np.int64) * _DAY_US + part.astype(np.int64)


def stamps(serial: NDArray[np.float64], *, is_1904: bool) -> pl.Series:
    """Timestamps of serial days (that serial_kinds found possible)."""
    micros = microseconds(serial)
    if is_1904:
        micros -= _EPOCH_1904 * _DAY_US
    else:
        micros -= _EPOCH_1900 * _DAY_US
        micros += np.where(serial < _LEAP_BUG, _DAY_US, 0)
    return pl.Series("cell", micros).cast(pl.Datetime("us"))


def times(serial: NDArray[np.float64]) -> pl.Series:
    """Times of day of fractions of a day; null where rounding reaches midnight of the next day."""
    micros = microseconds(serial)
    valid = micros < _DAY_US
    found = pl.Series("cell", np.where(valid, micros, 0) * 1000).cast(pl.Time)
    return found if valid.all() else found.set(pl.Series(~valid), None)


def spans(serial: NDArray[np.float64]) -> pl.Series:
    """Durations of numbers of days."""
    return pl.Series("cell", microseconds(serial)).cast(pl.Duration("us"))


def plain_number(text: str) -> str:
    """The number as a person writes it: integers as stored, others by the shortest text of the same float64."""
    if text.lstrip("+-").isdigit():
        return text
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if abs(value) < _EXACT_FLOAT and value == int(value) else repr(value)


def shown(kind: int, text: str, *, is_1904: bool) -> str:
    """A cell as text: dates and times in ISO 8601, booleans as true and false, numbers by `plain_number`."""
    if kind in NUMBERS:
        return plain_number(text)
    if kind == Kind.BOOLEAN:
        return "true" if text in TRUE else "false" if text in FALSE else text
    if kind in SERIALS:
        serial = floats(pl.Series([text]))
        kind = int(serial_kinds(np.array([kind], np.uint8), serial, is_1904=is_1904)[0])
        if kind == Kind.DAMAGED:
            return text
        if kind == Kind.SPAN:
            return str(timedelta(microseconds=int(microseconds(serial)[0])))
        if kind == Kind.TIME:
            value = times(serial)[0]
            return text if value is None else str(value)
        value = stamps(serial, is_1904=is_1904)[0]
        return str(value.date() if kind == Kind.DATE else value)
    return text
