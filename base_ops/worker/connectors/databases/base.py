"""What a SQL database is to the connector: read-only transactions that give Arrow batches, and how it writes SQL."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.sources.databases import SqlSpec
from base_ops.worker.connectors.base import Site
from base_ops.worker.secrets import ConnectionInfo

BATCH_ROWS = 10_000
_SAMPLE_ROWS, _SAMPLE_PER_PART = 30_000, 100
_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True)
class Column:
    """One column of what is read: `select` has {} where its quoted name goes."""

    name: str
    type: str
    arrow: pa.DataType
    select: str = "{}"

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.arrow, metadata={"database_type": self.type})


class Session(ABC):
    """One connection inside one read-only transaction, for one thread."""

    where: str

    @abstractmethod
    def batches(self, sql: str, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        """The rows of a SELECT, exactly, with the columns' names and Arrow types."""

    @abstractmethod
    def close(self) -> None:
        """End the transaction and the connection."""

    def value(self, sql: str, column: Column) -> Any:
        """The one value that a SELECT gives, or None."""
        found = [cell for batch in self.batches(sql, [column]) for cell in batch.column(0)]
        try:
            return found[0].as_py() if found else None
        except (ValueError, OverflowError):  # Arrow's times reach further than Python's
            raise BadInput(
                f"The greatest {column.name!r} is a time outside the years 1 to 9999",
                code="bad_cursor",
                where=self.where,
                todo="correct it, or read a query that leaves it out",
            ) from None


class Database(ABC):
    """One kind of database, told where by a site's connection."""

    name: str
    shared_snapshot = False
    """Whether several sessions can see one and the same state."""
    alone = ""
    """Why they could not after all."""
    quotes = '""'

    def __init__(self, site: Site) -> None:
        self.site = site
        self.spec: SqlSpec = site.source.sql  # type: ignore[assignment]
        self.where = f"source {site.source.id}, {self.name}"
        self.label = self.spec.table or "query"

    @property
    def connection(self) -> ConnectionInfo:
        """The site's connection.

        Raises:
            ConfigError: the source names none.
        """
        if self.site.connection is None:
            raise ConfigError(
                "A database needs a connection", code="no_connection", where=self.where, todo="set source.connection"
            )
        return self.site.connection

    @abstractmethod
    def open(self) -> Session:
        """A session of its own.

        Raises:
            Denied, ConfigError, Transient: never with a credential.
        """

    def share(self, leader: Session, columns: Sequence[Column], others: int) -> Iterator[Session]:
        """Further sessions that see what `leader` sees from then on; only where `shared_snapshot`. To be exhausted at
        once; fewer come, and `alone` says why, where there can be no more."""
        raise NotImplementedError

    @abstractmethod
    def columns(self, session: Session) -> list[Column]:
        """The columns of what is read."""

    @abstractmethod
    def literal(self, value: Decimal | datetime | date) -> str:
        """A cursor's value in SQL."""

    def ranges(self, session: Session, columns: Sequence[Column]) -> list[str]:
        """Conditions that split all rows into parts of about `part_rows`, disjoint and complete; [""]: no split."""
        return [""]

    def parts_for(self, rows: float) -> int:
        """How many ranges; a little more than need be, so that none outgrows its file."""
        return int(max(rows, 0) / (0.9 * self.spec.part_rows)) + 1

    def may_be_null(self, session: Session, column: Column) -> bool:
        """False only where the column cannot be null."""
        return True

    # -- SQL that all write alike

    @property
    def relation(self) -> str:
        """What stands after FROM."""
        if self.spec.query is not None:
            return f"({self.spec.query.strip().rstrip(';')}\n) q"  # it may end with a comment
        return self.table

    @property
    def table(self) -> str:
        """The table's name, quoted part by part."""
        return ".".join(self.quote(part) for part in table_parts(self.spec.table or "", self.where))

    def quote(self, name: str) -> str:
        """A name in the database's quotes; the closing one is doubled inside."""
        opening, closing = self.quotes[0], self.quotes[1]
        if "\0" in name:
            raise ConfigError("A name has a zero byte in it", code="bad_name", where=self.where)
        return f"{opening}{name.replace(closing, closing * 2)}{closing}"

    def select(self, columns: Sequence[Column], *conditions: str) -> str:
        """A SELECT of columns under all the conditions."""
        wanted = ", ".join(c.select.format(q) + f" AS {q}" for c in columns for q in (self.quote(c.name),))
        return f"SELECT {wanted} FROM {self.relation}{self.filter(*conditions)}"

    def count(self, *conditions: str) -> str:
        """A SELECT of the number of rows."""
        return f"SELECT count(*) AS {self.quote('n')} FROM {self.relation}{self.filter(*conditions)}"

    def greatest(self, column: Column, *conditions: str) -> str:
        """A SELECT of a column's greatest value."""
        greatest = column.select.format(f"max({self.quote(column.name)})")
        return f"SELECT {greatest} AS {self.quote('v')} FROM {self.relation}{self.filter(*conditions)}"

    @staticmethod
    def filter(*conditions: str) -> str:
        given = [condition for condition in conditions if condition]
        return f" WHERE {' AND '.join(given)}" if given else ""


