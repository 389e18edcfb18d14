"""The limits of unpacking, and the names of what goes wrong with it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec

FREE_BYTES = 10 << 20
"""Below this the ratio is not looked at."""


class Bounded(io.RawIOBase):
    """A readable, seekable stream of unwrapped bytes that stops at the limits and names what is wrong."""

    def __init__(self, open_stream: Callable[[], Any], name: str, packed: int | None, spec: ReadSpec) -> None:
        self._open_stream, self._name, self._spec = open_stream, name, spec
        self._stream = open_stream()
        self._position = 0
        allowed = spec.max_unpacked_bytes
        if packed is not None:
            allowed = min(allowed, max(FREE_BYTES, int(packed * spec.max_ratio)))
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
                raise reading_error(error, self._name) from None
            if not part:
                break
            parts.append(part)
            wanted -= len(part)
            self._position += len(part)
            if self._position > self._allowed:
                raise bomb(self._name, f"more than {self._allowed} bytes", self._spec)
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


def bomb(name: str, found: str, spec: ReadSpec) -> BadInput:
    return BadInput(
        f"{name} unpacks to more than is allowed",
        code="zip_bomb",
        where=name,
        expected=f"at most {spec.max_unpacked_bytes} bytes and {spec.max_ratio:g} times the packed size",
        found=found,
        todo="if the object is sound, raise read.max_unpacked_bytes or read.max_ratio",
    )


def reading_error(error: Exception, name: str) -> Exception:
    if isinstance(error, BadInput) or (isinstance(error, OSError) and error.errno is not None):
        return error  # the disk's fault, not the object's
    text = str(error).lower()
    short = isinstance(error, EOFError) or "truncat" in text or "end-of-stream" in text or "unexpected end" in text
    code, what = ("truncated", "ends too early") if short else ("damaged", "is damaged")
    return BadInput(f"{name} {what}", code=code, where=name, found=str(error)[:200], todo="fetch the object again")
