"""Records of bytes to columns of values, by the layout of a copybook."""

from __future__ import annotations

import numpy as np
import polars as pl

from base_ops.data_ingestion.options.layouts import CobolOptions
from base_ops.worker.formats.cobol.alternatives import Alternatives, Fault, Mask, Verdicts, check_selectors
from base_ops.worker.formats.cobol.items import Items, type_of
from base_ops.worker.formats.cobol.layout import Leaf, Place, RecordLayout
from base_ops.worker.formats.cobol.numbers import Cells

Lengths = np.ndarray
_REASONS = {
    "display": ("zoned_decimal", "bytes that are no zoned decimal number"),
    "packed": ("packed_decimal", "half bytes that are no packed decimal number"),
    "binary": ("type", "the number does not fit int64"),
    "text": ("encoding", "bytes that are not of the encoding"),
    "short": ("record_length", "the record ends before it"),
    "count": ("occurs_count", "a number of occurrences that the copybook does not allow"),
}


class Decoder:
    """Decodes matrices of records: one row of bytes per record.

    Raises:
        ConfigError: unknown_redefines.
    """

    def __init__(self, layout: RecordLayout, options: CobolOptions, encoding: str) -> None:
        check_selectors(layout, options.redefines)
        self._layout, self._selectors = layout, options.redefines
        self._items = Items(options, encoding)
        self.blank = self._items.blank
        self.schema = pl.Schema({leaf.name: type_of(leaf) for leaf in layout.leaves})

    def decode(self, matrix: Cells, lengths: Lengths) -> tuple[pl.DataFrame, Lengths, dict[int, Fault]]:
        """All columns, the bytes that the records should have, and the rows that cannot be used.

        Args:
            lengths: of the records; the rest of a row is no part of it.
        """
        run = _Run(self._layout, self._items, matrix, lengths)
        alternatives = Alternatives(self._layout, self._selectors, run.values, run.verdicts, len(matrix))
        for leaf in self._layout.leaves:
            if leaf.alternatives:
                for bad, kind in run.leaf(leaf):
                    alternatives.blame(leaf.alternatives, bad, _fault(kind, leaf.name))
        alternatives.settle()
        columns = []
        for leaf in self._layout.leaves:
            value, hidden = run.values[leaf.name], alternatives.hidden(leaf)
            columns.append((value if hidden is None else value.set(pl.Series(hidden), None)).alias(leaf.name))
        return pl.DataFrame(columns), run.start(self._layout.size), run.verdicts.rows()


class _Run:
    """One matrix: how often its tables occur, and the columns outside of alternatives."""

    def __init__(self, layout: RecordLayout, items: Items, matrix: Cells, lengths: Lengths) -> None:
        self._items, self._matrix, self._lengths = items, matrix, lengths
        self._counts: list[np.ndarray] = []
        self.values: dict[str, pl.Series] = {}
        self.verdicts = Verdicts(len(matrix))
        for table in layout.tables:
            counts = self._count(table.counter)
            wrong = (counts < table.least) | (counts > table.greatest)
            self.verdicts.add(wrong, _fault("count", table.counter.name))
            self._counts.append(np.where(wrong, 0, counts))
        for leaf in layout.leaves:
            if not leaf.alternatives:
                for bad, kind in self.leaf(leaf):
                    self.verdicts.add(bad, _fault(kind, leaf.name))

    def leaf(self, leaf: Leaf) -> list[tuple[Mask, str]]:
        """Decode an item; returns in which records it cannot be, and why."""
        cells, missing = self._cells(leaf.place, leaf.size)
        value, bad, kind = self._items.values(leaf, cells)
        absent = np.zeros(len(cells), bool)
        for table, index in leaf.present:
            absent |= self._counts[table] <= index
        missing &= ~absent
        gone = absent | missing
        self.values[leaf.name] = value.set(pl.Series(gone), None) if gone.any() else value
        return [(bad & ~gone, kind), (missing, "short")]

    def start(self, place: Place) -> Lengths:
        """Where a place is in every record."""
        start = np.full(len(self._matrix), place.fixed)
        for table, bytes in place.terms:
            start += self._counts[table] * bytes
        return start

    def _cells(self, place: Place, size: int) -> tuple[Cells, Mask]:
        """The bytes of an item, and in which records they are missing; there they mean nothing."""
        rows, width = self._matrix.shape
        if not place.terms and place.fixed + size <= width:
            return self._matrix[:, place.fixed : place.fixed + size], self._lengths < place.fixed + size
        start = self.start(place)
        if not width:
            return np.zeros((rows, size), np.uint8), np.ones(rows, bool)
        index = np.minimum(start[:, None] + np.arange(size), width - 1)
        return np.take_along_axis(self._matrix, index, axis=1), self._lengths < start + size

    def _count(self, leaf: Leaf) -> np.ndarray:
        cells, missing = self._cells(leaf.place, leaf.size)
        value, _, _ = self._items.values(leaf, cells)
        counts: np.ndarray = value.cast(pl.Int64).fill_null(-1).to_numpy().copy()
        counts[missing] = -1
        return counts


def _fault(kind: str, name: str) -> Fault:
    rule, reason = _REASONS[kind]
    return Fault(rule, f"{name}: {reason}", name)
