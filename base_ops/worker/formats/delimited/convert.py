"""Texts of one column to values, the fast way where it is exact, and the findings of what was not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from uuid import uuid4

import numpy as np
import polars as pl

from base_ops.worker.exact_floats import LEAST_NORMAL, without_changed
from base_ops.worker.formats.delimited.blocks import Block
from base_ops.worker.formats.delimited.columns import Column
from base_ops.worker.formats.delimited.structure import Positions, as_array, tokens
from base_ops.worker.types import bad_cells, parse_expr

_EXACT_FLOAT = 2.0**53
_NONE = np.zeros(0, np.int64)
_SHOWN = 80
_PROBE_ROWS = 1024
_HAS_OFFSET = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?) *$"


class Converter:
    def __init__(self, null_values: tuple[str, ...]) -> None:
        self.nulls = [token for token in null_values if token]
        self._tokens = [token.encode() for token in self.nulls]
        self.firsts = bytes(sorted({token[0] for token in self._tokens}))
        """First bytes of the null tokens."""

    # -- numbers that polars read itself

    def is_doubtful(self, column: Column, value: pl.Series, block: Block) -> bool:
        """Whether the texts are needed to know what the values mean: a null, an infinity, too many digits."""
        if value.null_count():
            return True
        if column.type != "float64" or value.is_empty():
            return False
        return self._is_wide(value) or (not column.declared and (block.has_long_fractions or _is_tiny(value, block)))

    def hints(self, block: Block) -> tuple[bool, bool]:
        """Whether some number may have a leading zero, and whether some cell may be a null token."""
        block = block.whole or block  # looked at already
        seen = block.glance(self.firsts)
        array = as_array(block.data)
        for token in self._tokens if len(seen.firsts) else ():
            found = seen.firsts[seen.firsts < len(array) - len(token)]
            for shift, byte in enumerate(token):
                found = found[array[found + shift] == byte]
            if len(found):
                return seen.zero, True
        return seen.zero, False

    def leading_zeros(self, block: Block, columns: list[Column]) -> dict[str, Positions]:
        """Rows in which a column taken for numbers holds a name such as 007; declared columns may."""
        dialect = block.dialect
        numeric = [(i, c) for i, c in enumerate(columns) if not c.declared and c.dtype.is_numeric()]
        if not numeric or not block.data:
            return {}
        found, _ = tokens(block.data, dialect, quoted=block.quoted)
        table = found.reshape(-1, len(columns))
        array = np.append(as_array(block.data), np.zeros(2, np.uint8))
        hits = {}
        for index, column in numeric:
            starts = table[:, index - 1] + 1 if index else np.concatenate(([0], table[:-1, -1] + 1))
            if block.quoted:
                starts = starts + (array[starts] == ord(dialect.plain_quote))
            while (blank := array[starts] == ord(" ")).any():
                starts = starts + blank
            rows = np.flatnonzero((array[starts] == 48) & (array[starts + 1] - np.uint8(48) <= 9))
            if len(rows):
                hits[column.name] = rows
        return hits

    # -- texts

    def convert(self, column: Column, text: pl.Series) -> tuple[pl.Series, Positions]:
        """Values of a text column, and the rows whose text is not one."""
        if column.form is not None:
            value, _ = self.convert(replace(column, form=None, decimal="."), column.form.plain(text))
            bad = bad_cells(text.name, text, value, self.nulls)
            return value, bad.arg_true().to_numpy().astype(np.int64)
        value = self._fast(column, text)
        if value.null_count() == text.null_count():
            return value, _NONE
        rest = text.is_not_null() & value.is_null()
        rows = rest.arg_true()
        texts = text.gather(rows)
        slow = self._exact(column, texts)
        value = value.scatter(rows, slow) if slow.null_count() < len(slow) else value
        bad = bad_cells(text.name, texts, slow, self.nulls)
        return value, rows.filter(bad).to_numpy().astype(np.int64)

    def _exact(self, column: Column, text: pl.Series) -> pl.Series:
        expr = parse_expr(text.name, column.type, column.format, column.decimal, column.unit)
        value = text.to_frame().select(expr).to_series()
        if column.declared:
            return value
        if column.type == "float64":
            return without_changed(value, text)
        if column.type == "timestamp_utc":  # a declaration may say that naive times are UTC, a guess may not
            return _only_where(text.str.contains(_HAS_OFFSET), value)
        if column.type == "boolean":  # yes, 1, … mean true where somebody said so
            return _only_where(text.str.to_lowercase().str.strip_chars(" ").is_in(["true", "false"]), value)
        return value

    def _fast(self, column: Column, text: pl.Series) -> pl.Series:
        dtype = column.dtype
        if dtype.is_integer():
            return text.cast(dtype, strict=False)
        if dtype == pl.Float64 and column.decimal == ".":
            value = text.cast(dtype, strict=False)
            if self._is_wide(value):
                return self._exact(column, text)
            return value if column.declared else without_changed(value, text)
        if column.exact is None:
            return self._exact(column, text)
        value = _strptime(column, text, column.unit)
        if _has_second_60(text, value):
            return self._exact(column, text)
        low, high = _years(_strptime(column, text, "us") if column.unit == "ns" else value)
        if low < 1000 or (column.unit == "ns" and not 1678 <= low <= high <= 2261):
            return self._exact(column, text)
        return value

    def _is_wide(self, value: pl.Series) -> bool:
        top, bottom = value.max(), value.min()
        return top is not None and not (bottom > -_EXACT_FLOAT and top < _EXACT_FLOAT)  # type: ignore[operator]

    def without_null_tokens(
        self, block: Block, column: Column, value: pl.Series, reread: Callable[[Block, Column, bytes], pl.Series]
    ) -> pl.Series:
        """Null tokens become null; the same letters in quotes stay."""
        if not value.is_in(self.nulls).any():
            return value
        marked = _mark_quoted(block, self.nulls) if block.quoted else None
        if marked is None:
            return _only_where(~value.is_in(self.nulls), value)
        data, mark = marked
        value = reread(block, column, data)
        return _only_where(~value.is_in(self.nulls), value).str.replace_all(mark, "", literal=True)


def misfit(column: Column, text: pl.Series) -> Callable[[int], str]:
    """The reason why a row's cell is refused."""
    return lambda row: next(iter(misfits(column, text)(np.array([row]))))


