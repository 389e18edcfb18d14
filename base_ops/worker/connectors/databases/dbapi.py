"""Databases without an exact way to Arrow: the driver's own rows (PEP 249), batch by batch, typed exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import pyarrow as pa

from base_ops.worker.connectors.databases.base import BATCH_ROWS, Column, Session, typed


class DbapiSession(Session):
    """One transaction of one connection of a driver."""

    def __init__(
        self, connection: Any, where: str, errors: Callable[[], AbstractContextManager[None]], cursor: Any = None
    ) -> None:
        """Args: cursor: what makes a cursor that does not hold all rows; default: the connection's own."""
        self.connection, self.where, self.errors = connection, where, errors
        self.cursor: Callable[[], Any] = cursor or connection.cursor

    def batches(self, sql: str, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([column.field for column in columns])
        cursor = self.cursor()
        try:
            with self.errors():
                cursor.execute(sql)
            while True:
                with self.errors():
                    rows = cursor.fetchmany(BATCH_ROWS)
                if not rows:
                    return
                cells = zip(*rows, strict=True)
                arrays = [typed(list(c), column, self.where) for c, column in zip(cells, columns, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        finally:
            with suppress(Exception):
                cursor.close()

    def described(self, sql: str) -> Sequence[Any]:
        """The driver's description of a SELECT's columns."""
        cursor = self.cursor()
        try:
            with self.errors():
                cursor.execute(sql)
                description: Sequence[Any] = cursor.description
                cursor.fetchall()
            return description
        finally:
            with suppress(Exception):
                cursor.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The few rows of a look into the catalogue."""
        cursor = self.cursor()
        try:
            with self.errors():
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            with suppress(Exception):
                cursor.close()

    def run(self, sql: str) -> None:
        """A statement that gives no rows."""
        cursor = self.cursor()
        try:
            with self.errors():
                cursor.execute(sql)
        finally:
            with suppress(Exception):
                cursor.close()

    def close(self) -> None:
        with suppress(Exception):
            self.connection.rollback()
        with suppress(Exception):
            self.connection.close()
