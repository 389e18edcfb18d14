"""Arrow IPC files, of the types that every Arrow reader knows (no string views)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.sinks.lazy import lazy_frame
from base_ops.worker.engine.sinks.parquet import LARGE_INTEGERS


def refuses(dtype: pl.DataType) -> bool:
    return isinstance(dtype, LARGE_INTEGERS)


def write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
    compression: Any = spec.compression or "zstd"
    lazy_frame(frames, schema).sink_ipc(
        path,
        compression=compression if compression in ("zstd", "lz4") else "uncompressed",
        compat_level=pl.CompatLevel.oldest(),
    )
