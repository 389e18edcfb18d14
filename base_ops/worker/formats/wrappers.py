"""Compressed objects and archives, unwrapped while they are read, never beyond the limits.

    gzip bz2 xz zstd lz4        one stream         zip tar        several members

What an object is wrapped in is told by its first bytes, not by its name; wrappers nest up to three deep. A compressed
archive is unpacked once, into a temporary folder that goes with its members: read in place, each member would unpack
all those before it again. Empty members are left out, with a finding.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import shutil
import sys
import tempfile
import weakref
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.bounded import Bounded, bomb
from base_ops.worker.formats.tars import first_file, is_tar, tar_files, tar_member
from base_ops.worker.formats.zips import (
    check_member,
    checked_files,
    checked_zip,
    is_document,
    open_zip,
    unpacked_member,
    zip_heads,
    zip_member,
)

__all__ = ["check_member", "checked_zip", "open_object", "wrapper_of", "zip_heads", "zip_member"]

_DEPTH = 3
_MEMBERS = 100_000
_OPEN_ZIPS = 8
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


def open_object(local_path: Path, name: str, spec: ReadSpec) -> list[ByteSource]:
    """The objects inside a local file: itself if it is not wrapped, else every member, in archive order.

    Raises:
        BadInput: zip_bomb, too_many_members, path_escape, nested_too_deep, password_protected, truncated, damaged,
            empty_object.
    """
    plain = ByteSource(name, local_path.stat().st_size, lambda: local_path.open("rb", buffering=0), local_path)
    unpacking = _Unpacking(spec, local_path.stat().st_size)
    leaves = unpacking.leaves(plain, 0)
    if not leaves:
        raise BadInput(f"{name} holds nothing", code="empty_object", where=name)
    if unpacking.empty:
        leaves[0] = replace(leaves[0], findings=(_empty_members(name, unpacking.empty),))
    return leaves


def peel(source: ByteSource, spec: ReadSpec) -> tuple[list[str], ByteSource]:
    """The wrappers of an object, outermost first, and the first file inside: nothing is read that it does not need.

    Raises:
        BadInput: as `open_object`.
    """
    wrappers: list[str] = []
    packed = source.size or 1 << 62
    while (kind := wrapper_of(source.head(512))) is not None:
        if kind == "zip":
            with open_zip(source) as archive:
                if is_document(archive):
                    break
        if len(wrappers) == _DEPTH:
            raise _too_deep(source.name)
        wrappers.append(kind)
        if kind == "zip":
            files = [info for info in checked_zip(source, spec) if info.file_size]
            inner = zip_member(source, files[0], spec) if files else None
        elif kind == "tar":
            inner = first_file(source)
        else:
            inner = _stream(source, kind, spec, source.size or packed)
        if inner is None:
            raise BadInput(f"{source.name} holds nothing", code="empty_object", where=source.name)
        source = inner
    return wrappers, source


def _too_deep(name: str) -> BadInput:
    return BadInput(f"{name} is wrapped more than {_DEPTH} deep", code="nested_too_deep", where=name)


def wrapper_of(head: bytes) -> str | None:
    """Name of the wrapper that begins with `head` (512 bytes tell), or None."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind if kind != "bz2" or head[4:10] in (b"1AY&SY", b"\x17rE8P\x90") else None
    return "tar" if is_tar(head[:512]) else None


def _empty_members(name: str, empty: list[str]) -> Finding:
    message = f"{name}: {len(empty)} empty members were left out, e.g. {empty[0]!r}"
    return Finding(code="empty_member", message=message, severity="warning", data={"members": list(empty[:100])})


class _Unpacking:
    """What all layers of one object share: the limits, the temporary folder, the open archives."""

    def __init__(self, spec: ReadSpec, packed_bytes: int) -> None:
        self._spec, self._packed = spec, packed_bytes
        self._members, self._bytes = 0, 0
        self._folder: Path | None = None
        self._zips: OrderedDict[Path, zipfile.ZipFile] = OrderedDict()
        self.empty: list[str] = []

    def leaves(self, source: ByteSource, depth: int) -> list[ByteSource]:
        """What is not wrapped any more."""
        head = source.head(512)
        if depth and not head:
            self.empty.append(source.name)
            return []
        kind = wrapper_of(head)
        if kind is None:
            return [source]
        if kind in ("zip", "tar"):
            source = self._spooled(source)
        if kind == "zip" and is_document(self._zip(source)):
            return [source]
        if depth == _DEPTH:
            raise _too_deep(source.name)
        if kind == "zip":
            members = self._zip_members(source)
        elif kind == "tar":
            members = self._tar_members(source)
        else:
            members = iter([_stream(source, kind, self._spec, source.size or self._packed)])
        return [leaf for member in members for leaf in self.leaves(member, depth + 1)]

    def _spooled(self, source: ByteSource) -> ByteSource:
        """The source as a local file."""
        if source.local is not None:
            return source
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="base-ops-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / str(sum(1 for _ in self._folder.iterdir()))
        with source.open() as file, path.open("wb") as copy:
            while part := file.read(1 << 20):
                copy.write(part)
                self._bytes += len(part)
                if self._bytes > self._spec.max_unpacked_bytes:
                    raise bomb(source.name, f"more than {self._spec.max_unpacked_bytes} bytes", self._spec)

        @contextmanager
        def open_copy() -> Iterator[BinaryIO]:
            assert self._folder is not None  # which is there as long as this is
            with path.open("rb", buffering=0) as file:
                yield cast(BinaryIO, file)

        return ByteSource(source.name, path.stat().st_size, open_copy, path)

    def _count(self, name: str) -> None:
        self._members += 1
        if self._members > _MEMBERS:
            raise BadInput(
                f"{name} holds too many files",
                code="too_many_members",
                where=name,
                expected=f"at most {_MEMBERS:,}",
                todo="have it delivered in several archives",
            )

    def _zip(self, source: ByteSource) -> zipfile.ZipFile:
        """An open archive: opened again for each member, its directory would be read so many times."""
        assert source.local is not None
        if source.local in self._zips:
            self._zips.move_to_end(source.local)
            return self._zips[source.local]
        with open_zip(source):  # which names what is wrong with it
            pass
        if len(self._zips) == _OPEN_ZIPS:
            self._zips.popitem(last=False)  # closed once its last member is
        self._zips[source.local] = zipfile.ZipFile(source.local)
        return self._zips[source.local]

    def _zip_members(self, source: ByteSource) -> Iterator[ByteSource]:
        for info in checked_files(self._zip(source), source, self._spec):
            self._count(source.name)
            yield self._zip_member(source, info)

    def _zip_member(self, source: ByteSource, info: zipfile.ZipInfo) -> ByteSource:
        @contextmanager
        def open_member() -> Iterator[BinaryIO]:
            with unpacked_member(self._zip(source), source.name, info, self._spec) as file:
                yield file

        return ByteSource(info.filename, info.file_size, open_member)

    def _tar_members(self, source: ByteSource) -> Iterator[ByteSource]:
        assert source.local is not None
        total = 0
        members = []
        for name, start, size in tar_files(source.local, source.name):
            self._count(source.name)
            total += size
            members.append(tar_member(source.local, name, start, size, self))
        if total > self._spec.max_unpacked_bytes:
            raise bomb(source.name, f"{total} bytes", self._spec)
        yield from members


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

            with Bounded(start, source.name, packed_bytes, spec) as file:
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
