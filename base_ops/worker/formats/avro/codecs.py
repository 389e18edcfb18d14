"""The codecs of Avro blocks; none unpacks further than it is told to."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from base_ops.worker.formats.avro.varint import UVarints

Unpack = Callable[[bytes, int], bytes]


class TooLarge(Exception):
    """A block unpacks to more than it may."""


class Damaged(Exception):
    """A block cannot be unpacked."""


def _null(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise TooLarge
    return data


def _deflate(data: bytes, limit: int) -> bytes:
    return _with(zlib.decompressobj(-15), data, limit)


def _bzip2(data: bytes, limit: int) -> bytes:
    return _with(bz2.BZ2Decompressor(), data, limit)


def _xz(data: bytes, limit: int) -> bytes:
    return _with(lzma.LZMADecompressor(memlimit=128 << 20), data, limit)


def _with(unpacker: Any, data: bytes, limit: int) -> bytes:
    try:
        found: bytes = unpacker.decompress(data, limit + 1)
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise Damaged(str(error)) from None
    if len(found) > limit:
        raise TooLarge
    if not unpacker.eof:
        raise Damaged("the packed data ends early")
    return found  # with bytes behind it: some writers leave part of zlib's checksum there


def _snappy(data: bytes, limit: int) -> bytes:
    """Snappy's raw form and the CRC-32 of what is in it."""
    size = UVarints(data).next() if len(data) > 4 else -1
    if size < 0:
        raise Damaged("no snappy data")
    if size > limit:
        raise TooLarge
    try:
        found = bytes(pa.Codec("snappy").decompress(memoryview(data)[:-4], size))
    except (pa.ArrowException, OSError) as error:
        raise Damaged(str(error)) from None
    if zlib.crc32(found) != int.from_bytes(data[-4:], "big"):
        raise Damaged("the checksum does not fit")
    return found


def _zstandard(data: bytes, limit: int) -> bytes:
    try:
        with pa.input_stream(pa.BufferReader(data), compression="zstd") as stream:
            found = bytes(stream.read(limit + 1))
    except (pa.ArrowException, OSError) as error:
        raise Damaged(str(error)) from None
    if len(found) > limit:
        raise TooLarge
    return found


CODECS: dict[str, Unpack] = {
    "null": _null,
    "deflate": _deflate,
    "snappy": _snappy,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstandard": _zstandard,
}
