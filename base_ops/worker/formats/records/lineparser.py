"""From lines of JSON to rows: at once by Arrow's parser where lines are clean, one by one where they are not.

Arrow's parser is strict where it matters: a value of another kind, an integer that does not fit, a key twice, a key
beyond the schema, a bad escape or a trailing comma fails the block, whatever line it is in. What it would let pass is
checked here on every block: one object per line, UTF-8, NUL, NaN and Infinity, and numbers in a float column that a
float does not keep. A block that fails is split, down to a few lines; these are decoded strictly one by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.json as pj
from numpy.typing import NDArray

from base_ops.worker.engine.plan import Rejected
from base_ops.worker.exact_floats import may_change
from base_ops.worker.formats.records.cutter import Cutter
from base_ops.worker.formats.records.layout import Layout, floats_are_exact
from base_ops.worker.formats.records.lines import Lines, too_long
from base_ops.worker.formats.records.values import LineDecoder, Refused

_SPLIT = 8
_FEW_LINES = 1024
_MANY_LINES = 8192
_MANY_TEMPLATES = 8
"""With more of them Arrow's parser is faster, if it can parse the lines at once."""
_NOT_A_NUMBER = re.compile(rb"[:,\[\s]-?(?:NaN|Inf)")
_OPEN, _CLOSE, _RETURN = b"{}\r"


