"""Shapes: what was seen under each key of many records, and the column types that hold all of it unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from base_ops.worker.exact_floats import is_kept
from base_ops.worker.formats.records.cells import digits_of
from base_ops.worker.formats.records.values import FloatText, IntText, SpecialFloat

_NULL, _BOOLEAN, _INT, _FLOAT, _STRING, _OBJECT, _ARRAY, _BYTES = range(8)
_KINDS: dict[type, int] = {
    type(None): _NULL,
    bool: _BOOLEAN,
    IntText: _INT,
    FloatText: _FLOAT,
    SpecialFloat: _FLOAT,
    str: _STRING,
    dict: _OBJECT,
    list: _ARRAY,
    bytes: _BYTES,
}
_STAMP = re.compile(
    r"([12]\d{3})-\d\d-\d\d"
    r"(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_DOMINANT = 0.95
"""From this share of its values on, a kind is the type of a column and values of other kinds are errors."""
_MOST = 38
"""Digits of a decimal."""
_NS_YEARS = ("1678", "2261")


class Stamps:
    """Whether all strings under a key are ISO 8601 dates, or all timestamps with (or all without) an offset."""

    __slots__ = ("first", "last", "nanos", "types")

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.nanos = False
        self.first, self.last = "9999", "0000"

    def see(self, text: str) -> bool:
        """False where `text` is none: the column is text."""
        found = _STAMP.fullmatch(text)
        if found is None or not text.isascii():
            return False
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return False
        year, fraction, offset = found.groups()
        self.types.add("date" if len(text) == 10 else "timestamp_utc" if offset else "timestamp")
        self.nanos |= fraction is not None and len(fraction.rstrip("0")) > 6
        self.first, self.last = min(self.first, year), max(self.last, year)
        return len(self.types) == 1

    @property
    def type(self) -> str | None:
        """date, timestamp or timestamp_utc; None where nanoseconds would not reach all years."""
        if self.nanos and (self.first < _NS_YEARS[0] or self.last > _NS_YEARS[1]):
            return None
        return next(iter(self.types), None)


class Shape:
    """All values seen under one key (or in one array, or as records)."""

    __slots__ = ("before", "behind", "beyond_int64", "counts", "fields", "huge", "item", "long", "stamps", "wide")

    def __init__(self) -> None:
        self.counts = [0] * 8
        self.fields: dict[str, Shape] = {}
        self.item: Shape | None = None
        self.beyond_int64 = False
        self.huge = 0
        """Integers of more than 38 digits."""
        self.wide = 0
        """Integers that a float64 does not keep."""
        self.long = 0
        """Numbers with a fraction that no float64 stands for."""
        self.before = self.behind = 0
        """Digits before and behind the point that hold all numbers with a fraction; more than _MOST where none do."""
        self.stamps: Stamps | None = Stamps()

    def see(self, value: Any) -> None:
        """Take one decoded value into account (at most values.MAX_DEPTH deep)."""
        kind = _KINDS[type(value)]
        self.counts[kind] += 1
        if kind == _OBJECT:
            for key, child in value.items():
                field = self.fields.get(key)
                if field is None:
                    field = self.fields[key] = Shape()
                field.see(child)
        elif kind == _ARRAY:
            if self.item is None:
                self.item = Shape()
            for child in value:
                self.item.see(child)
        elif kind == _STRING:
            if self.stamps is not None and not self.stamps.see(value):
                self.stamps = None
        elif kind == _INT and len(value) > 15:
            self._see_long(value)
        elif kind == _FLOAT:
            self._see_fraction(value)

    def _see_fraction(self, value: str) -> None:
        if type(value) is SpecialFloat:
            self.before = _MOST + 1
            return
        before, behind = digits_of(value) or (_MOST, _MOST)
        is_float, is_decimal = is_kept(value), before + behind <= _MOST
        if is_decimal or is_float:  # else its record is refused, whatever the type
            self.before, self.behind = max(self.before, before), max(self.behind, behind)
            self.long += not is_float

    def _see_long(self, value: str) -> None:
        if len(value.lstrip("-")) > _MOST:
            self.huge += 1
            self.wide += 1
            return
        number = int(value)
        self.wide += int(float(number)) != number
        self.beyond_int64 |= not -(1 << 63) <= number < 1 << 63

    def weigh(self, factor: int) -> None:
        """Take all that was seen for as many values `factor` times over: it stands for a larger number of records."""
        self.counts = [factor * count for count in self.counts]
        self.huge, self.wide, self.long = factor * self.huge, factor * self.wide, factor * self.long
        for child in [*self.fields.values(), *([self.item] if self.item else [])]:
            child.weigh(factor)

    @property
    def _before(self) -> int:
        """Digits before the point that hold all numbers."""
        whole = 0 if not self.counts[_INT] else _MOST if self.beyond_int64 else 19
        return max(self.before, whole)

    @property
    def values(self) -> int:
        """Values that are not null."""
        return sum(self.counts) - self.counts[_NULL]

    def _is(self, *kinds: int, but: int = 0) -> bool:
        """Whether values of these kinds (less `but` unfit ones) dominate."""
        fit = sum(self.counts[kind] for kind in kinds) - but
        return fit > 0 and fit >= _DOMINANT * self.values

    @property
    def is_object(self) -> bool:
        """Objects with keys."""
        return self._is(_OBJECT) and bool(self.fields)

    @property
    def is_empty_object(self) -> bool:
        """Only `{}` (and null) was seen."""
        return self.counts[_OBJECT] == self.values > 0 and not self.fields

    @property
    def stamp_type(self) -> str | None:
        """date, timestamp or timestamp_utc where every value is one, written in ISO 8601."""
        return self.stamps.type if self.counts[_STRING] == self.values and self.stamps is not None else None

    def arrow_type(self) -> pa.DataType | None:
        """The type that holds all values unchanged (but for a few of other kinds); None where only JSON text does."""
        if self.values == 0 or self._is(_STRING):
            return pa.string()
        if self._is(_BOOLEAN):
            return pa.bool_()
        if self._is(_BYTES):
            return pa.large_binary()
        if self.counts[_FLOAT] == 0 and self._is(_INT, but=self.huge):
            return pa.decimal128(38, 0) if self.beyond_int64 else pa.int64()
        if self.counts[_FLOAT] and self._is(_INT, _FLOAT, but=self.wide + self.long):
            return pa.float64()
        if self.long and self._before + self.behind <= _MOST and self._is(_INT, _FLOAT, but=self.huge):
            return pa.decimal128(_MOST, self.behind)
        if self.is_object and not any("\0" in name for name in self.fields):
            types = {name: field.arrow_type() for name, field in self.fields.items()}
            return None if None in types.values() else pa.struct([pa.field(n, t) for n, t in types.items()])
        if self._is(_ARRAY) and self.item is not None:
            item = self.item.arrow_type()
            return None if item is None else pa.list_(item)
        return None


def leaves(shape: Shape, flatten: bool, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Shape]]:
    """Paths and shapes of the columns of a record shape, in the order of first sight."""
    for name, field in shape.fields.items():
        here = (*path, name)
        if flatten and field.is_object:
            yield from leaves(field, flatten, here)
        else:
            yield here, field