def misfits(column: Column, text: pl.Series) -> Callable[[Positions], Iterator[str]]:
    """The reasons why some rows' cells are refused."""
    start, end = f"{column.name}: ", f" is not {_kind(column)}"
    return lambda rows: (f"{start}{cell!r}{end}" for cell in text[rows].str.slice(0, _SHOWN).to_list())


def named_by_zero(column: Column) -> str:
    return f"{column.name}: a leading zero does not survive {_kind(column)}"


def _kind(column: Column) -> str:
    kind = column.type if column.format is None else f"{column.type} in the form {column.format}"
    if column.form is not None:
        kind = f"{kind} written like {column.form.example}"
    return kind if column.declared else f"{kind}, the type of the column's first records"


def _is_tiny(value: pl.Series, block: Block) -> bool:
    """Whether what looks like zero may be a number too small for a float64."""
    return bool((value.abs() < LEAST_NORMAL).any()) and block.has_small_exponents


def _only_where(mask: pl.Series, value: pl.Series) -> pl.Series:
    return pl.select(pl.when(mask).then(value).alias(value.name)).to_series()


def _strptime(column: Column, text: pl.Series, unit: str) -> pl.Series:
    assert column.exact is not None
    repeats = 2 * text.head(_PROBE_ROWS).n_unique() <= min(len(text), _PROBE_ROWS)  # else remembering texts costs more
    if column.type == "date":
        return text.str.to_date(column.exact, strict=False, cache=repeats)
    value = text.str.to_datetime(column.exact, strict=False, time_unit=unit, cache=repeats)  # type: ignore[arg-type]
    return value.dt.replace_time_zone("UTC") if column.type == "timestamp_utc" else value


def _has_second_60(text: pl.Series, value: pl.Series) -> bool:
    """Whether some value was bent: a second 60 becomes the first second of the next minute."""
    if not isinstance(value.dtype, pl.Datetime):
        return False
    second = 10**9 if value.dtype.time_unit == "ns" else 10**6
    first = text.filter(value.to_physical() % (60 * second) < second)
    return bool(first.str.contains(":60", literal=True).any())


def _years(value: pl.Series) -> tuple[int, int]:
    low, high = value.min(), value.max()
    return (
        (low.year, high.year)
        if isinstance(low, date | datetime) and isinstance(high, date | datetime)
        else (2000, 2000)
    )


def _mark_quoted(block: Block, tokens: list[str]) -> tuple[bytes, str] | None:
    """The block with a mark put into every quoted cell that reads like a null token."""
    quote = block.dialect.plain_quote
    quoted = [f"{quote}{token}{quote}".encode() for token in tokens]
    present = [cell for cell in quoted if cell in block.data]
    if not present:
        return None
    data, mark = block.data, uuid4().hex
    for cell in present:
        data = data.replace(cell, cell[:1] + mark.encode() + cell[1:])
    return data, mark
