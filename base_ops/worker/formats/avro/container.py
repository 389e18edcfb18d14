"""The container around Avro records: a header with the schema, then blocks of records between sync markers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from base_ops.core.errors import BadInput
from base_ops.worker.formats.avro import MAGIC
from base_ops.worker.formats.avro.codecs import CODECS
from base_ops.worker.formats.avro.varint import read_long

MAX_BLOCK_BYTES = 256 << 20
_MAX_HEADER_BYTES = 16 << 20
_ENTRY_BYTES = 1 << 10
"""What an entry of the header counts at least: there are at most 16,384."""
_SYNC_BYTES = 16


@dataclass(frozen=True)
class Header:
    """What a container file says about itself."""

    schema: str
    codec: str
    sync: bytes


@dataclass(frozen=True)
class Block:
    """Packed records."""

    number: int
    """From 1."""
    first: int
    """Record number, from 1, of its first record."""
    records: int
    data: bytes


def damaged(name: str, found: str, block: int | None = None) -> NoReturn:
    where = name if block is None else f"{name}, block {block}"
    raise BadInput(f"{name} is damaged", code="corrupt", where=where, found=found, todo="fetch it again") from None


def cut_off(name: str, expected: str, block: int | None = None) -> NoReturn:
    where = name if block is None else f"{name}, block {block}"
    what = f"{name} is cut off"
    raise BadInput(what, code="truncated", where=where, expected=expected, todo="fetch it again") from None


def read_header(file: BinaryIO, name: str) -> Header:
    """Raises: BadInput where this is no Avro file, or its codec is not known."""
    magic = file.read(4)
    if not magic:
        raise BadInput(f"{name} is empty", code="empty_object", where=name)
    if magic != MAGIC:
        raise BadInput(
            f"{name} is not Avro", code="not_this_format", where=name, expected="the bytes Obj\\x01 in front"
        )
    facts = _metadata(file, name)
    sync = file.read(_SYNC_BYTES)
    if len(sync) < _SYNC_BYTES:
        cut_off(name, "the header's sync marker")
    if b"avro.schema" not in facts:
        damaged(name, "the header holds no avro.schema")
    codec = facts.get(b"avro.codec", b"null").decode("utf-8", "replace")
    if codec not in CODECS:
        raise BadInput(
            f"{name} is packed with the codec {codec[:50]!r}",
            code="unsupported_codec",
            where=name,
            expected=", ".join(CODECS),
            todo="have the source use one of these",
        )
    try:
        return Header(facts[b"avro.schema"].decode(), codec, sync)
    except UnicodeDecodeError:
        damaged(name, "the schema is not UTF-8")


def _metadata(file: BinaryIO, name: str) -> dict[bytes, bytes]:
    facts: dict[bytes, bytes] = {}
    left = _MAX_HEADER_BYTES
    while count := _long(file, name, "the header"):
        if count < 0:
            count = -count
            _long(file, name, "the header")  # the size in bytes, which only those need who skip
        for _ in range(count):
            pair = []
            for _ in range(2):
                size = _long(file, name, "the header")
                left -= size + _ENTRY_BYTES // 2
                if size < 0 or left < 0:
                    damaged(name, "the header's sizes make no sense")
                pair.append(_exactly(file, size, name, "the header"))
            facts[pair[0]] = pair[1]
    return facts


def blocks(file: BinaryIO, name: str, sync: bytes) -> Iterator[Block]:
    """The blocks behind the header, in order."""
    number, first = 0, 1
    while True:
        number += 1
        try:
            records = read_long(file)
        except ValueError as error:
            damaged(name, str(error), number)
        if records is None:
            return
        size = _long(file, name, "a block's size", number)
        if records < 0 or size < 0:
            damaged(name, "the block's sizes make no sense", number)
        if size > MAX_BLOCK_BYTES:
            _too_large(name, number)
        data = _exactly(file, size, name, "the rest of a block", number)
        marker = _exactly(file, _SYNC_BYTES, name, "a sync marker", number)
        if marker != sync:
            damaged(name, "the block does not end with the file's sync marker", number)
        yield Block(number, first, records, data)
        first += records


def _too_large(name: str, number: int) -> NoReturn:
    raise BadInput(
        f"{name} holds a block of more than {MAX_BLOCK_BYTES} bytes",
        code="too_large",
        where=f"{name}, block {number}",
        todo="have the source write smaller blocks; if it does, the file is damaged",
    )


def _long(file: BinaryIO, name: str, what: str, block: int | None = None) -> int:
    try:
        value = read_long(file)
    except ValueError as error:
        damaged(name, str(error), block)
    if value is None:
        cut_off(name, what, block)
    return value


def _exactly(file: BinaryIO, size: int, name: str, what: str, block: int | None = None) -> bytes:
    parts, left = [], size
    while left > 0 and (part := file.read(min(left, 1 << 24))):
        parts.append(part)
        left -= len(part)
    if left:
        cut_off(name, what, block)
    return parts[0] if len(parts) == 1 else b"".join(parts)
