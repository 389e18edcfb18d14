"""Cassandra: a whole table, page by page, as Parquet files.

Cassandra has no reads of one moment and orders rows by token: what is written while it is read may come or not, which
the next run repairs, since it replaces the table. decimal, varint, uuid, inet, durations and collections are text
(collections as the driver writes them in CQL). Tested against a simulated driver: no server could be had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.databases import CassandraSpec
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.databases.base import BATCH_ROWS, Column, table_parts, typed
from base_ops.worker.connectors.databases.drift import drift_findings
from base_ops.worker.connectors.databases.parts import empty_part, parquet_parts
from base_ops.worker.connectors.databases.tls import tls_context
from base_ops.worker.connectors.extras import require
from base_ops.worker.lake.landing import History

_PLAIN = {
    "ascii": pa.string(),
    "text": pa.string(),
    "varchar": pa.string(),
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "counter": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "blob": pa.binary(),
    "timestamp": pa.timestamp("ms", "UTC"),
}


class CassandraSource:
    """Fetches one table."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.spec: CassandraSpec = site.source.cassandra  # type: ignore[assignment]
        self.where = f"source {site.source.id}, cassandra table {self.spec.table!r}"
        self.report = Report()
        if site.connection is None or not site.connection.schema:
            raise ConfigError(
                "Cassandra needs a connection whose schema names the keyspace", code="no_connection", where=self.where
            )
        self.connection = site.connection

    def fetch(self, history: History, keep: Keep) -> Report:
        with self._errors(), self._cluster() as cluster:
            session = cluster.connect(self.connection.schema)
            columns = self._columns(cluster)
            schema, rows = pa.schema([column.field for column in columns]), 0
            for fetched, landed in parquet_parts(
                self._batches(session, columns), schema, self.site, self.spec.table, 1
            ):
                rows += landed
                self.report.count(pages=1)
                keep(fetched)
            if rows == 0:
                keep(empty_part(schema, self.site, self.spec.table))
        self.report.findings += drift_findings(history.cursor, columns, self.where)
        message = f"{rows} rows read; Cassandra has no reads of one moment"
        self.report.findings.append(Finding(code="no_snapshot", message=message, data={"rows": rows}))
        self.report.cursor_after = {"columns": {c.name: c.type for c in columns}, "after_entry": history.last}
        return self.report

    def log_in(self) -> None:
        """Log in and leave."""
        with self._errors(), self._cluster() as cluster:
            cluster.connect(self.connection.schema)

    def probe(self) -> str:
        """The columns of the table."""
        with self._errors(), self._cluster() as cluster:
            cluster.connect(self.connection.schema)
            return f"{len(self._columns(cluster))} columns"

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        found, library = self.connection, require("cassandra.cluster", "cassandra")
        login = None
        if found.login:
            login = require("cassandra.auth", "cassandra").PlainTextAuthProvider(found.login, found.password)
        cluster = library.Cluster(
            [host.strip() for host in found.host.split(",")],
            port=found.port or 9042,
            auth_provider=login,
            ssl_context=tls_context(self.site, self.where),
            connect_timeout=30,
        )
        try:
            yield cluster
        finally:
            cluster.shutdown()

    def _columns(self, cluster: Any) -> list[Column]:
        (name,) = table_parts(self.spec.table, self.where)
        table = cluster.metadata.keyspaces[self.connection.schema].tables.get(name)
        if table is None:
            raise ConfigError("There is no such table", code="cql_refused", where=self.where)
        return [Column(c.name, c.cql_type, _PLAIN.get(c.cql_type, pa.string())) for c in table.columns.values()]

    def _batches(self, session: Any, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        quoted = ['"' + name.replace('"', '""') + '"' for name in (*[c.name for c in columns], self.spec.table)]
        *names, table = quoted
        statement = require("cassandra.query", "cassandra").SimpleStatement(
            f"SELECT {', '.join(names)} FROM {table}", fetch_size=self.spec.page_rows
        )
        encode = require("cassandra.encoder", "cassandra").Encoder().cql_encode_all_types
        self.report.count(requests=1)
        waiting: list[Any] = []
        for row in session.execute(statement, timeout=60):
            waiting.append(tuple(row))
            if len(waiting) >= BATCH_ROWS:
                yield self._batch(waiting, columns, encode)
                waiting = []
        if waiting:
            yield self._batch(waiting, columns, encode)

    def _batch(self, rows: list[Any], columns: Sequence[Column], encode: Any) -> pa.RecordBatch:
        arrays = []
        for cells, column in zip(zip(*rows, strict=True), columns, strict=True):
            values = list(cells) if column.type in _PLAIN else [_text(cell, encode) for cell in cells]
            arrays.append(typed(values, column, self.where))
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([column.field for column in columns]))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        driver, cluster = require("cassandra", "cassandra"), require("cassandra.cluster", "cassandra")
        try:
            yield
        except BaseOpsError:
            raise
        except (driver.AuthenticationFailed, driver.Unauthorized):
            raise self._denied() from None
        except driver.InvalidRequest:
            raise ConfigError(
                "Cassandra does not understand what is asked", code="cql_refused", where=self.where
            ) from None
        except cluster.NoHostAvailable as error:
            causes = error.errors.values() if isinstance(error.errors, dict) else ()
            if any(isinstance(cause, driver.AuthenticationFailed) for cause in causes):
                raise self._denied() from None
            raise Transient("No Cassandra host can be reached", code="cassandra_failed", where=self.where) from None
        except (driver.DriverException, OSError) as error:
            what, found = "Cassandra could not be read", type(error).__name__
            raise Transient(what, code="cassandra_failed", where=self.where, found=found) from None

    def _denied(self) -> Denied:
        what = f"Cassandra refused connection {self.connection.name}"
        return Denied(what, code="forbidden", where=self.where, todo="check login, password and rights")


CONNECTOR = CassandraSource


def _text(value: Any, encode: Any) -> str | None:
    """Numbers, ids and addresses as they are written; collections as in CQL."""
    if value is None:
        return None
    is_collection = isinstance(value, list | tuple | set | dict) or hasattr(value, "items") or hasattr(value, "union")
    return str(encode(value)) if is_collection else str(value)
