"""MySQL as a source, against a real MariaDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pymysql
import pytest
from fakes.collecting import wait_until
from fakes.databases import mariadb_server
from fakes.sql import Landed

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.connectors.databases.base import COUNT
from base_ops.worker.connectors.databases.mysql import Mysql
from base_ops.worker.secrets import ConnectionInfo

pytestmark = pytest.mark.server

NOW = datetime.now(UTC).replace(microsecond=0, tzinfo=None)


@pytest.fixture(scope="module")
def server() -> Iterator[ConnectionInfo]:
    with mariadb_server() as info:
        yield info


class Db:
    """A writer of its own; autocommits unless told otherwise."""

    def __init__(self, info: ConnectionInfo, autocommit: bool = True) -> None:
        self.opened = pymysql.connect(host=info.host, port=info.port, user=info.login, password=info.password, database="t", charset="utf8mb4", autocommit=autocommit)  # fmt: skip
        self.execute("SET SESSION lock_wait_timeout = 5")

    def execute(self, sql: str, args: Any = None) -> None:
        with self.opened.cursor() as cursor:
            cursor.execute(sql, args)


@pytest.fixture
def db(server: ConnectionInfo) -> Iterator[Db]:
    made = Db(server)
    made.execute("DROP DATABASE IF EXISTS t")
    made.execute("CREATE DATABASE t CHARACTER SET utf8mb4")
    made.execute("USE t")
    made.execute("SET SESSION time_zone = '+05:00', sql_mode = ''")
    yield made
    made.opened.close()


@pytest.fixture
def late(db: Db, server: ConnectionInfo) -> Iterator[Db]:
    """A second writer, whose transactions end when it says so."""
    made = Db(server, autocommit=False)
    yield made
    made.opened.close()


EXACT: dict[str, tuple[str, str, pa.DataType, list[Any]]] = {
    "tinyint": ("tinyint", "(-128),(null)", pa.int8(), [-128, None]),
    "bigint unsigned": ("bigint unsigned", "(18446744073709551615)", pa.uint64(), [2**64 - 1]),
    "mediumint unsigned": ("mediumint unsigned", "(16777215)", pa.uint32(), [16777215]),
    "decimal(38,10)": ("decimal(38,10)", "(-1234567890123456789012345678.0123456789)", pa.decimal128(38, 10), [Decimal("-1234567890123456789012345678.0123456789")]),
    "decimal(5,0) unsigned": ("decimal(5,0) unsigned", "(99999)", pa.decimal128(5, 0), [Decimal(99999)]),
    "decimal(65,30)": ("decimal(65,30)", "(12345678901234567890123456789012345.123456789012345678901234567891)", pa.decimal256(65, 30), [Decimal("12345678901234567890123456789012345.123456789012345678901234567891")]),
    "float": ("float", "(16777217),(0.1)", pa.float32(), [16777216.0, 0.10000000149011612]),
    "double": ("double", "(0.1),(1.7976931348623157e308)", pa.float64(), [0.1, 1.7976931348623157e308]),
    "date": ("date", "('2024-02-29')", pa.date32(), [date(2024, 2, 29)]),
    "datetime(6)": ("datetime(6)", "('2024-02-29 23:59:59.999999'),('9999-12-31 00:00:00')", pa.timestamp("us"), [datetime(2024, 2, 29, 23, 59, 59, 999999), datetime(9999, 12, 31)]),  # noqa: DTZ001
    "timestamp(3)": ("timestamp(3) null", "('2024-01-01 05:00:00.125')", pa.timestamp("us", "UTC"), [datetime(2024, 1, 1, 0, 0, 0, 125000, UTC)]),
    "time": ("time(6)", "('-838:59:59.000001')", pa.string(), ["-838:59:59.000001"]),
    "year": ("year", "(2024)", pa.string(), ["2024"]),
    "text": ("text", "(''),('a\\nb\"é😀'),(null)", pa.string(), ["", 'a\nb"é😀', None]),
    "latin1": ("varchar(9) character set latin1", "('é')", pa.string(), ["é"]),
    "blob": ("blob", "(x'00ff'),('')", pa.binary(), [b"\x00\xff", b""]),
    "binary(3)": ("binary(3)", "('a')", pa.binary(), [b"a\0\0"]),
    "bit(10)": ("bit(10)", "(b'1000000001')", pa.binary(), [b"\x02\x01"]),
    "json": ("json", "('{\"a\": 1.00}')", pa.string(), ['{"a": 1.00}']),
    "enum": ("enum('so so')", "('so so')", pa.string(), ["so so"]),
    "set": ("set('a','b')", "('a,b')", pa.string(), ["a,b"]),
    "uuid": ("uuid", "('0e37df36-f698-11e6-8dd4-cb9ced3df976')", pa.string(), ["0e37df36-f698-11e6-8dd4-cb9ced3df976"]),
    "inet6": ("inet6", "('::1')", pa.string(), ["::1"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXACT)
def test_values_are_kept_exactly(kind: str, db: Db, server: ConnectionInfo, tmp_path: Path) -> None:
    column, values, arrow, expected = EXACT[kind]
    db.execute(f"CREATE TABLE v (v {column})")
    db.execute(f"INSERT INTO v VALUES {values}")
    landed = Landed(tmp_path, server, table="v")
    landed.run()
    assert landed.table.schema.field("v").type == arrow
    assert landed.table.column("v").to_pylist() == expected


def test_a_zero_date_is_refused_and_comes_as_text(db: Db, server: ConnectionInfo, tmp_path: Path) -> None:
    db.execute("CREATE TABLE v (v date)")
    db.execute("INSERT INTO v VALUES ('0000-00-00')")
    with pytest.raises(BadInput, match=r"sql.text: \[v\]"):
        Landed(tmp_path, server, table="v").run()
    landed = Landed(tmp_path, server, table="v", text=["v"])
    landed.run()
    assert landed.rows() == [{"v": "0000-00-00"}]


def test_names_are_quoted_and_parts_are_bounded(db: Db, server: ConnectionInfo, tmp_path: Path) -> None:
    db.execute('CREATE TABLE `a``b"` (`x``{}%s` int)')
    db.execute('INSERT INTO `a``b"` SELECT seq FROM seq_1_to_2500')
    landed = Landed(tmp_path, server, table='"a`b"""', part_rows=1000)
    assert landed.run() == [f'"a`b"""/part-00001-{n:03d}.parquet' for n in range(3)]
    assert landed.table.column("x`{}%s").to_pylist() == list(range(1, 2501))
    assert landed.run() == []