@dataclass
class Parsed:
    """What became of some lines: rows in order, `kept` = the positions of their lines, and the refused ones."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    kept: list[NDArray[np.int64]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    """Not yet frames: small tables are cheaper put together first."""
    table_rows: list[NDArray[np.int64]] = field(default_factory=list)
    special: int = 0
    """Lines that could not be parsed at once."""

    def rows(self, layout: Layout) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        self.flush(layout)
        frame, kept = pl.concat(self.frames, rechunk=False), np.concatenate(self.kept)
        if (kept[1:] > kept[:-1]).all():
            return frame, kept
        order = np.argsort(kept)
        return frame[order], kept[order]

    def flush(self, layout: Layout) -> None:
        if self.tables:
            self.frames.append(layout.unnest(pa.concat_tables(self.tables)))
            self.kept.append(np.concatenate(self.table_rows))
            self.tables.clear()
            self.table_rows.clear()


class LineParser:
    """Parses lines into rows of a layout."""

    def __init__(self, layout: Layout, max_record_bytes: int) -> None:
        self._layout = layout
        self._max_record_bytes = max_record_bytes
        self._decoder = LineDecoder(max_record_bytes)
        self._cutter = Cutter(layout, max_record_bytes)
        self._cuts = self._parses = True
        """Whether blocks are cut by templates first, and whether the other lines are parsed at once."""

    def parse(self, lines: Lines) -> Parsed:
        """Rows of a block of lines; every line is either a row or refused."""
        parsed = Parsed()
        odd = self._cut(lines, parsed) if self._cuts else np.arange(len(lines))
        left = lines.pick(odd) if len(odd) < len(lines) else lines
        if self._parses and self._layout.fast_schema is not None:
            self._parse(left, parsed, odd)
        else:
            for begin in range(0, len(left), _MANY_LINES):
                part = slice(begin, begin + _MANY_LINES)
                self._one_by_one(left.pick(part), parsed, odd[part])
        if not parsed.frames and not parsed.tables:
            self._one_by_one(left, parsed, odd)
        if len(lines) > _FEW_LINES:
            self._learn(len(lines), len(odd), parsed.special)
        return parsed

    def _learn(self, lines: int, odd: int, special: int) -> None:
        """What to do with the next block, by what became of this one."""
        if special > lines / 20:  # decoding one by one costs most: whatever spares some of it is worth while
            self._parses = self._parses and special < odd / 2
            self._cuts = True
        elif self._layout.fast_schema is not None and (odd > lines / 2 or self._cutter.templates > _MANY_TEMPLATES):
            self._cuts = False

    def _cut(self, lines: Lines, parsed: Parsed) -> NDArray[np.int64]:
        """Take the lines that are alike; returns the positions of the others."""
        text = lines.joined()
        whole = lines if text is lines.data else Lines.of(text, 1, 0)
        cuts, odd = self._cutter.cut(whole, is_utf8=_is_utf8(text))
        parsed.frames += [cut.frame for cut in cuts]
        parsed.kept += [cut.rows for cut in cuts]
        return odd

    def _parse(self, lines: Lines, parsed: Parsed, positions: NDArray[np.int64]) -> None:
        if len(lines) == 0:
            return
        table = self._at_once(lines, keeps_unknown=not self._layout.ignores_unknown)
        if table is not None:
            parsed.tables.append(table)
            parsed.table_rows.append(positions)
        elif len(lines) > _FEW_LINES:
            step = -(-len(lines) // _SPLIT)
            for begin in range(0, len(lines), step):
                part = slice(begin, begin + step)
                self._parse(lines.pick(part), parsed, positions[part])
        else:
            self._one_by_one(lines, parsed, positions)

    def _at_once(self, lines: Lines, keeps_unknown: bool) -> pa.Table | None:
        """The lines as a table of the layout's fast schema; None where some line needs a closer look.

        With `keeps_unknown`, a key beyond the schema is such a case; else it is passed over.
        """
        schema = self._layout.fast_schema
        if schema is None or len(lines) == 0:
            return None
        longest = int((lines.ends - lines.starts).max())
        if longest > self._max_record_bytes or not _is_one_object_per_line(lines):
            return None
        text = lines.joined()
        if b"\0" in text or not _is_utf8(text):
            return None
        if not keeps_unknown and (b"NaN" in text or b"Inf" in text) and _NOT_A_NUMBER.search(text):
            return None
        if self._layout.has_floats and may_change(text):
            return None
        block_bytes = max(1 << 20, 2 * longest)
        try:
            table = pj.read_json(
                pa.BufferReader(text),
                read_options=pj.ReadOptions(block_size=block_bytes, use_threads=len(text) > block_bytes),
                parse_options=pj.ParseOptions(
                    explicit_schema=schema, unexpected_field_behavior="error" if keeps_unknown else "ignore"
                ),
            )
        except pa.ArrowException:
            return None
        is_exact = table.num_rows == len(lines) and all(floats_are_exact(c) for c in table.columns)
        return table if is_exact else None

    def _one_by_one(self, lines: Lines, parsed: Parsed, positions: NDArray[np.int64]) -> None:
        records: list[tuple[int, dict[str, Any]]] = []
        rejected: list[Rejected] = []
        for index in range(len(lines)):
            try:
                records.append((index, self._decoder.decode(lines[index])))
            except Refused as verdict:
                rejected.append(self._verdict(lines, index, verdict))
        frame, kept = self._columns_of(lines, records, rejected)
        parsed.flush(self._layout)
        parsed.frames.append(frame)
        parsed.kept.append(positions[kept])
        parsed.rejected += rejected
        parsed.special += len(lines)

    def _columns_of(
        self, lines: Lines, records: list[tuple[int, dict[str, Any]]], rejected: list[Rejected]
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """Columns of decoded lines: by Arrow where only unknown keys are in its way, else cell by cell."""
        positions = np.array([index for index, _ in records], dtype=np.int64)
        if self._layout.is_plain:
            table = self._at_once(lines.pick(positions), keeps_unknown=False)
            if table is not None:
                return self._layout.with_unknown(table, [record for _, record in records]), positions
        rows = self._layout.rows(records)
        rejected += [self._verdict(lines, index, verdict) for index, verdict in rows.refused]
        return rows.frame, np.array(rows.kept, dtype=np.int64)

    def _verdict(self, lines: Lines, index: int, verdict: Refused) -> Rejected:
        place = lines.rejected(index, verdict.rule, verdict.reason, verdict.column)
        if verdict.rule != "record_too_long":
            return place
        return too_long(place.line, place.byte_start or 0, place.byte_end or 0, place.raw, self._max_record_bytes)


def _is_one_object_per_line(lines: Lines) -> bool:
    """Whether each line begins with `{` and ends with `}`.

    Then no object can reach over a line's end, as `}` and `{` never follow one another inside a value: with as many
    objects as lines, each line is one.
    """
    data = np.frombuffer(lines.data, np.uint8)
    last = data[lines.ends - 1]
    if (last == _RETURN).any():
        last = np.where((last == _RETURN) & (lines.ends - lines.starts > 1), data[lines.ends - 2], last)
    return bool((data[lines.starts] == _OPEN).all() and (last == _CLOSE).all())


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    offsets = pa.py_buffer(np.array([0, len(text)], np.int64))
    array = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(text)])
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
