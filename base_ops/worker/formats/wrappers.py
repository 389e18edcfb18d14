"""Compressed objects and archives, unwrapped while they are read: never to disk, never beyond the limits.

    gzip bz2 xz zstd lz4        one stream         zip tar        several members

What an object is wrapped in is told by its first bytes, not by its name; wrappers nest up to three deep.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.specs import ReadSpec
from base_ops.worker.formats.base import ByteSource

_DEPTH = 3
_FREE_BYTES = 10 << 20
"""Below this the ratio is not looked at."""
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)
_SUFFIXES = re.compile(r"\.(gz|gzip|bz2|xz|zst|zstd|lz4)$", re.I)
_DOCUMENTS = {"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"}
"""A zip with one of these at its root is a document (xlsx, ods, jar), not an archive of objects."""


def open_object(local_path: Path, name: str, spec: ReadSpec) -> list[ByteSource]:
    """The objects inside a local file: itself if it is not wrapped, else every member, in archive order.

    Raises:
        BadInput: zip_bomb, path_escape, nested_too_deep, password_protected, truncated, damaged, empty_object.
    """
    plain = ByteSource(name, local_path.stat().st_size, lambda: local_path.open("rb", buffering=0), local_path)
    return _unwrap(plain, spec, 0, local_path.stat().st_size)


def _unwrap(source: ByteSource, spec: ReadSpec, depth: int, packed: int) -> list[ByteSource]:
    kind = wrapper_of(source.head(512))
    if kind is None:
        return [source]
    if kind == "zip" and _is_document(source):
        return [source]
    if depth == _DEPTH:
        raise BadInput(f"{source.name} is wrapped more than {_DEPTH} deep", code="nested_too_deep", where=source.name)
    if kind == "zip":
        members = _zip_members(source, spec)
    elif kind == "tar":
        members = _tar_members(source, spec)
    else:
        members = [_stream(source, kind, spec, source.size or packed)]
    return [leaf for member in members for leaf in _unwrap(member, spec, depth + 1, packed)]


def wrapper_of(head: bytes) -> str | None:
    """Name of the wrapper that begins with `head` (512 bytes tell), or None."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind if kind != "bz2" or head[4:10] in (b"1AY&SY", b"\x17rE8P\x90") else None
    return "tar" if head[257:262] == b"ustar" else None


# -- limits


class _Bounded(io.RawIOBase):
    """A readable, seekable stream of unwrapped bytes that stops at the limits and names what is wrong."""

    def __init__(self, open_stream: Callable[[], Any], name: str, packed: int | None, spec: ReadSpec) -> None:
        self._open_stream, self._name, self._spec = open_stream, name, spec
        self._stream = open_stream()
        self._position = 0
        allowed = spec.max_unpacked_bytes
        if packed is not None:
            allowed = min(allowed, max(_FREE_BYTES, int(packed * spec.max_ratio)))
        self._allowed = allowed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """As many bytes as asked for, fewer only at the end."""
        wanted = sys.maxsize if size is None or size < 0 else size
        parts: list[bytes] = []
        while wanted > 0:
            try:
                part = self._stream.read(min(wanted, 1 << 22, self._allowed - self._position + 1))
            except Exception as error:
                raise _reading_error(error, self._name) from None
            if not part:
                break
            parts.append(part)
            wanted -= len(part)
            self._position += len(part)
            if self._position > self._allowed:
                raise _bomb(self._name, f"more than {self._allowed} bytes", self._spec)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            while self.read(1 << 20):
                pass
        target = offset if whence == io.SEEK_SET else self._position + offset
        if target < self._position:
            self._stream.close()
            self._stream, self._position = self._open_stream(), 0
        while self._position < target and self.read(min(1 << 20, target - self._position)):
            pass
        return self._position

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _bomb(name: str, found: str, spec: ReadSpec) -> BadInput:
    return BadInput(
        f"{name} unpacks to more than is allowed",
        code="zip_bomb",
        where=name,
        expected=f"at most {spec.max_unpacked_bytes} bytes and {spec.max_ratio:g} times the packed size",
        found=found,
        todo="if the object is sound, raise read.max_unpacked_bytes or read.max_ratio",
    )


def _reading_error(error: Exception, name: str) -> Exception:
    if isinstance(error, BadInput) or (isinstance(error, OSError) and error.errno is not None):
        return error  # the disk's fault, not the object's
    text = str(error).lower()
    short = isinstance(error, EOFError) or "truncat" in text or "end-of-stream" in text or "unexpected end" in text
    code, what = ("truncated", "ends too early") if short else ("damaged", "is damaged")
    return BadInput(f"{name} {what}", code=code, where=name, found=str(error)[:200], todo="fetch the object again")


# -- one stream


def _stream(source: ByteSource, kind: str, spec: ReadSpec, packed_bytes: int) -> ByteSource:
    name = _SUFFIXES.sub("", source.name)
    if name == source.name and name.lower().endswith(".tgz"):
        name = name[:-4] + ".tar"

    @contextmanager
    def open_unpacked() -> Iterator[BinaryIO]:
        with source.open() as packed:

            def start() -> Any:
                packed.seek(0)
                return _decompressed(packed, kind)

            with _Bounded(start, source.name, packed_bytes, spec) as file:
                yield cast(BinaryIO, file)

    return ByteSource(name, None, open_unpacked)


