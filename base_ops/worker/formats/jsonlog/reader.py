"""Reading JSON logs: lines of JSON whose time is made a timestamp."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER, Batch, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.jsonlog.conventions import convention_of_lines, lines_of
from base_ops.worker.formats.ndjson.reader import NdjsonReader

_PER_SECOND = {"s": 1, "ms": 1_000}
_LAST_SECOND = 253_402_300_799
"""Of the year 9999."""
_STAMP = pl.Datetime("us", "UTC")


class JsonLogReader:
    """One log, of one convention."""

    def __init__(self, source: ByteSource, spec: ReadSpec) -> None:
        self._lines = NdjsonReader(source, spec)
        convention, _ = convention_of_lines(lines_of(source.head()))
        if convention is None:
            raise BadInput(
                f"{source.name} is no JSON log of a known convention",
                code="not_this_format",
                where=f"{source.name}, first lines",
                todo="read it as ndjson",
            )
        self._time = convention.time
        self._unit = convention.unit if spec.columns is None else None
        if self._unit is not None and not _is_number(self._lines.schema.get(self._time)):
            self._unit = None
        self.schema = pl.Schema(self._lines.schema)
        if self._unit is not None:
            self.schema[self._time] = _STAMP
        message = f"a log by the convention of {convention.name}, its time in {convention.time!r}"
        self.findings: list[Finding] = self._lines.findings  # the same list: it grows while lines are read
        self.findings.insert(0, Finding(code="log_convention", message=message, data={"convention": convention.name}))

    def batches(self) -> Iterator[Batch]:
        for batch in self._lines.batches():
            yield batch if self._unit is None else self._stamped(batch)

    def _stamped(self, batch: Batch) -> Batch:
        per_second = _PER_SECOND[self._unit or "s"]
        raw = batch.frame[self._time]
        good = raw.is_null() | raw.is_between(0, _LAST_SECOND * per_second)
        micros = raw.set(~good, None) * (1_000_000 // per_second)
        stamps = (micros.round() if micros.dtype.is_float() else micros).cast(pl.Int64).cast(_STAMP)
        frame = batch.frame.with_columns(stamps.alias(self._time))
        if good.all():
            return Batch(frame, batch.rejected)
        reason = f"the number is no epoch time in {self._unit}"
        bad = [Rejected(line, "type", reason, self._time) for line in frame.filter(~good)[POINTER]]
        return Batch(frame.filter(good), sorted([*batch.rejected, *bad], key=lambda r: r.line))


def _is_number(dtype: pl.DataType | None) -> bool:
    return dtype is not None and dtype in (pl.Int64(), pl.Float64())
