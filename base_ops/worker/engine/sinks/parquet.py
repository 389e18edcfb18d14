"""Parquet, by polars' streaming writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.sinks.lazy import lazy_frame

LARGE_INTEGERS = (pl.Int128, pl.UInt128)
"""polars writes them as 16 bytes that only polars takes for a number."""
_LEVELLED = ("zstd", "gzip")


def refuses(dtype: pl.DataType) -> bool:
    return isinstance(dtype, LARGE_INTEGERS) or (isinstance(dtype, pl.Struct) and not dtype.fields)


def write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
    compression: Any = spec.compression or "zstd"
    level = spec.compression_level if compression in _LEVELLED else None
    lazy_frame(frames, schema).sink_parquet(
        path, compression=compression, compression_level=level, row_group_size=spec.row_group_rows
    )
