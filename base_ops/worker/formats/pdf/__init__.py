"""PDF documents, by way of PDFium (text) and pdfplumber (tables): options read.pdf.

    content: text       one row per page: page, text (null where there is none)
    content: tables     one row per row of a table: _page, _table, and its cells
    content: metadata   one row: title, author, subject, …, created, modified, pages, version

Pages are read in a process of its own, bounded in memory (1.5 GiB) and in time per page: one that takes longer, or
crashes the library, is refused as a record. Nothing in a document is run or fetched. Pages without any text are a
finding (needs_ocr): reading scans is left to multimodal_processing. A document that needs a password is refused.

Limits: 50 MiB, 2,000 pages, 10 s per page, all configurable.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_MAGIC = b"%PDF-"


class PdfFormat:
    """PDF documents."""

    name = "pdf"
    suffixes = (".pdf",)

    def sniff(self, head: bytes, name: str) -> float:
        """By the header, which may stand behind up to 1 KiB of something else."""
        if head.startswith(_MAGIC):
            return 1.0
        return 0.85 if _MAGIC in head[:1024] and b"obj" in head else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is no PDF, is damaged, or needs a password."""
        from base_ops.worker.formats.pdf.reader import open_pdf

        return open_pdf(source, spec)


FORMAT = PdfFormat()
