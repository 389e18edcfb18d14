"""COBOL data files: records of bytes that a copybook describes.

    read: {format: cobol, encoding: cp037, cobol: {copybook: "01 REC. 05 ID PIC 9(5). 05 AMT PIC S9(7)V99 COMP-3."}}

Read are texts (PIC X, A, N, edited), zoned decimals with the sign punched over or in a byte of its own, packed and
binary decimals, IBM and IEEE floats; OCCURS (one column per occurrence: amount_1, amount_2 …), OCCURS DEPENDING ON,
REDEFINES; EBCDIC (cp037, cp273, cp500, cp1047, cp1140 …) and ASCII; records of fixed length, behind descriptor words
(V, VB) or one per line. Decimals are exact. A number whose bytes are none refuses its record, with its number; a
DISPLAY item of nothing but blanks, LOW-VALUES or HIGH-VALUES is null. Without an encoding, EBCDIC or ASCII is found by
the texts and zoned numbers of the first records; where there are none, floats are not guessed.
Columns are named after the items, in lower case with underscores, qualified by their groups where needed. Declared
columns may give digits a type (`type: date, format: "%Y%m%d"`).
"""

from __future__ import annotations

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource

_POSSIBLE = 0.1
_EBCDIC = bytes([0x40, *range(0xC1, 0xCA), *range(0xD1, 0xDA), *range(0xE2, 0xEA), *range(0xF0, 0xFA),
                 *range(0x81, 0x8A), *range(0x91, 0x9A), *range(0xA2, 0xAA)])  # fmt: skip
_ASCII = bytes([0x20, *range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B)])
_OTHERS = (
    b"PAR1",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"%PDF-",
    b"\x89PNG",
    b"ARROW1",
    b"Obj\x01",
    b"ORC",
    b"\xd0\xcf\x11\xe0",
)


def alphanumerics(head: bytes) -> tuple[int, int]:
    """How many bytes are letters, digits and blanks of EBCDIC, and of ASCII."""
    return tuple(len(head) - len(head.translate(None, of)) for of in (_EBCDIC, _ASCII))  # type: ignore[return-value]


class CobolFormat:
    """Data files of COBOL programs."""

    name = "cobol"
    suffixes = (".ebc", ".ebcdic")

    def sniff(self, head: bytes, name: str) -> float:
        """Only EBCDIC tells; the rest is possible where it is declared."""
        if not head or head.startswith(_OTHERS):
            return 0.0
        ebcdic, ascii = alphanumerics(head)
        return 0.5 if ebcdic > max(8, 0.4 * len(head), 2 * ascii) else _POSSIBLE

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Raises: ConfigError where there is no copybook, or it cannot be read."""
        from base_ops.worker.formats.cobol.reader import CobolReader

        return CobolReader(source, spec)


FORMAT = CobolFormat()
