"""Options of formats whose records need a layout: fixed-width text, COBOL, SQL dumps, DB2 load files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from base_ops.core.spec import Spec


class FixedField(Spec):
    """One field of a fixed-width record."""

    name: str
    start: int = Field(ge=1)
    """First character, counted from 1."""
    length: int = Field(ge=1)
    """Characters."""
    type: str | None = None
    """As in read.columns, e.g. int64, decimal(12,2), date; default: inferred."""
    format: str | None = None
    """strptime format of dates and times, e.g. %Y%m%d; default: ISO 8601."""
    required: bool = False
    """True: a record without a value here goes to quarantine."""
    align: Literal["left", "right"] | None = None
    """On which side the value stands: only the padding on the other side is cut off; default: on both sides."""
    pad: str = " "
    """The character that fills the field up; a field of nothing else has no value."""
    implied_decimals: int = Field(0, ge=0, le=38)
    """Digits behind a decimal point that is not written: 0012345 with 2 is 123.45. A written point is kept."""

    @field_validator("pad")
    @classmethod
    def _one_character(cls, pad: str) -> str:
        if len(pad) != 1 or pad.isalnum() or pad in "\r\n":
            raise ValueError("pad is one character, no letter and no digit; numbers may have leading zeros without it")
        return pad


class RecordTypeOptions(Spec):
    """read.fixed_width.record_type: which lines are rows where a file holds records of several types."""

    start: int = Field(1, ge=1)
    """First character of the type, counted from 1."""
    data: str
    """Type of the records that are rows, e.g. D."""
    header: str | None = None
    """Type of the header; the first record must be one."""
    trailer: str | None = None
    """Type of the trailer; the last record must be one, and there may be no other."""
    count: FixedField | None = None
    """Where the trailer says how many records there are; another number refuses the file."""
    counts: Literal["data", "all"] = "data"
    """What the trailer counts: the rows, or all records with header and trailer."""
    skip: tuple[str, ...] | None = None
    """Types that are no rows; any other type refuses its record. Default: all other types are skipped and reported."""

    @model_validator(mode="after")
    def _types_differ(self) -> RecordTypeOptions:
        types = [self.data, *(t for t in (self.header, self.trailer) if t is not None), *(self.skip or ())]
        if len(set(types)) != len(types) or not all(types) or len({len(t) for t in types}) != 1:
            raise ValueError("data, header, trailer and skip are different texts of the same length")
        if self.count is not None and self.trailer is None:
            raise ValueError("count lies in the trailer: say which type that is")
        return self


class FixedWidthOptions(Spec):
    """read.fixed_width: where the fields lie."""

    fields: tuple[FixedField, ...] = Field(min_length=1)
    """The fields."""
    record_length: int | None = Field(None, ge=1)
    """Characters of a record without its line end; default: of most of the first lines, at least the last field's."""
    framing: Literal["lines", "fixed"] | None = None
    """lines: one record per line; fixed: records follow each other without line ends; default: found."""
    allow_short: bool = False
    """True: a line whose trailing blanks were cut off is filled up; default: it goes to quarantine."""
    record_type: RecordTypeOptions | None = None

    @model_validator(mode="after")
    def _fields_fit(self) -> FixedWidthOptions:
        names = [field.name for field in self.fields]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"fields named twice: {', '.join(twice)}")
        for field in self.fields:
            if self.record_length is not None and field.start + field.length - 1 > self.record_length:
                raise ValueError(f"the field {field.name} ends behind record_length={self.record_length}")
        return self


class RedefinesOption(Spec):
    """read.cobol.redefines.<name>: when the bytes are to be read as this alternative of a REDEFINES."""

    field: str
    """Name of the field that tells, outside of all alternatives."""
    values: tuple[str | int, ...] = Field(min_length=1)
    """Its values for which this alternative is meant; it is null in other records."""


class CobolOptions(Spec):
    """read.cobol: what the records are."""

    copybook: str
    """Text of the copybook (not its path)."""
    copybook_format: Literal["fixed", "free"] | None = None
    """fixed: columns 7 to 72 of each line count; default: found."""
    record: str | None = None
    """Which 01 level is read; default: the only one."""
    recfm: Literal["F", "V", "VB", "text"] | None = None
    """F: records of the copybook's length; V: each behind an RDW; VB: RDWs in blocks behind BDWs; text: one per line;
    default: found."""
    byte_order: Literal["big", "little"] = "big"
    """Of COMP-5 items; COMP, COMP-4 and BINARY are big-endian everywhere."""
    floats: Literal["ibm", "ieee"] | None = None
    """Form of COMP-1 and COMP-2; default: ibm under an EBCDIC encoding, else ieee in byte_order."""
    redefines: dict[str, RedefinesOption] = Field(default_factory=dict)
    """By the name of an item that redefines or is redefined; default: every alternative the bytes fit is filled."""


class SqlDumpOptions(Spec):
    """read.sql_dump: which table's rows are wanted."""

    table: str | None = None
    """Name of the table, with or without its schema; default: the only one that has rows."""
    dialect: Literal["mysql", "postgresql", "sqlite", "sqlserver", "oracle", "ansi"] | None = None
    """Whose SQL it is; default: found."""
