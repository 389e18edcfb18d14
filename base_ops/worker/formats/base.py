"""What a format is, and how an object's bytes reach it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader

HEAD_BYTES = 1 << 16
"""A format is chosen by as much of an object."""


@dataclass(frozen=True)
class ByteSource:
    """One unwrapped object: a stream that can be opened again and again, never trusted.

    Compressed objects are unwrapped while they are read (`wrappers.py`), within the limits of ReadSpec.
    """

    name: str
    """File name after unwrapping, e.g. eurusd.csv: for messages only; content decides."""
    size: int | None
    """Bytes, where known without reading."""
    opener: object = field(repr=False)
    """Callable[[], ContextManager[BinaryIO]]"""
    local: Path | None = None
    """Set when the bytes lie unwrapped in a local file: columnar formats read it directly."""
    findings: tuple[Finding, ...] = ()
    """What was noticed while it was unwrapped."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        return self.opener()  # type: ignore[operator,no-any-return]

    def head(self, size: int = HEAD_BYTES) -> bytes:
        """The first bytes (fewer if the object is shorter)."""
        with self.open() as file:
            parts: list[bytes] = []
            left = size
            while left > 0 and (part := file.read(left)):
                parts.append(part)
                left -= len(part)
            return b"".join(parts)


class Format(Protocol):
    """One format. A package in this folder offers an instance named FORMAT; importing it imports no reader."""

    name: str
    suffixes: tuple[str, ...]

    def sniff(self, head: bytes, name: str) -> float:
        """Confidence, 0 to 1, that an object beginning with `head` is of this format. The name is a weak hint."""
        ...

    def read(self, source: ByteSource, spec: ReadSpec) -> Reader:
        """Open an object. Raises BadInput where it is not of this format or is damaged as a whole."""
        ...
