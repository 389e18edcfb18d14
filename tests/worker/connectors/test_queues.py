"""RabbitMQ and ActiveMQ, against real brokers: what one contract asks of brokers that wait for acknowledgements."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest
from fakes.brokers import Broker
from fakes.collecting import collected, connect, context
from fakes.landed import dead_letters, killed_run, lines

from base_ops.core.errors import BadInput, ConfigError, Denied
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Site

pytestmark = pytest.mark.server


@dataclass
class Peer:
    """A broker, a queue of its own, and how to put messages there."""

    protocol: str
    queue: str
    port: int
    send: Callable[..., None]
    depth: Callable[[], int]
    password: str

    def source(self, **more: Any) -> dict[str, Any]:
        named = {"queues": [self.queue]} if self.protocol == "rabbitmq" else {"queue": self.queue}
        return {"id": "s", "connection": "broker", "mode": "append", self.protocol: {**named, "idle_s": 0.4, **more}}


@pytest.fixture(params=["rabbitmq", "activemq"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    broker: Broker = request.getfixturevalue(f"{request.param}_broker")
    name = f"q{uuid.uuid4().hex}"
    with _PEERS[request.param](broker, name) as made:
        connect(tmp_path, "broker", host="127.0.0.1", port=broker.port, login="guest", password=made.password)
        yield made


class rabbit_peer:
    def __init__(self, broker: Broker, queue: str) -> None:
        self.connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port))
        self.channel = self.connection.channel()
        self.channel.queue_declare(queue, durable=True)
        self.peer = Peer("rabbitmq", queue, broker.port, self.send, self.depth, "guest")

    def send(self, *values: bytes, named: bool = True, **headers: str) -> None:
        for value in values:
            properties = pika.BasicProperties(
                message_id=uuid.uuid4().hex if named else None, headers=headers or None, delivery_mode=2
            )
            self.channel.basic_publish("", self.peer.queue, value, properties)

    def depth(self) -> int:
        return int(self.channel.queue_declare(self.peer.queue, passive=True).method.message_count)

    def __enter__(self) -> Peer:
        return self.peer

    def __exit__(self, *_: object) -> None:
        self.connection.close()


class activemq_peer:
    def __init__(self, broker: Broker, queue: str) -> None:
        import stomp

        self.connection = stomp.Connection12([("127.0.0.1", broker.port)])
        self.connection.connect("guest", "guest-secret", wait=True)
        self.peer = Peer("activemq", queue, broker.port, self.send, self.depth, "guest-secret")

    def send(self, *values: bytes, named: bool = True, **headers: str) -> None:
        for value in values:
            self.connection.send(f"/queue/{self.peer.queue}", value, headers={"persistent": "true", **headers})

    def depth(self) -> int:
        raise NotImplementedError

    def __enter__(self) -> Peer:
        return self.peer

    def __exit__(self, *_: object) -> None:
        self.connection.disconnect()


_PEERS: dict[str, Any] = {"rabbitmq": rabbit_peer, "activemq": activemq_peer}


def ids(home: Path) -> list[int]:
    return [line["value"]["id"] for line in lines(home, "s")]


def trades(first: int, last: int) -> list[bytes]:
    return [b'{"id":%d}' % n for n in range(first, last)]


def test_messages_land_with_what_the_broker_says_of_them(peer: Peer, tmp_path: Path) -> None:
    peer.send(b'{"id": 1.50}', desk="fx")
    out = collected(tmp_path, peer.source())
    assert b'"value":{"id": 1.50}}' in Path(out.outputs[0].uri).read_bytes()
    (line,) = lines(tmp_path, "s")
    assert line["queue"] == peer.queue and line["message_id"]
    assert {"name": "desk", "value": "fx"} in line["headers"]


def test_acknowledged_messages_do_not_come_again(peer: Peer, tmp_path: Path) -> None:
    peer.send(*trades(0, 30))
    collected(tmp_path, peer.source(max_messages=20))
    collected(tmp_path, peer.source(max_messages=20))
    peer.send(*trades(30, 35))
    collected(tmp_path, peer.source())
    out = collected(tmp_path, peer.source())
    assert ids(tmp_path) == list(range(35))
    assert [f.code for f in out.steps[0].findings] == ["nothing_new"]
    landing = context(tmp_path).landing("s")
    assert landing.store.folders(f"{landing.folder}/_unacknowledged") == []


def test_bytes_and_text(peer: Peer, tmp_path: Path) -> None:
    peer.send("é\n".encode())
    collected(tmp_path, peer.source(value="text"))
    peer.send(b"\x00\xff")
    collected(tmp_path, peer.source(value="bytes"))
    assert [line["value"] for line in lines(tmp_path, "s")] == ["é\n", "AP8="]


def test_poison_is_set_aside_and_its_neighbours_are_delivered(peer: Peer, tmp_path: Path) -> None:
    """Sheet §7.9."""
    peer.send(b'{"id":1}', b"{", b"\xff", b'{"id":2}')
    collected(tmp_path, peer.source())
    assert ids(tmp_path) == [1, 2]
    assert [line["value_base64"] for line in dead_letters(tmp_path, "s")] == ["ew==", "/w=="]
    collected(tmp_path, peer.source())
    assert len(dead_letters(tmp_path, "s")) == 2


def test_a_full_dead_letter_place_pauses_the_source(peer: Peer, tmp_path: Path) -> None:
    peer.send(b"x", b"x", b'{"id":1}')
    collected(tmp_path, peer.source(dead_letters_limit=2))
    with pytest.raises(BadInput) as error:
        collected(tmp_path, peer.source(dead_letters_limit=2))
    assert error.value.code == "dead_letters_full"
    collected(tmp_path, peer.source())
    assert (ids(tmp_path), len(dead_letters(tmp_path, "s"))) == ([1], 2)


@pytest.mark.parametrize(
    "failpoint",
    ["collector.after_download", "stream.noted", "landing.before_append", "landing.after_append",
     "collector.before_acknowledge", "stream.acknowledged"],
)  # fmt: skip
def test_killed_anywhere_nothing_is_missed_or_doubled(failpoint: str, peer: Peer, tmp_path: Path) -> None:
    peer.send(*trades(0, 20), b"poison", *trades(20, 40))
    assert killed_run(tmp_path, peer.source(), failpoint) == -signal.SIGKILL
    for _ in range(3):
        collected(tmp_path, peer.source(max_messages=25, idle_s=0.8))
    assert sorted(ids(tmp_path)) == list(range(40))
    assert len(dead_letters(tmp_path, "s")) == 1


def test_a_run_that_was_overtaken_lands_and_acknowledges_nothing(peer: Peer, tmp_path: Path) -> None:
    """Two runs at once: each has part of the queue; one lands, the other's part is handed out again."""
    peer.send(*trades(0, 40))
    both = [threading.Thread(target=collected, args=(tmp_path, peer.source(max_messages=20))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    for _ in range(2):
        collected(tmp_path, peer.source(idle_s=0.8))
    assert sorted(ids(tmp_path)) == list(range(40))


def test_wrong_credentials_are_denied_and_not_told(peer: Peer, tmp_path: Path) -> None:
    connect(tmp_path, "broker", host="127.0.0.1", port=peer.port, login="guest", password="wrong-secret")
    with pytest.raises(Denied) as error:
        collected(tmp_path, peer.source())
    assert "wrong-secret" not in str(error.value)


def test_rabbitmq_messages_without_identity_are_doubled_rather_than_lost(
    rabbitmq_broker: Broker, tmp_path: Path
) -> None:
    with rabbit_peer(rabbitmq_broker, f"q{uuid.uuid4().hex}") as peer:
        connect(tmp_path, "broker", host="127.0.0.1", port=rabbitmq_broker.port)
        peer.send(b'{"id":1}', named=False)
        assert killed_run(tmp_path, peer.source(), "landing.after_append") == -signal.SIGKILL
        out = collected(tmp_path, peer.source(idle_s=0.8))
    assert ids(tmp_path) == [1, 1]
    assert "may_be_doubled" in [f.code for f in out.steps[0].findings]


def test_a_rabbitmq_queue_that_does_not_exist(rabbitmq_broker: Broker, tmp_path: Path) -> None:
    connect(tmp_path, "broker", host="127.0.0.1", port=rabbitmq_broker.port)
    source = {"id": "s", "connection": "broker", "mode": "append", "rabbitmq": {"queues": ["none"]}}
    with pytest.raises(ConfigError) as error:
        collected(tmp_path, source)
    assert error.value.code == "no_such_queue"


def test_a_rabbitmq_stream_is_refused_rather_than_missed(rabbitmq_broker: Broker, tmp_path: Path) -> None:
    connect(tmp_path, "broker", host="127.0.0.1", port=rabbitmq_broker.port)
    name = f"s{uuid.uuid4().hex}"
    parameters = pika.ConnectionParameters("127.0.0.1", rabbitmq_broker.port)
    with pika.BlockingConnection(parameters) as opened, opened.channel() as channel:
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": "stream"})
        channel.confirm_delivery()
        channel.basic_publish("", name, b"1")
        source = {"id": "s", "connection": "broker", "mode": "append", "rabbitmq": {"queues": [name], "idle_s": 0.5}}
        with pytest.raises(ConfigError) as error:
            collected(tmp_path, source)
        channel.queue_delete(name)
    assert error.value.code == "not_a_queue"


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_publishers_own_offset_header_makes_no_stream_of_a_rabbitmq_queue(
    kind: str, rabbitmq_broker: Broker, tmp_path: Path
) -> None:
    connect(tmp_path, "broker", host="127.0.0.1", port=rabbitmq_broker.port)
    name = f"q{uuid.uuid4().hex}"
    parameters = pika.ConnectionParameters("127.0.0.1", rabbitmq_broker.port)
    with pika.BlockingConnection(parameters) as opened, opened.channel() as channel:
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind})
        channel.confirm_delivery()
        properties = pika.BasicProperties(message_id="1", headers={"x-stream-offset": 5}, delivery_mode=2)
        channel.basic_publish("", name, b'{"id":1}', properties)
        source = {"id": "s", "connection": "broker", "mode": "append", "rabbitmq": {"queues": [name], "idle_s": 0.5}}
        collected(tmp_path, source)
        collected(tmp_path, source)
        assert channel.queue_declare(name, passive=True).method.message_count == 0
        channel.queue_delete(name)
    assert ids(tmp_path) == [1]
    assert {"name": "x-stream-offset", "value": "5"} in lines(tmp_path, "s")[0]["headers"]


def test_probes_say_what_there_is(peer: Peer, tmp_path: Path) -> None:
    peer.send(b"1", b"2")
    ctx = context(tmp_path)
    source = SourceSpec.model_validate(peer.source())
    connector: Any = open_connector(Site(source, tmp_path, ctx.secrets.connection("broker")))
    assert connector.probe() == {"rabbitmq": "1 queues, 2 messages", "activemq": "logged in"}[peer.protocol]
