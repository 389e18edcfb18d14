"""How records follow each other in the bytes: of fixed length, behind record descriptor words, or one per line.

Source: IBM z/OS DFSMS Using Data Sets, "Format-V records": a block begins with a block descriptor word, a record with
a record descriptor word; both hold their length in two bytes, themselves included, and two bytes of zeros.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import BinaryIO

import numpy as np

from base_ops.core.errors import BadInput
from base_ops.worker.engine.plan import Rejected
from base_ops.worker.formats.fixed_width.chars import Chars
from base_ops.worker.formats.fixed_width.cutter import Records, chunks, lines
from base_ops.worker.formats.records.lines import read_full

_WORD = 4
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f]")
_BLOCK_RECORDS = 1 << 14
_MOST_BYTES = 1 << 22


def find_recfm(head: bytes, most: int, *, is_ebcdic: bool) -> str:
    """VB or V where the head is a chain of descriptor words, text where its lines fit, else F."""
    for recfm in ("VB", "V"):
        if _is_chain(head, most, blocks=recfm == "VB"):
            return recfm
    lines = head.split(b"\n")[:-1]
    fits = lines and not is_ebcdic and all(len(line.removesuffix(b"\r")) <= most for line in lines)
    return "text" if fits and not _BINARY.search(head) else "F"


def _is_chain(head: bytes, most: int, *, blocks: bool) -> bool:
    at, found, block_end = 0, 0, 0
    while at + 2 * _WORD <= len(head):
        if blocks and at == block_end:
            length = _length(head, at)
            if length is None or length < 2 * _WORD:
                return False
            block_end, at = at + length, at + _WORD
        length = _length(head, at)
        if length is None or not _WORD < length <= most + _WORD:
            return False
        at, found = at + length, found + 1
        if blocks and at > block_end:
            return False
    return found > 0


def _length(data: bytes, at: int) -> int | None:
    """What a descriptor word says; None where it is none."""
    if len(data) < at + _WORD or data[at + 2] or data[at + 3]:
        return None
    return int.from_bytes(data[at : at + 2], "big")


def cut(file: BinaryIO, recfm: str, length: int, limit: int, block_bytes: int) -> Iterator[Records | Rejected]:
    """The records of a stream, a block at a time.

    Args:
        length: bytes of a record of recfm F.
        limit: bytes of a line that are read at most.

    Raises:
        BadInput: bad_descriptor, where a descriptor word cannot be.
    """
    if recfm == "F":
        return chunks(_byte_blocks(file, block_bytes), length)
    if recfm == "text":
        return lines(_byte_blocks(file, block_bytes), "\n", limit)
    return _batched(_described(file, block_bytes, blocks=recfm == "VB"))


def first_records(head: bytes, recfm: str, length: int, most: int) -> list[bytes]:
    """Whole records at the beginning of an object, of recfm F, V or VB; of what comes after a fault none."""
    if recfm == "F":
        return [head[at : at + length] for at in range(0, len(head) - length + 1, length)][:most]
    described = _described(io.BytesIO(head), max(1, len(head)), blocks=recfm == "VB")
    found: list[bytes] = []
    with suppress(BadInput):  # the head ends within a descriptor word, or reading will tell
        for _, _, data, is_whole in islice(described, most):
            found += [data] if is_whole else []
    return found


def _byte_blocks(file: BinaryIO, block_bytes: int) -> Iterator[Chars]:
    offset = 0
    while data := read_full(file, block_bytes):
        yield Chars(np.frombuffer(data, np.uint8), offset)
        offset += len(data)


def _described(file: BinaryIO, block_bytes: int, *, blocks: bool) -> Iterator[tuple[int, int, bytes, bool]]:
    """(number, offset, bytes, whether they are whole) of every record behind its descriptor word."""
    data, base, at, number, block_end = b"", 0, 0, 0, 0
    more = True
    while True:
        while len(data) - at < (1 << 16) + 2 * _WORD and more:  # the next block and record word, and the record
            fresh = read_full(file, block_bytes)
            more = bool(fresh)
            data, base, at = data[at:] + fresh, base + at, 0
        if at >= len(data):
            return
        if blocks and base + at >= block_end:
            word = _word(data, at, base, 2 * _WORD, "block")
            block_end, at = base + at + word, at + _WORD
            if at >= len(data):
                raise _bad_word(base + at, "block", "the object ends")
        word = _word(data, at, base, _WORD, "record")
        number += 1
        if blocks and base + at + word > block_end:
            raise _bad_word(base + at, "record", f"{word} bytes, more than its block has left")
        yield number, base + at + _WORD, data[at + _WORD : at + word], at + word <= len(data)
        at += word


def _word(data: bytes, at: int, base: int, least: int, what: str) -> int:
    length = _length(data, at)
    if length is None or length < least:
        raise _bad_word(base + at, what, data[at : at + _WORD].hex() or "the object ends")
    return length


def _bad_word(offset: int, what: str, found: str) -> BadInput:
    return BadInput(
        f"A {what} descriptor word cannot be",
        code="bad_descriptor",
        where=f"byte {offset}",
        expected="two bytes of length, itself included, and two bytes of zeros",
        found=found,
        todo="check read.cobol.recfm; a transfer in text mode destroys descriptor words, or leaves them out",
    )


def _batched(records: Iterable[tuple[int, int, bytes, bool]]) -> Iterator[Records | Rejected]:
    numbers: list[int] = []
    offsets: list[int] = []
    parts: list[bytes] = []
    size = 0
    for number, offset, data, is_whole in records:
        if not is_whole:
            if numbers:
                yield _records(numbers, offsets, parts)
            reason = "the object ends within the record"
            yield Rejected(number, "truncated", reason, "", offset, offset + len(data), data[:4096])
            return
        numbers.append(number)
        offsets.append(offset)
        parts.append(data)
        size += len(data)
        if len(numbers) == _BLOCK_RECORDS or size > _MOST_BYTES:
            yield _records(numbers, offsets, parts)
            numbers, offsets, parts, size = [], [], [], 0
    if numbers:
        yield _records(numbers, offsets, parts)


def _records(numbers: list[int], offsets: list[int], parts: list[bytes]) -> Records:
    ends = np.cumsum([len(part) for part in parts])
    starts = ends - np.array([len(part) for part in parts])
    codes = np.frombuffer(b"".join(parts), np.uint8)
    return Records(codes, None, np.array(numbers), starts, ends, np.array(offsets))
