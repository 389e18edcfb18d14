"""CSV (RFC 4180, lines end with LF): texts quoted, null an empty cell without quotes.

A text is written as it is, also where a spreadsheet would take it for a formula (`=1+1`): CSV has no way to say that
a cell is text, and a changed cell would be changed for all other readers as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.sinks import refuse_value
from base_ops.worker.engine.sinks.lazy import lazy_frame
from base_ops.worker.engine.sinks.leaves import ODD_OFFSET, unwritable_offset

_TEXTS = (pl.String, pl.Categorical, pl.Enum)


def refuses(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Duration | pl.Object)


def write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
    lonely = len(schema) == 1  # the empty cell of a record with one cell would be a blank line
    lazy_frame(_checked(frames), schema).sink_csv(
        path, quote_style="non_numeric", null_value="NULL" if lonely else None
    )


def _checked(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        for values in frame.iter_columns():
            if isinstance(values.dtype, _TEXTS) and _has_nul(values.alias("v")):
                raise refuse_value("csv", values.name, "a NUL character")
            if isinstance(values.dtype, pl.Datetime) and unwritable_offset(values):
                raise refuse_value("csv", values.name, ODD_OFFSET)
        yield frame


def _has_nul(texts: pl.Series) -> bool:
    return bool(texts.cast(pl.String).str.contains("\0", literal=True).any())