def test_one_state_is_read(db: Db, server: ConnectionInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db.execute("CREATE TABLE v (id int primary key)")
    db.execute("INSERT INTO v SELECT seq FROM seq_1_to_100")
    columns = Mysql.columns

    def meddle(self: Mysql, session: Any) -> Any:
        db.execute("DELETE FROM v WHERE id > 50")
        return columns(self, session)

    monkeypatch.setattr(Mysql, "columns", meddle)
    landed = Landed(tmp_path, server, table="v")
    landed.run()
    assert landed.table.num_rows == 100


@pytest.mark.parametrize("kind", ["timestamp(6) null", "datetime(3)"])
def test_rows_of_transactions_that_commit_late(
    kind: str, db: Db, late: Db, server: ConnectionInfo, tmp_path: Path
) -> None:
    db.execute(f"CREATE TABLE v (id int primary key, at {kind})")
    late.execute("SET SESSION time_zone = '+00:00'")
    db.execute("SET SESSION time_zone = '+00:00'")
    landed = Landed(tmp_path, server, table="v", cursor="at", lag_s=60)
    for step in range(8):
        at = NOW - timedelta(seconds=600 - 20 * step)
        late.execute("INSERT INTO v VALUES (%s, %s)", (1000 + step, at - timedelta(seconds=30)))
        db.execute("INSERT INTO v VALUES (%s, %s)", (step, at))
        landed.run()
        if step % 2:
            late.opened.commit()
    landed.run()
    assert sorted(landed.table.column("id").to_pylist()) == [*range(8), *range(1000, 1008)]
    assert landed.run() == []


def test_a_table_altered_after_the_snapshot_is_read_again(db: Db, server: ConnectionInfo, tmp_path: Path) -> None:
    db.execute("CREATE TABLE v AS SELECT 1 AS id")
    database = Mysql(Landed(tmp_path, server, table="v").site())
    session = database.open()
    db.execute("ALTER TABLE v ADD other int DEFAULT 5, ALGORITHM = COPY")
    with pytest.raises(Transient):
        list(session.batches("SELECT id FROM v", [COUNT]))
    session.close()


FAILURES: dict[str, tuple[dict[str, Any], dict[str, Any], type[BaseOpsError], str]] = {
    "no table": ({}, {"table": "missing"}, ConfigError, "sql_refused"),
    "password": ({"password": "wrong-secret"}, {"table": "v"}, Denied, "forbidden"),
    "right": ({}, {"table": "mysql.global_priv"}, Denied, "forbidden"),
    "no server": ({"port": 1}, {"table": "v"}, Transient, "sql_failed"),
    "slow": ({}, {"query": "SELECT SLEEP(30) AS s FROM v", "statement_timeout_s": 0.1}, Transient, "statement_timeout"),
    "writes": ({}, {"query": "SELECT 1 AS a INTO OUTFILE '/tmp/x'"}, ConfigError, "sql_refused"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_apart_without_a_secret(case: str, db: Db, server: ConnectionInfo, tmp_path: Path) -> None:
    change, spec, kind, code = FAILURES[case]
    db.execute("CREATE TABLE v AS SELECT 1 AS id")
    with pytest.raises(kind) as raised:
        Landed(tmp_path, replace(server, **change), **spec).run()
    assert raised.value.code == code
    assert "secret" not in str(raised.value)


def test_a_server_without_tls_is_refused(server: ConnectionInfo, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, Transient)) as raised:
        Landed(tmp_path, replace(server, extra={}), table="v").run()
    assert raised.value.code == "tls_failed"


# -- ranges of a key, side by side

KEYS = {
    "int": "-2147483648 + seq * 429496",
    "bigint unsigned": "18446744073709551615 - seq",
    "decimal(40,20)": "seq / -7",
    "float": "sin(seq)",
    "double": "sin(seq)",
    "date": "date'2024-01-01' + interval seq % 40 day",
    "datetime(6)": "cast('2024-01-01' AS datetime) + interval seq % 400 microsecond",
    "timestamp(6)": "cast('2024-03-31' AS datetime) + interval seq hour",
    "time": "sec_to_time((seq - 2500) * 1000)",
    "year": "1990 + seq % 60",
    "varchar(50)": """concat(elt(seq % 5 + 1, '"', '\\\\', 'É', '''', ''), md5(seq))""",
    "varchar(50) character set latin1": "concat(elt(seq % 3 + 1, 'é', 'E', 'e'), seq % 90)",
    "varbinary(20)": "unhex(md5(seq))",
    "uuid": "md5(seq)",
    "bool": "seq % 2",
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_any_type_that_orders_splits_a_table(
    kind: str, db: Db, server: ConnectionInfo, tmp_path: Path
) -> None:
    db.execute(f"CREATE TABLE v (id int, k {kind} NULL)")
    db.execute(f"INSERT INTO v SELECT seq, {KEYS[kind]} FROM (SELECT cast(seq AS signed) AS seq FROM seq_1_to_5000) s")
    db.execute("INSERT INTO v VALUES (0, null)")
    db.execute("ANALYZE TABLE v")
    landed = Landed(tmp_path, server, table="v", key="k", part_rows=1000)
    ranges = {path.split("/")[1][:10] for path in landed.run()}
    assert len(ranges) == (3 if kind == "bool" else 7)
    assert sorted(landed.table.column("id").to_pylist()) == list(range(5001))
    assert (landed.run(), landed.codes()) == ([], ["rows_read"])  # the same rows give the same bytes


UNFIT = {
    "enum": ("CREATE TABLE v (k enum('b','a'))", "enum"),
    "engine": ("CREATE TABLE v (k int) ENGINE = Aria", "engine Aria"),
    "view": ("CREATE VIEW v AS SELECT 1 AS k", r"none \(a view\?\)"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_a_key_cannot_split_is_refused(case: str, db: Db, server: ConnectionInfo, tmp_path: Path) -> None:
    db.execute(UNFIT[case][0])
    with pytest.raises(ConfigError, match=UNFIT[case][1]) as refused:
        Landed(tmp_path, server, table="v", key="k").run()
    assert refused.value.code == "bad_key"


def test_all_readers_see_one_state_while_others_write(db: Db, server: ConnectionInfo, tmp_path: Path) -> None:
    """Each transaction moves an amount and a row from one end of the keys to the other: torn snapshots would show."""
    db.execute("CREATE TABLE v (id int primary key, amount bigint)")
    db.execute("INSERT INTO v SELECT seq * 10, 100 FROM seq_1_to_10000")
    db.execute("INSERT INTO v VALUES (1, 0), (2, 0)")
    db.execute("ANALYZE TABLE v")
    over, moves = threading.Event(), [0, 0]

    def write(writer: int) -> None:
        own = Db(server, autocommit=False)
        ends = [(1 + writer, 10), (1_000_001 + writer, 100_000)]
        while not over.is_set():
            (marker, giving), (next_marker, taking) = ends
            own.execute("UPDATE v SET amount = amount - 1 WHERE id = %s", (giving + 10 * writer,))
            own.execute("UPDATE v SET id = %s WHERE id = %s", (next_marker, marker))
            own.execute("UPDATE v SET amount = amount + 1 WHERE id = %s", (taking - 10 * writer,))
            own.opened.commit()
            moves[writer] += 1
            ends.reverse()
        own.opened.close()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for thread in writers:
        thread.start()
    landed = Landed(tmp_path, server, table="v", key="id", part_rows=1000, parallel=4)
    try:
        for _ in range(8):
            before = list(moves)
            assert wait_until(lambda before=before: all(m > b for m, b in zip(moves, before, strict=True)))  # type: ignore[misc]
            landed.run()
            assert "read_by_one" not in landed.codes()
            assert len(set(landed.table.column("id").to_pylist())) == landed.table.num_rows == 10_002
            assert sum(landed.table.column("amount").to_pylist()) == 1_000_000
    finally:
        over.set()
        for thread in writers:
            thread.join()


def test_a_table_that_a_long_transaction_writes_to_is_read_by_one(
    db: Db, late: Db, server: ConnectionInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("base_ops.worker.connectors.databases.mysql._LOCK_WAIT_S", 1)
    db.execute("CREATE TABLE v AS SELECT seq AS id FROM seq_1_to_5000")
    late.execute("INSERT INTO v VALUES (0)")
    landed = Landed(tmp_path, server, table="v", key="id", part_rows=1000)
    landed.run()
    assert sorted(landed.table.column("id").to_pylist()) == list(range(1, 5001))
    told = next(f for f in landed.report.findings if f.code == "read_by_one")
    assert "a transaction that writes to it did not end within 1 s" in told.message


def test_without_the_right_to_lock_one_reads(db: Db, server: ConnectionInfo, tmp_path: Path) -> None:
    root = pymysql.connect(unix_socket=server.extra["socket"], user="root", autocommit=True)
    with root, root.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE USER humble IDENTIFIED BY 'humble-secret'")
        cursor.execute("GRANT SELECT ON t.* TO humble")
    db.execute("CREATE TABLE v AS SELECT seq AS id FROM seq_1_to_5000")
    humble = replace(server, login="humble", password="humble-secret")
    landed = Landed(tmp_path, humble, table="v", key="id", part_rows=1000)
    landed.run()
    assert sorted(landed.table.column("id").to_pylist()) == list(range(1, 5001))
    told = next(f for f in landed.report.findings if f.code == "read_by_one")
    assert "the right to LOCK TABLES" in told.message


def test_a_table_altered_before_the_snapshots_is_read_again(
    db: Db, server: ConnectionInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute("CREATE TABLE v AS SELECT seq AS id FROM seq_1_to_5000")
    share = Mysql.share

    def meddle(self: Mysql, leader: Any, *more: Any) -> Any:
        leader.run("COMMIT")
        db.execute("ALTER TABLE v ADD other int DEFAULT 5")
        return share(self, leader, *more)

    monkeypatch.setattr(Mysql, "share", meddle)
    with pytest.raises(Transient, match="altered"):
        Landed(tmp_path, server, table="v", key="id", part_rows=1000).run()
