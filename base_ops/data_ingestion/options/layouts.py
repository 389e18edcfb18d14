"""Options of formats whose records need a layout: fixed-width text, COBOL, SQL dumps, DB2 load files."""

from __future__ import annotations

from pydantic import Field

from base_ops.core.spec import Spec


class FixedField(Spec):
    """One field of a fixed-width record."""

    name: str
    start: int = Field(ge=1)
    """First character, counted from 1."""
    length: int = Field(ge=1)
    """Characters."""


class FixedWidthOptions(Spec):
    """read.fixed_width: where the fields lie."""

    fields: tuple[FixedField, ...] = Field(min_length=1)
    """The fields, in order."""


class CobolOptions(Spec):
    """read.cobol: the copybook that describes the records."""

    copybook: str
    """Text of the copybook."""


class SqlDumpOptions(Spec):
    """read.sql_dump: which table's rows are wanted."""

    table: str | None = None
    """Name of the table; default: the only one."""
