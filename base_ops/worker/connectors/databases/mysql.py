"""MySQL and MariaDB, by way of PyMySQL, whose texts off the wire are parsed by Arrow: exact, or refused.

One transaction of one connection; with `key`, of several. These servers let no two share a snapshot, so the snapshots
are opened while `LOCK TABLES … READ` keeps writers out of the table, which takes some milliseconds: all see one state.
The lock waits for transactions that have written to the table to end, 5 seconds at most, and needs the right to lock;
where it cannot be had, one connection reads, and a finding says so. timestamp comes as UTC, datetime
without a zone; decimal up to 76 digits as such; time (which goes to 838 hours), json, enum, set and year as text, bit
and geometry as bytes. Zero dates are refused with the advice to take the column as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.authentication import DatabaseTemplate
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.databases.base import Column, Database, Session, between, sample_share, table_parts
from base_ops.worker.connectors.databases.dbapi import DbapiSession
from base_ops.worker.connectors.databases.tls import tls_context
from base_ops.worker.connectors.extras import require

_UNSIGNED, _BINARY_CHARSET = 32, 63
_INTEGERS = {1: ("tinyint", 8), 2: ("smallint", 16), 9: ("mediumint", 32), 3: ("int", 32), 8: ("bigint", 64)}
_TEXTS = {11: "time", 13: "year", 245: "json", 247: "enum", 248: "set"}
_BYTES = {16: "bit", 255: "geometry"}
_CHARACTERS = {15, 249, 250, 251, 252, 253, 254}
_UNFIT_KEYS = {"enum", "set", "json", "bit", "geometry"}  # they do not order as they compare
_NUMBERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double"}
_SNAPSHOT = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
_LOCK_WAIT_S = 5
_DENIED = {1044, 1045, 1142, 1143, 1227, 1370, 1698}
_TOO_SLOW = {1969, 3024}
_CANNOT_CONNECT = {2003, 2006, 2013, 1040, 1053, 1205, 1213, 1158, 1159, 1160, 1161}
_INTERRUPTED = {1317, 1412, 1927}  # killed by an administrator; a table altered after the snapshot was taken


class Mysql(Database):
    """MySQL from version 8 on, MariaDB from version 10.6 on."""

    name = "mysql"
    quotes = "``"

    def open(self) -> DbapiSession:
        session = self._connect()
        try:
            self._begin(session)
        except BaseException:
            session.close()
            raise
        return session

    def share(self, leader: Session, columns: Sequence[Column], others: int) -> Iterator[DbapiSession]:
        """Under a lock; `leader` sees another, later state than before."""
        assert isinstance(leader, DbapiSession)
        holder = self._connect()
        try:
            holder.run(f"SET SESSION lock_wait_timeout = {_LOCK_WAIT_S}")
            try:
                holder.run(f"LOCK TABLES {self.table} READ")
            except (Denied, Transient) as error:
                self.alone = f"{self.table} could not be locked for a moment, {error.found}: " + (
                    f"give {self.connection.name} the right to LOCK TABLES, or leave sql.key out"
                    if isinstance(error, Denied)
                    else f"a transaction that writes to it did not end within {_LOCK_WAIT_S} s"
                )
                return
            leader.run(_SNAPSHOT)
            self._check_unaltered(leader, columns)
            for _ in range(others):
                session = self.open()
                yield session
                self._check_unaltered(session, columns)
        finally:
            holder.close()

    def _check_unaltered(self, session: DbapiSession, columns: Sequence[Column]) -> None:
        """Having looked at the table, a transaction keeps it from being altered until it ends."""
        if self.columns(session) != list(columns):
            what = "The table was altered while it was read"
            raise Transient(what, code="sql_failed", where=self.where, todo="read it again")

    def _connect(self) -> DbapiSession:
        driver = require("pymysql", "mysql")
        found = self.connection
        with self._errors():
            opened = driver.connect(
                host=None if found.host.startswith("/") else found.host,
                unix_socket=found.host if found.host.startswith("/") else None,
                port=found.port or 3306,
                user=found.login,
                password=found.password,
                database=found.schema or None,
                charset="utf8mb4",
                ssl=None if found.host.startswith("/") else tls_context(self.site, self.where),
                conv={},  # nothing is converted: texts and bytes as they come
                connect_timeout=30,
                read_timeout=self.spec.statement_timeout_s + 30,  # the server's own limit comes first
                autocommit=True,
                local_infile=False,
                **_of_template(self.site),
            )
        return DbapiSession(opened, self.where, self._errors, lambda: opened.cursor(driver.cursors.SSCursor))

    def _begin(self, session: DbapiSession) -> None:
        with self._errors():
            is_mariadb = "mariadb" in session.connection.get_server_info().lower()
        limit = (
            f"max_statement_time = {self.spec.statement_timeout_s:.3f}"
            if is_mariadb
            else f"max_execution_time = {int(self.spec.statement_timeout_s * 1000) or 1}, "
            "information_schema_stats_expiry = 0"  # else numbers of rows are up to a day old
        )
        for sql in (
            f"SET SESSION {limit}",
            "SET SESSION time_zone = '+00:00'",
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            _SNAPSHOT,
        ):
            session.rows(sql)

    def columns(self, session: Session) -> list[Column]:
        assert isinstance(session, DbapiSession)
        cursor = session.cursor()
        with self._errors():
            cursor.execute(f"SELECT * FROM {self.relation} LIMIT 0")
            fields = list(cursor._result.fields)  # the description alone does not tell signs and character sets
            cursor.close()
        return [_column(field, field.name in self.spec.text) for field in fields]

    def literal(self, value: Decimal | datetime | date) -> str:
        if isinstance(value, Decimal):
            return f"{value:f}"
        if isinstance(value, datetime):
            return f"TIMESTAMP'{value.replace(tzinfo=None).isoformat(sep=' ')}'"
        return f"DATE'{value.isoformat()}'"

    def may_be_null(self, session: Session, column: Column) -> bool:
        if self.spec.table is None:
            return True
        assert isinstance(session, DbapiSession)
        found = session.rows(
            f"SELECT is_nullable FROM information_schema.columns WHERE {self._is_the_table} "
            f"AND column_name = {_text(column.name)}"
        )
        return not found or found[0][0] != "NO"

    @property
    def _is_the_table(self) -> str:
        """The condition for the table in the catalogue."""
        *schema, name = (_text(part) for part in table_parts(self.spec.table or "", self.where))
        return f"table_schema = {schema[-1] if schema else 'DATABASE()'} AND table_name = {name}"

    def ranges(self, session: Session, columns: Sequence[Column]) -> list[str]:
        """Ranges of the key, cut at values of a sample of it; as it is drawn, all keys are read once."""
        if self.spec.key is None:
            return [""]
        assert isinstance(session, DbapiSession)
        key = next(column for column in columns if column.name == self.spec.key)
        rows = self._rows_to_split(session, key)
        parts, name = self.parts_for(rows), self.quote(key.name)
        if parts < 2:
            return [""]
        share = sample_share(parts, rows)
        sample = f"SELECT {name} AS k FROM {self.table} WHERE {name} IS NOT NULL AND rand(1) < {share:.9f}"
        cuts = session.rows(
            f"SELECT {key.select.format('min(k)')} FROM (SELECT k, ntile({parts}) OVER (ORDER BY k) AS part "
            f"FROM ({sample}) s) r WHERE part > 1 GROUP BY part ORDER BY part"
        )
        literals = list(dict.fromkeys(_key_literal(row[0], key) for row in cuts))
        if not literals:
            return [""]
        self.shared_snapshot = True  # only a split is worth a lock
        return [*between(name, literals), f"{name} IS NULL"]

    def _rows_to_split(self, session: DbapiSession, key: Column) -> int:
        """About how many rows the table has.

        Raises:
            ConfigError: it has no snapshots, or the key is of a type that does not order as it compares.
        """
        found = session.rows(
            "SELECT engine, table_rows, data_type FROM information_schema.tables "
            "JOIN information_schema.columns USING (table_schema, table_name) "
            f"WHERE {self._is_the_table} AND column_name = {_text(key.name)}"
        )
        engine, rows, kind = found[0] if found else ("", None, "")
        if engine != "InnoDB" or _UNFIT_KEYS & {kind, key.type}:
            raise ConfigError(
                f"sql.key {key.name!r} cannot split {self.label}",
                code="bad_key",
                where=self.where,
                expected="a number, time, text or binary column of an InnoDB table",
                found=kind if engine == "InnoDB" else f"a table of engine {engine or 'none (a view?)'}",
                todo="name another column, or leave sql.key out",
            )
        return int(rows or 0)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell the driver's errors apart by number; their texts, which may quote values, are not passed on."""
        driver = require("pymysql", "mysql")
        try:
            yield
        except driver.MySQLError as error:
            number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            raise self._told(number, str(error)) from None
        except OSError:
            raise self._told(2013, "") from None

    def _told(self, number: int, text: str) -> BaseOpsError:
        found = f"error {number}"
        if number in _DENIED:
            return Denied(
                f"MySQL refused connection {self.connection.name}",
                code="forbidden",
                where=self.where,
                found=found,
                todo="check login, password and the right to SELECT",
            )
        if number in (2003, 2026) and ("SSL" in text or "certificate" in text or "TLS" in text):
            return ConfigError(
                "MySQL could not be reached safely",
                code="tls_failed",
                where=self.where,
                expected="a server with TLS whose certificate is valid for its host",
                todo="set sslrootcert in the connection's extra; only in env dev may sslmode be disable",
            )
        if number in _TOO_SLOW:
            return Transient(
                "A statement took too long",
                code="statement_timeout",
                where=self.where,
                todo="raise sql.statement_timeout_s",
            )
        if number in _CANNOT_CONNECT | _INTERRUPTED or number == 0 or number >= 2000:
            return Transient("MySQL could not be read", code="sql_failed", where=self.where, found=found)
        return ConfigError(
            "MySQL does not understand what is asked",
            code="sql_refused",
            where=self.where,
            found=found,
            todo="check table, query and cursor of the source",
        )


