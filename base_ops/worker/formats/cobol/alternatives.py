"""REDEFINES: which alternatives of a storage hold for which record, and which records hold none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.data_ingestion.options.layouts import RedefinesOption
from base_ops.worker.formats.cobol.layout import Leaf, RecordLayout

Mask = NDArray[np.bool_]
Key = tuple[int, int]


@dataclass(frozen=True)
class Fault:
    """Why a record cannot be used."""

    rule: str
    reason: str
    column: str


class Verdicts:
    """The first fault of every row."""

    def __init__(self, rows: int) -> None:
        self._of: NDArray[np.int32] = np.full(rows, -1, np.int32)
        self._faults: list[Fault] = []

    def add(self, bad: Mask, fault: Fault) -> None:
        fresh = bad & (self._of < 0)
        if fresh.any():
            self._of[fresh] = len(self._faults)
            self._faults.append(fault)

    def by_fault(self, rows: Mask) -> list[tuple[Mask, Fault]]:
        """The faults of some rows, each with the rows it is the first of."""
        return [(rows & (self._of == n), self._faults[n]) for n in np.unique(self._of[rows]).tolist() if n >= 0]

    def rows(self) -> dict[int, Fault]:
        return {row: self._faults[self._of[row]] for row in np.flatnonzero(self._of >= 0).tolist()}


def check_selectors(layout: RecordLayout, selectors: Mapping[str, RedefinesOption]) -> None:
    """Raises: ConfigError where read.cobol.redefines names what is not there."""
    known = {_plain(name) for names in layout.storages for name in names}
    fields = {leaf.name for leaf in layout.leaves if not leaf.alternatives}
    for name, option in selectors.items():
        for wanted, there, where in (
            (name, known, "read.cobol.redefines"),
            (option.field, fields, f"read.cobol.redefines.{name}.field"),
        ):
            if _plain(wanted) not in there:
                raise ConfigError(
                    f"{where}: there is no {wanted!r}. {did_you_mean(_plain(wanted), there)}",
                    code="unknown_redefines",
                    where=where,
                )


class Alternatives:
    """The alternatives of one set of records.

    One that `selectors` name is there where its field says so, and must then be right. Of the others every one that
    the bytes fit is there; where they fit none, the fault is that of what the storage lies in.

    Args:
        values: of the columns outside of alternatives.
        verdicts: of the records.
    """

    def __init__(
        self,
        layout: RecordLayout,
        selectors: Mapping[str, RedefinesOption],
        values: Mapping[str, pl.Series],
        verdicts: Verdicts,
        rows: int,
    ) -> None:
        self._layout, self._verdicts, self._rows = layout, verdicts, rows
        by_name = {_plain(name): option for name, option in selectors.items()}
        self._selected: dict[Key, Mask] = {}
        for storage, names in enumerate(layout.storages):
            for which, name in enumerate(names):
                if (option := by_name.get(_plain(name))) is not None:
                    self._selected[storage, which] = _chosen(values[_plain(option.field)], option)
        self._unfit: dict[Key, Mask] = {}
        self._first: dict[int, Verdicts] = {}

    def blame(self, within: tuple[Key, ...], bad: Mask, fault: Fault) -> None:
        """Count a fault against the innermost alternative that was not told to be the one, else the record."""
        for key in within:
            bad = bad & self._selected[key] if key in self._selected else bad
        if not bad.any():
            return
        for key in reversed(within):
            if key not in self._selected:
                self._unfit[key] = self._unfit.get(key, False) | bad
                self._first.setdefault(key[0], Verdicts(self._rows)).add(bad, fault)
                return
        self._verdicts.add(bad, fault)

    def settle(self) -> None:
        """Hand the faults of storages that hold no alternative to what they lie in; inner ones come later."""
        for storage in reversed(range(len(self._layout.storages))):
            keys = [(storage, which) for which in range(len(self._layout.storages[storage]))]
            open_ones = [key for key in keys if key not in self._selected]
            if not open_ones or any(key not in self._unfit for key in open_ones):
                continue
            none_fits = np.logical_and.reduce([self._unfit[key] for key in open_ones])
            for key in keys:
                none_fits &= ~self._selected[key] if key in self._selected else True
            for rows, fault in self._first[storage].by_fault(none_fits):
                self.blame(self._within(storage), rows, fault)

    def hidden(self, leaf: Leaf) -> Mask | None:
        """Records in which an item's alternative is not the one or does not fit; None: no record."""
        masks = [~self._selected[key] for key in leaf.alternatives if key in self._selected]
        masks += [self._unfit[key] for key in leaf.alternatives if key in self._unfit]
        return np.logical_or.reduce(masks) if masks else None

    def _within(self, storage: int) -> tuple[Key, ...]:
        chain: list[Key] = []
        parent = self._layout.parents[storage]
        while parent is not None:
            chain.insert(0, parent)
            parent = self._layout.parents[parent[0]]
        return tuple(chain)


def _chosen(value: pl.Series, option: RedefinesOption) -> Mask:
    wanted = [str(each) for each in option.values]
    found: Mask = value.cast(pl.String).is_in(wanted).fill_null(False).to_numpy()
    return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
