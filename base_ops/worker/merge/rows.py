"""The candidates as SQL: what is read of each file, in a DuckDB session that can touch nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from base_ops.core.errors import BadInput, Transient
from base_ops.worker.merge.arrival import Arrival
from base_ops.worker.merge.decisions import ENTRY, Order
from base_ops.worker.merge.files import ARRIVAL, BRANCH, SOURCE, Branch, Inputs, identifier, unfit

_RESERVED_MB, _RESERVED_SPILLING_MB = 500, 600
"""Left to the rest of the process: batches on their way, the writer's row groups, what the engine does not count."""
_ROW_BYTES, _VALUE_BYTES, _TEXT_BYTES = 40, 8, 16
"""Of a sorted row: beside its values (sort key, order, header), per value of fixed width, per (short) text."""
_HEADROOM = 1.45
"""The engine begins to spill when this many times what it sorts does not fit its limit."""


@contextmanager
def session(inputs: Inputs, scratch: Path, memory_limit_mb: int, threads: int) -> Iterator[Any]:
    """A DuckDB connection that sees the input files and its scratch folder, no network and nothing else."""
    spill = scratch / "spill"
    spill.mkdir(exist_ok=True)
    settings = {
        "memory_limit": f"{_limit_mb(inputs, memory_limit_mb)}MiB",
        "temp_directory": str(spill),
        "TimeZone": "UTC",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allowed_paths": [str(f.file.path) for f in inputs.files],
        "enable_external_access": False,
        "lock_configuration": True,
    }
    if threads:
        settings = {"threads": threads, **settings}
    with duckdb.connect(":memory:") as connection:
        for name, value in settings.items():
            connection.execute(f"SET {name} = {_literal(value)}")
        yield connection


def _limit_mb(inputs: Inputs, memory_limit_mb: int) -> int:
    """The engine's limit. Where all rows fit, high enough for it not to spill; else what leaves room for the rest."""
    texts = max(f.text_columns for f in inputs.files)
    row = _ROW_BYTES + _VALUE_BYTES * (len(inputs.schema) - texts) + _TEXT_BYTES * texts
    long_texts = sum(f.text_bytes for f in inputs.files if f.text_bytes > 12 * f.rows * f.text_columns)
    needed = (inputs.rows * row + long_texts) >> 20
    if needed + _RESERVED_MB <= memory_limit_mb:
        return max(int(needed * _HEADROOM), 64)
    return max(memory_limit_mb - _RESERVED_SPILLING_MB, 64)


def scan_sql(inputs: Inputs, branch: Branch, key: Sequence[str], arrival: Arrival) -> str:
    """The query of a branch's records that have a key, under short names and in the common types."""
    names = short_names(inputs)
    columns = [f"{_column(name, branch, inputs, key=name in key)} AS {short}" for name, short in names.items()]
    columns.append(f"{branch.source}::UTINYINT AS {identifier(SOURCE)}")
    if inputs.uneven:
        columns.append(f"{branch.index}::USMALLINT AS {identifier(BRANCH)}")
    columns.append(f"{arrival.sql(branch)} AS {identifier(ARRIVAL)}")
    paths = ", ".join(_literal(str(inputs.files[index].file.path)) for index in branch.files)
    nullable = [name for name in key if any(name in inputs.files[index].may_be_null for index in branch.files)]
    where = " AND ".join(f"{identifier(branch.origin[name])} IS NOT NULL" for name in nullable) or "true"
    return f"SELECT {', '.join(columns)} FROM read_parquet([{paths}]) WHERE {where}"


def order_sql(order: Order, inputs: Inputs, key: Sequence[str], arrival: Arrival) -> str:
    """ORDER BY key, then `order`."""
    names = short_names(inputs)
    return ", ".join([*(names[name] for name in key), *_order_sql(order, inputs, names, arrival)])


