"""Blocks of lines into columns by the templates that their lines show; what fits none is left over."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa

from base_ops.worker.engine.plan import POINTER
from base_ops.worker.formats.records.layout import EXTRA, Layout
from base_ops.worker.formats.records.lines import Lines
from base_ops.worker.formats.records.spans import Cells, Mask, Piece, Positions, Values, cut
from base_ops.worker.formats.records.template import Grid, Template, fit
from base_ops.worker.formats.records.values import LineDecoder

_MOST_TEMPLATES = 24
_TRIES = 16
"""Lines of a block that are looked at for new templates."""
_WORTH_LINES = 32
_PART_BYTES = 2 << 20
"""What is cut at a time stays in a core's cache, which makes it twice as fast."""
_NULL_ONLY, _UNKNOWN = -1, -2


@dataclass
class Cut:
    """Some rows of a block, by the positions of their lines."""

    frame: pl.DataFrame
    rows: Positions


@dataclass(frozen=True)
class _Part:
    """Lines of a part of a block that fit a template, and what was cut out of them, slot by slot."""

    rows: Positions
    pieces: list[Piece | None]


class Cutter:
    """Knows the templates of an object's lines, and learns new ones as it meets them."""

    def __init__(self, layout: Layout, max_record_bytes: int) -> None:
        self._layout = layout
        self._max_record_bytes = max_record_bytes
        self._decoder = LineDecoder(max_record_bytes)
        self._known: dict[Template, list[int | None] | None] = {}
        """The templates, most used first, and where each slot's value goes (None: an object)."""

    @property
    def templates(self) -> int:
        """How many are known."""
        return len(self._known)

    def cut(self, lines: Lines, *, is_utf8: bool) -> tuple[list[Cut], Positions]:
        """Rows of the lines that fit a template, and the positions of all other lines; `lines` is all of its data."""
        known_parts: dict[Template, list[_Part]] = {}
        odd: list[Positions] = []
        begin = 0
        while begin < len(lines):
            limit = lines.starts[begin] + _PART_BYTES * max(1, len(self._known) // 2)
            end = max(begin + 1, int(np.searchsorted(lines.starts, limit)))
            odd.append(self._cut_part(Grid.of(lines, begin, end, is_utf8=is_utf8), begin, known_parts))
            begin = end
        cuts = []
        for template, parts in known_parts.items():
            rows = np.concatenate([part.rows for part in parts])
            made = self._frame(template, self._known[template], rows, parts)
            if made is None:
                odd.append(rows)
                continue
            cuts.append(made)
            if len(made.rows) < len(rows):
                odd.append(np.setdiff1d(rows, made.rows, assume_unique=True))
        return cuts, np.sort(np.concatenate(odd))

    def _cut_part(self, grid: Grid, begin: int, parts: dict[Template, list[_Part]]) -> Positions:
        """Cut the lines of a part of a block, the first of which is line `begin`; returns those that fit nothing."""
        usable = grid.is_plain & (grid.ends - grid.starts <= self._max_record_bytes)
        left = np.flatnonzero(usable)
        odd = [np.flatnonzero(~usable)]
        for template in list(self._known):
            left = self._take(template, grid, left, begin, parts)
        for _ in range(_TRIES):
            if len(left) < _WORTH_LINES or len(self._known) == _MOST_TEMPLATES:
                break
            learned = Template.of(grid.line(int(left[0])), self._decoder)
            if learned is None or learned in self._known:
                odd.append(left[:1])
                left = left[1:]
            else:
                self._known[learned] = self._places(learned)
                left = self._take(learned, grid, left, begin, parts)
        return np.concatenate([*odd, left]) + begin

    def _take(
        self, template: Template, grid: Grid, left: Positions, begin: int, parts: dict[Template, list[_Part]]
    ) -> Positions:
        """Cut the lines of `left` that fit; returns those that do not."""
        places = self._known[template]
        alike = grid.counts[left] == len(template.slots)
        if places is None or not alike.any():
            return left
        found = fit(template, grid, left if alike.all() else left[alike])
        if not len(found.rows):
            return left
        pieces = [
            None if place is None else cut(grid.data, *found.spans[index], unquote=self._is_text(place))
            for index, place in enumerate(places)
        ]
        if len(found.rows) == len(grid.starts):
            masks = [piece.quoted for piece in pieces if piece is not None and piece.quoted is not None]
            if grid.quotes == 2 * (len(found.rows) * len(places) + sum(int(mask.sum()) for mask in masks)):
                # no quote is left that could stand inside a string
                pieces = [piece and replace(piece, is_plain=True) for piece in pieces]
        parts.setdefault(template, []).append(_Part(found.rows + begin, pieces))
        return left[:0] if len(found.rows) == len(left) else np.setdiff1d(left, found.rows, assume_unique=True)

    def _is_text(self, place: int) -> bool:
        return place == _UNKNOWN or (place >= 0 and pa.types.is_string(self._layout.leaves[place].type))

    def _places(self, template: Template) -> list[int | None] | None:
        """Column of each slot's value; None for the whole where some value has no place among the columns."""
        places: list[int | None] = []
        for slot in template.slots:
            found = self._layout.place_of(slot.path)
            keeps = self._layout.has_extra
            if slot.opens:
                if isinstance(found, int) or (found is None and keeps):
                    return None
                places.append(None)
            elif isinstance(found, int):
                places.append(found)
            elif found is not None:
                places.append(_NULL_ONLY)
            elif keeps and len(slot.path) > 1:
                return None
            else:
                places.append(_UNKNOWN)
        return places

    def _frame(
        self, template: Template, places: list[int | None] | None, rows: Positions, parts: list[_Part]
    ) -> Cut | None:
        """The columns of the lines that fit; without those in which some value does not."""
        layout, count = self._layout, len(rows)
        columns: dict[int, pl.Series] = {}
        unknown: list[pl.Series] = []
        misfits: Mask = np.zeros(count, bool)
        kinds: list[Mask] = []
        for index, place in enumerate(places or []):
            if place is None:
                continue
            values = Values([piece for part in parts if (piece := part.pieces[index]) is not None])
            if place == _UNKNOWN:
                cells: Cells | None = values.scalars()
            else:
                cells = values.nulls_only() if place == _NULL_ONLY else values.cells(layout.leaves[place].type)
            if cells is None:
                return None
            misfits |= False if cells.misfits is None else cells.misfits
            kinds += [] if cells.other_kinds is None else [cells.other_kinds]
            if place >= 0:
                columns[place] = cells.values
            elif place == _UNKNOWN and layout.has_extra:
                unknown.append(cells.values)
        keep = ~misfits
        layout.notes.texts += sum(int((kind & keep).sum()) for kind in kinds)
        leaves = len(layout.leaves)
        made = [
            columns[index].alias(name) if index in columns else pl.Series(name, [None], dtype).new_from_index(0, count)
            for index, (name, dtype) in enumerate(list(layout.schema.items())[:leaves])
        ]
        if layout.has_extra:
            made.append(self._extra(template, places or [], unknown, count, int(keep.sum())))
        frame = pl.DataFrame([*made, pl.Series(POINTER, rows, pl.Int64)])
        return Cut(frame, rows) if keep.all() else Cut(frame.filter(pl.Series(keep)), rows[keep])

    def _extra(
        self, template: Template, places: list[int | None], texts: list[pl.Series], count: int, kept: int
    ) -> pl.Series:
        if not texts:
            return pl.Series(EXTRA, [None], pl.String).new_from_index(0, count)
        keys = [slot.path[0] for slot, place in zip(template.slots, places, strict=True) if place == _UNKNOWN]
        self._layout.note_extra(keys, kept)
        parts: list[pl.Expr] = []
        for key, text in zip(keys, texts, strict=True):
            parts += [pl.lit(f'{"," if parts else "{"}"{key}":'), pl.lit(text)]
        return pl.select(pl.concat_str(*parts, pl.lit("}"))).to_series().alias(EXTRA)
