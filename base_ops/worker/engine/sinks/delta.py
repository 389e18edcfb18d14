"""A Delta Lake table: a Parquet file, published by a commit of the table's log.

An existing table gets a new version that holds the new rows only; its older versions stay readable.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable, Schema, TableFeatures
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions

from base_ops.core.errors import Transient
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.sinks import parquet
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.tables.delta import storage_options
from base_ops.worker.lake.tables.files import statistics
from base_ops.worker.types import walk

_WIDER: dict[pl.DataType, pl.DataType] = {
    pl.UInt8(): pl.Int16(),
    pl.UInt16(): pl.Int32(),
    pl.UInt32(): pl.Int64(),
    pl.UInt64(): pl.Decimal(20, 0),
    pl.Float16(): pl.Float32(),
}
_REFUSED = (pl.Time, pl.Duration, pl.Null, pl.Map, pl.Object)


def refuses(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Datetime):
        return dtype.time_unit == "ns"
    return isinstance(dtype, _REFUSED) or parquet.refuses(dtype)


def write(frames: Iterator[pl.DataFrame], schema: pl.Schema, path: Path, spec: WriteSpec) -> None:
    """Write the table's file; `publish` makes it a table."""
    kept = kept_schema(schema)
    parquet.write((_cast(frame, kept) for frame in frames), kept, path, spec)


def _cast(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Column by column: polars takes a name such as ^…$ for a pattern."""
    pairs = zip(schema.items(), frame.iter_columns(), strict=True)
    return pl.DataFrame([values.alias("v").cast(dtype).alias(name) for (name, dtype), values in pairs])


def kept_schema(schema: pl.Schema) -> pl.Schema:
    """The types of Delta that hold all values of the columns."""
    return pl.Schema({name: _kept(dtype) for name, dtype in schema.items()})


def publish(made: Path, store: Store, folder: str, schema: pl.Schema) -> None:
    """Make the finished file the current version of the table in a folder of the store, atomically.

    Raises:
        Transient: somebody else committed to the table meanwhile.
    """
    kept, uri, options = kept_schema(schema), store.uri(folder), storage_options()
    size, facts = made.stat().st_size, json.dumps(statistics(made))
    name = f"part-{uuid.uuid4().hex}.parquet"
    adds = [AddAction(name, size, {}, int(datetime.now(UTC).timestamp() * 1000), True, facts)]
    declared = Schema.from_arrow(pl.DataFrame(schema=kept).to_arrow(compat_level=pl.CompatLevel.oldest()).schema)
    store.put(made, f"{folder}/{name}")  # invisible until the log names it
    try:
        if not DeltaTable.is_deltatable(uri, options):
            create_table_with_add_actions(uri, declared, adds, mode="error", partition_by=[], storage_options=options)
            return
        table = DeltaTable(uri, storage_options=options)
        _allow_naive_timestamps(table, kept)
        table.create_write_transaction(list(adds), "overwrite", declared, [])
    except CommitFailedError as error:
        raise Transient(f"Somebody else changed the table {folder}", code="commit_conflict", where=uri) from error
    except DeltaError as error:
        if not DeltaTable.is_deltatable(uri, options):
            raise
        raise Transient(f"The table {folder} could not be written", code="commit_failed", where=uri) from error


def _allow_naive_timestamps(table: DeltaTable, schema: pl.Schema) -> None:
    naive = any(isinstance(d, pl.Datetime) and d.time_zone is None for dtype in schema.values() for d in walk(dtype))
    if naive and "timestampNtz" not in (table.protocol().writer_features or ()):
        table.alter.add_feature(TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True)


def _kept(dtype: Any) -> pl.DataType:
    dtype = dtype() if isinstance(dtype, type) else dtype
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_kept(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: _kept(f.dtype) for f in dtype.fields})
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.String()
    found: pl.DataType = _WIDER.get(dtype, dtype)
    return found
