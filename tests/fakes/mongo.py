"""A MongoDB of the tests' own: it speaks the wire protocol (OP_MSG) and knows the little that the connector asks."""

from __future__ import annotations

import socketserver
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from base_ops.bench.serving import in_thread

_OP_MSG, _OP_QUERY, _OP_REPLY = 2013, 2004, 1
_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)


class FakeMongo(socketserver.ThreadingTCPServer):
    """One collection of documents; `commands` is what was asked."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, replica_set: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replica_set = replica_set
        self.documents: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.fail: dict[str, int] = {}
        self.open: dict[int, list[dict[str, Any]]] = {}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        name = next(iter(command))
        self.commands.append(command)
        if name in self.fail:
            return {"ok": 0, "code": self.fail[name], "errmsg": "a-secret-value"}
        if name in ("hello", "isMaster", "ismaster"):
            address = f"127.0.0.1:{self.server_address[1]}"
            member = {"setName": self.replica_set, "hosts": [address], "me": address, "primary": address}
            return {
                "ok": 1,
                "helloOk": True,
                "isWritablePrimary": True,
                "ismaster": True,
                "maxWireVersion": 21,
                "minWireVersion": 0,
                "logicalSessionTimeoutMinutes": 30,
                **(member if self.replica_set else {}),
            }
        if name == "find":
            return self._first(command)
        if name == "getMore":
            return self._batch(command["getMore"], command.get("batchSize", 101), "nextBatch")
        return {"ok": 1}

    def _first(self, command: dict[str, Any]) -> dict[str, Any]:
        found = [d for d in self.documents if all(_fits(d, k, c) for k, c in command["filter"].items())]
        for field, way in reversed(list(command.get("sort", {}).items())):
            found.sort(key=lambda d: _order(d[field]), reverse=way < 0)
        identity = len(self.commands)
        self.open[identity] = found[: command["limit"]] if command.get("limit") else found
        return self._batch(identity, command.get("batchSize", 101), "firstBatch")

    def _batch(self, identity: int, size: int, name: str) -> dict[str, Any]:
        left = self.open[identity]
        batch, self.open[identity] = left[:size], left[size:]
        cursor = {name: batch, "id": bson.Int64(identity if left[size:] else 0), "ns": "d.c"}
        return {"ok": 1, "cursor": {**cursor, "atClusterTime": bson.Timestamp(1, 1)}}


class _Handler(socketserver.BaseRequestHandler):
    server: FakeMongo

    def handle(self) -> None:
        while head := self._take(16):
            length, request, _, kind = struct.unpack("<iiii", head)
            body = self._take(length - 16)
            if kind == _OP_QUERY:
                start = body.index(b"\0", 4) + 9
                answer = bson.encode(self.server.answer(bson.decode(body[start:], _AWARE)))
                self._send(request, _OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + answer)
            else:
                answer = bson.encode(self.server.answer(bson.decode(body[5:], _AWARE)))
                self._send(request, _OP_MSG, struct.pack("<i", 0) + b"\0" + answer)

    def _send(self, request: int, kind: int, body: bytes) -> None:
        self.request.sendall(struct.pack("<iiii", len(body) + 16, 0, request, kind) + body)

    def _take(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            try:
                more = self.request.recv(size - len(found))
            except OSError:
                return b""
            if not more:
                return b""
            found += more
        return found


def _kind(value: Any) -> str:
    kinds = {
        datetime: "date",
        ObjectId: "objectId",
        int: "int",
        bson.Int64: "long",
        float: "double",
        Decimal128: "decimal",
    }
    return kinds.get(type(value), "other")


def _order(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value


def _fits(document: dict[str, Any], field: str, condition: dict[str, Any]) -> bool:
    value, there = document.get(field), field in document
    for operator, operand in condition.items():
        if operator == "$not":
            if _fits(document, field, operand):
                return False
        elif operator == "$type":
            if not there or _kind(value) not in ([operand] if isinstance(operand, str) else operand):
                return False
        else:
            tests = {"$gt": lambda a, b: a > b, "$gte": lambda a, b: a >= b, "$lt": lambda a, b: a < b, "$lte": lambda a, b: a <= b}  # fmt: skip
            if not there or value != value or not tests[operator](_order(value), _order(operand)):
                return False
    return True


@contextmanager
def fake_mongo(replica_set: str | None = "rs") -> Iterator[FakeMongo]:
    server = FakeMongo(replica_set)
    with in_thread(server):
        yield server
