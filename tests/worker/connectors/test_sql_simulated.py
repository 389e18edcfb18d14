"""Oracle and SQL Server as sources, against drivers that are simulated on SQLite."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from fakes.sql import Landed

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.connectors.databases import oracle, sqlserver
from base_ops.worker.secrets import ConnectionInfo


class Failure(Exception):
    """An error of either driver."""

    def __init__(self, code: Any) -> None:
        super().__init__(SimpleNamespace(full_code=code), "a-secret-value")
        self.msg_no = code


class Driver:
    """A driver whose connections answer from a script: SQL that begins so → (description, rows)."""

    Error = Failure

    def __init__(self, answers: dict[str, tuple[Any, list[Any]]], fails: Any = None) -> None:
        self.answers, self.fails = answers, fails
        self.defaults = SimpleNamespace()
        self.asked: list[str] = []
        self.options: dict[str, Any] = {}

    def connect(self, **options: Any) -> Any:
        self.options = options
        if self.fails is not None:
            raise Failure(self.fails)
        return SimpleNamespace(cursor=self.cursor, rollback=lambda: None, close=lambda: None)

    def cursor(self) -> Any:
        made = SimpleNamespace(description=None, left=[], close=lambda: None)

        def execute(sql: str) -> None:
            self.asked.append(sql)
            found = next((a for start, a in self.answers.items() if sql.startswith(start)), (None, []))
            made.description, made.left = found[0], list(found[1])

        def fetchmany(size: int) -> list[Any]:
            rows, made.left = made.left[:size], made.left[size:]
            return rows

        made.execute, made.fetchmany = execute, fetchmany
        made.fetchall = lambda: fetchmany(10**9)
        return made


def use(monkeypatch: pytest.MonkeyPatch, module: Any, driver: Driver) -> None:
    monkeypatch.setattr(module, "require", lambda _module, _extra: driver)


ORACLE_COLUMNS = [
    ("ID", "NUMBER", 18, 0, "decimal128(18, 0)", '"ID"'),
    ("FREE", "NUMBER", 0, -127, "string", "TO_CHAR(\"FREE\", 'TM9')"),
    ("AT", "TIMESTAMP_TZ", 0, 6, "timestamp[us, tz=UTC]", 'SYS_EXTRACT_UTC("AT")'),
    ("NS", "TIMESTAMP", 0, 9, "string", 'TO_CHAR("NS", \'SYYYY-MM-DD"T"HH24:MI:SS.FF9\')'),
    ("NAME", "VARCHAR", 0, 0, "string", '"NAME"'),
    ("RAW", "RAW", 0, 0, "binary", '"RAW"'),
]


def test_oracle_rows_are_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    described = [(n, SimpleNamespace(name=f"DB_TYPE_{t}"), None, None, p, s, True) for n, t, p, s, _, _ in ORACLE_COLUMNS]  # fmt: skip
    row = (Decimal(10**17), "1.1", datetime(2024, 1, 1, 0, 0, 0, 5), "2024-01-01T00:00:00.000000001", "é", b"\xff")  # noqa: DTZ001
    driver = Driver({"SELECT * FROM": (described, []), "SELECT count": (None, [(1,)]), 'SELECT "ID"': (None, [row])})
    use(monkeypatch, oracle, driver)
    info = ConnectionInfo("o", host="db", login="me", password="a-secret", schema="svc", conn_type="oracle", extra={"sslmode": "disable"})  # fmt: skip
    landed = Landed(tmp_path, info, table="APP.T")
    landed.run()
    assert [str(field.type) for field in landed.table.schema] == [c[4] for c in ORACLE_COLUMNS]  # fmt: skip
    assert list(landed.rows()[0].values()) == [row[0], row[1], row[2].replace(tzinfo=UTC), *row[3:]]
    selected = next(sql for sql in driver.asked if sql.startswith('SELECT "ID"'))
    assert selected == "SELECT " + ", ".join(f'{c[5]} AS "{c[0]}"' for c in ORACLE_COLUMNS) + ' FROM "APP"."T"'
    assert "SET TRANSACTION READ ONLY" in driver.asked
    assert (driver.options["protocol"], driver.defaults.fetch_decimals) == ("tcp", True)


SERVER_TYPES: dict[str, tuple[pa.DataType, str]] = {
    "bigint": (pa.int64(), "[v]"),
    "decimal(18,6)": (pa.decimal128(18, 6), "[v]"),
    "numeric(9)": (pa.decimal128(9, 0), "[v]"),
    "nvarchar(max)": (pa.string(), "[v]"),
    "money": (pa.decimal128(19, 4), "[v]"),
    "datetime2(7)": (pa.timestamp("ns"), "CONVERT(varchar(33), [v], 126)"),
    "datetimeoffset(7)": (pa.timestamp("ns", "UTC"), "CONVERT(varchar(33), CAST(SWITCHOFFSET([v], '+00:00') AS datetime2(7)), 126)"),
    "uniqueidentifier": (pa.string(), "CONVERT(varchar(36), [v])"),
}  # fmt: skip
SERVER_VALUES = {
    "datetime2(7)": "2024-01-01T00:00:00.1234567",
    "datetimeoffset(7)": "2024-01-01T00:00:00.1234567",
    "decimal(18,6)": Decimal("1.000001"),
    "numeric(9)": Decimal(5),
    "money": Decimal("1.0001"),
    "bigint": 2**62,
}
SERVER = ConnectionInfo("m", host="db", login="me", password="a-secret", schema="d", conn_type="mssql", extra={"sslmode": "disable"})  # fmt: skip


@pytest.mark.parametrize("kind", SERVER_TYPES)
def test_sql_server_types(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arrow, selected = SERVER_TYPES[kind]
    value = SERVER_VALUES.get(kind, "é")
    driver = Driver({
        "SELECT name, system_type_name": (None, [("v", kind)]),
        "SELECT count_big": (None, [(2,)]),
        f"SELECT {selected} AS [v] FROM [dbo].[t]": (None, [(value,), (None,)]),
    })  # fmt: skip
    use(monkeypatch, sqlserver, driver)
    landed = Landed(tmp_path, SERVER, table="dbo.t")
    landed.run()
    assert landed.table.schema.field("v").type == arrow
    expected = pa.array([value]).cast(pa.timestamp("ns")).cast(arrow) if "date" in kind else pa.array([value], arrow)
    assert landed.table.column("v").combine_chunks().equals(pa.concat_arrays([expected, pa.nulls(1, arrow)]))
    assert "SET TRANSACTION ISOLATION LEVEL SNAPSHOT" in driver.asked


FAILURES: list[tuple[Any, ConnectionInfo, Any, type[BaseOpsError], str]] = [
    (oracle, ConnectionInfo("o", host="h", conn_type="oracle"), "ORA-01017", Denied, "forbidden"),
    (oracle, ConnectionInfo("o", host="h", conn_type="oracle"), "ORA-12514", ConfigError, "sql_refused"),
    (oracle, ConnectionInfo("o", host="h", conn_type="oracle"), "DPY-6005", Transient, "sql_failed"),
    (sqlserver, SERVER, 18456, Denied, "forbidden"),
    (sqlserver, SERVER, 3952, ConfigError, "sql_refused"),
    (sqlserver, SERVER, 10054, Transient, "sql_failed"),
]


@pytest.mark.parametrize(("module", "info", "number", "kind", "code"), FAILURES)
def test_failures_are_told_apart_without_a_secret(
    module: Any, info: ConnectionInfo, number: Any, kind: type[BaseOpsError], code: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    use(monkeypatch, module, Driver({}, fails=number))
    with pytest.raises(kind) as raised:
        Landed(tmp_path, info, table="t").run()
    assert raised.value.code == code
    assert "secret" not in str(raised.value)


def test_types_that_are_not_read_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, sqlserver, Driver({"SELECT name, system_type_name": (None, [("v", "sql_variant")])}))
    with pytest.raises(ConfigError) as refused:
        Landed(tmp_path, SERVER, table="t").run()
    assert refused.value.code == "unsupported_type"


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pytds", None)
    with pytest.raises(ConfigError, match=r"base-ops\[sqlserver\]"):
        Landed(tmp_path, SERVER, table="t").run()
