"""Databases: SQL, MongoDB, Cassandra, Redis, InfluxDB."""

from __future__ import annotations

from pydantic import Field, model_validator

from base_ops.data_ingestion.options.sources.base import ProtocolSpec


class SqlSpec(ProtocolSpec):
    """Rows of a table or query; the connection tells the database."""

    table: str | None = None
    """Table, with its schema if need be."""
    query: str | None = None
    """Instead: a SELECT."""
    cursor: str | None = None
    """Incremental: column whose greatest value is remembered."""
    lag_s: float = Field(0.0, ge=0)
    """Incremental by time: read again this far back, for transactions that commit late, seconds."""

    @model_validator(mode="after")
    def _table_or_query(self) -> SqlSpec:
        if (self.table is None) == (self.query is None):
            raise ValueError("sql has exactly one of: table, query")
        return self

    @property
    def moves_cursor(self) -> bool:
        return self.cursor is not None


class MongoSpec(ProtocolSpec):
    """Documents of a MongoDB collection."""

    collection: str


class CassandraSpec(ProtocolSpec):
    """Rows of a Cassandra table."""

    table: str


class RedisSpec(ProtocolSpec):
    """Entries of a Redis stream, list, hash or keys."""

    key: str
    """Name of the stream; or a pattern of keys."""


class InfluxSpec(ProtocolSpec):
    """Points of an InfluxDB measurement."""

    query: str
