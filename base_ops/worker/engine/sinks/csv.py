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


def refuses(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Duration | pl.Object)


def write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
    texts = [name for name, dtype in schema.items() if dtype == pl.String]
    lonely = len(schema) == 1  # the empty cell of a record with one cell would be a blank line
    lazy_frame(_checked(frames, texts), schema).sink_csv(
        path, quote_style="non_numeric", null_value="NULL" if lonely else None
    )


def _checked(frames: Iterator[pl.DataFrame], texts: list[str]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        for name in texts:
            if frame.get_column(name).alias("v").str.contains("\0", literal=True).any():
                raise refuse_value("csv", name, "a NUL character")
        yield frame
