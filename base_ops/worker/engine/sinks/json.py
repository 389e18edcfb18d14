"""A JSON list, one record a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.sinks.ndjson import lines, refuses

__all__ = ["refuses", "write"]
_BETWEEN = b",\n"


def write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
    with path.open("wb") as file:
        file.write(b"[")
        before = b"\n"
        for frame in frames:
            if frame.height:
                file.write(before)
                file.write(lines(frame, _BETWEEN)[: -len(_BETWEEN)])
                before = _BETWEEN
        file.write(b"\n]\n")
