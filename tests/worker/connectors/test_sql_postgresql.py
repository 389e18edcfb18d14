"""PostgreSQL as a source, against a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from fakes.collecting import wait_until
from fakes.databases import postgres_server
from fakes.sql import Landed

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.connectors.databases.base import Session
from base_ops.worker.connectors.databases.postgresql import Postgresql, PostgresSession
from base_ops.worker.secrets import ConnectionInfo

pytestmark = pytest.mark.server

Make = Callable[..., Landed]
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def server() -> Iterator[ConnectionInfo]:
    with postgres_server() as info:
        yield info


def connected(info: ConnectionInfo) -> psycopg.Connection[Any]:
    return psycopg.connect(host=info.host, port=info.port, user="postgres", dbname="postgres", autocommit=True)


@pytest.fixture
def db(server: ConnectionInfo) -> Iterator[psycopg.Connection[Any]]:
    with connected(server) as opened:
        opened.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        yield opened


@pytest.fixture
def make(server: ConnectionInfo, tmp_path: Path) -> Make:
    return lambda info=server, **sql: Landed(tmp_path, info, **sql)


EXACT: dict[str, tuple[str, str, pa.DataType, list[Any]]] = {
    # column type, values in SQL, how it lands, what it must hold
    "bool": ("boolean", "(true),(null)", pa.bool_(), [True, None]),
    "int2": ("smallint", "(-32768),(32767)", pa.int16(), [-32768, 32767]),
    "int8": ("bigint", "(-9223372036854775808),(9223372036854775807)", pa.int64(), [-(2**63), 2**63 - 1]),
    "float8": ("float8", "(0.1),('-infinity'),(5e-324)", pa.float64(), [0.1, float("-inf"), 5e-324]),
    "float4": ("float4", "(0.1),(16777216)", pa.float32(), [0.10000000149011612, 16777216.0]),
    "numeric(38,10)": ("numeric(38,10)", "(1234567890123456789012345678.0123456789),(-0.0000000001),(0)", pa.decimal128(38, 10), [Decimal("1234567890123456789012345678.0123456789"), Decimal("-1e-10"), Decimal("0E-10")]),
    "numeric(50,2)": ("numeric(50,2)", "(123456789012345678901234567890123456789012345678.25)", pa.decimal256(50, 2), [Decimal("123456789012345678901234567890123456789012345678.25")]),
    "numeric": ("numeric", "(1.10),('NaN'),(1e-20)", pa.string(), ["1.10", "NaN", "0.00000000000000000001"]),
    "numeric(2,-3)": ("numeric(2,-3)", "(12345)", pa.string(), ["12000"]),
    "date": ("date", "('2024-02-29'),('0001-01-01')", pa.date32(), [datetime(2024, 2, 29).date(), datetime(1, 1, 1).date()]),  # noqa: DTZ001
    "timestamp": ("timestamp", "('2024-02-29 23:59:59.999999')", pa.timestamp("us"), [datetime(2024, 2, 29, 23, 59, 59, 999999)]),  # noqa: DTZ001
    "timestamptz": ("timestamptz", "('2024-01-01 05:00:00+05')", pa.timestamp("us", "UTC"), [datetime(2024, 1, 1, tzinfo=UTC)]),
    "time": ("time", "('23:59:59.000001')", pa.time64("us"), [datetime(1, 1, 1, 23, 59, 59, 1).time()]),  # noqa: DTZ001
    "timetz": ("timetz", "('10:00:00+02')", pa.string(), ["10:00:00+02"]),
    "text": ("text", "(''),(E'a\\nb\\t\"é\U0001f600'),(null)", pa.string(), ["", 'a\nb\t"é\U0001f600', None]),
    "char": ("char(4)", "('ab')", pa.string(), ["ab  "]),
    "bytea": ("bytea", "('\\x00ff')", pa.binary(), [b"\x00\xff"]),
    "json": ("json", "('{\"a\": 1.00, \"a\": 2}')", pa.string(), ['{"a": 1.00, "a": 2}']),
    "jsonb": ("jsonb", "('{\"b\":1e400}')", pa.string(), ['{"b": 1' + "0" * 400 + "}"]),
    "uuid": ("uuid", "('0e37df36-f698-11e6-8dd4-cb9ced3df976')", pa.string(), ["0e37df36-f698-11e6-8dd4-cb9ced3df976"]),
    "interval": ("interval", "('1 mon -2 days 00:00:00.000001')", pa.string(), ["P1M-2DT0.000001S"]),
    "int[]": ("int[]", "('{1,NULL}'),('{{1,2},{3,4}}'),('[5:6]={1,2}'),('{}')", pa.string(), ["{1,NULL}", "{{1,2},{3,4}}", "[5:6]={1,2}", "{}"]),
    "numeric(5,2)[]": ("numeric(5,2)[]", "('{1.50,NaN,NULL}')", pa.string(), ["{1.50,NaN,NULL}"]),
    "money": ("money", "('-12.34')", pa.string(), ["-12.34"]),
    "enum": ("mood", "('so so')", pa.string(), ["so so"]),
    "domain": ("positive", "(5)", pa.int32(), [5]),
    "composite": ("pair", "(row(1,'a b'))", pa.string(), ['(1,"a b")']),
    "oid": ("oid", "(4294967295)", pa.string(), ["4294967295"]),
    "inet": ("inet", "('10.0.0.1/8')", pa.string(), ["10.0.0.1/8"]),
    "range": ("tstzrange", "('[2024-01-01 00:00+00,)')", pa.string(), ['["2024-01-01 00:00:00+00",)']),
    "bit": ("bit(3)", "('101')", pa.string(), ["101"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXACT)
def test_values_are_kept_exactly(kind: str, db: psycopg.Connection[Any], make: Make) -> None:
    column, values, arrow, expected = EXACT[kind]
    db.execute("CREATE TYPE mood AS ENUM ('so so'); CREATE DOMAIN positive AS int CHECK (value > 0); CREATE TYPE pair AS (a int, b text)")  # fmt: skip
    db.execute(f"CREATE TABLE t (v {column})")
    db.execute(f"INSERT INTO t VALUES {values}")
    landed = make(table="t")
    landed.run()
    assert landed.table.schema.field("v").type == arrow
    assert landed.table.column("v").to_pylist() == expected


def test_dates_before_christ_are_kept(db: psycopg.Connection[Any], make: Make) -> None:
    db.execute("CREATE TABLE t AS SELECT '4713-01-01 BC'::date d, '4713-01-01 BC'::timestamp t")
    landed = make(table="t")
    landed.run()
    row = landed.table.combine_chunks()
    assert row.column("d").cast(pa.int32()).to_pylist() == [-2440550]
    assert row.column("t").cast(pa.int64()).to_pylist() == [-2440550 * 86_400_000_000]


UNFIT = {
    "timestamp": "'infinity'",
    "timestamptz": "'-infinity'",
    "date": "'infinity'",
    "time": "'24:00'",
    "numeric(5,2)": "'NaN'",
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_value_that_no_type_holds_is_refused_and_comes_as_text(
    kind: str, db: psycopg.Connection[Any], make: Make
) -> None:
    db.execute(f"CREATE TABLE t AS SELECT {UNFIT[kind]}::{kind} v")
    with pytest.raises(BadInput, match=r"sql.text: \[v\]") as refused:
        make(table="t").run()
    assert refused.value.code == "value_out_of_range"
    landed = make(table="t", text=["v"])
    landed.run()
    expected = "24:00:00" if kind == "time" else UNFIT[kind].strip("'")
    assert landed.rows() == [{"v": expected}]


def test_names_are_quoted(db: psycopg.Connection[Any], make: Make) -> None:
    db.execute('CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."sel""ect {} %" ("fr""om {0}%s" int); INSERT INTO "a.b"."sel""ect {} %" VALUES (7)')  # fmt: skip
    landed = make(table='"a.b"."sel""ect {} %"')
    landed.run()
    assert landed.rows() == [{'fr"om {0}%s': 7}]


@pytest.mark.parametrize("key", [None, "id", "at", "f"])
def test_a_big_table_is_read_in_ranges_side_by_side(key: str | None, db: psycopg.Connection[Any], make: Make) -> None:
    db.execute("CREATE TABLE t AS SELECT i AS id, '2024-01-01'::timestamp + i * interval '1 s' AS at, nullif(i, 5)::float8 AS f FROM generate_series(1, 30000) i")  # fmt: skip
    db.execute("ANALYZE t; INSERT INTO t VALUES (null, null, 'NaN'), (99999, 'infinity', null)")
    landed = make(table="t", part_rows=4000, parallel=3, text=["at"], **({"key": key} if key else {}))
    paths = landed.run()
    assert len({p.split("/")[1][:10] for p in paths}) >= 7
    ids = landed.table.column("id").to_pylist()
    assert sorted(i for i in ids if i is not None) == [*range(1, 30001), 99999]
    assert (ids.count(None), landed.report.findings[-1].data) == (1, {"rows": 30002})
    assert landed.run() == []  # the same rows give the same bytes


KEYS = {
    "int": "(-2147483648 + i * 429496::bigint)::int",
    "bigint": "CASE WHEN i % 2 = 0 THEN 9223372036854775807 - i ELSE -9223372036854775807 + i END",
    "text": """(ARRAY['"', '\\', ',{}', '''', ''])[i % 5 + 1] || md5(i::text)""",
    "date": "date '2024-01-01' + i % 40",
    "timestamptz": "CASE WHEN i < 3 THEN 'infinity' ELSE timestamptz '2024-01-01' + i % 40 * interval '1 h' END",
    "float8": "CASE i % 10 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' ELSE sin(i) END",
    "uuid": "md5(i::text)::uuid",
    "bytea": "decode(md5(i::text), 'hex')",
    "boolean": "i % 2 = 0",
}


@pytest.mark.parametrize("statistics", [0, 100])
@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_any_type_that_orders_splits_a_table(
    kind: str, statistics: int, db: psycopg.Connection[Any], make: Make
) -> None:
    db.execute(f"CREATE TABLE t AS SELECT i AS id, ({KEYS[kind]})::{kind} AS k FROM generate_series(1, 5000) i")
    db.execute(f"INSERT INTO t VALUES (0, null); ALTER TABLE t ALTER k SET STATISTICS {statistics}; ANALYZE t")
    landed = make(table="t", key="k", part_rows=1000, text=["k"] if kind == "timestamptz" else [])
    ranges = {path.split("/")[1][:10] for path in landed.run()}
    assert len(ranges) == (3 if kind == "boolean" else 7)
    assert sorted(landed.table.column("id").to_pylist()) == list(range(5001))


def test_a_view_has_no_ranges_of_a_key_and_says_so(db: psycopg.Connection[Any], make: Make) -> None:
    db.execute("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 50) i; CREATE VIEW v AS SELECT * FROM t")
    landed = make(table="v", key="id", part_rows=10)
    landed.run()
    assert sorted(landed.table.column("id").to_pylist()) == list(range(1, 51))
    told = next(f for f in landed.report.findings if f.code == "read_by_one")
    assert "sql.key" in told.message


def test_all_readers_see_one_state(db: psycopg.Connection[Any], make: Make, monkeypatch: pytest.MonkeyPatch, server: ConnectionInfo) -> None:  # fmt: skip
    db.execute("CREATE TABLE t AS SELECT i AS id, 1 AS v FROM generate_series(1, 20000) i; ANALYZE t")
    landed = make(table="t", part_rows=2000, parallel=4)
    share = Postgresql.share

    def meddle(self: Postgresql, leader: Session, *more: Any) -> Any:
        with connected(server) as other:
            other.execute("UPDATE t SET v = 2; DELETE FROM t WHERE id % 2 = 0; INSERT INTO t VALUES (0, 3)")
        return share(self, leader, *more)

    monkeypatch.setattr(Postgresql, "share", meddle)
    landed.run()
    assert (landed.table.num_rows, set(landed.table.column("v").to_pylist())) == (20000, {1})


def test_counts_that_differ_are_refused(db: psycopg.Connection[Any], make: Make, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    db.execute("CREATE TABLE t AS SELECT 1 AS id")
    read = PostgresSession.batches
    monkeypatch.setattr(PostgresSession, "batches", lambda self, sql, columns: iter(()) if "count" not in sql else read(self, sql, columns))  # fmt: skip
    with pytest.raises(BadInput) as refused:
        make(table="t").run()
    assert refused.value.code == "count_mismatch"


def test_rows_of_transactions_that_commit_late_are_neither_lost_nor_doubled(
    db: psycopg.Connection[Any], make: Make, server: ConnectionInfo
) -> None:
    db.execute("CREATE TABLE t (id int, at timestamptz)")
    landed = make(table="t", cursor="at", lag_s=60)
    late = connected(server)
    late.autocommit = False
    number = 0
    for step in range(12):
        at = NOW - timedelta(seconds=600 - 20 * step)
        late.execute("INSERT INTO t VALUES (%s, %s)", (1000 + step, at - timedelta(seconds=30)))
        for _ in range(3):
            number += 1
            db.execute("INSERT INTO t VALUES (%s, %s)", (number, at))
        landed.run()
        if step % 2:
            late.commit()  # rows older than the newest one read, by up to 50 s
    landed.run()
    late.close()
    expected = [*range(1, 37), *range(1000, 1012)]
    assert sorted(landed.table.column("id").to_pylist()) == expected
    assert landed.run() == []


def test_writers_at_work_while_it_is_read(db: psycopg.Connection[Any], make: Make, server: ConnectionInfo) -> None:
    db.execute("CREATE TABLE t (id bigserial, writer int)")
    over, commits = threading.Event(), [0]

    def write(writer: int) -> None:
        with psycopg.connect(host=server.host, port=server.port, user="postgres", dbname="postgres") as own:
            while not over.is_set():
                own.execute("INSERT INTO t (writer) SELECT %s FROM generate_series(1, 7)", (writer,))
                own.execute("SELECT pg_sleep(0.002)")
                own.commit()
                commits[0] += 1

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in writers:
        thread.start()
    landed = make(table="t", cursor="id", lag_keys=500)
    try:
        for _ in range(6):
            before = commits[0]
            assert wait_until(lambda before=before: commits[0] > before + 5)  # type: ignore[misc]
            landed.run()
    finally:
        over.set()
        for thread in writers:
            thread.join()
    landed.run()
    there = [row[0] for row in db.execute("SELECT id FROM t ORDER BY id")]
    assert sorted(landed.table.column("id").to_pylist()) == there
    assert len(landed.entries) >= 6


def test_what_a_window_lost_or_changed_is_seen(db: psycopg.Connection[Any], make: Make) -> None:
    db.execute("CREATE TABLE t AS SELECT i AS id, 'a' AS v FROM generate_series(1, 100) i")
    landed = make(table="t", cursor="id", lag_keys=10)
    first = landed.run()
    assert [p.split("/")[0] for p in first] == ["t#90--100", "t#start--90"]
    db.execute("DELETE FROM t WHERE id > 95; UPDATE t SET v = 'b' WHERE id = 92; UPDATE t SET v = 'c' WHERE id = 5")
    assert [p.split("/")[0] for p in landed.run()] == ["t#90--100"]
    assert {(r["id"], r["v"]) for r in landed.rows()} >= {(92, "b"), (5, "a")}
    assert landed.table.num_rows == 95
    assert [p.split("/")[0] for p in landed.run("full")] == ["t#start--90"]
    assert {(r["id"], r["v"]) for r in landed.rows()} >= {(92, "b"), (5, "c")}
    db.execute("TRUNCATE t")
    landed.run("full")
    assert landed.rows() == []


def test_rows_without_a_cursor_and_rows_in_the_future(db: psycopg.Connection[Any], make: Make) -> None:
    db.execute("CREATE TABLE t (id int, at timestamptz); INSERT INTO t VALUES (1, now()), (2, null), (3, now() + interval '1 day'), (4, 'infinity')")  # fmt: skip
    landed = make(table="t", cursor="at")
    landed.run()
    assert sorted(landed.table.column("id").to_pylist()) == [1, 2]
    assert "rows_ahead" in landed.codes()
    db.execute("UPDATE t SET at = now() WHERE id > 1")
    landed.run()
    assert sorted(landed.table.column("id").to_pylist()) == [1, 2, 3, 4]


def test_changes_of_columns_are_told(db: psycopg.Connection[Any], make: Make) -> None:
    db.execute("CREATE TABLE t AS SELECT 1::int AS a, 'x'::text AS b, 1::int AS c")
    landed = make(table="t")
    landed.run()
    db.execute("ALTER TABLE t ADD d int; ALTER TABLE t ALTER a TYPE bigint")
    landed.run()
    assert [f.data for f in landed.report.findings if f.code == "schema_additive"] == [{"changes": ["+ d int4", "~ a int4 → int8"]}]  # fmt: skip
    db.execute("ALTER TABLE t RENAME b TO e; ALTER TABLE t ALTER c TYPE text")
    landed.run()
    assert [f.data for f in landed.report.findings if f.code == "schema_breaking"] == [{"changes": ["- b text", "~ c int4 → text"]}]  # fmt: skip
    landed.run()
    assert not any(code.startswith("schema") for code in landed.codes())


def test_a_query_is_read_and_cannot_write(db: psycopg.Connection[Any], make: Make) -> None:
    db.execute("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 10) i")
    landed = make(query="SELECT id, id * 2 AS twice FROM t WHERE id > 7 -- the last ones", cursor="id")
    landed.run()
    assert sorted(r["twice"] for r in landed.rows()) == [16, 18, 20]
    db.execute("CREATE FUNCTION evil() RETURNS int LANGUAGE sql AS 'DELETE FROM t RETURNING id'")
    for query in ("SELECT evil() AS id", "SELECT 1 AS id) q; DELETE FROM t; SELECT (1"):
        with pytest.raises((ConfigError, Transient)):
            make(query=query).run()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (10,)


FAILURES: dict[str, tuple[dict[str, Any], dict[str, Any], type[BaseOpsError], str]] = {
    "no table": ({}, {"table": "missing"}, ConfigError, "sql_refused"),
    "no column": ({}, {"table": "t", "cursor": "idd"}, ConfigError, "unknown_column"),
    "bad cursor": ({}, {"table": "t", "cursor": "s"}, ConfigError, "bad_cursor"),
    "bad name": ({}, {"table": "a..b"}, ConfigError, "bad_table"),
    "antique cursor": ({}, {"query": "SELECT '0044-03-15 BC'::date AS d", "cursor": "d"}, BadInput, "bad_cursor"),
    "fails on the way": (
        {},
        {"query": "SELECT 1 / (3 - i) AS d FROM generate_series(1, 5) i"},
        Transient,
        "sql_failed",
    ),
    "two columns": ({}, {"query": "SELECT 1 AS a, 2 AS a"}, ConfigError, "duplicate_column"),
    "password": ({"login": "reader", "password": "wrong-secret"}, {"table": "t"}, Denied, "forbidden"),
    "right": ({"login": "reader", "password": "good-secret"}, {"table": "t"}, Denied, "forbidden"),
    "no database": ({"schema": "nope"}, {"table": "t"}, ConfigError, "sql_refused"),
    "no server": ({"port": 1}, {"table": "t"}, Transient, "sql_failed"),
    "no tls": ({"extra": {}}, {"table": "t"}, ConfigError, "tls_failed"),
    "slow": ({}, {"query": "SELECT pg_sleep(30) AS s", "statement_timeout_s": 0.1}, Transient, "statement_timeout"),
    "untold": ({"conn_type": "generic"}, {"table": "t"}, ConfigError, "unknown_database"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_apart_without_a_secret(
    case: str, db: psycopg.Connection[Any], make: Make, server: ConnectionInfo
) -> None:
    change, spec, kind, code = FAILURES[case]
    db.execute("CREATE TABLE t AS SELECT 1 AS id, 'x' AS s")
    db.execute(
        "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'good-secret'; GRANT USAGE ON SCHEMA public TO reader"
    )
    with pytest.raises(kind) as raised:
        make(replace(server, **change), **spec).run()
    assert raised.value.code == code
    assert "secret" not in str(raised.value)
    assert ("no connection" in str(raised.value)) == (case == "no server")


def test_weaker_tls_is_for_dev_only(make: Make) -> None:
    with pytest.raises(ConfigError) as refused:
        make(table="t").run(env="prod")
    assert refused.value.code == "tls_not_verified"