def between(name: str, cuts: Sequence[str]) -> list[str]:
    """Conditions for below the first cut, between cuts, and from the last one on: open ends leave nothing out."""
    inner = [f"{name} >= {low} AND {name} < {high}" for low, high in pairwise(cuts)]
    return [f"{name} < {cuts[0]}", *inner, f"{name} >= {cuts[-1]}"]


def sample_share(parts: int, rows: float) -> float:
    """The share of all rows, up to 1, whose keys are enough to cut them into parts of about one size."""
    return min(1.0, max(_SAMPLE_ROWS, _SAMPLE_PER_PART * parts) / rows)


COUNT = Column("n", "count", pa.int64())


def table_parts(table: str, where: str) -> list[str]:
    """`a.b` as [a, b]; `"a.b"."c"` as [a.b, c].

    Raises:
        ConfigError: it is no name.
    """
    parts, position = [], 0
    while position <= len(table):
        match = _PART.match(table, position)
        if match is None:
            break
        parts.append(match[1].replace('""', '"') if match[1] is not None else match[2])
        position = match.end()
        if position == len(table):
            return parts
        if table[position] != ".":
            break
        position += 1
    raise ConfigError(
        f"{table!r} is not the name of a table", code="bad_table", where=where, expected='schema.table or "a b"."c"'
    )


def typed(values: Sequence[Any], column: Column, where: str) -> pa.Array:
    """Python values or texts as an Arrow array.

    Raises:
        BadInput: one does not fit the column's type.
    """
    try:
        if values and isinstance(next((v for v in values if v is not None), None), str):
            return cast(pa.array(values, pa.string()), column, where)
        return pa.array(values, column.arrow)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise unfit(column, where, type(error).__name__) from None


def cast(values: pa.Array, column: Column, where: str) -> pa.Array:
    """An array as the column's type, exactly; raises BadInput where a value does not fit."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if values.type == column.arrow:
        return values
    try:
        if pa.types.is_timestamp(column.arrow) and column.arrow.tz and pa.types.is_string(values.type):
            values = pc.cast(values, pa.timestamp(column.arrow.unit))  # sessions are in UTC and do not say so
        return pc.cast(values, column.arrow)
    except pa.ArrowException as error:
        raise unfit(column, where, type(error).__name__) from None


def unfit(column: Column, where: str, found: str) -> BadInput:
    """The error for a value that its column's type cannot hold, without the value."""
    return BadInput(
        f"Column {column.name!r} of type {column.type} holds a value that {column.arrow} cannot hold",
        code="value_out_of_range",
        where=where,
        found=found,
        todo=f"take the column as text: sql.text: [{column.name}]",
    )
