"""Options of office documents."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec


class WorkbookOptions(Spec):
    """read.workbook: which cells of a workbook (XLSX, XLS) are read."""

    sheet: str | None = None
    """Name of the sheet; default: the only visible one with data, or all of them where they have the same columns."""
    header_row: int | None = Field(None, ge=1)
    """Row of the sheet that names the columns, counted from 1; default: found. Rows above it are no records."""
    range: str | None = None
    """Cells to read, e.g. B3:F100; default: all."""
    allow_macros: bool = False
    """Read workbooks and documents that hold macros; they are never run."""
    allow_external_links: bool = False
    """Read workbooks that link to others; links are never followed, what was stored of them is read."""
    max_bytes: int | None = Field(None, ge=1)
    """A larger file is refused, bytes; default: 100 MiB (XLSX), 50 MiB (XLS)."""


class PdfOptions(Spec):
    """read.pdf: what is read of a PDF."""

    content: Literal["text", "tables", "metadata"] = "text"
    """text (one row per page), tables (rows of its tables) or metadata (one row)."""
    pages: str | None = None
    """Pages to read, e.g. 1-3,7; default: all."""
    max_bytes: int = Field(50 << 20, ge=1)
    """A larger file is refused, bytes."""
    max_pages: int = Field(2_000, ge=1)
    """A PDF with more pages is refused."""
    page_timeout_s: float = Field(10.0, gt=0)
    """A page that takes longer is refused as a record, seconds."""


class DocumentOptions(Spec):
    """read.document: what is read of a text document (DOCX)."""

    content: Literal["paragraphs", "tables", "metadata"] = "paragraphs"
    """paragraphs (one row each, those in table cells too), tables (rows of its tables) or metadata (one row)."""
    table: int | None = Field(None, ge=1)
    """tables: number of the only table to read, counted from 1; default: all."""
    allow_macros: bool = False
    """Read documents that hold macros; they are never run."""
    max_bytes: int = Field(50 << 20, ge=1)
    """A larger file is refused, bytes."""


class TiffOptions(Spec):
    """read.tiff: limits of a TIFF or GeoTIFF."""

    max_bytes: int = Field(10 << 30, ge=1)
    """A larger file is refused, bytes."""
    max_pages: int = Field(10_000, ge=1)
    """A TIFF with more pages (image file directories) is refused."""
    page_timeout_s: float = Field(10.0, gt=0)
    """A TIFF with a page that takes longer is refused, seconds."""
