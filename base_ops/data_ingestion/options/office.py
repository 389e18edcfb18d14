"""Options of office documents."""

from __future__ import annotations

from base_ops.core.spec import Spec


class WorkbookOptions(Spec):
    """read.workbook: which sheet of a workbook (XLSX, XLS) is read."""

    sheet: str | None = None
    """Name of the sheet; default: the only visible one, or all of them where they have the same columns."""


class PdfOptions(Spec):
    """read.pdf: what is read of a PDF."""

    content: str = "text"
    """text (one row per page), tables (rows of its tables) or metadata (one row)."""
