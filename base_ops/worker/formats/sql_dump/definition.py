"""CREATE TABLE to column types, by way of sqlglot."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

_SQLGLOT = {"mysql": "mysql", "postgresql": "postgres", "sqlite": "sqlite", "sqlserver": "tsql", "oracle": "oracle"}
_INTEGERS = ("TINYINT", "UTINYINT", "SMALLINT", "USMALLINT", "MEDIUMINT", "UMEDIUMINT", "INT", "UINT", "BIGINT",
             "SERIAL", "SMALLSERIAL", "BIGSERIAL", "YEAR", "INT128")  # fmt: skip
_TIMES = {
    "BOOLEAN": "boolean", "DATE": "date", "DATE32": "date", "TIME": "time", "FLOAT": "float64", "DOUBLE": "float64",
    "DATETIME": "timestamp", "DATETIME2": "timestamp", "SMALLDATETIME": "timestamp", "TIMESTAMP": "timestamp",
    "TIMESTAMPNTZ": "timestamp", "TIMESTAMPTZ": "timestamp_utc", "TIMESTAMPLTZ": "timestamp_utc",
}  # fmt: skip
_BINARY = ("BINARY", "VARBINARY", "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "IMAGE", "ROWVERSION", "BYTEA")
_TEXT_CHARS = 1 << 18


@dataclass(frozen=True)
class Defined:
    """One column of a CREATE TABLE."""

    name: str
    type: str | None
    """Of the vocabulary in worker/types.py; `decimal` where the scale is not told; None: as the values are."""
    is_binary: bool = False


def columns_of(statement: str, dialect: str) -> list[Defined]:
    """The columns of a CREATE TABLE statement, in order; none where it cannot be understood."""
    import sqlglot
    from sqlglot import exp

    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    if len(statement) > _TEXT_CHARS:
        return []
    try:
        tree = sqlglot.parse_one(statement, read=_SQLGLOT.get(dialect))
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError):
        return []
    schema = tree.this if isinstance(tree, exp.Create) else None
    if not isinstance(schema, exp.Schema):
        return []
    found = [column for column in schema.expressions if isinstance(column, exp.ColumnDef | exp.Identifier)]
    return [_defined(column, dialect) for column in found]


def _defined(column: Any, dialect: str) -> Defined:
    kind = column.args.get("kind")
    name = column.name
    if kind is None or not hasattr(kind.this, "name"):
        return Defined(name, None)
    type = kind.this.name
    sizes = [int(size.name) for size in kind.expressions if size.name.isdigit()]
    if type in _BINARY:
        return Defined(name, "string", is_binary=True)
    if dialect == "oracle" and type == "DATE":
        return Defined(name, "timestamp")
    if type in _INTEGERS:
        return Defined(name, "int64")
    if type == "UBIGINT":
        return Defined(name, "decimal(20,0)")
    if type in ("DECIMAL", "UDECIMAL", "BIGDECIMAL"):
        return Defined(name, _decimal(sizes, dialect))
    if type in _TIMES:
        return Defined(name, _TIMES[type])
    return Defined(name, "string")


def _decimal(sizes: list[int], dialect: str) -> str | None:
    if dialect == "sqlite":
        return None  # NUMERIC there is any type
    if not sizes:
        return "decimal(10,0)" if dialect == "mysql" else "decimal(18,0)" if dialect == "sqlserver" else "decimal"
    precision, scale = sizes[0], sizes[1] if len(sizes) > 1 else 0
    return f"decimal({precision},{scale})" if scale <= precision <= 38 else "string"
