"""Office documents that no library here writes."""

from __future__ import annotations

import struct


def encrypted_package() -> bytes:
    """An OLE file with the streams of a document that has a password."""
    names = ["Root Entry", "EncryptionInfo", "EncryptedPackage"]
    directory = b""
    for number, name in enumerate(names):
        wide = name.encode("utf-16-le") + b"\0\0"
        kind = 5 if number == 0 else 2
        directory += wide.ljust(64, b"\0") + struct.pack("<HBB", len(wide), kind, 1) + b"\xff" * 12 + b"\0" * 48
    directory = directory.ljust(512, b"\0")
    header = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 16 + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + b"\0" * 6
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<109I", 0, *[0xFFFFFFFF] * 108)
    table = struct.pack("<128I", 0xFFFFFFFD, 0xFFFFFFFE, *[0xFFFFFFFF] * 126)
    return header + table + directory
