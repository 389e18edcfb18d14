"""PostgreSQL, by way of ADBC: COPY in binary straight into Arrow.

Taken as Arrow types: booleans, integers, floats, texts, bytea, date, time, timestamp, timestamptz (as UTC), and
numeric(p,s) up to 76 digits. All else is the database's own text, which is exact for any type: numeric without
precision, json, uuid, interval (ISO 8601), arrays (`{1,NULL}`: the driver would flatten those of two dimensions), enum,
inet, ranges, money (as a number). The driver lets infinite and very late times wrap; such values are found, and refused
with the advice to take the column as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.connectors.databases.base import Column, Database, Session, between, cast, sample_share, unfit
from base_ops.worker.connectors.databases.tls import tls_mode
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.tls import pem_files, policy_of

_PLAIN = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
_SELECTED_AS_TEXT = {"money": "{}::numeric::text", "bpchar": "{}"}
_EARLIEST = {"date": -2_440_600, "timestamp": -210_866_803_200_000_001, "timestamptz": -210_866_803_200_000_001}
_MIDNIGHT_US = 86_400_000_000
_BATCH_BYTES = 4 << 20
_SETTINGS = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL intervalstyle = 'iso_8601'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL standard_conforming_strings = on",
    "SET LOCAL synchronize_seqscans = off",  # the same rows in the same order give the same bytes
    "SET LOCAL idle_in_transaction_session_timeout = 0",
)
_TYPMOD_HEADER = 4


class PostgresSession(Session):
    """One transaction of one ADBC connection."""

    def __init__(self, database: Postgresql, snapshot: str | None = None) -> None:
        self.database, self.where = database, database.where
        self._open = ExitStack()
        manager, driver = require("adbc_driver_manager", "postgres"), require("adbc_driver_postgresql", "postgres")
        with self._errors():
            try:  # the driver's DB-API layer would import pyarrow.dataset and what else it may need
                opened = self._open.enter_context(driver.connect(_conninfo(database)))
                connection = self._open.enter_context(manager.AdbcConnection(opened))
                connection.set_autocommit(False)
                self.statement = self._open.enter_context(manager.AdbcStatement(connection))
                self.statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
                timeout_ms = int(database.spec.statement_timeout_s * 1000) or 1
                for setting in (*_SETTINGS, f"SET LOCAL statement_timeout = {timeout_ms}"):
                    self._run(setting)
                if snapshot is not None:
                    self._run(f"SET TRANSACTION SNAPSHOT {_text(snapshot)}")
            except BaseException:
                self.close()
                raise

    def _run(self, sql: str) -> None:
        self.statement.set_sql_query(sql)
        self.statement.execute_update()

    def arrow(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Record batches as the driver makes them."""
        with self._errors(), self._reader(sql) as reader:
            yield from reader

    def schema(self, sql: str) -> pa.Schema:
        """What the driver tells of a SELECT's columns."""
        with self._errors(), self._reader(sql) as reader:
            return reader.schema

    def _reader(self, sql: str) -> pa.RecordBatchReader:
        self.statement.set_sql_query(sql)
        return pa.RecordBatchReader.from_stream(self.statement.execute_query()[0])

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The few rows of a look into the catalogue."""
        return [row for batch in self.arrow(sql) for row in batch.to_pylist()]

    def batches(self, sql: str, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([column.field for column in columns])
        for batch in self.arrow(sql):
            if batch.num_rows:
                arrays = [
                    exact(array, column, self.where) for array, column in zip(batch.columns, columns, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def close(self) -> None:
        with suppress(Exception):
            self._open.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell the driver's errors apart; their texts, which may quote values, are not passed on."""
        from adbc_driver_manager import Error

        try:
            yield
        except BaseOpsError:
            raise
        except (Error, OSError, pa.ArrowException) as error:
            raise _told(error, self.database) from None