def _decompressed(packed: BinaryIO, kind: str) -> Any:
    if kind == "gzip":
        return gzip.GzipFile(fileobj=packed)
    if kind == "bz2":
        return bz2.BZ2File(packed)
    if kind == "xz":
        return lzma.LZMAFile(packed)
    if kind == "zstd" and sys.version_info >= (3, 14):
        from compression.zstd import ZstdFile

        return ZstdFile(packed)
    import pyarrow

    return pyarrow.input_stream(_Unclosed(packed), compression=kind)


class _Unclosed(io.RawIOBase):
    """Hands reads on and leaves closing to the owner."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._file.read(-1 if size is None else size)


# -- archives


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


def _link(archive: str, member: str) -> BadInput:
    return BadInput(
        f"{archive} holds a link or device",
        code="path_escape",
        where=archive,
        expected="plain files",
        found=repr(member[:200]),
    )


@contextmanager
def _zip(source: ByteSource) -> Iterator[zipfile.ZipFile]:
    with ExitStack() as stack:
        try:
            file = stack.enter_context(source.open())
            archive = stack.enter_context(zipfile.ZipFile(file))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BadInput(
                f"{source.name} is a damaged or truncated zip archive",
                code="truncated" if "not a zip file" in str(error).lower() else "damaged",
                where=source.name,
                found=str(error)[:200],
                todo="fetch the object again",
            ) from None
        yield archive


def _is_document(source: ByteSource) -> bool:
    with _zip(source) as archive:
        return not _DOCUMENTS.isdisjoint(archive.namelist())


def _zip_members(source: ByteSource, spec: ReadSpec) -> list[ByteSource]:
    with _zip(source) as archive:
        infos = [i for i in archive.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX/")]
    for info in infos:
        check_member(source.name, info.filename)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _link(source.name, info.filename)
        if info.flag_bits & 0x1:
            raise BadInput(
                f"{source.name}: {info.filename} is encrypted",
                code="password_protected",
                where=source.name,
                todo="have the sender leave the password out, or decrypt before collecting",
            )
    unpacked, packed = sum(i.file_size for i in infos), sum(i.compress_size for i in infos)
    if unpacked > spec.max_unpacked_bytes or (unpacked > _FREE_BYTES and unpacked > spec.max_ratio * packed):
        raise _bomb(source.name, f"{unpacked} bytes out of {packed}", spec)
    if source.size is not None and packed > source.size:
        raise _bomb(source.name, "members that overlap", spec)
    if not infos:
        raise BadInput(f"{source.name} holds no file", code="empty_object", where=source.name)
    return [_zip_member(source, info, spec) for info in infos]


def _zip_member(source: ByteSource, info: zipfile.ZipInfo, spec: ReadSpec) -> ByteSource:
    name = f"{source.name}/{info.filename}"

    @contextmanager
    def open_member() -> Iterator[BinaryIO]:
        with _zip(source) as archive:

            def start() -> Any:
                try:
                    return archive.open(info)
                except (zipfile.BadZipFile, NotImplementedError) as error:
                    raise _reading_error(error, name) from None

            with _Bounded(start, name, info.compress_size, spec) as file:
                yield cast(BinaryIO, file)

    return ByteSource(info.filename, info.file_size, open_member)


def _tar_members(source: ByteSource, spec: ReadSpec) -> list[ByteSource]:
    found: list[tuple[str, int]] = []
    with source.open() as file:
        for member in _tar_files(source, file):
            check_member(source.name, member.name)
            if not (member.isreg() or member.isdir()):
                raise _link(source.name, member.name)
            found.append((member.name if member.isreg() else "", member.size))
    if sum(size for _, size in found) > spec.max_unpacked_bytes:
        raise _bomb(source.name, f"{sum(size for _, size in found)} bytes", spec)
    files = [_tar_member(source, index, name, size, spec) for index, (name, size) in enumerate(found) if name]
    if not files:
        raise BadInput(f"{source.name} holds no file", code="empty_object", where=source.name)
    return files


def _tar_files(source: ByteSource, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(fileobj=file, mode="r|") as archive:
            yield from archive
    except (tarfile.TarError, EOFError) as error:
        raise _reading_error(error, source.name) from None


def _tar_member(source: ByteSource, index: int, name: str, size: int, spec: ReadSpec) -> ByteSource:
    @contextmanager
    def open_member() -> Iterator[BinaryIO]:
        with ExitStack() as stack:

            def start() -> Any:
                stack.close()
                file = stack.enter_context(source.open())
                archive = stack.enter_context(tarfile.open(fileobj=file, mode="r|"))
                return archive.extractfile(next(m for i, m in enumerate(archive) if i == index))

            with _Bounded(start, f"{source.name}/{name}", None, spec) as content:
                yield cast(BinaryIO, content)

    return ByteSource(name, size, open_member)
