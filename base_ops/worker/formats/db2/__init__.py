"""DB2 load and export files in DEL form (ASC files are fixed-width; IXF is refused with what to do).

A DEL file is delimited text without a header whose forms are DB2's: numbers with a sign and leading zeros, dates
YYYYMMDD, times HH.MM.SS, timestamps YYYY-MM-DD-HH.MM.SS.NNNNNN (as well as the ISO forms). Texts stand in quotes, so
that digits in quotes stay text and digits without are numbers; an empty cell is null, an empty one in quotes a text.
Decimals keep their scale (exact). A column whose bare numbers all are days YYYYMMDD is read as dates and reported.
Everything else is the reader of delimited files with these settings; `columns` are declared by place.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.sniff import likelihood

_IXF = re.compile(rb"\d{6}HIXF\d{4}")
_STAMP = re.compile(rb"\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d(\.\d{1,12})?\b")
_NUMBER = re.compile(rb"(?:^|,)[+-]0\d+\.\d*(?=,|\r?$)", re.M)


class Db2Format:
    """DB2 DEL files."""

    name = "db2"
    suffixes = (".del", ".ixf")

    def sniff(self, head: bytes, name: str) -> float:
        """Delimited text with numbers or timestamps in DB2's own forms."""
        if _IXF.match(head):
            return 0.95
        if b"\0" in head:
            return 0.0
        lines = head.count(b"\n") + 1
        own = max(len(_STAMP.findall(head)), len(_NUMBER.findall(head)))
        named = name.lower().endswith(self.suffixes)
        if not named and own * 2 < lines:
            return 0.1 if own else 0.06
        return min(0.99, likelihood(head, name) + (0.1 if own * 2 >= lines else 0.02))

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: BadInput where it is an IXF file, or no delimited text."""
        from base_ops.worker.formats.db2.reader import read_del

        return read_del(source, spec)


FORMAT = Db2Format()