DATABASE = Mysql


def _text(value: str) -> str:
    """A text in SQL; sessions set NO_BACKSLASH_ESCAPES."""
    return "'" + value.replace("'", "''") + "'"


def _key_literal(value: str | bytes, key: Column) -> str:
    """A value as it came off the wire, in SQL that compares as the column does."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return value if re.split(r"[ (]", key.type)[0] in _NUMBERS else _text(value)


def _of_template(site: Site) -> dict[str, Any]:
    template = site.source.authentication
    return {"max_allowed_packet": template.max_packet_bytes} if isinstance(template, DatabaseTemplate) else {}


def _column(field: Any, as_text: bool) -> Column:
    """How a column comes, by the field packet of the protocol."""
    kind, unsigned, binary = field.type_code, bool(field.flags & _UNSIGNED), field.charsetnr == _BINARY_CHARSET
    if kind in _INTEGERS:
        word, bits = _INTEGERS[kind]
        arrow = getattr(pa, f"{'u' if unsigned else ''}int{bits}")()
        shown = f"{word} unsigned" if unsigned else word
        return _as(field.name, shown, arrow, as_text)
    if kind in (0, 246):
        precision = field.length - (field.scale > 0) - (not unsigned)
        shown = f"decimal({precision},{field.scale})"
        decimal = pa.decimal128 if precision <= 38 else pa.decimal256
        return _as(field.name, shown, decimal(precision, field.scale), as_text)
    if kind == 4:  # its text has six digits; as a double it has all
        return Column(field.name, "float", pa.string() if as_text else pa.float32(), "({} + 0E0)")
    if kind == 5:
        return _as(field.name, "double", pa.float64(), as_text)
    if kind in (10, 14):
        return _as(field.name, "date", pa.date32(), as_text)
    if kind == 12:
        return _as(field.name, "datetime", pa.timestamp("us"), as_text)
    if kind == 7:
        return _as(field.name, "timestamp", pa.timestamp("us", "UTC"), as_text)
    if kind in _BYTES:
        return Column(field.name, _BYTES[kind], pa.binary())
    if kind in _CHARACTERS and binary:
        return Column(field.name, "binary", pa.binary())
    return Column(field.name, _TEXTS.get(kind, "text"), pa.string())


def _as(name: str, shown: str, arrow: pa.DataType, as_text: bool) -> Column:
    return Column(name, shown, pa.string() if as_text else arrow)
