"""Whether bytes begin with maps whose keys are texts."""

from __future__ import annotations

import msgpack

_ENOUGH = 5


def begins_with_maps(head: bytes) -> bool:
    """True where the first objects are maps with texts as keys, at the top or in one array; the last may be cut off."""
    unpacker = msgpack.Unpacker(strict_map_key=True, unicode_errors="strict", ext_hook=msgpack.ExtType, timestamp=0)
    unpacker.feed(head)
    try:
        in_array = 0x90 <= head[0] <= 0x9F or head[0] in (0xDC, 0xDD)
        records = unpacker.read_array_header() if in_array else _ENOUGH
        for number in range(min(records, _ENOUGH)):
            if not _is_record(unpacker, is_first=number == 0):
                return False
    except msgpack.OutOfData:
        return True
    except (ValueError, TypeError, msgpack.UnpackException):
        return False
    return records > 0


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
            if not isinstance(unpacker.unpack(), str):
                return False
            unpacker.unpack()
        except msgpack.OutOfData:
            if is_first and number == 0:
                return False
            raise
    return fields > 0 or not is_first
