"""Excel 97 workbooks and older (XLS, BIFF 2 to 8), by way of xlrd: as XLSX (see there), with the limits of the format.

Limits: 50 MiB, 65,536 rows, 256 columns, 50 sheets. Workbooks before Excel 97 have texts in the code page they name
(Windows-1252 where they name none; read.encoding says otherwise). A formula that was never calculated is told by its
empty result in a workbook that no calculation left a trace in. Passwords and macros are refused. Also says of XLSX
and DOCX files with a password what they are: such a file is an OLE file, too. Options: read.workbook.
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BARE = (b"\x09\x00\x04\x00", b"\x09\x02\x06\x00", b"\x09\x04\x06\x00", b"\x09\x08\x08\x00", b"\x09\x08\x10\x00")
"""How a workbook begins that lies in no OLE file."""


def _wide(name: str) -> bytes:
    return name.upper().encode("utf-16-le")


class XlsFormat:
    """Excel 97 workbooks and older."""

    name = "xls"
    suffixes = (".xls", ".xlt")

    def sniff(self, head: bytes, name: str) -> float:
        """By the names of the streams in an OLE file, where its directory is near its beginning."""
        if head.startswith(_BARE):
            return 0.9
        if not head.startswith(_OLE):
            return 0.0
        head = head.upper()
        if _wide("Workbook\0") in head or _wide("Book\0") in head or _wide("EncryptedPackage\0") in head:
            return 1.0
        if _wide("WordDocument\0") in head or _wide("PowerPoint Document\0") in head or _wide("__properties_") in head:
            return 0.1
        return 0.7 if name.lower().endswith(self.suffixes) else 0.4

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where the object is no workbook, is damaged, or holds what is refused."""
        from base_ops.worker.formats.xls.reader import open_workbook

        return open_workbook(source, spec)


FORMAT = XlsFormat()
