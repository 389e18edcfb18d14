"""SQL dumps: the rows of one table, out of INSERT statements and COPY blocks. Parsed, never executed.

Read are dumps of MySQL and MariaDB (mysqldump, phpMyAdmin), PostgreSQL (pg_dump in plain format, also --inserts),
SQLite (.dump), SQL Server (scripts of Management Studio) and Oracle (SQL Developer). `read.sql_dump.table` names the
table where several have rows. Types come from its CREATE TABLE where there is one (decimals exact), else from the
values; binary columns are texts of hexadecimal digits. Literals are read in the forms of the dialect; a value that is
another expression than CAST, CONVERT, TO_DATE, TO_TIMESTAMP, replace, unistr or char refuses its row, a statement
that is broken is refused with its line and passed over. Every other statement is skipped.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_TITLES = re.compile(r"-- (MySQL|MariaDB|PostgreSQL|phpMyAdmin|SQLite|Dump)|PRAGMA foreign_keys|/\* Object:", re.I)
_DATA = re.compile(
    r"^\s*((INSERT|REPLACE)\s+(\w+\s+){0,3}?[\w`\"\[.\] ]+?\s*(\(|VALUES\b|SELECT\b)|COPY\s[^;]{1,9999}FROM\s+stdin)",
    re.I | re.M,
)
_OTHER = re.compile(r"^\s*(CREATE|DROP)\s+TABLE\s", re.I | re.M)
_START = re.compile(
    r"\s*(--|/\*|#|\\restrict|(INSERT|REPLACE|COPY|CREATE|DROP|SET|USE|BEGIN|PRAGMA|GO|REM|ALTER)\b)", re.I
)


class SqlDumpFormat:
    """SQL dumps."""

    name = "sql_dump"
    suffixes = (".sql", ".dump")

    def sniff(self, head: bytes, name: str) -> float:
        """Statements at the beginnings of lines, behind nothing but comments and statements."""
        if head.startswith(b"PGDMP"):
            return 0.9
        text = _text(head)
        if not _START.match(text):
            return 0.1 if name.lower().endswith(".sql") and "\0" not in text else 0.0
        found = bool(_DATA.search(text)), bool(_OTHER.search(text)), bool(_TITLES.search(text))
        return 0.97 if any(found[:2]) else 0.6 if found[2] else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput several_tables, with the tables and their rows, where none is chosen."""
        from base_ops.worker.formats.sql_dump.reader import SqlDumpReader

        return SqlDumpReader(source, spec)


def _text(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "replace")
    return head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")


FORMAT = SqlDumpFormat()
