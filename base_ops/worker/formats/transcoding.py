"""Text in UTF-16 or UTF-32 for formats that read UTF-8 alone: JSON, logs, messages."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.bounded import Bounded
from base_ops.worker.formats.delimited.encoding import byte_order_mark, encoding_by_nulls

_PART = 1 << 18


def wide_encoding(head: bytes) -> tuple[str, int] | None:
    """The encoding of text whose characters have two or four bytes, and the length of its byte-order mark."""
    if b"\0" not in head:
        return None
    marked, length = byte_order_mark(head)
    encoding = marked or encoding_by_nulls(head) or ""  # no guess: it takes long for the bytes of no text
    return (encoding, length) if encoding.startswith(("utf-16", "utf-32")) else None


def narrowed(head: bytes, encoding: str, mark: int) -> bytes:
    """The first bytes as UTF-8."""
    return head[mark:].decode(encoding, "ignore").encode()


def as_utf8(source: ByteSource, encoding: str, mark: int, spec: ReadSpec) -> ByteSource:
    """The source, its text in UTF-8 while it is read; pointers then count bytes of that."""

    @contextmanager
    def open_text() -> Iterator[BinaryIO]:
        with source.open() as file:

            def start() -> Any:
                file.seek(mark)
                return _Recoded(file, encoding, source.name)

            with Bounded(start, source.name, None, spec) as recoded:
                yield cast(BinaryIO, recoded)

    message = f"{source.name}: the text is {encoding}; it is read as UTF-8"
    finding = Finding(code="transcoded", message=message, data={"encoding": encoding})
    return ByteSource(source.name, None, open_text, None, (*source.findings, finding))


class _Recoded:
    """What is asked for at a time, in UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str, name: str) -> None:
        self._file, self._encoding, self._name = file, encoding, name
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._rest, self._is_over = b"", False

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and not self._is_over:
            part = self._file.read(_PART)
            self._is_over = not part
            try:
                self._rest += self._decoder.decode(part, final=self._is_over).encode()
            except UnicodeError as error:
                raise BadInput(
                    f"{self._name} holds bytes that are not {self._encoding}",
                    code="encoding",
                    where=self._name,
                    found=str(error)[:200],
                ) from None
        given, self._rest = self._rest[:size], self._rest[size:]
        return given

    def close(self) -> None:
        self._rest = b""
