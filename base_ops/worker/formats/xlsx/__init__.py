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

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.office.packages import package_likelihood


class XlsxFormat:
    """Excel workbooks."""

    name = "xlsx"
    suffixes = (".xlsx", ".xlsm", ".xltx", ".xltm")

    def sniff(self, head: bytes, name: str) -> float:
        return package_likelihood(head, "xl", by_name=name.lower().endswith(self.suffixes))

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is no workbook, is damaged, or holds what is refused."""
        from base_ops.worker.formats.xlsx.reader import open_workbook

        return open_workbook(source, spec)


FORMAT = XlsxFormat()
