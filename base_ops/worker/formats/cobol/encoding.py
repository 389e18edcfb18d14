"""Whether a file is EBCDIC or ASCII, told by the bytes that its copybook says are characters."""

from __future__ import annotations

from base_ops.core.errors import ConfigError
from base_ops.worker.formats.cobol import alphanumerics
from base_ops.worker.formats.cobol.framing import first_records
from base_ops.worker.formats.cobol.layout import Leaf, RecordLayout

_RECORDS = 1000


def guess_encoding(head: bytes) -> str:
    """By all bytes, also those of binary numbers, which look like either."""
    ebcdic, ascii = alphanumerics(head)
    return "cp037" if ebcdic >= ascii else "ascii"


def find_encoding(head: bytes, recfm: str, layout: RecordLayout, *, needs_floats: bool) -> str:
    """By the texts and zoned numbers of the first records.

    Args:
        needs_floats: the form of COMP-1 and COMP-2 follows from the encoding.

    Raises:
        ConfigError: encoding_unknown, where floats would be guessed.
    """
    if recfm == "text":
        return guess_encoding(head)
    places = [
        slice(leaf.place.fixed, leaf.place.fixed + leaf.size)
        for leaf in layout.leaves
        if _is_characters(leaf) and not leaf.place.terms and not leaf.present and not leaf.alternatives
    ]
    records = first_records(head, recfm, layout.most_bytes, _RECORDS)
    ebcdic, ascii = alphanumerics(b"".join(record[place] for record in records for place in places))
    if ebcdic != ascii:
        return "cp037" if ebcdic > ascii else "ascii"
    if needs_floats and any(leaf.item.usage in ("float", "double") for leaf in layout.leaves):
        raise ConfigError(
            "The form of COMP-1 and COMP-2 cannot be told: no text shows whether the file is EBCDIC or ASCII",
            code="encoding_unknown",
            where="read.encoding",
            todo="declare read.encoding or read.cobol.floats",
        )
    return guess_encoding(head)


def _is_characters(leaf: Leaf) -> bool:
    picture = leaf.item.picture
    if picture is None or picture.kind == "national" or leaf.item.usage == "national":
        return False
    return picture.kind != "number" or leaf.item.usage in (None, "display")
