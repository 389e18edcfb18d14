"""A one-pass iterator of frames as a lazy frame, for polars' streaming writers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source


def lazy_frame(frames: Iterator[pl.DataFrame], schema: pl.Schema) -> pl.LazyFrame:
    """Frames that may be read once."""
    started = False

    def source(
        columns: list[str] | None, _predicate: Any, _rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        nonlocal started
        if started:  # a plan that asks twice would read a one-pass source twice
            raise RuntimeError("the source of a pass was opened twice")
        started = True
        for frame in frames:
            yield frame if columns is None else frame[columns]  # names as they are: select takes ^…$ for a pattern

    return register_io_source(source, schema=schema)
