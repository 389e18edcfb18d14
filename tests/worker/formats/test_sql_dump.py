"""SQL dumps of five systems: rows, types, tables; broken statements are refused with their lines, none is executed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from delimited_kit import source_of
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts_kit import read_as, refusal

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.registry import get_format
from base_ops.worker.formats.sql_dump import FORMAT
from base_ops.worker.formats.sql_dump.definition import columns_of
from base_ops.worker.formats.sql_dump.dialect import find_dialect

D = Decimal


def stamp(*parts: int) -> datetime:
    return datetime(*parts)  # noqa: DTZ001


MYSQL = r'''-- MySQL dump 10.13  Distrib 8.0
/*!40101 SET NAMES utf8mb4 */;
# a comment; with 'quotes
DROP TABLE IF EXISTS `t`;
CREATE TABLE `t` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(20) DEFAULT 'a;b',
  `amt` decimal(10,2) DEFAULT NULL,
  `at` datetime(6) DEFAULT NULL,
  `raw` blob,
  PRIMARY KEY (`id`), KEY `k` (`name`)
) ENGINE=InnoDB;
LOCK TABLES `t` WRITE;
INSERT INTO `t` VALUES (1,'O\'Brien; x',-12.30,'2024-01-02 03:04:05.123456',_binary 'a\0b'),(2,NULL,NULL,NULL,0x4142),
(3,'a\n''b\\ %',100.00,'2024-01-02 03:04:05',NULL);
UNLOCK TABLES;
DELIMITER ;;
CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN
INSERT INTO `t` VALUES (99,'no',1,NULL,NULL);
END;;
DELIMITER ;
INSERT INTO `t` (`name`, `id`) VALUES ("dq ""x""",4);
'''
MYSQL_ROWS = [
    (1, "O'Brien; x", D("-12.30"), stamp(2024, 1, 2, 3, 4, 5, 123456), "610062"),
    (2, None, None, None, "4142"),
    (3, "a\n'b\\ %", D("100.00"), stamp(2024, 1, 2, 3, 4, 5), None),
    (4, 'dq "x"', None, None, None),
]

POSTGRES = r"""--
-- PostgreSQL database dump
--
\restrict abc
SET standard_conforming_strings = on;
CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $_$
BEGIN
INSERT INTO public.t VALUES (1,2); -- don't
END;
$_$;
CREATE TABLE public.t (
    id integer NOT NULL,
    name character varying(10) DEFAULT 'x'::character varying,
    amt numeric(12,4),
    free numeric,
    ok boolean,
    at timestamp with time zone,
    raw bytea
);
COPY public.t (id, name, amt, free, ok, at, raw) FROM stdin;
1	a\tb	1.2345	1.5	t	2024-01-02 03:04:05.123+00	\\x6869
2	\N	\N	2.25	f	\N	\N
3	back\\slash	-0.0001	3	t	2024-01-02 03:04:05+02	\\x
\.
INSERT INTO public.t VALUES (4, E'e\n''q\'', '1.1'::numeric(12,4), 1, true, '2024-01-02 00:00:00+00', '\x41');
INSERT INTO public.t VALUES (5, 'no \ escape', NULL, .5, false, NULL, NULL) ON CONFLICT DO NOTHING;
"""
POSTGRES_ROWS = [
    (1, "a\tb", D("1.2345"), D("1.50"), True, datetime(2024, 1, 2, 3, 4, 5, 123000, UTC), "6869"),
    (2, None, None, D("2.25"), False, None, None),
    (3, "back\\slash", D("-0.0001"), D("3.00"), True, datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC), ""),
    (4, "e\n'q'", D("1.1000"), D("1.00"), True, datetime(2024, 1, 2, tzinfo=UTC), "41"),
    (5, "no \\ escape", None, D("0.50"), False, None, None),
]

SQLSERVER = """USE [db]
GO
SET ANSI_NULLS ON
GO
CREATE TABLE [dbo].[T](
	[Id] [int] IDENTITY(1,1) NOT NULL,
	[Na me] [nvarchar](50) NULL,
	[D] [datetime] NULL,
	[M] [decimal](18, 2) NULL,
 CONSTRAINT [PK] PRIMARY KEY CLUSTERED ([Id] ASC)
) ON [PRIMARY]
GO
SET IDENTITY_INSERT [dbo].[T] ON 
INSERT [dbo].[T] ([Id], [Na me], [D], [M]) VALUES (1, N'Zoë''s [x', CAST(N'2024-01-02T03:04:05.000' AS DateTime), CAST(12.30 AS Decimal(18, 2)))
INSERT [dbo].[T] ([Id], [Na me], [D], [M]) VALUES (2, NULL, NULL, NULL)
GO
SET IDENTITY_INSERT [dbo].[T] OFF
GO
CREATE PROCEDURE [dbo].[P] AS
BEGIN
INSERT [dbo].[T] ([Id], [Na me], [D], [M]) VALUES (99, NULL, NULL, NULL);
END
GO
INSERT [dbo].[T] ([Id]) VALUES (3)
"""  # noqa: W291
SQLSERVER_ROWS = [
    (1, "Zoë's [x", stamp(2024, 1, 2, 3, 4, 5), D("12.30")),
    (2, None, None, None),
    (3, None, None, None),
]

ORACLE = """REM INSERTING into HR.EMP
SET DEFINE OFF;
CREATE TABLE HR.EMP (ID NUMBER(5,0), NAME VARCHAR2(20 BYTE), HIRED DATE, PAID NUMBER(9,2));
Insert into HR.EMP (ID,NAME,HIRED,PAID) values (1,'King',to_date('17-JUN-03','DD-MON-RR'),24000.5);
Insert into HR.EMP (ID,NAME,HIRED) values (2,'a'||chr(10)||'b',to_timestamp('2003-06-17 22:11:12.5','YYYY-MM-DD HH24:MI:SS.FF1'));
Insert into HR.EMP (ID,NAME,HIRED) values (3,q'[it's]',null);
"""
ORACLE_ROWS = [
    (1, "King", stamp(2003, 6, 17), D("24000.50")),
    (2, "a\nb", stamp(2003, 6, 17, 22, 11, 12, 500000), None),
    (3, "it's", None, None),
]

SQLITE = """PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE t(a INTEGER, b TEXT, c REAL, d);
INSERT INTO t VALUES(1,replace('a\\nb','\\n',char(10)),1.5,'007');
INSERT INTO t VALUES(2,'it''s',-2e-3,'008');
INSERT INTO "t" VALUES(3,unistr('x\\u000ay'),.5,NULL);
CREATE TRIGGER tr AFTER INSERT ON t BEGIN
INSERT INTO log VALUES(new.a);
INSERT INTO t VALUES(100,'x',1.0,'');
END;
CREATE INDEX i ON t(a);
COMMIT;
"""
SQLITE_ROWS = [(1, "a\nb", 1.5, "007"), (2, "it's", -0.002, "008"), (3, "x\ny", 0.5, None)]

DUMPS = [
    ("mysql", MYSQL, MYSQL_ROWS, [14, 14, 15, 22]),
    ("postgresql", POSTGRES, POSTGRES_ROWS, [21, 22, 23, 25, 26]),
    ("sqlserver", SQLSERVER, SQLSERVER_ROWS, [14, 15, 24]),
    ("oracle", ORACLE, ORACLE_ROWS, [4, 5, 6]),
    ("sqlite", SQLITE, SQLITE_ROWS, [4, 5, 6]),
]


@pytest.mark.parametrize(("dialect", "dump", "rows", "lines"), DUMPS, ids=[d[0] for d in DUMPS])
@pytest.mark.parametrize("block_bytes", [None, 1, 13, 200])
def test_dumps(dialect, dump, rows, lines, block_bytes):
    outcome = read_as("sql_dump", dump.encode(), block_bytes=block_bytes)
    assert outcome.faults == []
    assert (outcome.rows, outcome.lines) == (rows, lines)
    assert outcome.findings[0].data["dialect"] == dialect


@pytest.mark.parametrize(("dialect", "dump", "rows", "lines"), DUMPS, ids=[d[0] for d in DUMPS])
def test_line_ends_and_encodings(dialect, dump, rows, lines):
    for data in (dump.replace("\n", "\r\n").encode(), dump.encode("utf-16"), ("\ufeff" + dump).encode()):
        outcome = read_as("sql_dump", data)
        assert (outcome.rows, outcome.lines, outcome.faults) == (rows, lines, [])


def test_dialects():
    for dialect, dump, _, _ in DUMPS:
        assert find_dialect(dump) == dialect
    assert find_dialect("INSERT INTO t VALUES (1);") == "ansi"
    assert find_dialect(r"INSERT INTO t VALUES (1,'O\'Brien');") == "mysql"
    assert find_dialect(r"INSERT INTO t VALUES ('C:\', 'x');") == "ansi"
    assert find_dialect(r"INSERT INTO public.t VALUES (1, E'O\'Brien');") == "postgresql"


@pytest.mark.parametrize(("dialect", "dump"), [d[:2] for d in DUMPS], ids=[d[0] for d in DUMPS])
def test_sniff(dialect, dump):
    assert FORMAT.sniff(dump.encode(), "object") >= 0.95
    assert FORMAT.sniff(dump.encode("utf-16"), "object") >= 0.95


NOT_SQL = [
    b"a,b\n1,2\n",
    b'{"a": 1}',
    b"",
    b"insert coin\n",
    b"SET of things\nand more\n",
    b"-- just a comment\n",
    bytes(99),
]


@pytest.mark.parametrize("head", NOT_SQL)
def test_what_is_no_dump(head):
    assert FORMAT.sniff(head, "object") <= 0.1


# -- which table

TWO = (
    "INSERT INTO s.a VALUES (1);\nINSERT INTO b VALUES (2),(3);\nCREATE TABLE c (x int);\nINSERT INTO s.a VALUES (4);\n"
)


def test_the_table_is_chosen():
    with pytest.raises(BadInput) as error:
        read_as("sql_dump", TWO.encode())
    assert error.value.code == "several_tables"
    assert error.value.found == "s.a (2 rows), b (2 rows)"
    for table, rows in (("a", [(1,), (4,)]), ("s.a", [(1,), (4,)]), ("b", [(2,), (3,)]), ("c", [])):
        assert read_as("sql_dump", TWO.encode(), sql_dump={"table": table}).rows == rows
    for data, table, code in ((TWO, "d", "no_such_table"), ("SELECT 1;", None, "empty_object")):
        refused = refusal("sql_dump", data.encode(), sql_dump={"table": table})
        assert refused is not None and refused.code == code


def test_the_same_name_in_two_schemas():
    data = b"INSERT INTO x.t VALUES (1);\nINSERT INTO y.t VALUES (2);\n"
    error = refusal("sql_dump", data, sql_dump={"table": "t"})
    assert error is not None and error.code == "several_tables"
    assert read_as("sql_dump", data, sql_dump={"table": "y.t"}).rows == [(2,)]


def test_another_table_that_comes_late():
    data = "".join(f"INSERT INTO a VALUES ({i});\n" for i in range(100)).encode() + b" " * (17 << 20)
    reader = get_format("sql_dump").read(source_of(data + b"\nINSERT INTO b VALUES (1);\n"), ReadSpec(sample_rows=10))
    with pytest.raises(BadInput) as late:
        list(reader.batches())
    assert late.value.code == "several_tables"


# -- values

LITERALS: list[tuple[str, str, Any]] = [
    ("mysql", r"'a\'b'", "a'b"),
    ("mysql", r"'\0\b\n\r\t\Z\\\%\_\x'", "\0\b\n\r\t\x1a\\\\%\\_x"),
    ("mysql", "'it''s'", "it's"),
    ("mysql", "_utf8mb4'x'", "x"),
    ("mysql", "x'4142'", "4142"),
    ("mysql", "0x4142", "4142"),
    ("mysql", "b'101'", 5),
    ("mysql", "TRUE", True),
    ("mysql", "-  5", -5),
    ("mysql", "CONVERT('a' USING utf8)", "expression"),
    ("postgresql", "$$it's$$", "it's"),
    ("postgresql", "$x$it's$x$", "expression"),
    ("postgresql", "'5'::integer", "5"),
    ("postgresql", r"E'\u00e9\x41\101'", "éAA"),
    ("postgresql", r"E'\xc3'", "encoding"),
    ("postgresql", "B'101'", "101"),
    ("postgresql", "'{1,2}'::integer[]", "{1,2}"),
    ("postgresql", "now()", "expression"),
    ("oracle", "q'!it's!'", "it's"),
    ("oracle", "'a' || 'b'", "ab"),
    ("oracle", "DATE '2024-01-02'", date(2024, 1, 2)),
    ("oracle", "hextoraw('4142')", "4142"),
    ("oracle", "to_date('x','YYYY')", "expression"),
    ("sqlserver", "N'x'", "x"),
    ("sqlserver", "CONVERT(datetime, N'2024-01-02', 121)", date(2024, 1, 2)),
    ("sqlserver", "0x41", "41"),
    ("sqlite", "X'0aFF'", "0aff"),
    ("ansi", "1.50", 1.5),
    ("ansi", "12345678901234567890", D("12345678901234567890")),
    ("ansi", "'12'", "12"),
    ("ansi", "''", ""),
    ("ansi", "'NULL'", "NULL"),
    ("ansi", r"'a\'", "a\\"),
    ("ansi", "null", None),
    ("ansi", "a", "expression"),
    ("ansi", "1+1", "expression"),
    ("ansi", "(SELECT 1)", "expression"),
]


@pytest.mark.parametrize(("dialect", "literal", "value"), LITERALS)
def test_literals(dialect, literal, value):
    data = f"INSERT INTO t (n, v) VALUES (1, {literal});\n".encode()
    if value == "expression":  # only another row tells what the columns are
        data = f"INSERT INTO t (n, v) VALUES (0, NULL), (1, {literal}), (2, NULL);\n".encode()
        outcome = read_as("sql_dump", data, sql_dump={"dialect": dialect})
        assert ([row[0] for row in outcome.rows], outcome.faults) == ([0, 2], [(1, "expression")])
        return
    outcome = read_as("sql_dump", data, sql_dump={"dialect": dialect})
    assert outcome.rows == ([] if value == "encoding" else [(1, value)])
    assert outcome.faults == ([(1, "encoding")] if value == "encoding" else [])


def test_digits_in_quotes_stay_text():
    outcome = read_as("sql_dump", b"INSERT INTO t VALUES ('1', 1, '2024-01-02', '1.5'), (NULL, 2, NULL, '2.5');")
    assert list(outcome.schema.values()) == [pl.String(), pl.Int64(), pl.Date(), pl.String()]


def test_declared_columns():
    columns = [{"name": "n", "source_name": "column_1", "type": "decimal(5,1)"}, {"name": "column_2", "required": True}]
    outcome = read_as("sql_dump", b"INSERT INTO t VALUES ('1', 1), (2.55, 2), (3, NULL);", columns=columns)
    assert outcome.rows == [(D("1.0"), 1)]
    assert [r.rule for r in outcome.rejected] == ["type", "required"]


NAMES = [
    ("INSERT INTO t (A, b) VALUES (1, 2);\nINSERT INTO t (B, a) VALUES (3, 4);\n", ["A", "b"], [(1, 2), (4, 3)]),
    ("INSERT INTO t (a, b) VALUES (1, 2);\nINSERT INTO t (b) VALUES (3);\n", ["a", "b"], [(1, 2), (None, 3)]),
    ("CREATE TABLE t (a int, b int);\nINSERT INTO t VALUES (1);\n", ["a", "b"], [(1, None)]),
    ('INSERT INTO t ("", _line) VALUES (1, 2);\n', ["column_1", "_line_2"], [(1, 2)]),
    ("INSERT INTO t (a) VALUES (1);\nINSERT INTO t (a, c) VALUES (1, 2);\n", "unknown_column", []),
    ("INSERT INTO t (a, a) VALUES (1, 2);\n", "unknown_column", []),
]


@pytest.mark.parametrize(("dump", "names", "rows"), NAMES)
def test_names_of_columns(dump, names, rows):
    if isinstance(names, str):
        error = refusal("sql_dump", dump.encode(), sample_rows=1)
        assert error is not None and error.code == names
    else:
        outcome = read_as("sql_dump", dump.encode())
        assert (list(outcome.schema), outcome.rows) == (names, rows)


def test_bytes_that_are_no_text():
    dump = b"CREATE TABLE `t` (a varchar(5), b blob);\nINSERT INTO `t` VALUES ('\xff','x'),('y','\xff\\0');\n"
    outcome = read_as("sql_dump", dump, encoding="utf-8")
    assert (outcome.rows, outcome.faults) == ([("y", "ff00")], [(2, "encoding")])


TYPES = [
    ("mysql", "CREATE TABLE t (a tinyint(1), b bigint unsigned, c decimal(5), d double, e year, f json, g varbinary(3))",
     ["int64", "decimal(20,0)", "decimal(5,0)", "float64", "int64", "string", "string"]),
    ("postgresql", "CREATE TABLE t (a serial, b numeric, c real, d uuid, e time, f date, g text[], h bit(3))",
     ["int64", "decimal", "float64", "string", "time", "date", "string", "string"]),
    ("sqlserver", "CREATE TABLE t (a bit, b money, c datetime2(7), d datetimeoffset(7), e uniqueidentifier)",
     None),
    ("oracle", "CREATE TABLE t (a NUMBER(5,2), b DATE, c TIMESTAMP (6), d CLOB)",
     ["decimal(5,2)", "timestamp", "timestamp", "string"]),
    ("sqlite", "CREATE TABLE t (a, b INTEGER, c NUMERIC, d TEXT)", [None, "int64", None, "string"]),
    ("ansi", "CREATE TABLE t (a int, PRIMARY KEY (a), CONSTRAINT c CHECK (a > 0))", ["int64"]),
    ("ansi", "CREATE TABLE t AS SELECT 1", []),
    ("ansi", "CREATE TABLE t (((", []),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "statement", "types"), TYPES)
def test_types(dialect, statement, types):
    found = [column.type for column in columns_of(statement, dialect)]
    assert found == types if types is not None else len(found) == 5


# -- what is broken

BROKEN: list[tuple[str, list[tuple[Any, ...]], list[tuple[int, str]]]] = [
    ("INSERT INTO t VALUES (1,'a'),(2),(3,'c');\n", [(1, "a"), (3, "c")], [(1, "ragged")]),
    ("INSERT INTO t VALUES (1,'a'),\n(2,'b',3),\n(3,'c');\n", [(1, "a"), (3, "c")], [(2, "ragged")]),
    ("INSERT INTO t VALUES (1,'a'),(2,'b;\nINSERT INTO t VALUES (3,'c');\n", [(1, "a"), (3, "c")], [(1, "statement")]),
    (
        "INSERT INTO t VALUES (1,'a') garbage;\nINSERT INTO t VALUES (3,'c');\n",
        [(1, "a"), (3, "c")],
        [(1, "statement")],
    ),
    (
        "INSERT INTO t VALUES (1,'a'), garbage;\nINSERT INTO t VALUES (3,'c');\n",
        [(1, "a"), (3, "c")],
        [(1, "statement")],
    ),
    ("INSERT INTO t VALUES (1,'a'),(2,'b'", [(1, "a")], [(1, "truncated")]),
    ("INSERT INTO t VALUES (1,'a'),(2,'b", [(1, "a")], [(1, "truncated")]),
    ("INSERT INTO t VALUES (1,'a'),", [(1, "a")], [(1, "truncated")]),
    ("INSERT INTO t VALUES (1,'a');\nINSERT INTO t SELECT * FROM u;\n", [(1, "a")], [(2, "statement")]),
    ("INSERT INTO t VALUES (1,'a');\nUPDATE t SET a = 'open;\n", [(1, "a")], [(2, "truncated")]),
    ("INSERT INTO t VALUES (1,'a');\n/* open", [(1, "a")], []),
    ("INSERT INTO t VALUES (1,'a')", [(1, "a")], []),
    ("INSERT INTO t VALUES (1,'a') -- why\n, (2,'b') /* not */ ;", [(1, "a"), (2, "b")], []),
]


@pytest.mark.parametrize(("dump", "rows", "faults"), BROKEN)
@pytest.mark.parametrize("block_bytes", [None, 1, 10])
def test_broken_statements_are_refused_with_their_line(dump, rows, faults, block_bytes):
    outcome = read_as("sql_dump", dump.encode(), block_bytes=block_bytes)
    assert (outcome.rows, outcome.faults) == (rows, faults)


def test_copy_without_an_end():
    with pytest.raises(BadInput) as error:
        read_as("sql_dump", POSTGRES[: POSTGRES.index("\\.")].encode())
    assert error.value.code == "truncated"


def test_copy_of_another_form():
    dump = "COPY t (a) FROM stdin WITH (FORMAT csv);\n1\n\\.\nINSERT INTO t (a) VALUES (2);\n"
    outcome = read_as("sql_dump", dump.encode())
    assert (outcome.rows, outcome.faults) == ([(2,)], [(1, "statement")])


def test_rows_of_copy_that_do_not_fit():
    dump = "COPY t (a, b) FROM stdin;\n1\tx\n2\n3\ty\tz\n4\tw\n\\.\n"
    outcome = read_as("sql_dump", dump.encode())
    assert (outcome.rows, outcome.lines) == ([(1, "x"), (4, "w")], [2, 5])
    assert sorted(outcome.faults) == [(3, "ragged"), (4, "ragged")]


def test_a_very_long_text_in_bounded_memory():
    long = "x" * 300_000
    dump = f"INSERT INTO t VALUES (1,'a'),(2,'{long}'),\nINSERT INTO t VALUES (3,'c');\n"
    outcome = read_as("sql_dump", dump.encode(), block_bytes=10_000, max_record_bytes=100_000)
    assert outcome.rows == [(1, "a"), (3, "c")]
    assert outcome.faults == [(1, "statement")]


def test_custom_format():
    error = refusal("sql_dump", b"PGDMP\x01\x0e\0")
    assert error is not None and error.code == "unsupported_dump"


HOSTILE = [
    "INSERT INTO t VALUES " + "(" * 200_000,
    "INSERT INTO t VALUES (1)" + ",(1" * 100_000,
    "INSERT INTO t VALUES ('" + "''" * 500_000,
    "INSERT INTO t VALUES (1),(" + "a(" * 100_000,
    "/*" * 500_000,
    "--\n" * 300_000,
    "$a$" * 300_000,
    "CREATE TABLE t (" + "a int," * 50_000 + "b int);\nINSERT INTO t VALUES (1);",
    "CREATE TABLE t (a int default " + "(" * 20_000 + ");\n",
    "INSERT INTO t (" + "a," * 100_000 + "b) VALUES (1);",
    "'" * 1_000_001,
    "INSERT INTO t VALUES (" + "1," * 100_000 + "1);",
    "INSERT INTO t VALUES (1);\n" + "\\" * 1_000_000,
    "INSERT INTO t VALUES (cast(" * 20_000,
    "".join(f"SET a = $x{i}$ 'b /*\n" for i in range(60_000)),
    "".join(f"INSERT INTO t VALUES ($x{i}$\n" for i in range(60_000)),
]


@pytest.mark.parametrize("dump", HOSTILE, ids=[d[:24] for d in HOSTILE])
@pytest.mark.parametrize("dialect", ["mysql", "postgresql", "sqlserver"])
def test_hostile_dumps_come_to_an_end(dump, dialect):
    refusal("sql_dump", dump.encode(), sql_dump={"dialect": dialect})


# -- properties

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
TABLE = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.none() | TEXTS, st.none() | st.decimals(-(10**9), 10**9, places=3)),
    min_size=1,
    max_size=20,
)


def quote(text: str | None, dialect: str) -> str:
    if text is None:
        return "NULL"
    if dialect == "mysql":
        text = text.replace("\\", "\\\\").replace("\0", "\\0")
    return "'" + text.replace("'", "''") + "'"


def as_copy(text: str | None) -> str:
    if text is None:
        return "\\N"
    for char, escape in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(char, escape)
    return text


@settings(max_examples=80)
@given(TABLE, st.sampled_from(["mysql", "postgresql", "ansi", "copy"]), st.integers(1, 3), st.integers(1, 200))
def test_what_is_dumped_is_read(rows, dialect, per_statement, block_bytes):
    dump = "CREATE TABLE t (a bigint, b text, c decimal(20,3));\n"
    if dialect == "copy":
        lines = ["\t".join([str(a), as_copy(b), as_copy(None if c is None else str(c))]) for a, b, c in rows]
        dump += "COPY t (a, b, c) FROM stdin;\n" + "".join(line + "\n" for line in lines) + "\\.\n"
    else:
        texts = [f"({a}, {quote(b, dialect)}, {'NULL' if c is None else c})" for a, b, c in rows]
        for start in range(0, len(texts), per_statement):
            dump += "INSERT INTO t VALUES " + ",".join(texts[start : start + per_statement]) + ";\n"
    if "\r\n" in dump:  # line ends are those of the file
        return
    options = {"dialect": "postgresql" if dialect == "copy" else dialect}
    outcome = read_as("sql_dump", dump.encode(), block_bytes=block_bytes, encoding="utf-8", sql_dump=options)
    assert outcome.faults == []
    assert outcome.rows == rows


@settings(max_examples=80)
@given(st.data(), st.sampled_from(DUMPS))
def test_mutated_dumps(data, dump):
    original = dump[1].encode()
    at = data.draw(st.integers(0, len(original)))
    removed = data.draw(st.integers(0, 40))
    inserted = data.draw(
        st.one_of(st.binary(max_size=5), st.sampled_from([b"'", b"(", b")", b";", b"\\", b"/*", b"$"]))
    )
    mutated = original[:at] + inserted + original[at + removed :]
    refusal("sql_dump", mutated, sql_dump={"dialect": dump[0]}, block_bytes=64)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([None, "mysql", "postgresql", "oracle", "sqlserver", "sqlite"]))
def test_any_bytes(data, dialect):
    refusal("sql_dump", data, sql_dump={"dialect": dialect})
    refusal("sql_dump", b"INSERT INTO t VALUES (" + data, sql_dump={"dialect": dialect})
