"""Tar archives: their headers are read once, and each file is a window of the archive."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from base_ops.core.errors import BadInput
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.bounded import reading_error
from base_ops.worker.formats.zips import check_member, link

_BLOCK = tarfile.BLOCKSIZE
_HEADER_BYTES = 1 << 20
"""No header, extended ones included, is larger."""


def is_tar(head: bytes) -> bool:
    """By the magic of POSIX and GNU; older ones have none, but a check sum that holds."""
    if head[257:262] == b"ustar":
        return True
    field = head[148:156].strip(b" \0")
    if len(head) < _BLOCK or not head[0] or not field or not all(byte in b"01234567" for byte in field):
        return False
    return int(field, 8) == sum(head[:148]) + sum(head[156:_BLOCK]) + 8 * 0x20


def tar_files(path: Path, name: str) -> Iterator[tuple[str, int, int]]:
    """Name, place and size of each file.

    Raises:
        BadInput: truncated, damaged, path_escape.
    """
    total = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        try:
            with tarfile.open(fileobj=cast(Any, _Headers(file)), mode="r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # not kept: there may be very many
                    check_member(name, member.name)
                    if not (member.isreg() or member.isdir()) or member.issparse():
                        raise link(name, member.name)
                    if member.offset_data + member.size > total:
                        raise tarfile.ReadError("unexpected end of data")
                    if member.isreg():
                        yield member.name, member.offset_data, member.size
                end = archive.offset
        except BadInput:
            raise
        except (tarfile.TarError, EOFError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise reading_error(error, name) from None
        _check_end(file, end, name)


def first_file(source: ByteSource) -> ByteSource | None:
    """The first file of an archive that may only be read forwards, if it is not empty; None where there is none."""
    with source.open() as file:
        try:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                member = next((m for m in archive if m.isreg() and m.size and not m.issparse()), None)
        except (tarfile.TarError, EOFError, ValueError, IndexError, OverflowError, RecursionError) as error:
            raise reading_error(error, source.name) from None
    if member is None:
        return None
    check_member(source.name, member.name)
    start, size = member.offset_data, member.size

    @contextmanager
    def open_member() -> Iterator[BinaryIO]:
        with source.open() as file, _Window(file, start, size) as window:
            yield cast(BinaryIO, window)

    return ByteSource(member.name, size, open_member)


def _check_end(file: BinaryIO, end: int, name: str) -> None:
    """An archive ends with blocks of zeros; where it does not, files are missing, or a header is damaged."""
    file.seek(end)
    block = file.read(_BLOCK)
    if block.strip(b"\0"):
        raise reading_error(tarfile.ReadError(f"no header at byte {end}"), name)
    if len(block) < _BLOCK:
        raise reading_error(EOFError("the blocks that end an archive are missing"), name)


def tar_member(path: Path, name: str, start: int, size: int, keep: object) -> ByteSource:
    """One file of an archive; `keep` lives as long as it can be opened."""

    @contextmanager
    def open_member() -> Iterator[BinaryIO]:
        assert keep is not None
        with path.open("rb", buffering=0) as file, _Window(file, start, size) as window:
            yield cast(BinaryIO, window)

    return ByteSource(name, size, open_member)


class _Headers(io.RawIOBase):
    """What tarfile reads of an archive whose files it skips: headers, which are not large."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


class _Window(io.RawIOBase):
    """Some bytes of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._start + self._at)
        parts: list[bytes] = []
        while wanted > 0 and (part := self._file.read(wanted)):
            parts.append(part)
            wanted -= len(part)
            self._at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