def _order_sql(order: Order, inputs: Inputs, names: dict[str, str], arrival: Arrival) -> list[str]:
    arrived = identifier(ARRIVAL)
    ties = [identifier(SOURCE), f"{arrived} ASC"] if order.earliest else [f"{arrived} DESC"]
    if order.column is None:
        return ties
    direction = "DESC" if order.largest else "ASC"
    if order.column == ENTRY:
        return [f"{arrival.entry_sql()} {direction}", *ties]
    column = names[order.column]
    if inputs.schema[order.column].is_float():
        column = f"CASE WHEN NOT isnan({column}) THEN {column} END"
    return [f"{column} {direction} NULLS LAST", *ties]


def short_names(inputs: Inputs) -> dict[str, str]:
    """Names the engine can tell apart whatever vendors call their columns."""
    return {name: f"c{number}" for number, name in enumerate(inputs.schema)}


def frames(reader: Any, inputs: Inputs) -> Iterator[pl.DataFrame]:
    """What comes out of a query, under its proper names and types."""
    back = {short: name for name, short in short_names(inputs).items()}
    types: dict[Any, Any] = dict(inputs.schema)
    while True:
        with faults(inputs):
            chunk = next(reader, None)
        if chunk is None:
            return
        yield pl.DataFrame(pl.from_arrow(chunk)).rename(back).cast(types)


def _column(name: str, branch: Branch, inputs: Inputs, *, key: bool) -> str:
    target = inputs.schema[name]
    if name not in branch.schema:
        return f"CAST(NULL AS {duckdb_type(target)})"
    column = identifier(branch.origin[name])
    if branch.schema[name] != target:
        column = f"CAST({column} AS {duckdb_type(target)})"
    return f"({column} + 0)" if key and target.is_float() else column  # -0.0 and 0.0 are one key


_TYPES = {
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.UInt8: "UTINYINT",
    pl.UInt16: "USMALLINT",
    pl.UInt32: "UINTEGER",
    pl.UInt64: "UBIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.String: "VARCHAR",
    pl.Binary: "BLOB",
    pl.Date: "DATE",
    pl.Time: "TIME_NS",
    pl.Duration: "BIGINT",
}


def duckdb_type(dtype: pl.DataType) -> str:
    """The DuckDB type that holds a polars type."""
    if isinstance(dtype, pl.Decimal):
        return f"DECIMAL({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return ("TIMESTAMPTZ" if dtype.time_zone else "TIMESTAMP") + ("_NS" if dtype.time_unit == "ns" else "")
    if isinstance(dtype, pl.List):
        return f"{duckdb_type(pl.Struct({'x': dtype.inner}).fields[0].dtype)}[]"  # type: ignore[arg-type]
    if isinstance(dtype, pl.Array):
        return f"{duckdb_type(dtype.inner)}[]"  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return f"STRUCT({', '.join(f'{identifier(f.name)} {duckdb_type(f.dtype)}' for f in dtype.fields)})"  # type: ignore[arg-type]
    return _TYPES[type(dtype)]


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value).lower()


_OWN_FAULTS = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InternalException,
    duckdb.PermissionException,
)


@contextmanager
def faults(inputs: Inputs) -> Iterator[None]:
    """Give the engine's errors their place in the tree; a query that is wrong in itself is a bug and stays one."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise Transient(
            "The merge ran out of memory or of disk to spill to",
            code="out_of_memory",
            found=str(error).splitlines()[0],
            todo="give the job more memory or scratch space, or cut the dataset into slices",
        ) from None
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        raise unfit(", ".join(f.file.uri for f in inputs.files[:5])) from None
    except (duckdb.Error, pa.ArrowException) as error:
        if isinstance(error, _OWN_FAULTS):
            raise
        raise BadInput(
            "The files to merge cannot be read as their footers promise",
            code="bad_parquet",
            where=", ".join(f.file.uri for f in inputs.files[:5]),
            found=str(error).splitlines()[0],
            todo="convert the source again; its staged part is damaged",
        ) from None
