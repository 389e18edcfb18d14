"""The records as DuckDB holds them: one table under short safe names, in an order that their content alone decides."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from base_ops.core.errors import ConfigError, did_you_mean

Data = pl.DataFrame | Path
"""Rows in memory, or a Parquet file."""


@dataclass(frozen=True)
class Input:
    """The table `input(id, row, v0, v1, …)`.

    `id` numbers the records by content: the same records in any order bear the same numbers (records that are equal
    in every column are interchangeable). `row` is their position. `v<n>` are the columns, untouched.
    """

    connection: Any
    schema: pl.Schema
    rows: int

    def value(self, sql: str) -> Any:
        """The one value that a query gives."""
        return self.connection.execute(sql).fetchall()[0][0]

    def column(self, name: str, what: str) -> str:
        """The short name of a column.

        Raises:
            ConfigError: there is none of this name; `what` names the option.
        """
        if name not in self.schema:
            raise ConfigError(
                f"{what} names the column {name!r}, which the records do not have. {did_you_mean(name, self.schema)}",
                code="unknown_column",
                where=what,
            )
        return f"v{list(self.schema).index(name)}"


@contextmanager
def load(data: Data, scratch: Path, *, memory_limit_mb: int, threads: int) -> Iterator[Input]:
    """Bring records into a DuckDB session that spills to `scratch` and reaches nothing else."""
    schema = data.schema if isinstance(data, pl.DataFrame) else pl.read_parquet_schema(data)
    with (
        tempfile.TemporaryDirectory(prefix="duplicates-", dir=scratch) as folder,
        duckdb.connect(str(Path(folder) / "records.duckdb")) as connection,
    ):
        settings: dict[str, str | int | bool | Sequence[str]] = {
            "memory_limit": f"{max(memory_limit_mb, 128)}MiB",
            "temp_directory": str(Path(folder) / "spill"),
            "TimeZone": "UTC",
            "enable_progress_bar": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allowed_paths": [] if isinstance(data, pl.DataFrame) else [str(data)],
            "allowed_directories": [folder],
            "enable_external_access": False,
            "lock_configuration": True,
        }
        if threads:
            settings = {"threads": threads, **settings}
        for name, value in settings.items():
            connection.execute(f"SET {name} = {literal(value)}")
        names = [f"v{n}" for n in range(len(schema))]
        if isinstance(data, pl.DataFrame):
            source = "given"
            plain = data.rename(dict(zip(schema, names, strict=True)))
            connection.register(source, plain.with_columns(pl.lit(0).alias("_")).to_arrow())
        else:
            source = f"read_parquet({literal(str(data))}) AS t({', '.join(names)})"
        columns = ", ".join(["row_number() OVER () - 1 AS row", *names])
        order = ", ".join([*(f"{name}::VARCHAR" for name in names), "row"])
        connection.execute(
            f"""CREATE TABLE input AS SELECT row_number() OVER (ORDER BY {order}) - 1 AS id, *
            FROM (SELECT {columns} FROM {source}) ORDER BY id"""
        )
        given = Input(connection, pl.Schema(schema), 0)
        yield replace(given, rows=given.value("SELECT count(*) FROM input"))


def literal(value: str | int | bool | Sequence[str]) -> str:
    """A value as SQL."""
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "[" + ", ".join(literal(v) for v in value) + "]"
