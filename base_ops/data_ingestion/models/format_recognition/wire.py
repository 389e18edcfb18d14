"""How far bytes can be walked as MessagePack or as Protocol Buffers: binary formats without magic bytes."""

from __future__ import annotations

_LOOKED_AT = 2048
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4,
          0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}  # fmt: skip
_COUNTED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),
            0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}  # fmt: skip
_CONTAINERS = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


def msgpack_share(head: bytes) -> float:
    """How much like MessagePack the first bytes walk, from a map or an array on; 0 where they do not."""
    data = head[:_LOOKED_AT]
    if not data or not (0x80 <= data[0] <= 0x9F or data[0] in _CONTAINERS):
        return 0.0
    at, values = 0, 0
    while at < len(data):
        first = data[at]
        at += 1
        values += 1
        if first == 0xC1:
            return 0.0
        if 0xA0 <= first <= 0xBF:
            at += first & 0x1F
        elif first in _FIXED:
            at += _FIXED[first]
        elif first in _COUNTED:
            width, extra = _COUNTED[first]
            at += width + extra + int.from_bytes(data[at : at + width], "big")
        elif first in _CONTAINERS:
            at += _CONTAINERS[first]
    texts = _texts(data)
    return min(1.0, values / 8) * (0.5 + 0.5 * texts)


def _texts(data: bytes) -> float:
    starts = (i for i, byte in enumerate(data[:64]) if 0xA1 <= byte <= 0xBF)
    return 1.0 if any(data[i + 1 : i + 3].isalpha() for i in starts) else 0.0


def protobuf_share(head: bytes) -> float:
    """Share of the first bytes that are fields of one message, or of several with their lengths in front."""
    data = head[:_LOOKED_AT]
    return max(_fields(data, 0, len(data))[0], _framed(data))


def _framed(data: bytes) -> float:
    at, messages = 0, 0
    while at < len(data):
        size, after = _varint(data, at)
        if after < 0 or size == 0:
            return 0.0
        end = after + size
        share, fields = _fields(data, after, min(end, len(data)), cut=end > len(data))
        if share < 1.0 or (not fields and end <= len(data)):
            return 0.0
        at, messages = end, messages + 1
    return min(1.0, messages / 3)


def _fields(data: bytes, at: int, end: int, *, cut: bool = True) -> tuple[float, int]:
    """(1 where all bytes are fields, else 0; number of fields)."""
    fields = 0
    while at < end:
        key, after = _varint(data, at)
        kind, number = key & 7, key >> 3
        if after < 0 or not 0 < number < 1 << 15 or kind in (3, 4, 6, 7):
            return (1.0 if after < 0 and cut and end - at < 10 and fields > 2 else 0.0), fields
        if kind == 0:
            _, after = _varint(data, after)
            if after < 0:
                return (1.0 if cut and end - at < 12 and fields > 2 else 0.0), fields
        elif kind == 2:
            size, after = _varint(data, after)
            if after < 0:
                return 0.0, fields
            after += size
        else:
            after += 8 if kind == 1 else 4
        at, fields = after, fields + 1
    return (1.0 if (at == end or cut) and fields > 1 else 0.0), fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, place after it); the place is -1 where there is none."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return 0, -1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    return 0, -1
