"""Which encoding a text is in, judged by its first bytes."""

from __future__ import annotations

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PROBE_BYTES = 1 << 16
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_WESTERN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿŠšŽžŒœ€£¥§°±²³µ·¹º»¼½¾«®©™–—‘’“”„…•\xa0¿¡ª]*\Z")
_ALIASES = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8", "ascii": "utf-8"}


def byte_order_mark(head: bytes) -> tuple[str, int]:
    """(encoding, length) of a byte-order mark; ('', 0) where there is none."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    return "", 0


def settle_encoding(head: bytes, declared: str | None, *, complete: bool) -> tuple[str, int]:
    """Encoding (a codec with a fixed byte order) and length of the byte-order mark.

    Args:
        declared: a Python codec name; the mark still tells the byte order.
        complete: `head` is the whole object.
    """
    marked, length = byte_order_mark(head)
    if declared is None:
        return (marked, length) if marked else (guess_encoding(head, complete=complete), 0)
    name = codecs.lookup(declared).name
    plain = _ALIASES.get(name, name)
    if marked and marked.split("-")[:2] == plain.split("-")[:2]:
        return marked, length
    if name in ("utf-16", "utf-32"):
        return _by_nulls(head) or plain, 0
    return plain, 0


def guess_encoding(head: bytes, *, complete: bool) -> str:
    """UTF-8 where it holds (or nearly), UTF-16/32 by their NULs, else Western, else as charset-normalizer finds."""
    if wide := _by_nulls(head):
        return wide
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=complete)
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8"
    high = sum(byte >= 0x80 for byte in head)
    valid = sum(len(found) for found in _MULTIBYTE.findall(head))
    if valid > 0.5 * high:
        return "utf-8"  # some lines are damaged
    lines = b"\n".join(line for line in head.splitlines() if not line.isascii())[:_PROBE_BYTES]
    text = lines.decode("cp1252", "replace")
    marks = "".join(re.findall(r"[^\x00-\x7f]", text))
    western = _WESTERN.match(marks) and len(marks) <= len(re.findall(r"[A-Za-z]", text)) + 1
    if western and not re.fullmatch(r"[ÿþ]*", marks):
        return "cp1252"
    return _last_resort(lines)


def _by_nulls(head: bytes) -> str | None:
    probe = head[:_PROBE_BYTES]
    probe = probe[: len(probe) // 4 * 4]
    if len(probe) < 4:
        return None
    share = [probe[i::4].count(0) / (len(probe) / 4) for i in range(4)]
    if share[0] < 0.1 and min(share[2:]) > 0.9:
        return "utf-32-le"
    if share[3] < 0.1 and min(share[:2]) > 0.9:
        return "utf-32-be"
    even, odd = (share[0] + share[2]) / 2, (share[1] + share[3]) / 2
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    if even > 0.4 and odd < 0.05:
        return "utf-16-be"
    return None


def _last_resort(lines: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(lines).best() if len(lines) > 64 else None  # less says nothing: bytes that are damaged
    return codecs.lookup(best.encoding).name if best is not None else "utf-8"
