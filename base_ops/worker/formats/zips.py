"""Zip archives: their directories are checked before anything is unpacked, and read once."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.bounded import FREE_BYTES, Bounded, bomb, reading_error

_DIRECTORY_BYTES = 64 << 20
"""A directory is held in memory; each of its entries takes ten times its size there."""
_DOCUMENTS = {"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"}
"""A zip with one of these at its root is a document (xlsx, ods, jar), not an archive of objects."""


def check_member(archive: str, member: str) -> None:
    """Raises: BadInput where a member's path leaves its folder."""
    path = member.replace("\\", "/")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in PurePosixPath(path).parts or "\0" in path:
        raise BadInput(
            f"{archive} holds a member whose path leaves the archive",
            code="path_escape",
            where=archive,
            expected="relative paths without '..'",
            found=repr(member[:200]),
        )


def link(archive: str, member: str) -> BadInput:
    return BadInput(
        f"{archive} holds a link or device",
        code="path_escape",
        where=archive,
        expected="plain files",
        found=repr(member[:200]),
    )


@contextmanager
def open_zip(source: ByteSource) -> Iterator[zipfile.ZipFile]:
    """Raises: BadInput where it is damaged or truncated, or its directory is too large."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(source.open())
            _check_directory(file, source.name)
            archive = stack.enter_context(zipfile.ZipFile(file))
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
            raise BadInput(
                f"{source.name} is a damaged or truncated zip archive",
                code="truncated" if "not a zip file" in str(error).lower() else "damaged",
                where=source.name,
                found=str(error)[:200],
                todo="fetch the object again",
            ) from None
        yield archive


def _check_directory(file: BinaryIO, name: str) -> None:
    """By the record at the end of the archive (APPNOTE 4.3.16; zip64: 4.3.14, 4.3.15)."""
    end = file.seek(0, 2)
    file.seek(max(0, end - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at >= 0 and len(tail) >= at + 22:
        (size,) = struct.unpack_from("<L", tail, at + 12)
        if size == 0xFFFFFFFF and at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
            file.seek(min(end, struct.unpack_from("<Q", tail, at - 12)[0]))
            record = file.read(56)
            size = struct.unpack_from("<Q", record, 40)[0] if len(record) == 56 else 0
        if size > _DIRECTORY_BYTES:
            raise BadInput(
                f"{name} has a directory that is too large",
                code="zip_bomb",
                where=name,
                expected=f"at most {_DIRECTORY_BYTES} bytes",
                found=f"{size} bytes",
            )
    file.seek(0)


def is_document(archive: zipfile.ZipFile) -> bool:
    """Whether a zip is a document made of parts."""
    return not _DOCUMENTS.isdisjoint(archive.namelist())


def checked_zip(source: ByteSource, spec: ReadSpec) -> list[zipfile.ZipInfo]:
    """The files of a zip by its directory, which keeps to the limits.

    Raises:
        BadInput: zip_bomb, path_escape, password_protected, truncated, damaged.
    """
    with open_zip(source) as archive:
        return checked_files(archive, source, spec)


def checked_files(archive: zipfile.ZipFile, source: ByteSource, spec: ReadSpec) -> list[zipfile.ZipInfo]:
    """As `checked_zip`, of an open archive."""
    if any(not i.filename for i in archive.infolist()):
        raise BadInput(
            f"{source.name}: a member of the archive has no name",
            code="damaged",
            where=source.name,
            todo="fetch it again",
        )
    infos = [i for i in archive.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX/")]
    for info in infos:
        check_member(source.name, info.filename)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise link(source.name, info.filename)
        if info.flag_bits & 0x1:
            raise BadInput(
                f"{source.name}: {info.filename} is encrypted",
                code="password_protected",
                where=source.name,
                todo="have the sender leave the password out, or decrypt before collecting",
            )
    unpacked, packed = sum(i.file_size for i in infos), sum(i.compress_size for i in infos)
    if unpacked > spec.max_unpacked_bytes or (unpacked > FREE_BYTES and unpacked > spec.max_ratio * packed):
        raise bomb(source.name, f"{unpacked} bytes out of {packed}", spec)
    if source.size is not None and packed > source.size:
        raise bomb(source.name, "members that overlap", spec)
    return infos


def zip_heads(source: ByteSource, infos: list[zipfile.ZipInfo], size: int) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """The first bytes of files of a zip."""
    with open_zip(source) as archive:
        for info in infos:
            try:
                with archive.open(info) as file:
                    head = file.read(size)
            except Exception as error:
                raise reading_error(error, f"{source.name}/{info.filename}") from None
            yield info, head


def zip_member(source: ByteSource, info: zipfile.ZipInfo, spec: ReadSpec) -> ByteSource:
    """One file of a zip, unpacked while it is read, within the limits."""

    @contextmanager
    def open_member() -> Iterator[BinaryIO]:
        with open_zip(source) as archive, unpacked_member(archive, source.name, info, spec) as file:
            yield file

    return ByteSource(info.filename, info.file_size, open_member)


@contextmanager
def unpacked_member(
    archive: zipfile.ZipFile, archive_name: str, info: zipfile.ZipInfo, spec: ReadSpec
) -> Iterator[BinaryIO]:
    """A file of an open zip."""
    name = f"{archive_name}/{info.filename}"

    def start() -> Any:
        try:
            return archive.open(info)
        except Exception as error:
            raise reading_error(error, name) from None

    with Bounded(start, name, info.compress_size, spec) as file:
        yield cast(BinaryIO, file)
