"""OLE compound files: XLS and other old documents, and the envelope of documents with a password."""

from __future__ import annotations

import struct
from typing import NoReturn

from base_ops.core.errors import BadInput
from base_ops.worker.formats.base import ByteSource

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WORKBOOKS = ("WORKBOOK", "BOOK")
_ENCRYPTED = ("ENCRYPTEDPACKAGE", "ENCRYPTIONINFO")
_KINDS = {
    "WORDDOCUMENT": "a Word document",
    "POWERPOINT DOCUMENT": "a presentation",
    "__PROPERTIES_VERSION1.0": "a mail",
}
_MAX_SECTORS = 1 << 16
_FREE, _END = 0xFFFFFFFF, 0xFFFFFFFE


def ole_names(source: ByteSource) -> set[str]:
    """Names of the storages and streams in an OLE file, in capitals: their case means nothing (MS-CFB §2.6.4).

    As many as a damaged file still tells.
    """
    with source.open() as file:
        head = file.read(512)
        if len(head) < 512 or not head.startswith(OLE):
            return set()
        shift = struct.unpack_from("<H", head, 30)[0]
        if shift not in (9, 12):
            return set()
        size = 1 << shift

        def sector(number: int) -> bytes:
            file.seek((number + 1) << shift)
            return file.read(size)

        table = [n for n in struct.unpack_from("<109I", head, 76) if n < _END]
        names: set[str] = set()
        number, seen = struct.unpack_from("<I", head, 48)[0], 0
        while number < _END - 2 and seen < _MAX_SECTORS:
            data = sector(number)
            seen += 1
            for at in range(0, len(data) - 127, 128):
                length = struct.unpack_from("<H", data, at + 64)[0]
                if 2 <= length <= 64 and data[at + 66] in (1, 2):
                    names.add(data[at : at + length - 2].decode("utf-16-le", "replace").upper())
            where, place = divmod(number, size // 4)
            if where >= len(table):
                break
            next_number = sector(table[where])[4 * place : 4 * place + 4]
            if len(next_number) < 4:
                break
            number = struct.unpack("<I", next_number)[0]
        return names


def refuse_ole(source: ByteSource) -> NoReturn:
    """Raises: BadInput that says what an OLE file is that was taken for another document."""
    names = ole_names(source)
    if not names.isdisjoint(_ENCRYPTED):
        password_protected(source.name)
    kind = next((what for name, what in _KINDS.items() if name in names), "an old document or another OLE file")
    if not names.isdisjoint(WORKBOOKS):
        kind = "an XLS workbook"
    raise BadInput(
        f"{source.name} is {kind}",
        code="not_this_format",
        where=source.name,
        todo="correct read.format, or have it saved in the present format",
    )


def password_protected(name: str) -> NoReturn:
    """Raises BadInput."""
    raise BadInput(
        f"{name} is protected by a password",
        code="password_protected",
        where=name,
        todo="have the sender leave the password out, or decrypt it before collecting",
    ) from None
