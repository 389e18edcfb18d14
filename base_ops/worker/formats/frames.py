"""What readers of typed frames share: free column names, declared columns, rows refused one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.declared import BadRow, Column, Columns, decoded, free_name

_DAYS = (-96_465_292, 95_026_236)
"""The days polars' calendar reaches (years -262143 to 262142); beyond, its date functions panic."""
_UNITS_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000}


def distinct_names(names: Iterable[str], findings: list[Finding]) -> list[str]:
    """The columns' names; one that is taken (also by the engine's own column) gets a number."""
    taken, found = {"", POINTER}, []
    for name in names:
        free = free_name(name, taken)
        if free != name:
            message = f"a column {name!r} is named {free!r}, since its own name is taken or not possible"
            findings.append(Finding(code="renamed_column", message=message, data={"from": name, "to": free}))
        found.append(free)
    return found


class FrameReader:
    """The half of a Reader that knows typed columns: a format adds `batches`, which calls `finish`."""

    def __init__(self, name: str, source: pl.Schema, spec: ReadSpec) -> None:
        """Raises: BadInput where a declared column is not there."""
        self._name = name
        self.findings: list[Finding] = []
        self._columns = Columns(source, _declared(source, spec, name))
        self.schema = self._columns.schema

    def finish(
        self, frame: pl.DataFrame, texts: Sequence[str], first: int, broken: dict[int, BadRow] | None = None
    ) -> Batch:
        """The declared columns of all good rows, and the rejected ones.

        Args:
            texts: columns that hold the bytes of texts.
            first: record number of the first row.
            broken: rows already known to be bad.
        """
        numbers = pl.select(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias(POINTER))
        frame = numbers.hstack(frame.get_columns())
        broken = dict(broken or {})
        for name in texts:
            raw = frame.get_column(name).alias("v")  # polars takes a name such as ^…$ for a pattern
            made = decoded(raw)
            if made.null_count() > raw.null_count():
                for row in (made.is_null() & raw.is_not_null()).arg_true().to_list():
                    broken.setdefault(row, BadRow(row, "encoding", "the text is not UTF-8", name))
            frame = frame.with_columns(made.alias(name))
        for row, column in _beyond_calendar(frame):
            broken.setdefault(row, BadRow(row, "type", "the date is beyond the years -262143 to 262142", column))
        if broken:
            frame = frame.filter(~pl.int_range(pl.len()).is_in(list(broken)))
        rejected = [Rejected(first + b.row, b.rule, b.reason, b.column) for b in broken.values()]
        kept = frame[POINTER]
        frame, bad = self._columns.apply(frame)
        rejected += [Rejected(kept[b.row], b.rule, b.reason, b.column) for b in bad]
        return Batch(frame[[*self.schema, POINTER]], sorted(rejected, key=lambda r: r.line))


def _declared(source: pl.Schema, spec: ReadSpec, name: str) -> list[Column]:
    if spec.columns is None:
        return [Column(c, c) for c in source]
    wanted = [Column(c.name, c.source_name or c.name, c.type, c.format, c.required) for c in spec.columns]
    missing = [c.source for c in wanted if c.source not in source]
    if missing:
        raise BadInput(
            f"{name} has no column {missing[0]!r}",
            code="missing_column",
            where=name,
            found=f"the columns {', '.join(list(source)[:50])}",
            todo="correct spec.read.columns, or the source",
        )
    return wanted


def _beyond_calendar(frame: pl.DataFrame) -> Iterator[tuple[int, str]]:
    """Rows and columns of dates that polars can hold, but not compute with."""
    for column in frame.get_columns():
        dtype = column.dtype
        per_day = 1 if dtype == pl.Date else _UNITS_PER_DAY.get(getattr(dtype, "time_unit", ""), 0)
        if not per_day or isinstance(dtype, pl.Duration):
            continue
        number = column.alias("v").to_physical()
        low, high = number.min(), number.max()
        if low is None or (low >= _DAYS[0] * per_day and high <= _DAYS[1] * per_day):  # type: ignore[operator]
            continue
        for row in (~number.is_between(_DAYS[0] * per_day, _DAYS[1] * per_day)).fill_null(False).arg_true().to_list():
            yield row, column.name
