"""Which encoding a text is in, judged by its first bytes."""

from __future__ import annotations

import codecs
import re

from base_ops.core.protocol import Finding
from base_ops.worker.formats.alphabets import by_alphabet
from base_ops.worker.formats.delimited.dialect import Dialect
from base_ops.worker.formats.ideographs import by_characters

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PROBE_BYTES = 1 << 16
_SURE, _SURE_DISTINCT = 8, 2
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_ALIASES = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8", "ascii": "utf-8"}


def byte_order_mark(head: bytes) -> tuple[str, int]:
    """(encoding, length) of a byte-order mark; ('', 0) where there is none."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    return "", 0


def settle_encoding(head: bytes, declared: str | None, *, complete: bool) -> tuple[str, int]:
    """Encoding (a codec with a fixed byte order) and length of the byte-order mark.

    A declaration holds but where the bytes prove it wrong: by a byte-order mark, by NULs in every other byte or none,
    or by being UTF-8 throughout where a single-byte encoding was declared.

    Args:
        declared: a Python codec name; the mark still tells the byte order.
        complete: `head` is the whole object.
    """
    marked, length = byte_order_mark(head)
    if marked:
        return marked, length
    if declared is None:
        return guess_encoding(head, complete=complete), 0
    name = codecs.lookup(declared).name
    plain = _ALIASES.get(name, name)
    if wide := encoding_by_nulls(head):
        return wide, 0
    if plain.startswith(("utf-16", "utf-32")):  # in which a delimiter has a NUL, whatever the language
        return (plain if b"\0" in head else guess_encoding(head, complete=complete)), 0
    return ("utf-8" if _is_single_byte(plain) and _is_surely_utf8(head, complete=complete) else plain), 0


def encoding_findings(source: str, declared: str | None, dialect: Dialect) -> list[Finding]:
    """What a person should know of how the encoding was settled."""
    used = dialect.encoding
    if declared is None:
        if used.startswith("utf"):
            return []
        message = f"{source}: the bytes are not UTF-8; taken for {used}, by which letters occur"
        data = {"encoding": used, "todo": "declare read.encoding"}
        return [Finding(code="encoding_guessed", message=message, severity="warning", data=dict(data))]
    name = codecs.lookup(declared).name
    if _ALIASES.get(name, name).split("-")[:2] == used.split("-")[:2]:
        return []
    message = f"{source}: read.encoding={declared!r}, but the bytes are {used}, and were read so"
    data = {"declared": declared, "encoding": used, "todo": "correct read.encoding or leave it out"}
    return [Finding(code="encoding_disagrees", message=message, severity="warning", data=dict(data))]


def _is_single_byte(name: str) -> bool:
    return name.startswith(("iso8859", "cp12", "cp8", "cp4", "koi8", "mac", "latin"))


def _is_surely_utf8(head: bytes, *, complete: bool) -> bool:
    """Valid throughout, with so many different characters of several bytes that it cannot be chance."""
    found = _MULTIBYTE.findall(head)
    if len(found) < _SURE or len(set(found)) < _SURE_DISTINCT:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=complete)
    except UnicodeDecodeError:
        return False
    return True


def guess_encoding(head: bytes, *, complete: bool) -> str:
    """UTF-8 where it holds (or nearly), UTF-16/32 by their NULs, else by alphabet or ideographs, else as
    charset-normalizer finds."""
    if wide := encoding_by_nulls(head):
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
    return by_alphabet(lines) or by_characters(lines) or _last_resort(lines)


def encoding_by_nulls(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, by where the zeros of its plain characters stand; else None."""
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
