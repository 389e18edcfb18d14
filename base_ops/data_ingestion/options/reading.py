"""How the bytes of an object are read, and how its values are typed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.binary import AvroOptions, ParquetOptions, ProtobufOptions
from base_ops.data_ingestion.options.layouts import CobolOptions, FixedWidthOptions, SqlDumpOptions
from base_ops.data_ingestion.options.messages import EmailOptions, FixOptions, SwiftMtOptions, SyslogOptions
from base_ops.data_ingestion.options.office import DocumentOptions, PdfOptions, TiffOptions, WorkbookOptions
from base_ops.data_ingestion.options.xml import XmlOptions


class ColumnSpec(Spec):
    """One column as it should come out."""

    name: str
    """Name in the output."""
    type: str | None = None
    """int64, int32, float64, decimal(p,s), string, boolean, date, time, timestamp, timestamp_utc; default: inferred."""
    format: str | None = None
    """strptime format of dates and times, e.g. %Y%m%d %H:%M; default: ISO 8601. Of numbers in delimited files: an
    example of how they are written, e.g. $1,234.56 or 12.5%."""
    required: bool = False
    """True: a row without a value here goes to quarantine."""
    source_name: str | None = None
    """Name in the source where it differs from `name`."""


class ReadSpec(Spec):
    """How the bytes of an object are to be read. Everything left out is detected from the content."""

    format: str | None = None
    """Name of a format in base_ops/worker/formats/, e.g. csv, ndjson, parquet; default: detected."""
    unknown: Literal["raw_text", "refuse"] = "raw_text"
    """An object of no known format, where neither format nor columns are declared: keep its lines as text, with a
    finding and an event raw_text; or refuse it."""
    encoding: str | None = None
    """Text encoding, e.g. utf-8, latin-1, utf-16; default: detected."""
    delimiter: str | None = None
    """One character between cells; default: detected."""
    quote: str | None = None
    """Quote character; '' for none; default: detected."""
    escape: str | None = None
    """Escape character inside quotes; default: the quote doubled."""
    header: bool | None = None
    """Whether the first record names the columns; default: detected."""
    columns: tuple[ColumnSpec, ...] | None = None
    """The columns in file order (delimited) or by name; default: all, with inferred types."""
    skip_lines: int = Field(0, ge=0)
    """Lines before the header or first record that are not data."""
    comment: str | None = None
    """Lines that begin with this are not data."""
    null_values: tuple[str, ...] = ("", "NULL", "null", "N/A", "NA", "None", "nil")
    """Unquoted cells that mean 'no value'. A quoted empty cell is an empty string, not null."""
    decimal: Literal[".", ","] | None = None
    """Decimal separator; default: detected."""
    sample_rows: int = Field(10_000, ge=1)
    """Records looked at to infer types."""
    max_record_bytes: int = Field(1 << 20, ge=64)
    """A longer record goes to quarantine unread, bytes."""
    max_columns: int = Field(5_000, ge=1)
    """A delimited object with more columns is refused."""
    max_unpacked_bytes: int = Field(10 << 30, ge=1)
    """A compressed object may unpack to at most this, bytes."""
    max_ratio: float = Field(100.0, gt=1)
    """Unpacked to packed size at most, for objects that unpack to more than 10 MiB."""
    records: str | None = None
    """JSON: path of the list of records, e.g. data.items; default: the top-level list or object."""
    nested: Literal["flatten", "keep"] = "flatten"
    """JSON: flatten nested objects to a.b columns, or keep them as structs."""
    xml: XmlOptions = Field(default_factory=XmlOptions)
    fixed_width: FixedWidthOptions | None = None
    cobol: CobolOptions | None = None
    sql_dump: SqlDumpOptions = Field(default_factory=SqlDumpOptions)
    fix: FixOptions = Field(default_factory=FixOptions)
    swift_mt: SwiftMtOptions = Field(default_factory=SwiftMtOptions)
    syslog: SyslogOptions = Field(default_factory=SyslogOptions)
    email: EmailOptions = Field(default_factory=EmailOptions)
    workbook: WorkbookOptions = Field(default_factory=WorkbookOptions)
    pdf: PdfOptions = Field(default_factory=PdfOptions)
    document: DocumentOptions = Field(default_factory=DocumentOptions)
    tiff: TiffOptions = Field(default_factory=TiffOptions)
    parquet: ParquetOptions = Field(default_factory=ParquetOptions)
    avro: AvroOptions = Field(default_factory=AvroOptions)
    protobuf: ProtobufOptions | None = None
