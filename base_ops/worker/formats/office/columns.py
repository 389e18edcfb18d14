"""Columns of a sheet: the type that a column's stored cells call for, and its cells as values of it, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.worker.formats.office.cells import (
    FALSE,
    NUMBERS,
    SERIALS,
    TRUE,
    Kind,
    Positions,
    Strip,
    column_letters,
    floats,
    plain_number,
    serial_kinds,
    shown,
    spans,
    stamps,
    times,
)
from base_ops.worker.types import dtype_of, parse_expr

_ENOUGH = 0.95
"""Share of the sample's cells that must be of a kind; the others will be refused, one by one, with a reason."""
_EXACT_FLOAT = float(1 << 53)
_SHOWN = 80
_FAMILIES: dict[str, tuple[Kind, ...]] = {
    "number": NUMBERS,
    "boolean": (Kind.BOOLEAN,),
    "date": (Kind.DATE, Kind.STAMP, Kind.ISO),
    "time": (Kind.TIME,),
    "duration": (Kind.SPAN,),
    "string": (Kind.TEXT,),
}
_UNUSABLE = (Kind.ERROR, Kind.UNCALCULATED, Kind.DAMAGED)
_DURATION = "duration"
_NAMES = {
    Kind.TEXT: "text",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.STAMP: "timestamp",
    Kind.TIME: "time",
    Kind.SPAN: "duration",
    Kind.ISO: "date",
}


@dataclass(frozen=True)
class Bad:
    """A row of a block that cannot be used, by its position."""

    row: int
    rule: str
    reason: str


@dataclass(frozen=True)
class Context:
    """What the cells of a workbook mean."""

    null_texts: list[str]
    is_1904: bool = False


