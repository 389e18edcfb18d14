"""Claims of one field as arrays: who says what of which key, with equal values put together.

Texts are equal if they have the same words: case, accents, punctuation and HTML entities aside, and, where no digit
occurs, whatever the order, so that "Knuth, Donald E." and "donald e knuth" are one value; "1:10" and "10:1" are two.
Numbers (also dates and times) are equal within a tolerance of their neighbour.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.worker.readable import as_text

Index = NDArray[np.int64]
Real = NDArray[np.float64]

_WORD = re.compile(r"\w+")
_MOST_VALUES = 64
"""Values of one key that are compared with each other: those with most claims."""


@dataclass(frozen=True)
class Claims:
    """Claims of one field, in the order given; those without a value are left out."""

    rows: Index
    """Where each claim stands in what was given."""
    source: Index
    """Number of the source, per claim."""
    value: Index
    """Number of the value, per claim; values are numbered by key, then by what they are."""
    key: Index
    """Place of the key in `keys`, per value, ascending."""
    keys: Index
    """Numbers of the keys that have claims, ascending."""
    supports: tuple[Index, Index]
    """Which text speaks for which other one of its key: that which has all of its words and more."""
    numbers: Real | None
    """The claims as numbers, where the field holds numbers or times."""


def read(values: pl.Series, source: Index, key: Index, tolerance: float = 0.0) -> Claims:
    """Put claims in form.

    Args:
        values: what is claimed; null: nothing.
        source: number of the claiming source.
        key: number of the key, from 0, in any order.
    """
    there = values.is_not_null()
    if values.dtype.is_float():
        there &= values.is_not_nan()
    rows = np.flatnonzero(there.to_numpy())
    values, source = values.gather(rows), np.asarray(source)[rows].astype(np.int64)
    keys, key = np.unique(np.asarray(key)[rows], return_inverse=True)
    numbers = _numbers(values)
    form = _clustered(numbers, key, tolerance) if numbers is not None else _plain(values)
    frame = pl.DataFrame({"key": key, "form": form})
    known = frame.group_by("key", "form").agg(pl.len().alias("claims")).sort("key", "form").with_row_index("value")
    value = frame.join(known, on=["key", "form"], how="left", maintain_order="left")["value"]
    return Claims(
        rows=rows,
        source=source,
        value=value.to_numpy().astype(np.int64),
        key=known["key"].to_numpy().astype(np.int64),
        keys=keys.astype(np.int64),
        supports=_supports(known) if numbers is None else _no_pairs(),
        numbers=numbers,
    )


@lru_cache(maxsize=100_000)
def plain(text: str) -> str:
    """The words of a text, in one order; the text itself if it has none."""
    folded = unicodedata.normalize("NFKD", html.unescape(text)).lower()
    words = _WORD.findall("".join(c for c in folded if not unicodedata.combining(c)))
    if not words:
        return text
    return " ".join(words if any(c.isdigit() for c in folded) else sorted(set(words)))


def _plain(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return as_text(values)
    known = values.unique()
    forms = pl.Series([plain(text) for text in known.to_list()], dtype=pl.String)
    return values.replace_strict(known, forms, return_dtype=pl.String)


def _numbers(values: pl.Series) -> Real | None:
    if values.dtype.is_numeric():
        return values.cast(pl.Float64).to_numpy()
    if values.dtype.is_temporal():
        return values.to_physical().cast(pl.Float64).to_numpy()
    return None


def _clustered(numbers: Real, key: Index, tolerance: float) -> pl.Series:
    """Number what is said, so that neighbours no farther apart than the tolerance are one."""
    if not tolerance:
        return pl.Series(numbers)
    order = np.lexsort((numbers, key))
    apart = np.diff(numbers[order], prepend=-np.inf) > tolerance
    forms = np.empty(len(numbers), np.int64)
    forms[order] = np.cumsum(apart | (np.diff(key[order], prepend=-1) != 0))
    return pl.Series(forms)


def _no_pairs() -> tuple[Index, Index]:
    return np.empty(0, np.int64), np.empty(0, np.int64)


def _supports(values: pl.DataFrame) -> tuple[Index, Index]:
    if values["form"].dtype != pl.String:
        return _no_pairs()
    several = values.filter((pl.len().over("key") > 1) & (pl.col("form") != ""))
    several = several.sort("key", "claims", "form", descending=[False, True, False])
    several = several.filter(pl.int_range(pl.len()).over("key") < _MOST_VALUES)
    words = several.select("key", "value", pl.col("form").str.split(" ").list.unique().alias("word")).explode("word")
    sizes = words.group_by("value").agg(pl.len().alias("size"))
    common = words.join(words, on=["key", "word"], suffix="_other").filter(pl.col("value") != pl.col("value_other"))
    shared = common.group_by("value", "value_other").agg(pl.len().alias("common")).join(sizes, on="value")
    within = shared.filter(pl.col("common") == pl.col("size")).sort("value", "value_other")
    return within["value"].to_numpy().astype(np.int64), within["value_other"].to_numpy().astype(np.int64)
