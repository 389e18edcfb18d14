"""Sinks: batches into one target, while the next batch is read. One file per target.

What a target cannot hold exactly is refused: a type before the first byte is written (ConfigError), a value of a type
that only mostly fits (NaN in JSON) when it comes (BadInput). Nothing is rounded, or turned into null, on the way out.

    parquet   all types but integers of 128 bits and structs without fields
    arrow     all types but integers of 128 bits
    avro      all but durations, maps, half floats and large integers; UInt64 as decimals, small integers as int
    json      all but bytes, durations and maps; decimals as numbers; dates, times and timestamps as ISO 8601 texts
    ndjson    as json, a line per record
    csv       scalars but bytes and durations; texts are quoted, so that none can be taken for a null
    delta     as parquet but times, nanoseconds, durations, maps and nulls; unsigned integers become wider signed ones
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from base_ops.core.errors import BadInput, ConfigError, did_you_mean
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.lake.store import Store
from base_ops.worker.types import walk

SUFFIXES = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".avro": "avro",
    ".delta": "delta",
}


class Target(Protocol):
    """A module of this package."""

    def refuses(self, dtype: pl.DataType) -> bool:
        """Whether values of this type (not those inside) cannot be held exactly."""
        ...

    def write(self, frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
        """Write all frames. What `frames` raises may come out changed: `write_batches` sees to it."""
        ...


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

    Raises:
        ConfigError: a column's type cannot be written to this target.
        BadInput: a value cannot.
    """
    target: Any = import_module(f"{__name__}.{kind}")
    check_types(target, schema, kind)
    if rows_per_group is not None:
        spec = spec.model_copy(update={"row_group_rows": rows_per_group})
    failure: list[BaseException] = []

    def guarded() -> Iterator[pl.DataFrame]:
        try:
            yield from frames
        except GeneratorExit:
            raise
        except BaseException as error:
            failure.append(error)
            raise

    try:
        target.write(guarded(), schema, path, spec)
    except BaseException as error:
        if failure:
            raise failure.pop() from None
        raise error


def publish_file(kind: str, made: Path, store: Store, name: str, schema: pl.Schema) -> None:
    """Move what `write_batches` wrote to its place in a store: a file, or the folder of a table."""
    if kind == "delta":
        from base_ops.worker.engine.sinks import delta

        delta.publish(made, store, name, schema)
    else:
        store.put(made, name)


def check_types(target: Target, schema: pl.Schema, kind: str) -> None:
    """Raises: ConfigError, naming the first column that the target cannot hold."""
    for name, dtype in schema.items():
        for inner in walk(dtype):
            if target.refuses(inner):
                found = str(dtype) if inner == dtype else f"{dtype}, with {inner} inside"
                raise ConfigError(
                    f"The column {name!r} cannot be written as {kind}",
                    code="unsupported_target_type",
                    where=f"column {name!r}",
                    found=found,
                    todo="write parquet or arrow, or have the column read as another type (read.columns)",
                )


def refuse_value(kind: str, column: str, what: str) -> BadInput:
    """The error for a value that a target cannot hold."""
    return BadInput(
        f"The column {column!r} holds {what}, which {kind} cannot hold",
        code="unsupported_target_value",
        where=f"column {column!r}",
        todo="write parquet or arrow, or correct the values before they are written",
    )