class Postgresql(Database):
    """PostgreSQL from version 14 on."""

    name = "postgresql"
    shared_snapshot = True

    def open(self) -> PostgresSession:
        return PostgresSession(self)

    def share(self, leader: Session, columns: Sequence[Column], others: int) -> Iterator[PostgresSession]:
        assert isinstance(leader, PostgresSession)
        snapshot = leader.rows("SELECT pg_export_snapshot() AS s")[0]["s"]
        for _ in range(others):
            yield PostgresSession(self, snapshot)

    def columns(self, session: Session) -> list[Column]:
        assert isinstance(session, PostgresSession)
        schema = session.schema(f"SELECT * FROM {self.relation} LIMIT 0")
        return [_column(field, field.name in self.spec.text) for field in schema]

    def literal(self, value: Decimal | datetime | date) -> str:
        if isinstance(value, Decimal):
            return f"{value:f}"
        if isinstance(value, datetime):
            return f"'{value.isoformat()}'::{'timestamptz' if value.tzinfo else 'timestamp'}"
        return f"'{value.isoformat()}'::date"

    def may_be_null(self, session: Session, column: Column) -> bool:
        if self.spec.table is None:
            return True
        assert isinstance(session, PostgresSession)
        found = session.rows(
            f"SELECT attnotnull FROM pg_attribute WHERE attrelid = {self._oid} AND attname = {_text(column.name)}"
        )
        return not (found and found[0]["attnotnull"])

    @property
    def _oid(self) -> str:
        return f"{_text(self.table)}::regclass"

    def ranges(self, session: Session, columns: Sequence[Column]) -> list[str]:
        assert isinstance(session, PostgresSession)
        if self.spec.table is None:
            return [""]
        if self.spec.key is not None:
            return self._key_ranges(session, self.spec.key)
        facts = session.rows(
            "SELECT relkind::text AS kind, reltuples::float8 AS rows, "
            "pg_relation_size(oid) / current_setting('block_size')::int8 AS blocks "
            f"FROM pg_class WHERE oid = {self._oid}"
        )[0]
        parts = min(self.parts_for(facts["rows"]), facts["blocks"])
        if facts["kind"] not in ("r", "m") or parts < 2:
            return [""]
        cuts = [f"'({facts['blocks'] * n // parts},0)'::tid" for n in range(1, parts)]
        return between("ctid", cuts)

    def _key_ranges(self, session: PostgresSession, key: str) -> list[str]:
        """Ranges of a key, cut at values of a sample of it: this needs no arithmetic, so keys of all types that order
        will do, and no statistics beyond the number of rows."""
        name = self.quote(key)
        facts = session.rows(
            "SELECT c.relkind::text AS kind, c.reltuples::float8 AS rows, format_type(a.atttypid, a.atttypmod) AS type "
            f"FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.oid = {self._oid} "
            f"AND a.attname = {_text(key)}"
        )[0]
        if facts["kind"] not in ("r", "m", "p"):
            self.alone = f"{self.table} is no table with rows of its own to cut ranges of sql.key from"
            return [""]
        parts = self.parts_for(facts["rows"])
        if parts < 2:
            return [""]
        percent = 100 * sample_share(parts, facts["rows"])
        found = session.rows(
            f"SELECT DISTINCT ON (part) k::text AS cut FROM (SELECT {name} AS k, "
            f"row_number() OVER (ORDER BY {name}) * {parts} / (count(*) OVER () + 1) AS part "
            f"FROM {self.table} TABLESAMPLE SYSTEM ({percent:.9f}) REPEATABLE (1) WHERE {name} IS NOT NULL) s "
            "WHERE part > 0 ORDER BY part, k"
        )
        cuts = [f"{_text(text)}::{facts['type']}" for text in dict.fromkeys(row["cut"] for row in found)]
        return [*between(name, cuts), f"{name} IS NULL"] if cuts else [""]


def _column(field: pa.Field, as_text: bool) -> Column:
    """How a column comes, by the type that the driver tells of the server's answer."""
    facts = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    kind, typmod = facts.get("POSTGRESQL:type", "unknown"), int(facts.get("POSTGRESQL:typmod", -1))
    shown = kind.removeprefix("_") + "[]" if kind.startswith("_") else kind
    if kind in _PLAIN and not as_text:
        return Column(field.name, shown, _PLAIN[kind])
    select = _SELECTED_AS_TEXT.get(kind, "{}::text")
    if kind == "numeric" and typmod >= _TYPMOD_HEADER:
        precision, scale = (typmod - 4) >> 16 & 0xFFFF, ((typmod - 4 & 0x7FF) ^ 1024) - 1024
        shown = f"numeric({precision},{scale})"
        if not as_text and 0 <= scale <= precision <= 76:
            decimal = pa.decimal128 if precision <= 38 else pa.decimal256
            return Column(field.name, shown, decimal(precision, scale), select)
    return Column(field.name, shown, pa.string(), select)