class SheetColumn:
    """One output column.

    Args:
        type: name from worker/types.py, or duration.
        declared: the type is what somebody wants, not what the sample showed: texts are parsed, too.
    """

    def __init__(
        self, name: str, type: str, context: Context, *, format: str | None = None, required: bool = False,
        declared: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.type, self.format, self.required = name, type, format, required
        self.dtype = pl.Duration("us") if type == _DURATION else dtype_of(type)
        self._context, self._declared = context, declared
        self._kinds = _accepted(type, declared=declared)

    def values(self, strip: Strip | None, height: int, column: int, numbers: Positions) -> tuple[pl.Series, list[Bad]]:
        """The column's values in a block of rows (null where there is no cell or a bad one), and the bad rows.

        Args:
            strip: the block's cells; None: no row has one.
            height: rows of the block.
            column, numbers: sheet column and row numbers, for messages.
        """
        if strip is None:
            return self._placed(pl.Series([], dtype=self.dtype), np.zeros(0, np.int64), height), []
        strip, serials = understood(strip, self._context, keep_blanks=self.type == "string")
        kinds = strip.kind_array()
        fits = (
            np.isin(kinds, self._kinds) if not isinstance(strip.kinds, int) or strip.kinds not in self._kinds else None
        )
        bad: list[Bad] = []
        rows = np.arange(height) if strip.rows is None else strip.rows
        if fits is not None and not fits.all():
            bad = [
                self._bad(int(rows[i]), int(kinds[i]), str(strip.texts[i]), column, numbers)
                for i in np.flatnonzero(~fits).tolist()
            ]
            rows, kinds, serials = rows[fits], kinds[fits], serials[fits]
            strip = Strip(rows, kinds, strip.texts.filter(pl.Series(fits)))
        made = self._made(kinds, strip.texts, serials)
        if made.null_count():
            for i in made.is_null().arg_true().to_list():
                bad.append(self._bad(int(rows[i]), int(kinds[i]), str(strip.texts[i]), column, numbers))
        return (made if len(made) == height else self._placed(made, rows, height)), bad

    def _placed(self, made: pl.Series, rows: Positions, height: int) -> pl.Series:
        index = np.full(height, -1, np.int64)
        index[rows] = np.arange(len(rows))
        return made.gather(pl.Series(index, dtype=pl.Int64).set(pl.Series(index < 0), None))

    def _bad(self, row: int, kind: int, text: str, column: int, numbers: Positions) -> Bad:
        cell = f"{self.name} ({column_letters(column)}{numbers[row]})"
        if kind == Kind.ERROR:
            return Bad(row, "error_value", f"{cell}: the error {text[:_SHOWN]}")
        if kind == Kind.UNCALCULATED:
            return Bad(row, "not_calculated", f"{cell}: a formula without a stored result; open and save the workbook")
        if kind == Kind.DAMAGED:
            return Bad(row, "type", f"{cell}: {text[:_SHOWN]!r} is no date of the calendar, or no value of its kind")
        wanted = self.type if self.format is None else f"{self.type} in the form {self.format}"
        wanted = wanted if self._declared else f"{wanted}, the type of the column's first records"
        found = repr(shown(kind, text, is_1904=self._context.is_1904)[:_SHOWN])
        found = f"{_NAMES[Kind(kind)]} {found}" if kind in _NAMES else found
        return Bad(row, "type", f"{cell}: {found} is not {wanted}")

    # -- values

    def _made(self, kinds: NDArray[np.uint8], texts: pl.Series, serials: NDArray[np.float64]) -> pl.Series:
        """Values of cells of accepted kinds, null where one does not fit."""
        if not len(kinds):
            return pl.Series([], dtype=self.dtype)
        groups = [int(k) for k in np.unique(kinds)] if (kinds != kinds[0]).any() else [int(kinds[0])]
        groups = [Kind.NUMBER if k in NUMBERS else Kind.STAMP if k == Kind.DATE else k for k in groups]
        if len(set(groups)) == 1:
            return self._of_kind(groups[0], kinds, texts, serials)
        made = pl.Series([None], dtype=self.dtype).new_from_index(0, len(kinds))
        for kind in dict.fromkeys(groups):
            same = NUMBERS if kind == Kind.NUMBER else (Kind.DATE, Kind.STAMP) if kind == Kind.STAMP else (kind,)
            at = np.flatnonzero(np.isin(kinds, same))
            made = made.scatter(at, self._of_kind(kind, kinds[at], texts.gather(at), serials[at]))
        return made

    def _of_kind(
        self, kind: int, kinds: NDArray[np.uint8], texts: pl.Series, serials: NDArray[np.float64]
    ) -> pl.Series:
        texts = texts.alias("cell")
        if self.type == "string":
            if kind in (Kind.TEXT, Kind.ISO):
                return texts
            is_1904 = self._context.is_1904
            return pl.Series(
                [shown(k, t, is_1904=is_1904) for k, t in zip(kinds.tolist(), texts, strict=True)], dtype=pl.String
            )
        if kind == Kind.SPAN:
            return spans(serials)
        if kind == Kind.TIME:
            return times(serials)
        if kind == Kind.STAMP:
            return self._temporal(stamps(serials, is_1904=self._context.is_1904))
        if kind == Kind.BOOLEAN:
            made = texts.is_in(TRUE)
            return made if (known := made | texts.is_in(FALSE)).all() else made.set(~known, None)
        if kind == Kind.NUMBER and self.dtype.is_numeric():
            return self._numbers(texts)
        if kind == Kind.NUMBER and self.dtype.is_temporal() and self.format is None:
            return self._serial_numbers(texts)
        return self._parsed(texts)

    def _temporal(self, value: pl.Series) -> pl.Series:
        """Timestamps as the column's type; a date has no time."""
        if self.dtype == pl.Date:
            days = value.cast(pl.Date)
            return days if (exact := days.cast(value.dtype) == value).all() else days.set(~exact, None)
        return value.dt.replace_time_zone("UTC") if self.type == "timestamp_utc" else value.cast(self.dtype)

    def _serial_numbers(self, texts: pl.Series) -> pl.Series:
        """Numbers that somebody declares to be dates: serial days whose format was lost."""
        value = floats(texts)
        kinds = serial_kinds(np.full(len(value), Kind.STAMP, np.uint8), value, is_1904=self._context.is_1904)
        wanted = Kind.TIME if self.dtype == pl.Time else Kind.STAMP
        fits = kinds == wanted
        value = np.where(fits, value, 0.0)
        made = times(value) if wanted == Kind.TIME else self._temporal(stamps(value, is_1904=self._context.is_1904))
        return made if fits.all() else made.set(pl.Series(~fits), None)

    def _numbers(self, texts: pl.Series) -> pl.Series:
        if self.type == "float64":
            return exact_floats(texts)
        made = texts.cast(self.dtype, strict=False) if self.dtype.is_integer() else self._parsed(texts)
        if at := made.is_null().arg_true().to_list():
            plain = pl.Series("cell", [plain_number(text) for text in texts.gather(at)])
            made = made.scatter(at, self._parsed(plain))
        return made

    def _parsed(self, texts: pl.Series) -> pl.Series:
        return texts.to_frame("cell").select(parse_expr("cell", self.type, self.format)).to_series()


def exact_floats(texts: pl.Series) -> pl.Series:
    """Numbers as the nearest float64; null where an integer has more digits than that keeps, or nothing is a number.

    Not a number, and infinite, is no value of a cell.
    """
    made = texts.cast(pl.Float64, strict=False)
    if not made.is_finite().all():
        made = made.set(~made.is_finite(), None)
    top, bottom = made.max(), made.min()
    if top is None or (bottom > -_EXACT_FLOAT and top < _EXACT_FLOAT):  # type: ignore[operator]
        return made
    long = (texts.str.contains(r"^[+-]?[0-9]{16,}$") & made.is_finite()).fill_null(False).arg_true().to_list()
    wrong = [i for i in long if int(texts[i]) != int(made[i])]
    return made.scatter(wrong, None) if wrong else made


def _accepted(type: str, *, declared: bool) -> tuple[Kind, ...]:
    if type == "string":
        return tuple(kind for kind in Kind if kind not in (*_UNUSABLE, Kind.SHARED))
    if type in ("date", "timestamp", "timestamp_utc"):
        kinds: tuple[Kind, ...] = _FAMILIES["date"]
    elif type in ("boolean", "time", _DURATION):
        kinds = _FAMILIES[type]
    else:
        kinds = NUMBERS
    return tuple({*kinds, *NUMBERS, Kind.TEXT}) if declared else kinds


def understood(strip: Strip, context: Context, *, keep_blanks: bool = False) -> tuple[Strip, NDArray[np.float64]]:
    """The strip without cells that mean 'no value', its serial days of their real kinds; and those as numbers.

    No value: null tokens, blank texts unless they are to be kept, and the error #N/A (or one among the null tokens).
    """
    if strip.all_of(Kind.TEXT, Kind.ERROR) or not isinstance(strip.kinds, int):
        nothing = strip.texts.is_in(context.null_texts)
        if not keep_blanks:
            nothing |= strip.texts.str.strip_chars(" ") == ""
        found = nothing.to_numpy()
        if not strip.all_of(Kind.TEXT):
            array = strip.kind_array()
            found = (found & (array == Kind.TEXT)) | (_is_none(strip.texts, context) & (array == Kind.ERROR))
        if found.any():
            strip = strip.only(~found)
    kinds = strip.kinds
    if isinstance(kinds, int):
        if kinds not in SERIALS:
            return strip, np.zeros(len(strip))
        at: slice | Positions = slice(None)
    else:
        at = np.flatnonzero(np.isin(kinds, SERIALS))
    array = strip.kind_array().copy()
    serials = np.zeros(len(strip))
    serials[at] = floats(strip.texts if isinstance(at, slice) else strip.texts.gather(at))
    array[at] = serial_kinds(array[at], serials[at], is_1904=context.is_1904)
    return Strip(strip.rows, array, strip.texts), serials


def _is_none(errors: pl.Series, context: Context) -> NDArray[np.bool_]:
    return errors.is_in([*context.null_texts, "#N/A"]).to_numpy()


def infer_type(strips: Sequence[Strip], context: Context) -> tuple[str, bool]:
    """The type of a column from its first cells, and whether they are of kinds that only text holds together."""
    known = [understood(strip, context)[0] for strip in strips]
    counts = np.zeros(len(Kind), np.int64)
    for strip in known:
        counts += np.bincount(strip.kind_array(), minlength=len(Kind))
    usable = int(counts.sum() - counts[list(_UNUSABLE)].sum())
    if not usable:
        return "string", False
    for family, kinds in _FAMILIES.items():
        if counts[list(kinds)].sum() >= _ENOUGH * usable:
            if family == "number":
                return ("float64" if counts[Kind.FRACTION] else _number_type(known)), False
            if family == "date":
                return _date_type(counts, known), False
            return family, False
    return "string", True


def _number_type(strips: Iterable[Strip]) -> str:
    parts = [s.only(np.isin(s.kind_array(), NUMBERS)).texts for s in strips]
    texts = pl.concat(parts)
    whole = texts.str.contains(r"^[+-]?[0-9]+$")
    if not whole.all():
        plain = pl.Series([plain_number(text) for text in texts.filter(~whole)])
        if not plain.str.contains(r"^[+-]?[0-9]+$").all():
            return "float64"
    texts = texts.filter(whole)
    if texts.cast(pl.Int64, strict=False).null_count() == 0:
        return "int64"
    return "decimal(38,0)" if texts.str.strip_chars_start("+-").str.len_bytes().max() <= 38 else "float64"  # type: ignore[operator]


def _date_type(counts: NDArray[np.int64], strips: Iterable[Strip]) -> str:
    if counts[Kind.STAMP]:
        return "timestamp"
    iso = [s.only(s.kind_array() == Kind.ISO).texts for s in strips]
    return "date" if all(bool((texts.str.len_bytes() == 10).all()) for texts in iso) else "timestamp"
