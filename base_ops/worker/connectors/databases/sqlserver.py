"""SQL Server, by way of python-tds. Tested against a simulated driver only.

A transaction of isolation level SNAPSHOT sees one state; the database must allow it. The server itself tells the
types. datetime2(7) and datetimeoffset come as nanoseconds, money as a decimal; time, uniqueidentifier, xml and the
like as text; sql_variant and user types are refused: a query can cast them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.connectors.databases.base import Column, Database, Session
from base_ops.worker.connectors.databases.dbapi import DbapiSession
from base_ops.worker.connectors.databases.tls import checked_mode
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.tls import pem_files, policy_of

_TYPE = re.compile(r"([a-z0-9 ]+?)(?:\((\d+|max)(?:,(\d+))?\))?")
_PLAIN = {
    "bit": pa.bool_(),
    "tinyint": pa.uint8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "float": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "smalldatetime": pa.timestamp("us"),
    "money": pa.decimal128(19, 4),
    "smallmoney": pa.decimal128(10, 4),
    "char": pa.string(),
    "varchar": pa.string(),
    "text": pa.string(),
    "nchar": pa.string(),
    "nvarchar": pa.string(),
    "ntext": pa.string(),
    "binary": pa.binary(),
    "varbinary": pa.binary(),
    "image": pa.binary(),
    "timestamp": pa.binary(),
    "rowversion": pa.binary(),
}
_ISO = "CONVERT(varchar(33), {}, 126)"
_UTC = "CONVERT(varchar(33), CAST(SWITCHOFFSET({}, '+00:00') AS datetime2(7)), 126)"
_NANOSECONDS = {"datetime2": (pa.timestamp("ns"), _ISO), "datetimeoffset": (pa.timestamp("ns", "UTC"), _UTC)}
_AS_TEXT = {
    "time": "CONVERT(varchar(16), {}, 114)",
    "uniqueidentifier": "CONVERT(varchar(36), {})",
    "xml": "CONVERT(nvarchar(max), {})",
    "datetime": _ISO,
    "smalldatetime": _ISO,
    "datetime2": _ISO,
    "datetimeoffset": _ISO,
    "date": "CONVERT(varchar(10), {}, 23)",
}
_DENIED = {18456, 18486, 18487, 18488, 229, 230, 4060, 916}
_ASKED_WRONG = {102, 105, 156, 207, 208, 209, 245, 8114, 3952, 11501, 11503, 11514}


class SqlServer(Database):
    """SQL Server from version 2016 on."""

    name = "sqlserver"
    quotes = "[]"

    def open(self) -> DbapiSession:
        driver, found = require("pytds", "sqlserver"), self.connection
        safe = checked_mode(self.site, self.where, {"disable"}) != "disable"
        policy_of(self.site)
        authorities = found.extra.get("sslrootcert") or pem_files(self.site).authorities or _authorities()
        with self._errors():
            opened = driver.connect(
                dsn=found.host,
                port=found.port or 1433,
                user=found.login,
                password=found.password,
                database=found.schema or None,
                cafile=authorities if safe else None,
                validate_host=True,
                timeout=self.spec.statement_timeout_s,
                login_timeout=30,
                autocommit=False,
                readonly=True,
                appname="base-ops",
            )
        session = DbapiSession(opened, self.where, self._errors)
        try:
            session.run("SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
        except BaseException:
            session.close()
            raise
        return session

    def columns(self, session: Session) -> list[Column]:
        assert isinstance(session, DbapiSession)
        asked = f"SELECT * FROM {self.relation}".replace("'", "''")
        found = session.rows(
            "SELECT name, system_type_name FROM sys.dm_exec_describe_first_result_set"
            f"(N'{asked}', NULL, 0) WHERE is_hidden = 0 ORDER BY column_ordinal"
        )
        if not found or any(name is None for name, _ in found):
            raise self._told(208)
        return [self._column(name, kind or "") for name, kind in found]

    def _column(self, name: str, shown: str) -> Column:
        match = _TYPE.fullmatch(shown)
        kind = match[1] if match else ""
        if name in self.spec.text and kind in _AS_TEXT:
            return Column(name, shown, pa.string(), _AS_TEXT[kind])
        if kind in ("decimal", "numeric") and match:
            return Column(name, shown, pa.decimal128(int(match[2]), int(match[3] or 0)))
        if kind in _PLAIN:
            return Column(name, shown, _PLAIN[kind])
        if kind in _NANOSECONDS:
            return Column(name, shown, *_NANOSECONDS[kind])
        if kind in _AS_TEXT:
            return Column(name, shown, pa.string(), _AS_TEXT[kind])
        raise ConfigError(
            f"Column {name!r} is of a type that is not read",
            code="unsupported_type",
            where=self.where,
            found=shown or "a user type",
            todo="read a query that casts it to text",
        )

    def count(self, *conditions: str) -> str:
        return super().count(*conditions).replace("count(*)", "count_big(*)", 1)

    def literal(self, value: Decimal | datetime | date) -> str:
        if isinstance(value, Decimal):
            return f"{value:f}"
        if isinstance(value, datetime):
            return f"CAST('{value.isoformat()}' AS {'datetimeoffset(7)' if value.tzinfo else 'datetime2(7)'})"
        return f"CAST('{value.isoformat()}' AS date)"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        driver = require("pytds", "sqlserver")
        try:
            yield
        except (driver.Error, OSError) as error:
            slow = type(error).__name__ == "TimeoutError"
            raise self._told(
                -1 if slow else int(getattr(error, "msg_no", 0) or getattr(error, "number", 0) or 0)
            ) from None

    def _told(self, number: int) -> BaseOpsError:
        found = f"error {number}"
        if number in _DENIED:
            what = f"SQL Server refused connection {self.connection.name}"
            return Denied(
                what, code="forbidden", where=self.where, found=found, todo="check login, password and rights"
            )
        if number in _ASKED_WRONG:
            todo = "check table and query"
            if number == 3952:
                todo = "let the database's owner say ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON"
            what = "SQL Server does not understand what is asked"
            return ConfigError(what, code="sql_refused", where=self.where, found=found, todo=todo)
        if number == -1:
            what, todo = "A statement took too long", "raise sql.statement_timeout_s"
            return Transient(what, code="statement_timeout", where=self.where, todo=todo)
        return Transient("SQL Server could not be read", code="sql_failed", where=self.where, found=found)


DATABASE = SqlServer


def _authorities() -> str:
    """The system's certificate authorities."""
    import ssl

    paths: Any = ssl.get_default_verify_paths()
    return str(paths.cafile or paths.openssl_cafile)
