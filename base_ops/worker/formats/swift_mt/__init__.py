"""SWIFT MT messages: customer statements (MT940, MT950, interim MT942) and payments (MT103, MT202, MT202 COV).

    {1:F01…}{2:I940…}{3:…}{4:            blocks may be missing: files of fields alone are read as well,
    :20:…  :25:…  :61:…                  with a line `-` (or the next :20:) between messages
    -}{5:{CHK:…}}

Statements give one row per statement line (:61: with its :86:), the statement's own fields (account, numbers,
opening, closing and available balance) on each, its free texts on the first; a statement without lines gives one row
whose line columns are null.
Amounts are decimals, negative for D and RC. Dates get the year that is nearest. What :86: holds in sub-fields (?20,
/EREF/, EREF+) stands in columns of its own beside the text as it came. Opening balance plus lines must be the closing
balance: `balanced` says so on each row, and where it is not, a finding of severity error. A line that cannot be read
is refused; a statement field that cannot (or comes twice) is kept in `other_fields`, with a finding.

Payments give one row per message, the parts of each field in columns of their own; one that is cut off or does not
keep the field formats is refused. BICs and the CHK trailer are checked for their shape only.

Limits: a field has at most max_record_bytes, a message 64 MiB. Options: encoding, read.swift_mt.message_type.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_BLOCKS = re.compile(rb"\{1:[FAL]\d\d[A-Z0-9]{12}")
_FIELD = re.compile(rb"^:(?:20|21|25P?|28C?|32A|34F|6[0245][FM]?|61|86|13D|NS):", re.M)
_FIRST = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*:(?:20|25P?|28C?|34F|60[FM]?|61|62[FM]?|64|65|86):[^\r\n]")


class SwiftMtFormat:
    """SWIFT MT messages."""

    name = "swift_mt"
    suffixes = (".sta", ".mt940", ".940", ".mt942", ".mt950", ".950", ".mt103", ".mt202", ".fin", ".swi")

    def sniff(self, head: bytes, name: str) -> float:
        """By a basic header block, or by fields that begin lines."""
        if _BLOCKS.match(head.lstrip(b"\xef\xbb\xbf\x01 \r\n")):
            return 0.98
        found = set(_FIELD.findall(head[: 1 << 14]))
        if b":20:" in found and len(found) > 2:
            return 0.97
        if _FIRST.match(head):
            return 0.9
        return 0.6 if len(found) > 2 else 0.0

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        from base_ops.worker.formats.swift_mt.reader import SwiftMtReader

        return SwiftMtReader(source, spec)


FORMAT = SwiftMtFormat()
