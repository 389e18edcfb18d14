"""EBCDIC code pages: which there are, and the one that Python lacks (cp1047, z/OS Unix)."""

from __future__ import annotations

import codecs
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

EBCDIC = ("cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1047", "cp1140")
MARK = 0xFFFF
"""Stands for what an encoding does not know; a non-character, never in data."""
_CP1047_FROM_CP037 = ((0x5F, 0xB0), (0xAD, 0xBA), (0xBD, 0xBB))
"""IBM CDRA: the two pages differ in the places of ^ ¬ [ Ý ] ¨ only."""


@lru_cache(maxsize=1)
def _cp1047() -> str:
    table = list(bytes(range(256)).decode("cp037"))
    for left, right in _CP1047_FROM_CP037:
        table[left], table[right] = table[right], table[left]
    return "".join(table)


def _search(name: str) -> codecs.CodecInfo | None:
    if name not in ("cp1047", "ibm1047", "ibm_1047"):
        return None
    table = _cp1047()
    encoding = codecs.charmap_build(table)

    class Decoder(codecs.IncrementalDecoder):
        def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]
            return codecs.charmap_decode(data, self.errors, table)[0]

    return codecs.CodecInfo(
        encode=lambda text, errors="strict": codecs.charmap_encode(text, errors, encoding),
        decode=lambda data, errors="strict": codecs.charmap_decode(bytes(data), errors, table),
        incrementaldecoder=Decoder,
        name="cp1047",
    )


codecs.register(_search)
codecs.register_error("base_ops.mark", lambda error: (chr(MARK), error.end))  # type: ignore[attr-defined]


@lru_cache(maxsize=16)
def single_byte_table(encoding: str) -> NDArray[np.uint32] | None:
    """Code point of every byte (MARK where it has none); None where characters may take several bytes."""
    points = []
    for byte in range(256):
        text = codecs.getincrementaldecoder(encoding)("base_ops.mark").decode(bytes([byte]))
        if len(text) != 1:
            return None
        points.append(ord(text))
    return np.array(points, np.uint32)
