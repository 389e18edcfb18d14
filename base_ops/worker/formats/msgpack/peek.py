"""How surely bytes begin with maps whose keys are texts."""

from __future__ import annotations

import msgpack

_ENOUGH = 5
_WHOLE, _PART = 0.97, 0.85


def certainty(head: bytes) -> float:
    """Above 0 where the first objects are maps with texts as keys, at the top or in one array; the last may be cut off.

    One whole map with printable keys cannot be chance: it is past what statistics of bytes may overrule.
    """
    unpacker = msgpack.Unpacker(strict_map_key=True, unicode_errors="strict", ext_hook=msgpack.ExtType, timestamp=0)
    unpacker.feed(head)
    sure = 0.0
    try:
        in_array = 0x90 <= head[0] <= 0x9F or head[0] in (0xDC, 0xDD)
        records = unpacker.read_array_header() if in_array else _ENOUGH
        for number in range(min(records, _ENOUGH)):
            if not _is_record(unpacker, is_first=number == 0):
                return 0.0
            sure = _WHOLE
    except msgpack.OutOfData:
        return sure or _PART
    except (ValueError, TypeError, msgpack.UnpackException):
        return 0.0
    return sure


def _is_record(unpacker: msgpack.Unpacker, is_first: bool) -> bool:
    """Raises OutOfData at the end, but not before the first key and value were seen."""
    try:
        fields = unpacker.read_map_header()
    except msgpack.OutOfData:
        if is_first:
            return False
        raise
    for number in range(fields):
        try:
            key = unpacker.unpack()
            if not isinstance(key, str) or not key.isprintable():
                return False
            unpacker.unpack()
        except msgpack.OutOfData:
            if is_first and number == 0:
                return False
            raise
    return fields > 0 or not is_first
