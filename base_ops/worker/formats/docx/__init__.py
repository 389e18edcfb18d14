"""Word documents (DOCX), ECMA-376: options read.document.

    content: paragraphs   one row per paragraph with text: paragraph (number), style, table (null outside of one), text
    content: tables       one row per row of a table: _table, and its cells
    content: metadata     one row: title, author, …, created, modified

Text is as it stands with all changes accepted; headers, footers, notes and comments are not read. The value of a merged
cell is in its first one. Nothing outside the file is fetched. Passwords and macros (DOCM) are refused. Limit: 50 MiB.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.office.packages import package_likelihood


class DocxFormat:
    """Word documents."""

    name = "docx"
    suffixes = (".docx", ".docm", ".dotx", ".dotm")

    def sniff(self, head: bytes, name: str) -> float:
        return package_likelihood(head, "word", by_name=name.lower().endswith(self.suffixes))

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is no document, is damaged, or holds what is refused."""
        from base_ops.worker.formats.docx.reader import open_document

        return open_document(source, spec)


FORMAT = DocxFormat()
