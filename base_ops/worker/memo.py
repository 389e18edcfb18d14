"""What texts were turned into before: looked up for whole columns at once, without building a hash table per batch."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

_LEAST_BITS, _SPARE_BITS = 12, 3
"""A table has at least 2^12 slots, and eight for each text."""


class Memo:
    """Texts and what they were made into, both String.

    A text is found by its hash in one of two tables of slots, and compared; the few that share both their slots with
    others are joined.
    """

    def __init__(self) -> None:
        self._texts = self._made = pl.Series([None], dtype=pl.String)  # slot 0: nothing
        self._index()

    def __len__(self) -> int:
        return len(self._texts) - 1

    def add(self, texts: pl.Series, made: pl.Series) -> None:
        """Remember texts that are not known yet, without nulls or repetition."""
        if not len(texts):
            return
        self._texts = pl.concat([self._texts, texts.alias("")], rechunk=True)
        self._made = pl.concat([self._made, made.alias("")], rechunk=True)
        self._index()

    def look_up(self, texts: pl.Series) -> pl.Series:
        """What each text was made into; null where that is not known."""
        texts = texts.alias("text")
        hashes = texts.hash().to_numpy()
        made, known = self._compare(texts, self._tables[0][hashes >> self._shift])
        if known.all():
            return made
        rest = (~known & texts.is_not_null()).arg_true()
        made = made.set(~known, None)
        if not rest.len():
            return made
        others = texts.gather(rest)
        again, known = self._compare(others, self._tables[1][hashes[rest.to_numpy()] & self._mask])
        made = made.scatter(rest, again.set(~known, None))
        if not self._crowded.height or known.all():
            return made
        rest = rest.filter(~known)
        joined = texts.gather(rest).to_frame().join(self._crowded, on="text", how="left", maintain_order="left")
        return made.scatter(rest, joined["made"])

    def _compare(self, texts: pl.Series, places: NDArray[np.uint32]) -> tuple[pl.Series, pl.Series]:
        index = pl.Series(places)
        return self._made.gather(index), (self._texts.gather(index) == texts).fill_null(False)

    def _index(self) -> None:
        bits = max(_LEAST_BITS, len(self._texts).bit_length() + _SPARE_BITS)
        self._shift, self._mask = np.uint64(64 - bits), np.uint64((1 << bits) - 1)
        self._tables = [np.zeros(1 << bits, np.uint32) for _ in range(2)]
        hashes = self._texts.hash().to_numpy()
        left = np.arange(1, len(self._texts), dtype=np.uint32)
        for table, slots in zip(self._tables, (hashes >> self._shift, hashes & self._mask), strict=True):
            table[slots[left]] = left
            left = left[table[slots[left]] != left]
        crowded = pl.Series(left)
        self._crowded = pl.DataFrame(
            [self._texts.gather(crowded).alias("text"), self._made.gather(crowded).alias("made")]
        )
