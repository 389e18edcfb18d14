"""Kafka, against a real broker: exactly once into the lake, whatever is killed."""

from __future__ import annotations

import json
import signal
import threading
import uuid
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from fakes.brokers import Broker, Topics, kafka, running
from fakes.collecting import collected, connect, context, wait_until
from fakes.landed import dead_letters, killed_run, lines

from base_ops.core.errors import BadInput, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.kafka import KafkaStream
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def topics(kafka_broker: Broker) -> Topics:
    return Topics(kafka_broker.port)


@pytest.fixture
def topic() -> str:
    return f"t{uuid.uuid4().hex}"


@pytest.fixture
def home(tmp_path: Path, topics: Topics) -> Path:
    connect(tmp_path, "broker", host=topics.servers)
    return tmp_path


def source(topic: str, **more: Any) -> dict[str, Any]:
    return {"id": "s", "connection": "broker", "mode": "append", "kafka": {"topics": [topic], **more}}


def trades(first: int, last: int) -> list[bytes]:
    return [b'{"id":%d,"price":1.50}' % n for n in range(first, last)]


def offsets(out: Any, topic: str) -> dict[str, int]:
    """Of the cursor, which holds the topic's own id too."""
    return {name: value for name, value in out.cursor_after[topic].items() if name != "id"}


def ids(home: Path) -> list[int]:
    return [line["value"]["id"] for line in lines(home, "s")]


def test_messages_land_letter_by_letter(home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic)
    at = 1_767_571_200_123
    topics.send(topic, b'{"p": 1.50,\r\n "q": 12345678901234567890123}', key=b"k\xc3\xa9", headers=[("h", b"1"), ("h", b"\xff"), ("n", None)], timestamp=at)  # fmt: skip
    topics.send(topic, None, key=b"gone", timestamp=at + 1)
    out = collected(home, source(topic))
    first, second = Path(out.outputs[0].uri).read_bytes().splitlines()
    assert first == (
        b'{"topic":"%b","partition":0,"offset":0,"timestamp":"2026-01-05T00:00:00.123Z","tombstone":false,"key":"k\xc3\xa9",'
        b'"headers":[{"name":"h","value":"1"},{"name":"h","value":null,"base64":"/w=="},{"name":"n","value":null}],'
        b'"value":{"p": 1.50,   "q": 12345678901234567890123}}' % topic.encode()
    )
    assert (json.loads(second)["tombstone"], json.loads(second)["value"]) == (True, None)
    assert offsets(out, topic) == {"0": 2}


@pytest.mark.parametrize(
    ("options", "key", "value", "landed"),
    [
        ({"value": "text"}, b"a", "é\n\"".encode(), ("a", 'é\n"')),
        ({"value": "bytes", "key": "bytes"}, b"\xff", b"\x00\xff", ("/w==", "AP8=")),
        ({"value": "json"}, None, b' [1, "a"] ', (None, [1, "a"])),
        ({"value": "json"}, None, b"null", (None, None)),
    ],
)  # fmt: skip
def test_values(
    options: dict[str, str], key: bytes, value: bytes, landed: Any, home: Path, topics: Topics, topic: str
) -> None:
    topics.create(topic)
    topics.send(topic, value, key=key)
    collected(home, source(topic, **options))
    assert [(line["key"], line["value"]) for line in lines(home, "s")] == [landed]


def test_each_run_goes_on_where_the_log_says(home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic, 3)
    topics.send(topic, *trades(0, 50))
    collected(home, source(topic, max_messages=20, batch=7))
    collected(home, source(topic, max_messages=20, batch=7))
    topics.send(topic, *trades(50, 60))
    collected(home, source(topic))
    nothing = collected(home, source(topic))
    assert sorted(ids(home)) == list(range(60))
    assert [f.code for f in nothing.steps[0].findings] == ["nothing_new"]
    assert group_offsets(topics, topic, 3) == sum(offsets(nothing, topic).values()) == 60


def group_offsets(topics: Topics, topic: str, partitions: int) -> int:
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": topics.servers, "group.id": "base-collectors"})
    try:
        return sum(p.offset for p in consumer.committed([TopicPartition(topic, n) for n in range(partitions)], 20) if p.offset > 0)  # fmt: skip
    finally:
        consumer.close()


def test_only_committed_transactions_are_read(home: Path, topics: Topics, topic: str) -> None:
    from confluent_kafka import Producer

    topics.create(topic)
    producer = Producer({"bootstrap.servers": topics.servers, "transactional.id": topic})
    producer.init_transactions(30)
    for number, keep in enumerate([False, True, False]):
        producer.begin_transaction()
        producer.produce(topic, b'{"id":%d}' % number)
        producer.flush(10)
        _ = producer.commit_transaction(30) if keep else producer.abort_transaction(30)
    out = collected(home, source(topic))
    assert ids(home) == [1]
    assert offsets(out, topic) == {"0": 6}  # each transaction ends with a marker


