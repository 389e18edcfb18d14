"""Sinks: batches into one file, written by polars' streaming writers while the next batch is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.data_ingestion.specs import WriteSpec

SUFFIXES = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".arrow": "arrow",
}


def format_of(target: str, spec: WriteSpec) -> str:
    """The format to write: said, or told by the target's suffix."""
    if spec.format:
        return spec.format
    suffix = Path(target).suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(
            f"The target {target!r} does not tell which format to write. {did_you_mean(suffix, SUFFIXES)}",
            code="unknown_target_format",
            where="spec.target",
            todo="use one of these suffixes, or set write.format",
        )
    return SUFFIXES[suffix]


def write_batches(
    frames: Iterator[pl.DataFrame],
    schema: pl.Schema,
    path: Path,
    kind: str,
    spec: WriteSpec,
    rows_per_group: int | None = None,
) -> None:
    """Write all frames to `path`, in order. The first exception that `frames` raises is raised here, unchanged.

    With `rows_per_group`, the bytes of a Parquet file do not depend on how the rows are cut into frames.
    """
    failure: list[BaseException] = []
    started = False

    def source(
        columns: list[str] | None, _predicate: Any, _rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        nonlocal started
        if started:  # a plan that asks twice would read a one-pass source twice
            raise RuntimeError("the source of a pass was opened twice")
        started = True
        try:
            for frame in frames:
                yield frame if columns is None else frame[columns]  # names as they are: select takes ^…$ for a pattern
        except BaseException as error:
            failure.append(error)
            raise

    lazy = register_io_source(source, schema=schema)
    try:
        _sink(lazy, path, kind, spec, rows_per_group)
    except BaseException as error:
        if failure:
            raise failure.pop() from None
        raise error


def _sink(lazy: pl.LazyFrame, path: Path, kind: str, spec: WriteSpec, rows_per_group: int | None) -> None:
    compression: Any = spec.compression
    if kind == "parquet":
        level = spec.compression_level if spec.compression in ("zstd", "gzip") else None
        lazy.sink_parquet(path, compression=compression, compression_level=level, row_group_size=rows_per_group)
    elif kind == "csv":
        lazy.sink_csv(path)
    elif kind == "ndjson":
        lazy.sink_ndjson(path)
    elif kind == "json":
        _write_json(lazy, path)
    else:
        lazy.sink_ipc(path, compression=compression if spec.compression in ("zstd", "lz4") else "uncompressed")


def _write_json(lazy: pl.LazyFrame, path: Path) -> None:
    """A JSON list, one record a line, made of the NDJSON writer's lines: bounded memory."""
    lines = path.with_suffix(".lines")
    lazy.sink_ndjson(lines)
    with lines.open("rb") as source, path.open("wb") as target:
        target.write(b"[")
        for number, line in enumerate(source):
            target.write((b",\n" if number else b"\n") + line.rstrip(b"\n"))
        target.write(b"\n]\n")
    lines.unlink()
