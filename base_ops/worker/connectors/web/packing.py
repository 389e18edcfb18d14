"""Bodies that a server packs though it was asked not to: unpacked to their very end, or refused.

httpx passes on what it has of a packed body that ends early, drops all but the first member of a gzip body, and leaves
as it is what it does not know.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import httpx

_KNOWN = ("gzip", "x-gzip", "deflate")
_GZIP, _ZLIB, _RAW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


def packed_as(response: httpx.Response) -> list[str]:
    """The encodings of a body, in the order in which they were applied (RFC 9110 §8.4)."""
    names = response.headers.get("content-encoding", "").lower().split(",")
    return [name.strip() for name in names if name.strip() not in ("", "identity")]


def not_known(response: httpx.Response) -> str:
    """An encoding of the body that cannot be undone here, or ''."""
    return next((name for name in packed_as(response) if name not in _KNOWN), "")


def unpacked(response: httpx.Response) -> Iterator[bytes]:
    """The body as it is without its encodings.

    Raises:
        httpx.DecodingError: it is not what its header says, or ends early.
    """
    chunks = response.iter_raw()
    for name in reversed(packed_as(response)):
        chunks = _inflated(chunks, is_gzip=name != "deflate")
    return chunks


def _inflated(chunks: Iterator[bytes], *, is_gzip: bool) -> Iterator[bytes]:
    """Members one after the other (RFC 1952 §2.2); deflate comes with zlib's frame or, from some servers, without."""
    member = None
    for packed in chunks:
        rest = packed
        while rest:
            try:
                if member is None:
                    member = zlib.decompressobj(_GZIP if is_gzip else _ZLIB if rest[0] & 15 == 8 else _RAW)
                yield member.decompress(rest)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from None
            rest = member.unused_data.lstrip(b"\0")
            if member.eof:
                member = None
    if member is not None:
        raise httpx.DecodingError("the packed body ends early")