def test_a_first_run_can_begin_at_a_time(home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic, 2)
    for number in range(4):
        topics.send(topic, b'{"id":%d}' % number, timestamp=1_767_571_200_000 + number * 1000, partition=0)
    begins = source(topic, start="2026-01-05T00:00:02+00:00")
    collected(home, begins)
    topics.send(topic, b'{"id":9}', partition=1)
    collected(home, begins)
    assert sorted(ids(home)) == [2, 3, 9]


def test_a_probe_counts_partitions(home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic, 3)
    connection = context(home).secrets.connection("broker")
    assert (
        KafkaStream(Site(SourceSpec.model_validate(source(topic)), home, connection)).probe()
        == "1 topics, 3 partitions"
    )


# -- dead letters


def test_poison_is_set_aside_and_its_neighbours_are_delivered(home: Path, topics: Topics, topic: str) -> None:
    """Sheet §7.9."""
    topics.create(topic)
    poison = [b"{", b"NaN", b"\xff", b""]
    topics.send(topic, b'{"id":1}', *poison, b'{"id":2}')
    out = collected(home, source(topic))
    assert ids(home) == [1, 2]
    assert offsets(out, topic) == {"0": 6}
    dead = dead_letters(home, "s")
    assert [(line["rule"], line["offset"], line["value_base64"]) for line in dead] == [
        ("not_json", 1, "ew=="), ("not_json", 2, "TmFO"), ("not_json", 3, "/w=="), ("not_json", 4, "")
    ]  # fmt: skip
    step = out.steps[0]
    assert [f.code for f in step.findings] == ["dead_letters"]
    assert [e["data"] for e in step.events if e["type"] == "dead_lettered"] == [
        {"source": "s", "messages": 4, "waiting": 4}
    ]


def test_a_run_of_nothing_but_poison_moves_on(home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic)
    topics.send(topic, b"x")
    assert offsets(collected(home, source(topic)), topic) == {"0": 1}
    topics.send(topic, b"y")
    assert offsets(collected(home, source(topic)), topic) == {"0": 2}
    assert [line["offset"] for line in dead_letters(home, "s")] == [0, 1]
    assert lines(home, "s") == []


def test_many_dead_letters_raise_an_alert_then_pause_the_source(home: Path, topics: Topics, topic: str) -> None:
    """Sheet §7.9: an alert at 1000, a pause at 10,000, nothing discarded."""
    topics.create(topic)
    limits = {"dead_letters_alert": 3, "dead_letters_limit": 5, "batch": 1}
    topics.send(topic, b"x", b"x", b"x")
    assert "dead_letters_many" in codes(collected(home, source(topic, **limits)))
    topics.send(topic, b'{"id":1}', b"x", b"x", b"x", b'{"id":2}')
    out = collected(home, source(topic, **limits))
    assert "dead_letters_full" in codes(out)
    assert (len(dead_letters(home, "s")), ids(home), offsets(out, topic)) == (5, [1], {"0": 6})
    with pytest.raises(BadInput) as error:
        collected(home, source(topic, **limits))
    assert error.value.code == "dead_letters_full"
    settle(home)
    collected(home, source(topic, **limits))
    assert (len(dead_letters(home, "s")), ids(home)) == (6, [1, 2])


def settle(home: Path) -> None:
    landing = context(home).landing("s")
    landing.settle(landing.history().dead_letters)
    with pytest.raises(BadInput):
        landing.settle(["x"])


def codes(out: Any) -> list[str]:
    return [f.code for f in out.steps[0].findings]


# -- killed, twice at once, restarted


@pytest.mark.parametrize(
    "failpoint",
    ["kafka.batch_taken:2", "collector.after_download", "landing.bytes_stored", "landing.bytes_stored:2",
     "landing.before_append", "landing.after_append", "collector.before_acknowledge"],
)  # fmt: skip
def test_killed_anywhere_nothing_is_missed_or_doubled(failpoint: str, home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic, 2)
    topics.send(topic, *trades(0, 150), b"poison", *trades(150, 300))
    spec = source(topic, batch=50)
    assert killed_run(home, spec, failpoint) == -signal.SIGKILL
    collected(home, spec)
    collected(home, spec)
    assert sorted(ids(home)) == list(range(300))
    assert len(dead_letters(home, "s")) == 1


