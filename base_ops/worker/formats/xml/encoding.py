"""The bytes of a document as UTF-8, chunk by chunk, whatever encoding it is in."""

from __future__ import annotations

import codecs
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.records.lines import read_full
from base_ops.worker.formats.xml.prolog import declared_encoding, encoding_of

CHUNK_BYTES = 4 << 20
_WIDE = ("utf-16", "utf-32", "ucs-2", "ucs-4", "iso-10646")


@dataclass(frozen=True)
class Encoding:
    """How a document's bytes are read."""

    name: str
    mark_bytes: int
    finding: Finding | None = None

    @property
    def is_utf8(self) -> bool:
        return self.name == "utf-8"


def settle(source: ByteSource, wanted: str | None) -> Encoding:
    """The byte order mark says, then the reader's spec, then the declaration; without all of them it is UTF-8.

    Raises:
        BadInput: unsupported_encoding, empty_object.
    """
    head = source.head(1024)
    if not head.strip():
        raise BadInput(f"{source.name} is empty", code="empty_object", where=source.name)
    seen, mark = encoding_of(head)
    declared = declared_encoding(head[mark:])
    name = seen if mark else wanted or seen or declared or "utf-8"
    finding = None
    if not seen and not wanted and name.startswith(_WIDE):  # what writes texts in memory often says utf-16
        message = f"the document says that it is {name}, its bytes are not: read as UTF-8"
        finding = Finding(code="encoding_disagrees", message=message, severity="warning", data={"declared": name})
        name = "utf-8"
    return Encoding(_known(name, source.name), mark, finding)


def _known(name: str, source: str) -> str:
    try:
        codec = codecs.lookup(name)
        b"<a/>".decode(name, "replace")
    except LookupError:
        raise BadInput(
            f"{source} is in an encoding that is not supported",
            code="unsupported_encoding",
            where=f"{source}, line 1",
            found=name[:40],
            todo="set read.encoding, or have the source write UTF-8",
        ) from None
    return codec.name


def utf8_chunks(source: ByteSource, encoding: Encoding) -> Generator[bytes, None, None]:
    """The document without its byte order mark. Raises BadInput (encoding) where bytes are not of the encoding."""
    with source.open() as file:
        read_full(file, encoding.mark_bytes)
        if encoding.is_utf8:  # checked where it is parsed, record by record
            while chunk := read_full(file, CHUNK_BYTES):
                yield chunk
            return
        yield from _transcoded(source.name, iter(lambda: read_full(file, CHUNK_BYTES), b""), encoding)


def _transcoded(name: str, chunks: Iterator[bytes], encoding: Encoding) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding.name)("strict")
    lines = 1
    try:
        for chunk in chunks:
            text = decoder.decode(chunk).encode()
            lines += text.count(b"\n")
            yield text
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise BadInput(
            f"{name} holds bytes that are not {encoding.name}",
            code="encoding",
            where=f"{name}, after line {lines}",
            found=str(getattr(error, "reason", "not a text")),
            todo="correct the encoding in the XML declaration, or set read.encoding",
        ) from None
