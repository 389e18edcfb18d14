"""Excel workbooks (XLSX, XLSM), ECMA-376: one row per row of a sheet, with the stored value of every cell.

    zip ─ office/package.py: refuses what is hostile ─ workbook.py: sheets, styles, shared texts
      └─ sheet XML ─ stream.py: blocks of rows ─ scan.py (numpy) or rows.py (XML parser) ─► Cells ─ office/ ─► Batch

Numbers are as stored (integers exactly, others as float64); whether a number is a date, time or duration is what its
number format says, in the 1900 or 1904 system. Formulas count by their stored results. #N/A is no value; another error,
or a formula that was never calculated, refuses its row. The type of a column is the one 95 % of its first cells have.
A merged cell has its value in its first cell. Hidden sheets are not read; hidden rows and columns are. Findings tell.

Limits: 100 MiB, 50 sheets, 1,048,576 rows, 16,384 columns, 512 MiB of shared texts, ReadSpec.max_ratio. Passwords,
macros and links to other workbooks are refused. Options: read.workbook, read.columns, header, skip_lines, null_values.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"
_PART = re.compile(rb"PK\x03\x04.{26}(xl[/\\]|\[Content_Types\]\.xml|_rels/|docProps/)", re.S | re.I)


class XlsxFormat:
    """Excel workbooks."""

    name = "xlsx"
    suffixes = (".xlsx", ".xlsm", ".xltx", ".xltm")

    def sniff(self, head: bytes, name: str) -> float:
        """By the names of the first parts of the package; one with a password is an OLE file, and only named so."""
        by_name = name.lower().endswith(self.suffixes)
        if head.startswith(_OLE):
            return 0.2 if by_name else 0.0
        if not head.startswith(_ZIP):
            return 0.0
        parts = {found.lower() for found in _PART.findall(head)}
        if b"xl/" in parts or b"xl\\" in parts:
            return 1.0
        return (0.9 if by_name else 0.1) if parts else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is no workbook, is damaged, or holds what is refused."""
        from base_ops.worker.formats.xlsx.reader import open_workbook

        return open_workbook(source, spec)


FORMAT = XlsxFormat()
