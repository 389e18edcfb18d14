"""Rows of SQL databases (PostgreSQL, MySQL and MariaDB, SQLite, Oracle, SQL Server) as Parquet files.

A run reads inside one read-only transaction, and where connections can share a snapshot (PostgreSQL; MySQL and MariaDB
with a key), through several of them side by side. What lands is named so that reading it again replaces it:

- without a cursor, the whole table or query: `public.trades/part-00001-000.parquet`, …;
- with one, windows of it (see `databases/windows.py`): `public.trades#<low>--<high>/part-….parquet`, and `#null` for
  rows that have none. Mode full reads all windows again.

Rows landed are compared with count(*) under the same snapshot; a change of columns since the last run is a finding:
`schema_additive`, or `schema_breaking` where columns vanished or changed their type.

PostgreSQL, MariaDB and SQLite are tested against the real thing, Oracle and SQL Server against a simulated driver.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pyarrow as pa
from pydantic import JsonValue

from base_ops.core.errors import BadInput, ConfigError, did_you_mean
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.fitting import database_of
from base_ops.data_ingestion.options.sources.databases import SPLIT_BY_KEY, SqlSpec
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.databases import windows
from base_ops.worker.connectors.databases.base import COUNT, Column, Database, Session
from base_ops.worker.connectors.databases.drift import drift_findings
from base_ops.worker.connectors.databases.parts import empty_part, parquet_parts
from base_ops.worker.lake.landing import History

DATABASES = ("mysql", "oracle", "postgresql", "sqlite", "sqlserver")


@dataclass(frozen=True)
class Whole:
    """Rows that are landed, and replaced, together."""

    name: str
    condition: str = ""
    is_big: bool = True
    """Whether it is worth splitting into ranges."""


class SqlSource:
    """Fetches what one source says of one database."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.spec: SqlSpec = site.source.sql  # type: ignore[assignment]
        self.report = Report()
        self.database = open_database(site)
        if self.spec.key is not None and self.database.name not in SPLIT_BY_KEY:
            raise ConfigError(
                f"sql.key cannot split a read of {self.database.name}",
                code="no_key",
                where=f"source {site.source.id}: sql.key",
                expected=" or ".join(SPLIT_BY_KEY),
                todo="leave sql.key out",
            )
        self.where = f"source {site.source.id}, {self.database.label}"

    def fetch(self, history: History, keep: Keep) -> Report:
        with ExitStack() as stack:
            leader = self.database.open()
            stack.callback(leader.close)
            columns = self._columns(leader)
            wholes, state = self._wholes(leader, columns, history)
            self.report.findings += drift_findings(history.cursor, columns, self.where)
            self._read_all(leader, stack, columns, wholes, history, keep)
        described: dict[str, JsonValue] = {column.name: column.type for column in columns}
        self.report.cursor_after = {**state, "columns": described, "after_entry": history.last}
        return self.report

    def log_in(self) -> None:
        """Log in and leave."""
        self.database.open().close()

    def probe(self) -> str:
        """The columns of what is read."""
        leader = self.database.open()
        try:
            return f"{len(self._columns(leader))} columns"
        finally:
            leader.close()

    def _columns(self, leader: Session) -> list[Column]:
        columns = self.database.columns(leader)
        names = [column.name for column in columns]
        for name in (*self.spec.text, *filter(None, (self.spec.cursor, self.spec.key))):
            if name not in names:
                raise ConfigError(
                    f"{self.database.label} has no column {name!r}. {did_you_mean(name, names)}",
                    code="unknown_column",
                    where=f"source {self.site.source.id}",
                )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(
                f"Two columns are called {twice!r}", code="duplicate_column", where=self.where, todo="name them apart"
            )
        return columns

    # -- what is to be read

    def _wholes(self, leader: Session, columns: list[Column], history: History) -> tuple[list[Whole], dict[str, Any]]:
        """What this run reads, and what the cursor is to remember of it."""
        label = self.database.label
        if self.spec.cursor is None:
            return [Whole(label)], {}
        column = next(c for c in columns if c.name == self.spec.cursor)
        kind = self._kind(column)
        saved = windows.saved_bounds(history.cursor, column.name, kind, self.where)
        lag = windows.lag_of(kind, self.spec.lag_s, self.spec.lag_keys)
        due, bounds = windows.plan(saved, self._newest(leader, column, kind), lag)
        if self.site.mode == "full":
            due = list(dict.fromkeys([*windows.known(history.wholes, f"{label}#", kind), *due]))
        wholes = [
            Whole(f"{label}#{window.name(kind)}", self._inside(column, window), is_big=window.low is None)
            for window in due
        ]
        if self.database.may_be_null(leader, column):
            wholes.append(Whole(f"{label}#null", f"{self.database.quote(column.name)} IS NULL", is_big=False))
        texts = [None if value is None else windows.written(value, kind) for value in bounds]
        return wholes, {"column": column.name, "kind": kind, "bounds": texts}

    def _kind(self, column: Column) -> windows.Kind:
        if pa.types.is_integer(column.arrow) or pa.types.is_decimal(column.arrow):
            return "number"
        if pa.types.is_timestamp(column.arrow):
            return "utc" if column.arrow.tz else "time"
        if pa.types.is_date(column.arrow):
            return "date"
        raise ConfigError(
            f"Column {column.name!r} cannot be a cursor",
            code="bad_cursor",
            where=self.where,
            expected="whole or decimal numbers, timestamps or dates",
            found=column.type,
        )

    def _newest(self, leader: Session, column: Column, kind: windows.Kind) -> Any:
        """The greatest value, leaving out times that cannot be yet."""
        limit = windows.limit_of(kind, self.site.clock.now())
        name, above = self.database.quote(column.name), ""
        if limit is not None:
            above = f"{name} <= {self.database.literal(limit)}"
            late = leader.value(self.database.count(f"{name} > {self.database.literal(limit)}"), COUNT)
            if late:
                self._note("rows_ahead", f"{late} rows have a {column.name!r} in the future: left for later runs", late)
        found = leader.value(self.database.greatest(column, above), column)
        return windows.read(str(found), kind) if kind == "number" and found is not None else found

    def _inside(self, column: Column, window: windows.Window) -> str:
        name, literal = self.database.quote(column.name), self.database.literal
        upper = f"{name} <= {literal(window.high)}"
        return upper if window.low is None else f"{name} > {literal(window.low)} AND {upper}"

    # -- reading

    def _read_all(
        self,
        leader: Session,
        stack: ExitStack,
        columns: list[Column],
        wholes: list[Whole],
        history: History,
        keep: Keep,
    ) -> None:
        tasks: list[tuple[Whole, Callable[[Session], int], bool]] = []
        for whole in wholes:
            ranges = self.database.ranges(leader, columns) if whole.is_big else [""]
            for number, condition in enumerate(ranges, 1):
                tasks.append((whole, self._reading(columns, whole, condition, number, keep), False))
            if self.spec.verify_counts:
                tasks.append((whole, self._counting(whole), True))
        sessions: SimpleQueue[Session] = SimpleQueue()
        sessions.put(leader)
        workers = min(self.spec.parallel, len(tasks)) if self.database.shared_snapshot else 1
        if workers > 1:
            for session in self.database.share(leader, columns, workers - 1):
                stack.callback(session.close)
                sessions.put(session)
            workers = sessions.qsize()
        if self.database.alone:
            self._note("read_by_one", f"{self.where}: read through one connection: {self.database.alone}", 0)
        self._account(columns, wholes, tasks, _run(tasks, sessions, workers), history, keep)

    def _reading(
        self, columns: list[Column], whole: Whole, condition: str, number: int, keep: Keep
    ) -> Callable[[Session], int]:
        sql = self.database.select(columns, whole.condition, condition)
        schema = pa.schema([column.field for column in columns])

        def read(session: Session) -> int:
            rows = 0
            self.report.count(requests=1)
            for fetched, landed in parquet_parts(session.batches(sql, columns), schema, self.site, whole.name, number):
                rows += landed
                self.report.count(pages=1)
                keep(fetched)
            return rows

        return read

    def _counting(self, whole: Whole) -> Callable[[Session], int]:
        sql = self.database.count(whole.condition)
        return lambda session: int(session.value(sql, COUNT))

    def _account(
        self,
        columns: list[Column],
        wholes: list[Whole],
        tasks: list[tuple[Whole, Callable[[Session], int], bool]],
        results: list[int],
        history: History,
        keep: Keep,
    ) -> None:
        """Every whole has as many rows as the database counts; one without rows lands as an empty file if need be.

        Raises:
            BadInput: counts differ.
        """
        landed, counted = {whole.name: 0 for whole in wholes}, {}
        for (whole, _, is_count), rows in zip(tasks, results, strict=True):
            if is_count:
                counted[whole.name] = rows
            else:
                landed[whole.name] += rows
        schema = pa.schema([column.field for column in columns])
        for name, rows in landed.items():
            if counted.get(name, rows) != rows:
                raise BadInput(
                    "The rows read are not as many as the database counts",
                    code="count_mismatch",
                    where=self.where,
                    expected=f"{counted[name]} rows",
                    found=f"{rows} rows",
                )
            if rows == 0 and (self.spec.cursor is None or name in history.wholes):
                keep(empty_part(schema, self.site, name))
        total = sum(landed.values())
        self._note("rows_read", f"{total} rows read{', as many as count(*) says' if counted else ''}", total, "info")

    def _note(self, code: str, message: str, rows: int, severity: Any = "warning") -> None:
        self.report.findings.append(Finding(code=code, severity=severity, message=message, data={"rows": rows}))


CONNECTOR = SqlSource


def open_database(site: Site) -> Database:
    """The database of a source.

    Raises:
        ConfigError: neither the source nor its connection tells which one.
    """
    spec: SqlSpec = site.source.sql  # type: ignore[assignment]
    told = site.connection.conn_type if site.connection else ""
    name = database_of(spec.database, told)
    if name not in DATABASES:
        raise ConfigError(
            f"source {site.source.id}: the connection does not tell which database it is",
            code="unknown_database",
            where="source.sql.database",
            expected=f"one of {', '.join(DATABASES)}, or a connection of such a type",
            found=told or "a connection without a type",
        )
    module = importlib.import_module(f"base_ops.worker.connectors.databases.{name}")
    database: Database = module.DATABASE(site)
    return database


def _run(tasks: list[Any], sessions: SimpleQueue[Session], workers: int) -> list[int]:
    """Results in the tasks' order; the first failure stops those that have not begun."""

    def call(task: tuple[Whole, Callable[[Session], int], bool]) -> int:
        session = sessions.get()
        try:
            return task[1](session)
        finally:
            sessions.put(session)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(call, task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
