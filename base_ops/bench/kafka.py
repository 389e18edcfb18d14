"""Messages per second from a Kafka topic into the lake, beside a bare consumer that only writes values to a file.

    python -m base_ops.bench.kafka <bootstrap servers> <messages> <rounds>

Ours are whole worker processes: start-up, every message checked to be JSON, wrapped with its metadata, hashed, synced
to disk, entered in the landing log, and the group told the offsets.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from base_ops.bench.measure import Comparison, compare, python, worker
from base_ops.core.protocol import StepRequest

_TOPIC = "base-ops-bench"
_PARTITIONS = 4
_MOST_SECONDS = 600


def measure(folder: Path, servers: str, messages: int, rounds: int, batch: int = 100) -> Comparison:
    """Compare on a topic of `messages` trades of about 130 bytes, which is made if it is not there."""
    fill(servers, messages)
    out = folder / "out"
    peer = (
        "from confluent_kafka import Consumer, TopicPartition\n"
        f"c = Consumer({{'bootstrap.servers': {servers!r}, 'group.id': 'peer', 'enable.auto.commit': False}})\n"
        f"c.assign([TopicPartition({_TOPIC!r}, n, 0) for n in range({_PARTITIONS})])\n"
        "taken = 0\n"
        f"with open({str(out / 'peer.ndjson')!r}, 'wb') as file:\n"
        f"    while taken < {messages}:\n"
        f"        for m in c.consume({batch}, timeout=1):\n"
        "            file.write(m.value() + b'\\n')\n"
        "            taken += 1\n"
        "c.close()"
    )
    return compare(
        f"{messages:,} messages of Kafka into the lake",
        _ours(folder, out, messages, batch),
        "confluent-kafka, values only",
        python(peer),
        rounds=rounds,
        limit=None,
        environment={
            "BASE_HOME": str(folder / "home"),
            "AIRFLOW_CONN_BENCH_KAFKA": json.dumps({"conn_type": "kafka", "host": servers}),
        },
        clean=out,
    )


def _ours(folder: Path, out: Path, messages: int, batch: int) -> list[str]:
    """The worker's command, as the operator starts it."""
    kafka = {"topics": [_TOPIC], "max_messages": messages, "max_seconds": _MOST_SECONDS, "batch": batch}
    source = {"id": "bench", "connection": "bench_kafka", "mode": "append", "kafka": kafka}
    step = StepRequest(agent="data_ingestion.collector", action="collect_data_from_source", spec={"source": source})
    return worker(folder, "kafka", [step], lake=out / "lake")


def fill(servers: str, messages: int) -> None:
    """Make the topic and send the trades; a topic that is there is taken as it is."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": servers})
    if _TOPIC in admin.list_topics(timeout=30).topics:
        return
    admin.create_topics([NewTopic(_TOPIC, _PARTITIONS, 1)])[_TOPIC].result(30)
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    for number in range(messages):
        trade = (
            f'{{"trade_id":{number},"ts":"2024-01-02T09:30:00.{number % 1_000_000:06d}","symbol":"AAPL","venue":"XNAS",'
            f'"price":{50 + number % 20_000 / 100:.2f},"quantity":{1 + number % 1000},"side":"B"}}'
        )
        producer.produce(_TOPIC, trade.encode(), key=str(number % 1000).encode())
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush(60)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = measure(Path(place), sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    count = int(sys.argv[2])
    print(  # noqa: T201
        f"{found.name}: {found.ours_s:.2f} s, {count / found.ours_s:,.0f} messages/s, {found.ours_mb:.0f} MB; "
        f"{found.peer}: {found.peer_s:.2f} s, {count / found.peer_s:,.0f} messages/s, {found.peer_mb:.0f} MB"
    )
