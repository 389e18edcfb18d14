"""Databases: SQL, MongoDB, Cassandra, Redis, InfluxDB."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from base_ops.data_ingestion.options.sources.base import ProtocolSpec

SPLIT_BY_KEY = ("postgresql", "mysql")
"""Databases whose tables are read in ranges of a key."""


class DatabaseSpec(ProtocolSpec):
    """What all databases have in common: what is read again replaces, by name, what was read before."""

    part_rows: int = Field(1_000_000, ge=1)
    """About as many rows go into one landed file."""

    @property
    def moves_cursor(self) -> bool:
        return True

    @property
    def needs_mode(self) -> Literal["snapshot", "append"] | None:
        return "snapshot"


class SqlSpec(DatabaseSpec):
    """Rows of a table or query; the connection tells the database."""

    database: Literal["postgresql", "mysql", "sqlite", "oracle", "sqlserver"] | None = None
    """Which database; default: as the connection's type says."""
    table: str | None = None
    """Table, with its schema if need be; names with dots in double quotes."""
    query: str | None = None
    """Instead: a SELECT."""
    cursor: str | None = None
    """Incremental: column of time or number that grows with each new or changed row; default: all rows, each time."""
    lag_s: float = Field(300.0, ge=0)
    """Incremental by time: read again this far back, for transactions that commit late, seconds."""
    lag_keys: int = Field(1_000, ge=0)
    """Incremental by number: read again this many numbers back, for transactions that commit late."""
    key: str | None = None
    """Column, of any type that orders, that splits a big table into ranges read side by side; default: PostgreSQL: the
    table's own order, others: no split. PostgreSQL and MySQL or MariaDB only, where it should have an index."""
    parallel: int = Field(4, ge=1, le=10)
    """Connections that read side by side, where they see one and the same state: PostgreSQL; MySQL or MariaDB with a
    key."""
    text: tuple[str, ...] = ()
    """Columns to take as the database's own text, where their type cannot hold their values, e.g. infinite times."""
    verify_counts: bool = True
    """Compare the rows landed with count(*) under the same snapshot."""
    statement_timeout_s: float = Field(600.0, gt=0)
    """Longest time of one statement, seconds."""

    @model_validator(mode="after")
    def _table_or_query(self) -> SqlSpec:
        if (self.table is None) == (self.query is None):
            raise ValueError("sql has exactly one of: table, query")
        return self

    @model_validator(mode="after")
    def _key_splits(self) -> SqlSpec:
        if self.key is not None and self.table is None:
            raise ValueError("sql.key splits a table, not a query: leave it out")
        if self.key is not None and self.database not in (None, *SPLIT_BY_KEY):
            raise ValueError(f"sql.key is for {' and '.join(SPLIT_BY_KEY)}: {self.database} is read in one go")
        return self


class MongoSpec(DatabaseSpec):
    """Documents of a MongoDB collection, as lines of canonical Extended JSON."""

    collection: str
    """Name of the collection; the database is the connection's schema."""
    cursor: str | None = None
    """Incremental: top-level field of time or number that grows with each new or changed document; `_id` where the
    server makes the ids. Default: all documents, each time."""
    lag_s: float = Field(300.0, ge=0)
    """Incremental by time or `_id`: read again this far back, seconds."""
    lag_keys: int = Field(1_000, ge=0)
    """Incremental by number: read again this many numbers back."""


class CassandraSpec(DatabaseSpec):
    """Rows of a Cassandra table."""

    table: str
    """Name of the table; the keyspace is the connection's schema."""
    page_rows: int = Field(5_000, ge=1)
    """Rows per page asked for."""


class RedisSpec(ProtocolSpec):
    """Entries of a Redis stream, list, hash or keys."""

    key: str
    """Name of the stream, list or hash; or, for kind keys, a pattern such as quote:*."""
    kind: Literal["stream", "list", "hash", "keys"] = "stream"
    """What it is; only a stream is read behind a cursor."""
    max_entries: int = Field(1_000_000, ge=1)
    """Of a stream, take at most this many in a run; anything else with more entries or keys is refused."""

    @property
    def moves_cursor(self) -> bool:
        return self.kind == "stream"

    @property
    def needs_mode(self) -> Literal["snapshot", "append"] | None:
        return "append" if self.kind == "stream" else "snapshot"


class InfluxSpec(DatabaseSpec):
    """Points of an InfluxDB 2 bucket, as the annotated CSV that the server sends."""

    query: str
    """A Flux query; `range(start: v.start, stop: v.stop)` in it is filled in where `incremental` is set."""
    incremental: bool = False
    """Take windows of time one after the other, from `start` on."""
    start: str = "1970-01-01T00:00:00Z"
    """First moment of an incremental read, ISO 8601."""
    lag_s: float = Field(300.0, ge=0)
    """Incremental: read again this far back, seconds."""
