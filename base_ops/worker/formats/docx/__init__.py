"""Word documents (DOCX), ECMA-376: options read.document.

    content: paragraphs   one row per paragraph with text: paragraph (number), style, table (null outside of one), text
    content: tables       one row per row of a table: _table, and its cells
    content: metadata     one row: title, author, …, created, modified

Text is as it stands with all changes accepted; headers, footers, notes and comments are not read. The value of a merged
cell is in its first one. Nothing outside the file is fetched. Passwords and macros (DOCM) are refused. Limit: 50 MiB.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"
_PART = re.compile(rb"PK\x03\x04.{26}(word[/\\]|\[Content_Types\]\.xml|_rels/|docProps/)", re.S | re.I)


class DocxFormat:
    """Word documents."""

    name = "docx"
    suffixes = (".docx", ".docm", ".dotx", ".dotm")

    def sniff(self, head: bytes, name: str) -> float:
        """By the names of the first parts of the package; one with a password is an OLE file, and only named so."""
        by_name = name.lower().endswith(self.suffixes)
        if head.startswith(_OLE):
            return 0.2 if by_name else 0.0
        if not head.startswith(_ZIP):
            return 0.0
        parts = {found.lower() for found in _PART.findall(head)}
        if b"word/" in parts or b"word\\" in parts:
            return 1.0
        return (0.9 if by_name else 0.1) if parts else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is no document, is damaged, or holds what is refused."""
        from base_ops.worker.formats.docx.reader import open_document

        return open_document(source, spec)


FORMAT = DocxFormat()