def test_two_runs_at_once_land_each_message_once(home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic, 2)
    topics.send(topic, *trades(0, 500), b"poison")
    both = [threading.Thread(target=collected, args=(home, source(topic))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(ids(home)) == list(range(500))
    assert len(dead_letters(home, "s")) == 1


def test_another_member_of_the_group_takes_nothing_away(home: Path, topics: Topics, topic: str) -> None:
    """A rebalance would; partitions are assigned, not subscribed to."""
    from confluent_kafka import Consumer

    topics.create(topic, 2)
    topics.send(topic, *trades(0, 20))
    other = Consumer({"bootstrap.servers": topics.servers, "group.id": "base-collectors", "auto.offset.reset": "earliest"})  # fmt: skip
    try:
        other.subscribe([topic])
        assert other.poll(30) is not None
        out = collected(home, source(topic))
    finally:
        other.close()
    assert sorted(ids(home)) == list(range(20))
    assert codes(out) == ["offsets_not_committed"]


def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path, topic: str) -> None:
    with running(kafka()) as broker:
        own = Topics(broker.port)
        own.create(topic)
        own.send(topic, *trades(0, 30))
        connect(tmp_path, "broker", host=own.servers)
        spec = source(topic, max_messages=10)
        collected(tmp_path, spec)
        broker.kill()
        with pytest.raises(Transient) as error:
            collected(tmp_path, source(topic) | {"connecting": {"settings": {"connect_s": 1}}})
        assert (error.value.code, error.value.found) == ("kafka_failed", "_TRANSPORT")
        broker.start()
        own.send(topic, *trades(30, 40))
        for _ in range(3):
            collected(tmp_path, spec)
    assert ids(tmp_path) == list(range(40))


# -- refusals


def test_messages_that_expired_unread_are_told(home: Path, topics: Topics, topic: str) -> None:
    from confluent_kafka import TopicPartition

    topics.create(topic)
    topics.send(topic, *trades(0, 2))
    collected(home, source(topic))
    topics.send(topic, *trades(2, 6))
    topics.admin.delete_records([TopicPartition(topic, 0, 4)])[TopicPartition(topic, 0)].result(10)
    with pytest.raises(BadInput) as error:
        collected(home, source(topic))
    assert (error.value.code, error.value.found) == ("messages_lost", "2 is next, the broker has 4 to 6")
    assert "messages_lost" in codes(collected(home, source(topic, lost="go_on")))
    assert ids(home) == [0, 1, 4, 5]


def made_anew(topics: Topics, topic: str) -> None:
    """As a cluster that was set up again would have it: more messages than were read of the old one."""
    topics.admin.delete_topics([topic])[topic].result(20)
    assert wait_until(lambda: topic not in topics.admin.list_topics(timeout=10).topics)
    own = Topics(int(topics.servers.rsplit(":", 1)[1]))  # the old producer still sends to the old partitions
    own.create(topic)
    own.send(topic, *trades(100, 105))


def test_a_topic_made_anew_that_has_outgrown_the_cursor(home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic, 2)
    topics.send(topic, *trades(0, 3), partition=0)
    before = collected(home, source(topic))
    made_anew(topics, topic)
    with pytest.raises(BadInput, match="The topic was made anew.*lost: go_on") as error:
        collected(home, source(topic))
    assert error.value.code == "messages_lost"
    out = collected(home, source(topic, lost="go_on"))
    assert codes(out) == ["messages_lost"]
    assert sorted(ids(home)) == [0, 1, 2, *range(100, 105)]
    assert offsets(out, topic) == {"0": 5}  # it has one partition now
    assert out.cursor_after[topic]["id"] != before.cursor_after[topic]["id"]  # type: ignore[index,call-overload]
    assert codes(collected(home, source(topic))) == ["nothing_new"]


def test_a_cursor_without_a_topic_id_goes_on(home: Path, topics: Topics, topic: str) -> None:
    topics.create(topic)
    topics.send(topic, *trades(0, 5))
    connection = context(home).secrets.connection("broker")
    history = History()
    history.cursor = {topic: {"0": 2}, "other": {"0": 7}}
    site = Site(SourceSpec.model_validate(source(topic)), home, connection)
    report = KafkaStream(site).fetch(history, lambda _: None)
    assert report.findings == []
    assert report.cursor_after == {topic: {"0": 5, "id": ANY}, "other": {"0": 7}}


def test_a_topic_that_does_not_exist(home: Path, topics: Topics, topic: str) -> None:
    with pytest.raises(ConfigError) as error:
        collected(home, source(topic))
    assert error.value.code == "no_such_topic"


def test_a_stream_has_no_full_mode(home: Path, topic: str) -> None:
    with pytest.raises(ConfigError) as error:
        collected(home, source(topic), mode="full")
    assert error.value.code == "no_full_mode"


def test_wrong_credentials_are_denied_and_not_told(tmp_path: Path, topic: str) -> None:
    def site(password: str) -> Site:
        extra = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"}
        found = ConnectionInfo("broker", "127.0.0.1", broker.port, login="ann", password=password, extra=extra)
        return Site(SourceSpec.model_validate(source(topic)), tmp_path, found)

    with running(kafka(users={"ann": "ann-secret"})) as broker:
        with pytest.raises(Denied) as error:
            KafkaStream(site("wrong-secret")).fetch(History(), lambda _: None)
        assert "wrong-secret" not in str(error.value)
        with pytest.raises(ConfigError) as missing:
            KafkaStream(site("ann-secret")).fetch(History(), lambda _: None)
        assert missing.value.code == "no_such_topic"
