"""Oracle, by way of python-oracledb (thin: no client software). Tested against a simulated driver only.

A read-only transaction sees one state. NUMBER(p,s) comes as a decimal, NUMBER without a precision as text; DATE and
TIMESTAMP up to six digits as timestamps, finer ones as text; with a time zone, as UTC. What has no exact Arrow type
(intervals, rowids) is text; other types are refused: a query can cast them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.connectors.databases.base import Column, Database, Session
from base_ops.worker.connectors.databases.dbapi import DbapiSession
from base_ops.worker.connectors.databases.tls import tls_context
from base_ops.worker.connectors.extras import require
from base_ops.worker.secrets import ConnectionInfo

_PLAIN = {
    "DB_TYPE_VARCHAR": pa.string(),
    "DB_TYPE_NVARCHAR": pa.string(),
    "DB_TYPE_CHAR": pa.string(),
    "DB_TYPE_NCHAR": pa.string(),
    "DB_TYPE_CLOB": pa.string(),
    "DB_TYPE_NCLOB": pa.string(),
    "DB_TYPE_RAW": pa.binary(),
    "DB_TYPE_BLOB": pa.binary(),
    "DB_TYPE_BINARY_FLOAT": pa.float32(),
    "DB_TYPE_BINARY_DOUBLE": pa.float64(),
    "DB_TYPE_BOOLEAN": pa.bool_(),
    "DB_TYPE_DATE": pa.timestamp("us"),
}
_AS_TEXT = {
    "DB_TYPE_ROWID": "ROWIDTOCHAR({})",
    "DB_TYPE_INTERVAL_DS": "TO_CHAR({})",
    "DB_TYPE_INTERVAL_YM": "TO_CHAR({})",
    "DB_TYPE_JSON": "JSON_SERIALIZE({} RETURNING CLOB)",
    "DB_TYPE_NUMBER": "TO_CHAR({}, 'TM9')",
    "DB_TYPE_DATE": "TO_CHAR({}, 'SYYYY-MM-DD\"T\"HH24:MI:SS')",
    "DB_TYPE_TIMESTAMP": "TO_CHAR({}, 'SYYYY-MM-DD\"T\"HH24:MI:SS.FF9')",
    "DB_TYPE_TIMESTAMP_TZ": "TO_CHAR({}, 'SYYYY-MM-DD\"T\"HH24:MI:SS.FF9TZR')",
    "DB_TYPE_TIMESTAMP_LTZ": "TO_CHAR(SYS_EXTRACT_UTC({}), 'SYYYY-MM-DD\"T\"HH24:MI:SS.FF9')",
}
_ZONED = ("DB_TYPE_TIMESTAMP_TZ", "DB_TYPE_TIMESTAMP_LTZ")
_MICROSECONDS = 6
_DENIED = {"ORA-01017", "ORA-28000", "ORA-28001", "ORA-01045", "ORA-01031", "ORA-01005"}
_ASKED_WRONG = {"ORA-00942", "ORA-00904", "ORA-00936", "ORA-00933", "ORA-12514", "ORA-12505", "ORA-01456", "ORA-00920"}


class Oracle(Database):
    """Oracle from version 12.1 on."""

    name = "oracle"

    def open(self) -> DbapiSession:
        driver = require("oracledb", "oracle")
        found = self.connection
        context = tls_context(self.site, self.where)
        driver.defaults.fetch_lobs = False
        driver.defaults.fetch_decimals = True  # floats would lose digits
        with self._errors():
            opened = driver.connect(
                user=found.login,
                password=found.password,
                host=found.host,
                port=found.port or (1521 if context is None else 2484),
                service_name=found.schema or found.extra.get("service_name"),
                protocol="tcp" if context is None else "tcps",
                ssl_context=context,
                ssl_server_dn_match=True,
                tcp_connect_timeout=30,
                **_wallet(found),
            )
        opened.call_timeout = int(self.spec.statement_timeout_s * 1000) or 1
        session = DbapiSession(opened, self.where, self._errors)
        try:
            for sql in (
                "ALTER SESSION SET TIME_ZONE = 'UTC'",
                "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
                "SET TRANSACTION READ ONLY",
            ):
                session.run(sql)
        except BaseException:
            session.close()
            raise
        return session

    def columns(self, session: Session) -> list[Column]:
        assert isinstance(session, DbapiSession)
        found = session.described(f"SELECT * FROM {self.relation} WHERE 1 = 0")
        return [self._column(facts) for facts in found]

    def _column(self, facts: Any) -> Column:
        name, kind, precision, scale = facts[0], facts[1].name, facts[4] or 0, facts[5] or 0
        shown = kind.removeprefix("DB_TYPE_").lower()
        if name in self.spec.text and kind in _AS_TEXT:
            return Column(name, shown, pa.string(), _AS_TEXT[kind])
        if kind == "DB_TYPE_NUMBER" and 0 <= scale <= precision and 0 < precision <= 38:
            return Column(name, f"number({precision},{scale})", pa.decimal128(precision, scale))
        if kind in _PLAIN:
            return Column(name, shown, _PLAIN[kind])
        if kind in ("DB_TYPE_TIMESTAMP", *_ZONED) and scale <= _MICROSECONDS:
            zoned = kind in _ZONED  # the driver drops zones, so the server makes it UTC
            arrow = pa.timestamp("us", "UTC" if zoned else None)
            return Column(name, f"{shown}({scale})", arrow, "SYS_EXTRACT_UTC({})" if zoned else "{}")
        if kind in _AS_TEXT:
            return Column(name, shown, pa.string(), _AS_TEXT[kind])
        raise ConfigError(
            f"Column {name!r} is of a type that is not read",
            code="unsupported_type",
            where=self.where,
            found=shown,
            todo="read a query that casts it to text",
        )

    def literal(self, value: Decimal | datetime | date) -> str:
        if isinstance(value, Decimal):
            return f"{value:f}"
        assert isinstance(value, datetime)  # DATE comes as a timestamp
        zone = " +00:00" if value.tzinfo else ""
        return f"TIMESTAMP '{value.replace(tzinfo=None).isoformat(sep=' ')}{zone}'"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        driver = require("oracledb", "oracle")
        try:
            yield
        except driver.Error as error:
            raise self._told(getattr(error.args[0], "full_code", "") if error.args else "") from None
        except OSError:
            raise self._told("") from None

    def _told(self, code: str) -> BaseOpsError:
        if code in _DENIED:
            what = f"Oracle refused connection {self.connection.name}"
            return Denied(what, code="forbidden", where=self.where, found=code, todo="check login, password and rights")
        if code in _ASKED_WRONG:
            what = "Oracle does not understand what is asked"
            return ConfigError(what, code="sql_refused", where=self.where, found=code, todo="check table and query")
        if code == "DPY-4024":
            what, todo = "A statement took too long", "raise sql.statement_timeout_s"
            return Transient(what, code="statement_timeout", where=self.where, todo=todo)
        return Transient("Oracle could not be read", code="sql_failed", where=self.where, found=code or "no connection")


DATABASE = Oracle


def _wallet(found: ConnectionInfo) -> dict[str, Any]:
    """A folder with a wallet holds the certificates; with its password where it has one."""
    folder = found.extra.get("wallet")
    return {"wallet_location": folder, "wallet_password": found.extra.get("wallet_password")} if folder else {}