def exact(array: pa.Array, column: Column, where: str) -> pa.Array:
    """The driver's array as the column's type; raises BadInput for times that it let wrap, and for 24:00."""
    if column.type in _EARLIEST and pa.types.is_temporal(array.type):
        raw = array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
        least = pc.min(raw).as_py()
        if least is not None and least < _EARLIEST[column.type]:
            raise unfit(column, where, "an infinite time, or one after the year 294246")
    if (
        column.type == "time"
        and pa.types.is_time(array.type)
        and (pc.max(array.view(pa.int64())).as_py() or 0) >= _MIDNIGHT_US
    ):
        raise unfit(column, where, "24:00:00")
    return cast(array, column, where)


def _text(value: str) -> str:
    """A text in SQL; sessions set standard_conforming_strings."""
    if "\0" in value:
        raise ConfigError("A name has a zero byte in it", code="bad_name")
    return "'" + value.replace("'", "''") + "'"


def _conninfo(database: Postgresql) -> str:
    """libpq's keyword form; certificates are checked, host name too, unless a dev connection says otherwise."""
    found = database.connection
    local = found.host.startswith("/")
    parts: dict[str, Any] = {
        "host": found.host,
        "port": found.port,
        "user": found.login,
        "password": found.password,
        "dbname": found.schema,
        "connect_timeout": 30,
        "application_name": "base-ops",
        "sslmode": "disable" if local else tls_mode(database, {"disable", "prefer", "require", "verify-ca"}),
        "client_encoding": "utf8",
    }
    for name in ("sslrootcert", "sslcert", "sslkey", "target_session_attrs", "channel_binding"):
        parts[name] = found.extra.get(name)
    if parts["sslmode"] == "verify-full":
        policy, pem = policy_of(database.site, able=("min_version", "revocation")), pem_files(database.site)
        parts["sslrootcert"] = parts["sslrootcert"] or pem.authorities or "system"
        parts["ssl_min_protocol_version"] = f"TLSv{policy.min_version}"
        parts |= {"sslcrl": pem.crl, "sslpassword": pem.password}
        parts |= {"sslcert": pem.certificate, "sslkey": pem.key} if pem.certificate else {}
    quoted = {k: str(v).replace("\\", "\\\\").replace("'", "\\'") for k, v in parts.items() if v}
    return " ".join(f"{name}='{value}'" for name, value in quoted.items())


DATABASE = Postgresql

_DENIED_WORDS = ("authentication failed", "no pg_hba.conf entry", "no password supplied")
_TLS_WORDS = ("SSL", "certificate")


def _told(error: Exception, database: Postgresql) -> BaseOpsError:
    """The driver's error as one of ours, by SQLSTATE; a failed connection has none, and is told by libpq's words."""
    state, text, where = getattr(error, "sqlstate", None) or "", str(error), database.where
    if state in ("28000", "28P01", "42501") or (not state and any(word in text for word in _DENIED_WORDS)):
        return Denied(
            f"PostgreSQL refused connection {database.connection.name}",
            code="forbidden",
            where=where,
            found=state or "at connect",
            todo="check login, password and the right to SELECT",
        )
    if not state and any(word in text for word in _TLS_WORDS):
        return ConfigError(
            "PostgreSQL could not be reached safely",
            code="tls_failed",
            where=where,
            expected="a server with TLS whose certificate is valid for its host",
            todo="set sslrootcert in the connection's extra; only in env dev may sslmode be lower than verify-full",
        )
    if state == "57014" or "due to statement timeout" in text:  # while rows come, the driver tells no SQLSTATE
        return Transient(
            "A statement took too long", code="statement_timeout", where=where, todo="raise sql.statement_timeout_s"
        )
    if state[:2] in ("42", "3D", "22", "0A") or (not state and "does not exist" in text):
        return ConfigError(
            "PostgreSQL does not understand what is asked",
            code="sql_refused",
            where=where,
            found=f"SQLSTATE {state}" if state else "no such database or role",
            todo="check table, query, cursor and key of the source",
        )
    # while rows come, the driver tells no SQLSTATE
    found = state or ("an error that its own log names" if "ERROR:" in text else "no connection")
    return Transient("PostgreSQL could not be read", code="sql_failed", where=where, found=found)
