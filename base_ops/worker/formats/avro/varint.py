"""Avro's integers: zig-zag, seven bits a byte, the least significant first; at most ten bytes."""

from __future__ import annotations

from typing import BinaryIO

_MOST = 10


class UVarints:
    """Unsigned integers out of bytes, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def next(self) -> int:
        """-1 where there is none."""
        value = 0
        for place, byte in enumerate(self._data[self.at : self.at + _MOST]):
            value |= (byte & 0x7F) << (7 * place)
            if not byte & 0x80:
                self.at += place + 1
                return value
        return -1


def read_long(file: BinaryIO) -> int | None:
    """The next long of a file; None at its end. Raises ValueError where it ends inside, or is longer than 64 bits."""
    value = 0
    for place in range(_MOST):
        byte = file.read(1)
        if not byte:
            if place == 0:
                return None
            raise ValueError("the file ends inside a number")
        value |= (byte[0] & 0x7F) << (7 * place)
        if not byte[0] & 0x80:
            if value >> 64:
                break
            return (value >> 1) ^ -(value & 1)
    raise ValueError("a number has more than 64 bits")


def long_bytes(value: int) -> bytes:
    """A long, encoded."""
    left = ((value << 1) ^ (value >> 63)) & ((1 << 64) - 1)
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)
