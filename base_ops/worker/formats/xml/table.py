"""Records, cut out one way or the other, as one frame in the order of the document."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from base_ops.worker.engine.plan import POINTER
from base_ops.worker.formats.declared import decoded
from base_ops.worker.formats.records.layout import Layout
from base_ops.worker.formats.records.values import Refused
from base_ops.worker.formats.xml.cutter import Cut, Run
from base_ops.worker.formats.xml.template import Template

_REFERENCES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}
Faults = list[tuple[int, Refused]]
Runs = list[tuple[int, Run]]
"""With the number of their first record."""


class Chunk:
    """Consecutive records; they are numbered from 0."""

    def __init__(self) -> None:
        self.pieces: list[Cut | Run] = []
        self.firsts: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, piece: Cut | Run) -> None:
        self.pieces.append(piece)
        self.firsts.append(self._count)
        self._count += 1 if isinstance(piece, Cut) else len(piece)

    def lines(self) -> NDArray[np.int64]:
        """Line of each record."""
        lines = np.empty(self._count, np.int64)
        for first, piece in zip(self.firsts, self.pieces, strict=True):
            if isinstance(piece, Cut):
                lines[first] = piece.line
            else:
                lines[first : first + len(piece.lines)] = piece.lines
        return lines

    def place(self, index: int) -> tuple[int, int, bytes]:
        """Byte range of a record, and its first bytes."""
        at = bisect_right(self.firsts, index) - 1
        piece, inner = self.pieces[at], index - self.firsts[at]
        if isinstance(piece, Cut):
            return piece.start, piece.end, piece.raw
        return piece.place(inner)


class Table:
    """Fills a layout; POINTER holds the number of a row's record in its chunk."""

    def __init__(self, layout: Layout, kind: str | None, template: Template | None) -> None:
        self._layout, self._kind, self._template = layout, kind, template

    def rows(self, chunk: Chunk) -> tuple[pl.DataFrame, Faults]:
        """All columns of the layout, and the records that have no row."""
        pieces = list(zip(chunk.firsts, chunk.pieces, strict=True))
        cuts = [(first, piece) for first, piece in pieces if isinstance(piece, Cut)]
        faults: Faults = [(first, cut.fault) for first, cut in cuts if cut.fault is not None]
        made = self._layout.rows(
            (first, cut.value) for first, cut in cuts if cut.fault is None and cut.value is not None
        )
        frames, faults = [made.frame], faults + made.refused
        runs = [(first, piece) for first, piece in pieces if isinstance(piece, Run)]
        for read in (self._alike, self._one_by_one):
            frame, found = read(runs)
            frames.append(frame)
            faults += found
        frames = [frame for frame in frames if frame.height] or frames[:1]
        return (frames[0] if len(frames) == 1 else pl.concat(frames).sort(POINTER)), faults

    def _alike(self, runs: Runs) -> tuple[pl.DataFrame, Faults]:
        """The rows of the runs whose texts are there by column."""
        runs = [(first, run) for first, run in runs if run.read.cells is None]
        runs, around, faults = self._around(runs)
        if not runs:
            return around, faults
        assert self._template is not None
        group_of = {name: group for group, name in enumerate(self._template.columns)}
        columns = [
            pl.concat([_text_of(run, group_of.get(name), around[name][[k]]) for k, (_, run) in enumerate(runs)]).alias(
                name
            )
            for name in self._layout.schema
        ]
        return pl.DataFrame([*columns, _numbers(runs)]), faults

    def _one_by_one(self, runs: Runs) -> tuple[pl.DataFrame, Faults]:
        """The rows of the runs whose texts are there record by record."""
        runs = [(first, run) for first, run in runs if run.read.cells is not None]
        runs, around, faults = self._around(runs)
        if not runs:
            return around, faults
        assert self._template is not None
        cells = zip(*(cells for _, run in runs for cells in run.read.cells or ()), strict=True)
        columns = dict(zip(self._template.columns, cells, strict=True))
        of_run = pl.Series(np.repeat(np.arange(len(runs)), [len(run) for _, run in runs]))
        made = {
            n: _texts(columns[n]) if n in columns else (around[n].gather(of_run), None) for n in self._layout.schema
        }
        frame = pl.DataFrame([*(texts.alias(name) for name, (texts, _) in made.items()), _numbers(runs)])
        wrong = [found for _, found in made.values() if found is not None]
        if not wrong:
            return frame, faults
        fault = Refused("encoding", "the record holds bytes that are not UTF-8")
        bad = pl.select(pl.any_horizontal(*wrong)).to_series()
        faults += [(number, fault) for number in frame[POINTER].filter(bad).to_list()]
        return frame.filter(~bad), faults

    def _around(self, runs: Runs) -> tuple[Runs, pl.DataFrame, Faults]:
        """What stands around the records of each run as a row; without the runs where that does not fit."""
        kind: dict[str, Any] = {}
        if self._kind is not None and self._template is not None:
            kind = {self._kind: self._template.node.local}
        rows = self._layout.rows((k, {**run.context, **kind}) for k, (_, run) in enumerate(runs))
        faults = [(first + i, fault) for k, fault in rows.refused for first, run in [runs[k]] for i in range(len(run))]
        return [runs[k] for k in rows.kept], rows.frame, faults


def _numbers(runs: Runs) -> pl.Series:
    return pl.Series(POINTER, np.concatenate([first + np.arange(len(run)) for first, run in runs]), pl.Int64)


def _text_of(run: Run, group: int | None, around: pl.Series) -> pl.Series:
    """A column of a run: read by the template, or else the same for all records."""
    texts = run.read.texts.get(-1 if group is None else group)
    return around.new_from_index(0, len(run)) if texts is None else texts.alias(around.name)


def _texts(cells: tuple[bytes | None, ...]) -> tuple[pl.Series, pl.Series | None]:
    """Texts of a column, and which cells are not UTF-8 (None: all are)."""
    raw = pl.Series(cells, dtype=pl.Binary)
    texts = decoded(raw)
    wrong = raw.is_not_null() & texts.is_null() if texts.null_count() > raw.null_count() else None
    if texts.str.contains("&", literal=True).any():
        texts = texts.str.replace_many(_REFERENCES)
    return texts, wrong
