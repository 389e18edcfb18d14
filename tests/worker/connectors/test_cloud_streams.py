"""Kinesis against moto's server, Pub/Sub against a simulated one."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import StillClock, collected, connect
from fakes.landed import dead_letters, killed_run, lines
from fakes.pubsub import NAME, Subscription, pubsub_server
from fakes.s3 import s3_server

from base_ops.core.errors import BadInput, ConfigError, Denied, Transient


def ids(home: Path) -> list[int]:
    return sorted(line["value"]["id"] for line in lines(home, "s"))


# -- Kinesis


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def stream(aws: str, tmp_path: Path) -> str:
    name = f"k{uuid.uuid4().hex}"
    extra = {"endpoint_url": aws, "region_name": "us-east-1"}
    connect(tmp_path, "aws", login="test", password="test-secret", extra=extra)
    client(aws).create_stream(StreamName=name, ShardCount=2)
    return name


def client(aws: str) -> Any:
    import boto3

    return boto3.client("kinesis", endpoint_url=aws, region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")  # fmt: skip


def put(aws: str, stream: str, *values: bytes) -> None:
    for number in range(0, len(values), 500):
        records = [{"Data": value, "PartitionKey": uuid.uuid4().hex} for value in values[number : number + 500]]
        client(aws).put_records(StreamName=stream, Records=records)


def kinesis(stream: str, **more: Any) -> dict[str, Any]:
    return {"id": "s", "connection": "aws", "mode": "append", "kinesis": {"stream": stream, **more}}


def now() -> StillClock:
    return StillClock(datetime.now(UTC))


@pytest.mark.server
def test_kinesis_goes_on_where_the_log_says(aws: str, stream: str, tmp_path: Path) -> None:
    put(aws, stream, *(b'{"id":%d}' % n for n in range(20)), b"poison")
    collected(tmp_path, kinesis(stream, max_messages=15), now())
    collected(tmp_path, kinesis(stream), now())
    put(aws, stream, *(b'{"id":%d}' % n for n in range(20, 30)))
    collected(tmp_path, kinesis(stream), now())
    nothing = collected(tmp_path, kinesis(stream), now())
    assert ids(tmp_path) == list(range(30))
    assert [line["value_base64"] for line in dead_letters(tmp_path, "s")] == ["cG9pc29u"]
    assert [f.code for f in nothing.steps[0].findings] == ["nothing_new"]


@pytest.mark.server
def test_kinesis_shards_that_were_split_are_read_to_their_end(aws: str, stream: str, tmp_path: Path) -> None:
    put(aws, stream, *(b'{"id":%d}' % n for n in range(10)))
    collected(tmp_path, kinesis(stream, max_messages=4), now())
    client(aws).update_shard_count(StreamName=stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    put(aws, stream, *(b'{"id":%d}' % n for n in range(10, 20)))
    for _ in range(3):
        collected(tmp_path, kinesis(stream), now())
    assert ids(tmp_path) == list(range(20))


@pytest.mark.server
@pytest.mark.parametrize("failpoint", ["kinesis.batch_taken", "landing.before_append", "landing.after_append"])
def test_kinesis_killed_anywhere(failpoint: str, aws: str, stream: str, tmp_path: Path) -> None:
    put(aws, stream, *(b'{"id":%d}' % n for n in range(20)))
    assert killed_run(tmp_path, kinesis(stream), failpoint) == -signal.SIGKILL
    collected(tmp_path, kinesis(stream), now())
    assert ids(tmp_path) == list(range(20))


@pytest.mark.server
def test_kinesis_records_that_may_have_expired_are_told(aws: str, stream: str, tmp_path: Path) -> None:
    put(aws, stream, b'{"id":1}')
    collected(tmp_path, kinesis(stream), now())
    put(aws, stream, b'{"id":2}', b'{"id":3}')
    late = StillClock(datetime.now(UTC) + timedelta(days=3))
    with pytest.raises(BadInput) as error:
        for _ in range(2):  # whichever shard the first went to
            collected(tmp_path, kinesis(stream), late)
    assert error.value.code == "messages_lost"
    out = collected(tmp_path, kinesis(stream, lost="go_on"), late)
    assert "messages_lost" in [f.code for f in out.steps[0].findings]
    assert ids(tmp_path) == [1, 2, 3]


@pytest.mark.server
def test_a_kinesis_stream_that_does_not_exist(aws: str, stream: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        collected(tmp_path, kinesis("none"), now())
    assert error.value.code == "no_such_stream"


# -- Pub/Sub


@pytest.fixture
def subscription(tmp_path: Path) -> Iterator[Subscription]:
    with pubsub_server() as (port, made):
        connect(tmp_path, "google", host="127.0.0.1", port=port)
        yield made


def pubsub(**more: Any) -> dict[str, Any]:
    block = {"subscription": NAME, "idle_s": 5.0, **more}
    return {"id": "s", "connection": "google", "mode": "append", "pubsub": block}


def test_pubsub_messages_land_and_are_acknowledged(subscription: Subscription, tmp_path: Path) -> None:
    subscription.send(b'{"id":1}', b"poison", b'{"id":2}', key="k", desk="fx")
    collected(tmp_path, pubsub())
    assert (ids(tmp_path), len(dead_letters(tmp_path, "s")), subscription.out) == ([1, 2], 1, {})
    first = lines(tmp_path, "s")[0]
    assert (first["message_id"], first["key"], first["headers"], first["timestamp"]) == (
        "1", "k", [{"name": "desk", "value": "fx"}], "2026-01-05T00:00:00.000Z"
    )  # fmt: skip


@pytest.mark.parametrize(
    "failpoint", ["stream.noted", "landing.before_append", "landing.after_append", "collector.before_acknowledge"]
)
def test_pubsub_killed_anywhere(failpoint: str, subscription: Subscription, tmp_path: Path) -> None:
    subscription.send(*(b'{"id":%d}' % n for n in range(10)), b"poison")
    assert killed_run(tmp_path, pubsub(), failpoint) == -signal.SIGKILL
    subscription.hand_out_again()
    collected(tmp_path, pubsub(max_messages=6))
    collected(tmp_path, pubsub())
    assert (ids(tmp_path), len(dead_letters(tmp_path, "s")), subscription.out) == (list(range(10)), 1, {})


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [("denied", Denied, "forbidden"), ("name", ConfigError, "no_such_subscription"), ("gone", Transient, "pubsub_failed"),
     ("long", ConfigError, "too_long")],
)  # fmt: skip
def test_pubsub_failures_are_told_apart(
    change: str, kind: type, code: str, subscription: Subscription, tmp_path: Path
) -> None:
    subscription.denied = change == "denied"
    if change == "gone":
        connect(tmp_path, "google", host="127.0.0.1", port=1)
    more = {"name": {"subscription": "projects/p/subscriptions/x"}, "long": {"max_seconds": 301}}.get(change, {})
    with pytest.raises(kind) as error:
        collected(tmp_path, pubsub(**more))
    assert error.value.code == code


def test_a_run_whose_messages_went_to_another_meanwhile_lands_nothing(
    subscription: Subscription, tmp_path: Path
) -> None:
    """A run that was frozen: its messages are handed out again and land, then it wakes up."""

    def meanwhile() -> None:
        subscription.hand_out_again()
        collected(tmp_path, pubsub(max_messages=5))

    subscription.send(*(b'{"id":%d}' % n for n in range(8)))
    subscription.on_hold = meanwhile
    out = collected(tmp_path, pubsub(max_messages=8))
    assert out.adopted
    assert ids(tmp_path) == [0, 1, 2, 3, 4]
    subscription.hand_out_again()
    collected(tmp_path, pubsub())
    assert (ids(tmp_path), subscription.out, subscription.waiting) == (list(range(8)), {}, {})
