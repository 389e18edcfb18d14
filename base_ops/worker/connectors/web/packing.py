"""Bodies that a server packs though it was asked not to: unpacked to their very end, or refused.

httpx passes on what it has of a packed body that ends early, drops all but the first member of a gzip body, and leaves
as it is what it does not know. Some servers name a character set there, or a transfer's form: nothing is packed then.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import zstandard

_NO_PACKING = ("utf-8", "utf8", "none", "binary", "7bit", "8bit", "aws-chunked")
_PIECE = 1 << 10
"""Bytes of zstd unpacked at once: 4 of them may become 128 KiB (RFC 8878 §3.1.1.2)."""
_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


def packed_as(response: httpx.Response) -> list[str]:
    """The encodings of a body, in the order in which they were applied (RFC 9110 §8.4)."""
    return [name for name in _names(response) if name not in _NO_PACKING]


def misnamed(response: httpx.Response) -> str:
    """What stands for an encoding of the body and is none, or ''."""
    return next((name for name in _names(response) if name in _NO_PACKING), "")


def not_known(response: httpx.Response) -> str:
    """An encoding of the body that cannot be undone here, or ''."""
    return next((name for name in packed_as(response) if name not in _KNOWN), "")


def unpacked(response: httpx.Response) -> Iterator[bytes]:
    """The body as it is without its encodings.

    Raises:
        httpx.DecodingError: it is not what its header says, or ends early.
    """
    chunks = response.iter_raw()
    if name := not_known(response):
        raise httpx.DecodingError(f"packed as {name}")
    for name in reversed(packed_as(response)):
        chunks = _unpacked(_pieces(chunks) if name == "zstd" else chunks, _KNOWN[name])
    return chunks


def _names(response: httpx.Response) -> list[str]:
    names = response.headers.get("content-encoding", "").lower().split(",")
    return [name.strip() for name in names if name.strip() not in ("", "identity")]


def _gzip(_first: int) -> Any:
    return zlib.decompressobj(_GZIP)


def _deflate(first: int) -> Any:
    """With zlib's frame or, from some servers, without."""
    return zlib.decompressobj(_ZLIB if first & 15 == 8 else _RAW)


def _zstd(_first: int) -> Any:
    return zstandard.ZstdDecompressor().decompressobj()


_KNOWN: dict[str, Callable[[int], Any]] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _zstd}


def _unpacked(chunks: Iterator[bytes], begin: Callable[[int], Any]) -> Iterator[bytes]:
    """Members or frames one after the other (RFC 1952 §2.2, RFC 8878 §3), each begun with its first byte in sight."""
    member = None
    for packed in chunks:
        rest = packed
        while rest:
            try:
                if member is None:
                    member = begin(rest[0])
                yield member.decompress(rest)
            except (zlib.error, zstandard.ZstdError) as error:
                raise httpx.DecodingError(str(error)) from None
            rest = member.unused_data.lstrip(b"\0")
            if member.eof:
                member = None
    if member is not None:
        raise httpx.DecodingError("the packed body ends early")


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    return (chunk[start : start + _PIECE] for chunk in chunks for start in range(0, len(chunk), _PIECE))
