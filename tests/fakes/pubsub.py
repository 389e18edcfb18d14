"""A small Pub/Sub over gRPC in this process: one subscription, messages handed out until they are acknowledged."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

NAME = "projects/p/subscriptions/s"


class Subscription:
    """What tests do to it, and what its clients see."""

    def __init__(self) -> None:
        self.waiting: dict[str, Any] = {}
        self.out: dict[str, Any] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.denied = False
        self.on_hold: Callable[[], None] = lambda: None
        """Called once, when a client has messages in hand."""

    def send(self, *values: bytes, key: str = "", **attributes: str) -> None:
        for value in values:
            number = str(next(self._numbers))
            at = datetime(2026, 1, 5, tzinfo=UTC)
            self.waiting[number] = types.PubsubMessage(
                data=value, message_id=number, ordering_key=key, attributes=attributes, publish_time=at
            )

    def hand_out_again(self) -> None:
        """What is not acknowledged, as after its deadline."""
        with self._lock:
            self.waiting = {message.message_id: message for message in self.out.values()} | self.waiting
            self.out.clear()

    def pull(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.denied:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        if request.subscription != NAME:
            context.abort(grpc.StatusCode.NOT_FOUND, "no")
        received = []
        with self._lock:
            for number in list(self.waiting)[: request.max_messages]:
                handle = f"{number}-{next(self._numbers)}"
                self.out[handle] = self.waiting.pop(number)
                received.append(types.ReceivedMessage(ack_id=handle, message=self.out[handle]))
        return types.PullResponse(received_messages=received)

    def acknowledge(self, request: Any, context: grpc.ServicerContext) -> Any:
        with self._lock:
            for handle in request.ack_ids:
                self.out.pop(handle, None)
        return Empty()

    def hold(self, request: Any, context: grpc.ServicerContext) -> Any:
        call, self.on_hold = self.on_hold, lambda: None
        call()
        return Empty()


@contextmanager
def pubsub_server() -> Iterator[tuple[int, Subscription]]:
    """Its port, and the subscription `NAME`."""
    made = Subscription()
    empty = Empty.SerializeToString
    calls = {
        "Pull": (made.pull, types.PullRequest, types.PullResponse.serialize),
        "Acknowledge": (made.acknowledge, types.AcknowledgeRequest, empty),
        "ModifyAckDeadline": (made.hold, types.ModifyAckDeadlineRequest, empty),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(call, asked.deserialize, answer)
        for name, (call, asked, answer) in calls.items()
    }
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", handlers),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port, made
        finally:
            server.stop(0).wait()
