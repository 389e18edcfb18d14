"""SQLite as a source, and what all SQL sources share, without a server."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fakes.sql import Landed
from pydantic import ValidationError

from base_ops.core.errors import BadInput, ConfigError, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.secrets import ConnectionInfo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a b%20.db"


def landed_from(file: Path, tmp_path: Path, **sql: Any) -> Landed:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return Landed(scratch, ConnectionInfo("lite", host=str(file), conn_type="sqlite"), **sql)


def execute(file: Path, *statements: str) -> None:
    with sqlite3.connect(file) as opened:
        for statement in statements:
            opened.execute(statement)
    opened.close()


EXACT: dict[str, tuple[str, str, pa.DataType, list[Any]]] = {
    "integer": ("integer", "(9223372036854775807),(null)", pa.int64(), [2**63 - 1, None]),
    "real": ("real", "(0.1),(2)", pa.float64(), [0.1, 2.0]),
    "integers among reals": ("", "(0.1),(9007199254740992)", pa.float64(), [0.1, 9007199254740992.0]),
    "text": ("text", "(''),('é😀')", pa.string(), ["", "é😀"]),
    "blob": ("blob", "(x'00ff')", pa.binary(), [b"\x00\xff"]),
    "nothing": ("text", "(null)", pa.string(), [None]),
    "declared otherwise": ("date", "('2024-01-01')", pa.string(), ["2024-01-01"]),
}


@pytest.mark.parametrize("kind", EXACT)
def test_values_are_kept_exactly(kind: str, file: Path, tmp_path: Path) -> None:
    column, values, arrow, expected = EXACT[kind]
    execute(file, f"CREATE TABLE t (v {column})", f"INSERT INTO t VALUES {values}")
    landed = landed_from(file, tmp_path, table="t")
    landed.run()
    assert landed.table.schema.field("v").type == arrow
    assert landed.table.column("v").to_pylist() == expected


MIXED = {
    "text and integer": "(1),('a')",
    "blob and text": "('a'),(x'00')",
    "an integer that no double holds": "(0.5),(9007199254740993)",
}


@pytest.mark.parametrize("kind", MIXED)
def test_mixed_columns_are_refused(kind: str, file: Path, tmp_path: Path) -> None:
    execute(file, "CREATE TABLE t (v)", f"INSERT INTO t VALUES {MIXED[kind]}")
    with pytest.raises(BadInput) as refused:
        landed_from(file, tmp_path, table="t").run()
    assert refused.value.code == "mixed_types"


def test_a_text_that_is_no_utf8_is_refused(file: Path, tmp_path: Path) -> None:
    execute(file, "CREATE TABLE t (v text)", "INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
    with pytest.raises(BadInput) as refused:
        landed_from(file, tmp_path, table="t").run()
    assert refused.value.code == "value_out_of_range"


def test_incremental_by_number_and_full(file: Path, tmp_path: Path) -> None:
    execute(file, "CREATE TABLE t (id integer primary key, v)", "INSERT INTO t VALUES (1, 'a'), (5, 'b'), (9, 'c')")
    landed = landed_from(file, tmp_path, table="t", cursor="id", lag_keys=3)
    assert [p.split("/")[0] for p in landed.run()] == ["t#6--9", "t#start--6"]
    execute(file, "INSERT INTO t VALUES (7, 'late'), (8, 'late'), (12, 'new')")
    assert [p.split("/")[0] for p in landed.run()] == ["t#6--9", "t#9--12"]
    assert sorted(landed.table.column("id").to_pylist()) == [1, 5, 7, 8, 9, 12]
    assert landed.run() == []
    assert landed.run("full") == []


def test_the_log_remembers_the_cursor_of_one_column(file: Path, tmp_path: Path) -> None:
    execute(file, "CREATE TABLE t (id integer primary key, n integer)", "INSERT INTO t VALUES (1, 1)")
    landed = landed_from(file, tmp_path, table="t", cursor="id")
    landed.run()
    landed.sql["cursor"] = "n"
    with pytest.raises(BadInput) as refused:
        landed.run()
    assert refused.value.code == "cursor_changed"


def test_an_empty_table_lands_as_an_empty_file(file: Path, tmp_path: Path) -> None:
    execute(file, "CREATE TABLE t (id integer)")
    landed = landed_from(file, tmp_path, table="t")
    assert landed.run() == ["t/part-00000-000.parquet"]
    assert landed.rows() == []


def test_nothing_is_written(file: Path, tmp_path: Path) -> None:
    execute(file, "CREATE TABLE t (id integer)")
    before = file.read_bytes()
    with pytest.raises(ConfigError):
        landed_from(file, tmp_path, query="DELETE FROM t RETURNING id").run()
    assert file.read_bytes() == before


FAILURES: dict[str, tuple[bytes | None, dict[str, Any], type[Exception], str]] = {
    "no file": (None, {"table": "t"}, ConfigError, "no_such_database"),
    "no database": (b"not a database" * 100, {"table": "t"}, BadInput, "bad_database"),
    "no table": (b"", {"table": "t"}, ConfigError, "sql_refused"),
    "slow": (
        b"",
        {
            "query": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
            "statement_timeout_s": 0.05,
        },
        Transient,
        "statement_timeout",
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_apart(case: str, file: Path, tmp_path: Path) -> None:
    content, spec, kind, code = FAILURES[case]
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(kind) as raised:
        landed_from(file, tmp_path, **spec).run()
    assert getattr(raised.value, "code", "") == code


@pytest.mark.parametrize(
    ("block", "mode", "needed"),
    [
        ({"sql": {"table": "t", "cursor": "id"}}, "append", "snapshot"),
        ({"redis": {"key": "s"}}, "snapshot", "append"),
        ({"redis": {"key": "s", "kind": "hash"}}, "append", "snapshot"),
    ],
)
def test_a_mode_that_would_double_or_lose_rows_is_refused(block: dict[str, Any], mode: str, needed: str) -> None:
    with pytest.raises(ValidationError, match=f"needs mode: {needed}"):
        SourceSpec.model_validate({"id": "s", "mode": mode, **block})


def test_a_key_is_refused_where_nothing_can_be_split_by_it(file: Path, tmp_path: Path) -> None:
    execute(file, "CREATE TABLE t (id integer)")
    with pytest.raises(ConfigError, match=r"postgresql or mysql.*leave sql.key out") as refused:
        landed_from(file, tmp_path, table="t", key="id").run()
    assert refused.value.code == "no_key"
    for sql in ({"database": "oracle", "table": "t"}, {"query": "SELECT 1 AS id"}):
        with pytest.raises(ValidationError, match=r"sql\.key"):
            SourceSpec.model_validate({"id": "s", "connection": "c", "sql": {**sql, "key": "id"}})
