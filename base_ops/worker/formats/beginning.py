"""The beginning of a great object as an object of its own, for formats whose readers look at all records to know the
columns. It is cut where a record ends, and what was open is closed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

from base_ops.core.protocol import Finding
from base_ops.worker.formats.base import ByteSource

LIMIT_BYTES = 1 << 17
_JSON = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[][{},]', re.DOTALL)
_XML = re.compile(
    rb"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)|<(?P<close>/?)(?P<tag>[^\s/<>!?]+)[^<>]*>",
    re.DOTALL,
)  # what is cut off runs to the end: no place is looked at twice
_YAML_ITEM = re.compile(rb"\n(?=[^\s#])")
_SWIFT_END = re.compile(rb"\n-\}?[^\n]*\n")
_FIX_END = re.compile(rb"[\x01|;^]10=[0-9]{3}[\x01|;^][\r\n]*")
_Places = dict[int, tuple[int, bytes]]
"""By depth: the last place where a value ends, and what closes all that is open there."""


def beginning(source: ByteSource, format: str) -> ByteSource | None:
    """The first LIMIT_BYTES or fewer; None where the object is no longer, or its reader is quick anyway."""
    cut = _CUTS.get(format)
    if cut is None:
        return None
    head = source.head(LIMIT_BYTES + 1)
    data = cut(head[:LIMIT_BYTES]) if len(head) > LIMIT_BYTES else b""
    if not data:
        return None
    message = f"{source.name}: columns and types as the first {LIMIT_BYTES >> 10} KiB show them"
    found = (*source.findings, Finding(code="beginning_only", message=message, data={"bytes": LIMIT_BYTES}))
    return replace(source, size=len(data), opener=lambda: io.BytesIO(data), local=None, findings=found)


def _json(head: bytes) -> bytes:
    places: _Places = {}
    open_: list[bytes] = []
    for found in _JSON.finditer(head):
        token = found[0]
        if token in (b"{", b"["):
            open_.append(b"}" if token == b"{" else b"]")
        elif token in (b"}", b"]"):
            if not open_ or open_.pop() != token:
                return b""
        elif token == b",":
            places[len(open_)] = (found.start(), b"".join(reversed(open_)))
    return _cut_at(head, places)


def _xml(head: bytes) -> bytes:
    places: _Places = {}
    open_: list[bytes] = []
    for found in _XML.finditer(head):
        if found["tag"] is None:
            continue
        if found["close"]:
            if not open_ or open_.pop() != found["tag"]:
                return b""
        elif not found[0].endswith(b"/>"):
            open_.append(found["tag"])
            continue
        if open_:
            places[len(open_)] = (found.end(), b"".join(b"</%s>" % tag for tag in reversed(open_)))
    return _cut_at(head, places)


def _cut_at(head: bytes, places: _Places) -> bytes:
    """Cut where the greatest values end, as far as that keeps most of it."""
    for _, (place, closing) in sorted(places.items()):
        if place > len(head) // 2:
            return head[:place] + closing
    return b""


def _before(item: re.Pattern[bytes]) -> Callable[[bytes], bytes]:
    return lambda head: head[: max((found.start() + 1 for found in item.finditer(head)), default=0)]


def _after(end: re.Pattern[bytes]) -> Callable[[bytes], bytes]:
    return lambda head: head[: max((found.end() for found in end.finditer(head)), default=0)]


_CUTS: dict[str, Callable[[bytes], bytes]] = {
    **dict.fromkeys(("json", "jsonapi"), _json),
    **dict.fromkeys(("xml", "soap", "fpml", "fixml", "iso20022"), _xml),
    "yaml": _before(_YAML_ITEM),
    "swift_mt": _after(_SWIFT_END),
    "fix": _after(_FIX_END),
    "sql_dump": lambda head: head[: head.rfind(b";\n") + 1],
}
