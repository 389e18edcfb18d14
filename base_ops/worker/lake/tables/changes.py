"""What new content changes in a slice, row by row, and the files that say so.

Old and new content are joined by key in DuckDB, on disk where memory does not suffice. Only the keys of rows that
differ are kept; files are then written by looking rows up in that (usually small) list. Rows lie sorted by key, so
that a file depends on its content only and look-ups by key can skip row groups.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import duckdb
import polars as pl

from base_ops.core.errors import BadInput
from base_ops.worker.lake.tables.schema import COMMIT, KNOWN_FROM, KNOWN_TO, LINEAGE, ROW_META, incoming

MAX_FILES_PER_SLICE = 16
"""Rows that are only added go to a file of their own until a slice has this many; then its files become one."""
_HAD, _HAS = '"base_ops had"', '"base_ops has"'
_PARQUET = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"


@dataclass(frozen=True)
class Rules:
    """How a table is kept; see StoreValidatedDataSpec."""

    key: tuple[str, ...]
    history: Literal["full", "latest"] = "full"
    evolution: Literal["additive", "none"] = "additive"
    missing_rows: Literal["close", "keep"] = "close"
    sensitive: frozenset[str] = frozenset()
    """Columns whose values no message may show."""


@dataclass(frozen=True)
class Slice:
    """A slice's new content and its current files, as local files with their schemas."""

    name: str
    new: Sequence[tuple[Path, pl.Schema]]
    old: Sequence[tuple[Path, pl.Schema]] = ()
    missing: tuple[str, ...] = ()
    """Table columns the new files do not have."""


@dataclass(frozen=True)
class Change:
    """What a slice's new content changes. `current` and `past` are local files, None where there is nothing to say."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    closed: int = 0
    rewrites: bool = False
    """`current` takes the place of the slice's current files; otherwise it stands beside them."""
    current: Path | None = None
    past: Path | None = None

    @property
    def rows_in(self) -> int:
        return self.inserted + self.changed + self.unchanged


