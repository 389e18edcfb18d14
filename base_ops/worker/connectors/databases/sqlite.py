"""SQLite, by way of Python's own driver. The connection's host is the path of the file.

A column may hold values of several types, whatever it was declared; so the types of what is read are looked at first,
in the same transaction: integers, reals (also with integers that a double holds exactly), texts and blobs come as such,
and a column that mixes others is refused, with the advice to cast it in a query.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from base_ops.core.errors import BadInput, ConfigError, Transient
from base_ops.worker.connectors.databases.base import Column, Database, Session
from base_ops.worker.connectors.databases.dbapi import DbapiSession

_KINDS: dict[frozenset[str], tuple[str, pa.DataType]] = {
    frozenset(): ("null", pa.string()),
    frozenset({"integer"}): ("integer", pa.int64()),
    frozenset({"real"}): ("real", pa.float64()),
    frozenset({"integer", "real"}): ("real", pa.float64()),
    frozenset({"text"}): ("text", pa.string()),
    frozenset({"blob"}): ("blob", pa.binary()),
}
_TYPES = ("integer", "real", "text", "blob")
_EXACT = 1 << 53
_STEPS_BETWEEN_LOOKS = 100_000


class Sqlite(Database):
    """SQLite 3 files."""

    name = "sqlite"

    def open(self) -> DbapiSession:
        file = Path(self.connection.host or self.connection.schema)
        if not file.is_file():
            raise ConfigError(
                "The SQLite file does not exist",
                code="no_such_database",
                where=f"{self.where}, connection {self.connection.name}",
                expected="the path of a file as the connection's host",
            )
        with self._errors():
            opened = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                timeout=30,
                check_same_thread=False,
            )
        opened.text_factory = bytes  # Arrow tells what is not UTF-8
        session = DbapiSession(opened, self.where, self._errors)
        try:
            self._limit(opened)
            for sql in ("PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF", "BEGIN"):
                session.rows(sql)
        except BaseException:
            session.close()
            raise
        return session

    def _limit(self, opened: sqlite3.Connection) -> None:
        """A transaction's time; SQLite has no limit per statement."""
        end = time.monotonic() + self.spec.statement_timeout_s
        opened.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS_BETWEEN_LOOKS)

    def columns(self, session: Session) -> list[Column]:
        assert isinstance(session, DbapiSession)
        names = [facts[0] for facts in session.described(f"SELECT * FROM {self.relation} LIMIT 0")]
        if len(set(names)) < len(names):
            return [Column(name, "unknown", pa.string()) for name in names]
        return [self._column(session, name) for name in names]

    def _column(self, session: DbapiSession, name: str) -> Column:
        """One scan tells which types a column holds, and whether its integers fit a double."""
        quoted = self.quote(name)
        asked = ", ".join(f"total(typeof({quoted}) = '{kind}') > 0" for kind in _TYPES)
        wide = f"max(typeof({quoted}) = 'integer' AND ({quoted} > {_EXACT} OR {quoted} < -{_EXACT}))"
        *found, has_wide = session.rows(f"SELECT {asked}, {wide} FROM {self.relation}")[0]
        kinds = frozenset(kind for kind, is_there in zip(_TYPES, found, strict=True) if is_there)
        if kinds not in _KINDS or (len(kinds) == 2 and has_wide):
            raise BadInput(
                f"Column {name!r} holds values of several types",
                code="mixed_types",
                where=self.where,
                found=" and ".join(sorted(kinds)),
                todo="read a query that casts it to one type",
            )
        shown, arrow = _KINDS[kinds]
        return Column(name, shown, arrow)

    def literal(self, value: Decimal | datetime | date) -> str:
        assert isinstance(value, Decimal)  # there are no other types that order
        return f"{value:f}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else sqlite3.SQLITE_ERROR
            if code == sqlite3.SQLITE_INTERRUPT:
                what, name = "The read took too long", "statement_timeout"
                raise Transient(what, code=name, where=self.where, todo="raise sql.statement_timeout_s") from None
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR):
                raise Transient("SQLite could not be read", code="sql_failed", where=self.where) from None
            raise ConfigError(
                "SQLite does not understand what is asked",
                code="sql_refused",
                where=self.where,
                found=getattr(error, "sqlite_errorname", ""),
                todo="check table, query and cursor of the source",
            ) from None
        except sqlite3.DatabaseError as error:
            raise BadInput(
                "The file is not a sound SQLite database",
                code="bad_database",
                where=self.where,
                found=getattr(error, "sqlite_errorname", type(error).__name__),
            ) from None


DATABASE = Sqlite
