"""Detection of objects of 4 GB: how long it takes, and how much of them it reads."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.describe import Description, describe

LIMIT_MS = 500
SIZE_BYTES = 4 << 30
_MT940 = b"""{1:F01BANKDEFFAXXX0000000000}{2:O9400000000000BANKDEFFXXXX00000000000000000000N}{4:
:20:REF
:25:123/456
:28C:1/1
:60F:C240101EUR100,
:61:2401020102C10,NTRFREF
:62F:C240102EUR110,
-}
"""
GREAT: dict[str, tuple[bytes, bytes, int]] = {
    "csv": (b"id,when,price\n", b'1,2024-01-02,1.5\n2,2024-01-03,"2.5"\n', 3),
    "ndjson": (b"", b'{"id": 1, "when": "2024-01-02", "price": 1.5}\n', 3),
    "json": (b'{"meta": {"a": [1, "}"]}, "data": [', b'{"id": 1, "when": "2024-01-02", "tags": ["a,", "b"]},\n', 2),
    "jsonapi": (
        b'{"jsonapi": {"version": "1.1"}, "data": [',
        b'{"type": "t", "id": "1", "attributes": {"p": 1.5}},\n',
        3,
    ),
    "jsonlog": (b"", b'{"@timestamp": "2024-01-02T03:04:05Z", "ecs.version": "1.6.0", "message": "x"}\n', 3),
    "xml": (b'<?xml version="1.0"?><!-- a <b> --><rows>', b"<row><id>1</id><when>2024-01-02</when><e/></row>\n", 3),
    "yaml": (b"", b"- id: 1\n  when: 2024-01-02\n  price: 1.5\n", 3),
    "syslog": (b"", b"<34>1 2024-01-02T03:04:05Z host app 1 ID1 - message\n", 14),
    "common_log": (b"", b'127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326\n', 12),
    "sql_dump": (b"CREATE TABLE t (id int, name varchar(20));\n", b"INSERT INTO t VALUES (1, 'a;b');\n", 2),
    "swift_mt": (b"", _MT940.replace(b"\n", b"\r\n"), 41),
}
"""What a great object of each format begins with, what then comes again and again, and how many columns it has."""


class Endless(io.RawIOBase):
    """`head`, then `body` over and over; counts what is read of it."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self._head, self._body = head, body * (1 + (1 << 20) // len(body))
        self._at = self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        if self._at < len(self._head):
            part = self._head[self._at :]
        else:
            part = self._body[(self._at - len(self._head)) % len(self._body) :]
        part = part[: min(len(buffer), SIZE_BYTES - self._at)]
        buffer[: len(part)] = part
        self._at += len(part)
        self.bytes_read += len(part)
        return len(part)


@dataclass(frozen=True)
class Detected:
    """What was found, how long it took, and how much was read of the object."""

    description: Description
    seconds: float
    bytes_read: int


def detect_great(name: str) -> Detected:
    """Describe the great object of a format."""
    head, body, _ = GREAT[name]
    opened: list[Endless] = []

    def opener() -> Endless:
        opened.append(Endless(head, body))
        return opened[-1]

    began = time.perf_counter()
    found = describe(ByteSource("object", SIZE_BYTES, opener), ReadSpec())
    return Detected(found, time.perf_counter() - began, sum(file.bytes_read for file in opened))


def slowest() -> tuple[str, float]:
    """(format, milliseconds) of the one that takes longest, when all is imported."""
    found = []
    for name in GREAT:
        detect_great(name)
        found.append((name, min(detect_great(name).seconds for _ in range(3)) * 1e3))
    return max(found, key=lambda pair: pair[1])