class Comparer:
    """Compares slices of one table and writes the files of one commit."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, rules: Rules, data: pl.Schema, commit: str, moment: datetime
    ) -> None:
        self._connection = connection
        self._rules = rules
        self._types = sql_types(connection, pl.Schema({**data, **ROW_META}))
        self._data = data
        self._keys = [_quoted(name) for name in rules.key]
        self._born = f"{_moment(moment)} AS {KNOWN_FROM}, NULL::TIMESTAMPTZ AS {KNOWN_TO}, {_text(commit)} AS {COMMIT}"
        self._died = f"* REPLACE ({_moment(moment)} AS {KNOWN_TO})"

    def compare(self, part: Slice, folder: Path) -> Change:
        """Compare one slice and write its new files into `folder` (an empty one).

        Raises:
            BadInput: duplicate_key, incompatible_schema (a column with values is gone), unsupported_type.
        """
        self._view("n", part.new, meta=False)
        self._refuse_duplicates(part)
        if not part.old:
            rows = self._count("n")
            if not rows:
                return Change()
            path = self._write(f"SELECT *, {self._born} FROM n", folder / "current.parquet")
            return Change(inserted=rows, current=path)
        self._view("o", part.old, meta=True)
        self._refuse_lost_columns(part)
        return self._differences(part, folder)

    def rewrite(self, path: Path, schema: pl.Schema, target: Path) -> Path | None:
        """A data file again, with the table's present types."""
        self._view("o", [(path, schema)], meta=True)
        return self._write("FROM o", target)

    def _differences(self, part: Slice, folder: Path) -> Change:
        values = [_quoted(n) for n in self._data if n not in self._rules.key and not n.startswith(LINEAGE)]
        differs = " OR ".join(f"o.{name} IS DISTINCT FROM n.{name}" for name in values) or "false"
        keys = ", ".join(f"coalesce(o.{name}, n.{name}) AS {name}" for name in self._keys)
        gone = "" if self._rules.missing_rows == "close" else f"AND n.{_HAS}"
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE d AS
            SELECT {keys}, o.{COMMIT} IS NOT NULL AS {_HAD}, n.{_HAS} IS NOT NULL AS {_HAS}
            FROM o FULL JOIN (SELECT *, true AS {_HAS} FROM n) AS n ON {self._same_key("o", "n")}
            WHERE (o.{COMMIT} IS NULL OR n.{_HAS} IS NULL OR {differs}) {gone}"""
        )
        inserted, changed, closed, total = self._numbers(
            f"SELECT count(*) FILTER (NOT {_HAD}), count(*) FILTER ({_HAD} AND {_HAS}), count(*) FILTER (NOT {_HAS}), "
            "(SELECT count(*) FROM n) FROM d"
        )
        change = Change(inserted, changed, total - inserted - changed, closed)
        if not (inserted or changed or closed):
            return change
        rewrites = bool(changed or closed) or len(part.old) >= MAX_FILES_PER_SLICE
        new = f"SELECT *, {self._born} FROM n WHERE {self._in_differences('n')}"
        kept = f"SELECT * FROM o WHERE NOT {self._in_differences('o')}"
        current = self._write(f"{kept} UNION ALL BY NAME {new}" if rewrites else new, folder / "current.parquet")
        past = None
        if self._rules.history == "full" and (changed or closed):
            past = self._write(f"SELECT {self._died} FROM o WHERE {self._in_differences('o')}", folder / "past.parquet")
        return Change(inserted, changed, change.unchanged, closed, rewrites, current, past)

    # -- SQL

    def _view(self, name: str, files: Sequence[tuple[Path, pl.Schema]], *, meta: bool) -> None:
        selects = []
        for path, schema in files:
            columns = [
                f"CAST({_quoted(column)} AS {kind}) AS {_quoted(column)}"
                if column in schema
                else f"NULL::{kind} AS {_quoted(column)}"
                for column, kind in self._types.items()
                if meta or column not in ROW_META
            ]
            source = f"read_parquet({_text(str(path))}, hive_partitioning = false)"
            selects.append(f"SELECT {', '.join(columns)} FROM {source}")
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {' UNION ALL '.join(selects)}")

    def _write(self, query: str, path: Path) -> Path | None:
        """Write a query's rows, sorted by key; None (and no file) where there are none."""
        columns = ", ".join(_quoted(name) for name in self._types)
        order = ", ".join(self._keys)
        (rows,) = self._numbers(
            f"COPY (SELECT {columns} FROM ({query}) ORDER BY {order}, {KNOWN_FROM}) TO {_text(str(path))} {_PARQUET}"
        )
        if rows == 0:
            path.unlink(missing_ok=True)
            return None
        return path

    def _numbers(self, query: str) -> tuple[int, ...]:
        return tuple(int(value) for value in self._connection.execute(query).fetchall()[0])

    def _count(self, name: str) -> int:
        return self._numbers(f"SELECT count(*) FROM {name}")[0]

    def _same_key(self, left: str, right: str) -> str:
        return " AND ".join(f"{left}.{name} IS NOT DISTINCT FROM {right}.{name}" for name in self._keys)

    def _in_differences(self, side: Literal["o", "n"]) -> str:
        held = _HAD if side == "o" else _HAS
        return f"EXISTS (SELECT 1 FROM d WHERE d.{held} AND {self._same_key('d', side)})"

    # -- refusals

    def _refuse_duplicates(self, part: Slice) -> None:
        keys = ", ".join(self._keys)
        row = self._connection.execute(
            f"SELECT {', '.join(f'{name}::VARCHAR' for name in self._keys)}, count(*) FROM n "
            f"GROUP BY {keys} HAVING count(*) > 1 ORDER BY {keys} LIMIT 1"
        ).fetchone()
        if row is None:
            return
        shown = (
            "***" if name in self._rules.sensitive else value for name, value in zip(self._rules.key, row, strict=False)
        )
        named = ", ".join(f"{name}={value}" for name, value in zip(self._rules.key, shown, strict=True))
        raise BadInput(
            "A key is there more than once",
            code="duplicate_key",
            where=f"slice {part.name}, key {named}",
            expected=f"one row per ({', '.join(self._rules.key)})",
            found=f"{row[-1]} rows",
            todo="merge the records first, or add a column to the key",
        )

    def _refuse_lost_columns(self, part: Slice) -> None:
        names = [name for name in part.missing if not name.startswith(LINEAGE)]
        if not names:
            return
        counts = self._numbers(f"SELECT {', '.join(f'count({_quoted(name)})' for name in names)} FROM o")
        lost = [
            f"{name}: table {self._data[name]}, new none" for name, count in zip(names, counts, strict=True) if count
        ]
        if lost:
            raise BadInput(
                "Columns that hold values are gone from the new data",
                code="incompatible_schema",
                where=f"slice {part.name}",
                expected="every column of the slice",
                found="; ".join(lost),
                todo="deliver the columns (empty values are welcome), or store the data as another dataset",
            )


def read_schema(path: Path, where: str) -> pl.Schema:
    """A new file's columns in the types a table holds.

    Raises:
        BadInput: unsupported_type, also for timestamps that are no whole microseconds.
    """
    found = incoming(pl.Schema(pl.read_parquet_schema(path)), where)
    if found.ns:
        broken = (pl.col(name).dt.timestamp("ns").mod(1000).ne(0).any().alias(name) for name in found.ns)
        for name, is_broken in pl.scan_parquet(path).select(*broken).collect().row(0, named=True).items():
            if is_broken:
                raise BadInput(
                    f"A table cannot hold the nanoseconds of column {name!r}",
                    code="unsupported_type",
                    where=f"{where}, column {name}",
                    expected="timestamps of whole microseconds",
                    todo="round the column in the step before, or keep the nanoseconds in an int64 column",
                )
    return found.types


def sql_types(connection: duckdb.DuckDBPyConnection, schema: pl.Schema) -> dict[str, str]:
    """DuckDB's names of polars types."""
    relation = connection.from_arrow(pl.DataFrame(schema=schema).to_arrow())
    return dict(zip(schema, map(str, relation.types), strict=True))


@contextlib.contextmanager
def database(scratch: Path, memory_limit_mb: int, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that spills to `scratch`."""
    spill = scratch / "spill"
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{max(64, memory_limit_mb // 2)}MiB",
        "temp_directory": str(spill),
    }
    if threads:
        config["threads"] = threads
    connection = duckdb.connect(":memory:", config=config)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _moment(moment: datetime) -> str:
    return f"TIMESTAMPTZ {_text(moment.isoformat())}"
