"""Kafka topics: read from the offsets in the landing log, exactly once; the group's offsets are set afterwards.

All partitions are assigned to each run, which begins at the cursor `{topic: {partition: next offset, "id": the topic's
own id}}` (the id tells a topic that was deleted and made anew under its name) and ends where
a partition ended when it got there, or at `max_messages` or `max_seconds`. The cursor moves in the entry of the
landing log that lands the messages, so neither a kill nor a second run can miss or double one; the broker's group
has no say in it (there is no rebalance), and is told the offsets only for those who watch its lag. Only committed
transactions are read. A line has `topic`, `partition`, `offset`, `timestamp` (of the record, UTC), `tombstone` (a
record without a value), `key`, `headers` and `value`; see `streams`.

The connection's host is the bootstrap servers (host[:port], several with commas); login and password go over SASL;
extra may hold security.protocol (default: sasl_ssl with a login, else plaintext), sasl.mechanism (default:
SCRAM-SHA-512), ca_certificate, client_certificate and client_key (PEM), and verify: false (env dev only).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.streams import KafkaSpec
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.streams.envelope import Envelope, json_time
from base_ops.worker.connectors.streams.librdkafka import security
from base_ops.worker.connectors.streams.taking import Taking
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.landing import History

_POLL_S = 1.0
_PAUSE_AT = 0.8
_ID = "id"
_NO_ID = "A" * 22
Place = tuple[str, int]
"""A topic's partition."""


class KafkaStream:
    """Takes what the topics hold behind the cursor."""

    def __init__(self, site: Site) -> None:
        self.kafka = require("confluent_kafka", "kafka")
        self.site = site
        self.spec: KafkaSpec = site.source.kafka  # type: ignore[assignment]
        self.where = f"source {site.source.id}, kafka topics {', '.join(self.spec.topics)}"
        self.timeout_s = site.source.connecting.resolved().connect_s
        self._denied: str | None = None
        self._unreachable = False
        self._prefixes: dict[Place, bytes] = {}
        self.findings: list[Finding] = []

    def fetch(self, history: History, keep: Keep) -> Report:
        taking = Taking(self.site, self.spec, history, keep, Envelope(self.spec.value, self.spec.key, extra="kafka"))
        consumer = self.kafka.Consumer(self._settings())
        try:
            with self._errors():
                self._connect(consumer)
                topic_ids = self._topic_ids()
                after = self._starts(consumer, history, topic_ids)
                self._read(consumer, taking, after)
        finally:
            consumer.close()
        report = taking.finish()
        report.findings += self.findings
        report.cursor_after = _cursor(history.cursor, after, topic_ids)
        report.acknowledge = lambda: self._acknowledge(report)
        return report

    def log_in(self) -> None:
        """Log in and leave."""
        consumer = self.kafka.Consumer(self._settings())
        try:
            with self._errors():
                self._connect(consumer)
        finally:
            consumer.close()

    def probe(self) -> str:
        """How many partitions there are."""
        consumer = self.kafka.Consumer(self._settings())
        try:
            with self._errors():
                self._connect(consumer)
                partitions = sum(len(self._partitions(consumer, topic)) for topic in self.spec.topics)
        finally:
            consumer.close()
        return f"{len(self.spec.topics)} topics, {partitions} partitions"

    def _connect(self, consumer: Any) -> None:
        """Wait for a broker; the library tells of refused credentials on the side, and keeps trying meanwhile."""
        end = time.monotonic() + self.timeout_s
        while True:
            try:
                consumer.list_topics(self.spec.topics[0], timeout=min(_POLL_S, self.timeout_s))
                return
            except self.kafka.KafkaException as failure:
                consumer.poll(0)
                passing = failure.args[0].code() in (self.kafka.KafkaError._TRANSPORT, self.kafka.KafkaError._TIMED_OUT)
                if self._denied is not None or not passing or time.monotonic() >= end:
                    raise

    # -- where to begin

    def _topic_ids(self) -> dict[str, str]:
        """The topics' own ids, asked before any offset; brokers older than 2.8 have none."""
        admin = require("confluent_kafka.admin", "kafka")
        wanted = self.kafka.TopicCollection(list(self.spec.topics))
        client = admin.AdminClient({**security(self.site, self.where), "log_level": 0})
        asked = client.describe_topics(wanted, request_timeout=self.timeout_s)
        found = {topic: str(told.result(self.timeout_s + 1).topic_id) for topic, told in asked.items()}
        return {topic: identity for topic, identity in found.items() if identity != _NO_ID}

    def _starts(self, consumer: Any, history: History, topic_ids: dict[str, str]) -> dict[Place, int]:
        """The first offset wanted of every partition."""
        known = history.cursor if isinstance(history.cursor, dict) else {}
        places = [(topic, number) for topic in self.spec.topics for number in self._partitions(consumer, topic)]
        starts: dict[Place, int] = {}
        new: dict[Place, int] = {}
        for topic, number in places:
            offsets = known.get(topic)
            offset = offsets.get(str(number)) if isinstance(offsets, dict) else None
            is_anew = isinstance(offsets, dict) and _is_anew(offsets, topic_ids.get(topic))
            low, high = consumer.get_watermark_offsets(self.kafka.TopicPartition(topic, number), timeout=self.timeout_s)
            if not isinstance(offset, int):
                starts[topic, number], new[topic, number] = low, high
            else:
                starts[topic, number] = (
                    self._lost(topic, number, offset, low, high, is_anew=is_anew)
                    if is_anew or not low <= offset <= high
                    else offset
                )
        if new and (moment := self.spec.start_time) is not None:
            asked = [self.kafka.TopicPartition(*place, int(moment.timestamp() * 1000)) for place in new]
            for found in consumer.offsets_for_times(asked, timeout=self.timeout_s):
                place = (found.topic, found.partition)
                starts[place] = found.offset if found.offset >= 0 else new[place]  # nothing was later when we looked
        return starts

    def _partitions(self, consumer: Any, topic: str) -> list[int]:
        facts = consumer.list_topics(topic, timeout=self.timeout_s).topics[topic]
        if facts.error is not None:
            raise self.kafka.KafkaException(facts.error)
        return sorted(facts.partitions)

    def _lost(self, topic: str, partition: int, offset: int, low: int, high: int, *, is_anew: bool) -> int:
        """The broker no longer has what comes next: the earliest, if the source says so."""
        what = f"{offset:d} is next, the broker has {low:d} to {high:d}"
        if is_anew:
            what += " of a topic that was made anew under its name"
        if self.spec.lost == "refuse":
            raise BadInput(
                "The topic was made anew" if is_anew else "Messages are gone that were not read",
                code="messages_lost",
                where=f"source {self.site.source.id}, {topic}[{partition}]",
                found=what,
                todo="lost: go_on takes the earliest there is"
                + ("" if is_anew else "; longer retention.ms and more frequent runs avoid it"),
            )
        message = f"{topic}[{partition}] does not go on where it was left: {what}"
        self.findings.append(Finding(code="messages_lost", severity="error", message=message))
        return low

    # -- reading

    def _read(self, consumer: Any, taking: Taking, after: dict[Place, int]) -> None:
        """Take messages, and move `after` along with them."""
        end_of_partition, going = self.kafka.KafkaError._PARTITION_EOF, set(after)
        consumer.assign([self.kafka.TopicPartition(*place, at) for place, at in after.items()])
        while going and (left := taking.left) > 0:
            wait = min(_POLL_S, taking.seconds_left)
            for message in consumer.consume(min(self.spec.batch, left), timeout=wait):
                place = (message.topic(), message.partition())
                if (error := message.error()) is not None:
                    if error.code() != end_of_partition:
                        raise self.kafka.KafkaException(error)
                    going.discard(place)
                    after[place] = max(after[place], message.offset())
                elif place in going and message.offset() >= after[place]:
                    self._take(message, place, taking)
                    after[place] = message.offset() + 1
            if self._denied is not None:
                raise self._refused(self._denied)
            failpoint("kafka.batch_taken")
        if going and not taking.taken:
            what = "The brokers cannot be reached" if self._unreachable else "No broker answered within max_seconds"
            raise self._error(Transient, what, "unreachable", f"{len(going)} partitions not read")

    def _take(self, message: Any, place: Place, taking: Taking) -> None:
        value, (kind, at) = message.value(), message.timestamp()
        facts = b'%b,"offset":%d,"timestamp":%b,"tombstone":%b' % (
            self._prefix(place, taking),
            message.offset(),
            json_time(at if kind else None),
            b"true" if value is None else b"false",
        )
        taking.take(facts, message.headers() or (), value, message.key())

    def _prefix(self, place: Place, taking: Taking) -> bytes:
        if place not in self._prefixes:
            self._prefixes[place] = taking.envelope.members(topic=place[0], partition=place[1])
        return self._prefixes[place]

    # -- afterwards

    def _acknowledge(self, report: Report) -> None:
        """Tell the group the offsets that are in the landing log; no more than a courtesy to those who watch it."""
        cursor = self.site.landing.cursor()[1] if self.site.landing is not None else report.cursor_after
        offsets = [
            self.kafka.TopicPartition(topic, int(number), offset)
            for topic, numbers in (cursor if isinstance(cursor, dict) else {}).items()
            if topic in self.spec.topics and isinstance(numbers, dict)
            for number, offset in numbers.items()
            if number != _ID
        ]
        consumer = self.kafka.Consumer(self._settings())
        try:
            if offsets:
                consumer.commit(offsets=offsets, asynchronous=False)
        except self.kafka.KafkaException as error:
            message = f"group {self.spec.group} could not be told the offsets, which are safe in the landing log: "
            report.findings.append(
                Finding(code="offsets_not_committed", severity="warning", message=message + error.args[0].name())
            )
        finally:
            consumer.close()

    # -- connecting

    def _settings(self) -> dict[str, Any]:
        ahead = self.spec.buffer_mb * 1_000_000
        return {
            **security(self.site, self.where),
            "group.id": self.spec.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            "queued.max.messages.kbytes": int(ahead * _PAUSE_AT) // 1024,
            "fetch.max.bytes": max(1_000_000, int(ahead * (1 - _PAUSE_AT))),
            "message.max.bytes": 1_000_000,
            "receive.message.max.bytes": max(1_000_000, int(ahead * (1 - _PAUSE_AT))) + (64 << 20),
            "socket.timeout.ms": max(1000, int(self.timeout_s * 1000)),
            "error_cb": self._on_error,
            "log_level": 0,
        }

    def _on_error(self, error: Any) -> None:
        """Called by the library for what concerns the connection as a whole."""
        codes = self.kafka.KafkaError
        if error.code() in (codes._AUTHENTICATION, codes.SASL_AUTHENTICATION_FAILED):
            self._denied = error.name()
        elif error.code() == codes._ALL_BROKERS_DOWN:
            self._unreachable = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell the library's errors apart; their texts are not passed on."""
        codes = self.kafka.KafkaError
        try:
            yield
        except self.kafka.KafkaException as failure:
            error = failure.args[0]
            code, name = error.code(), error.name()
            if self._denied is not None or code in _refusals(codes):
                raise self._refused(self._denied or name) from None
            if code in (codes.UNKNOWN_TOPIC_OR_PART, codes._UNKNOWN_TOPIC, codes._UNKNOWN_PARTITION):
                raise self._error(ConfigError, "A topic does not exist", "no_such_topic", name) from None
            if code in (codes._AUTO_OFFSET_RESET, codes.OFFSET_OUT_OF_RANGE):
                what = "Messages expired while they were read; the next run says which"
                raise self._error(Transient, what, "messages_lost", name) from None
            raise self._error(Transient, "Kafka could not be read", "kafka_failed", name) from None

    def _refused(self, found: str) -> BaseOpsError:
        by = f"connection {self.site.connection.name}" if self.site.connection else "a client without credentials"
        return self._error(Denied, f"Kafka refused {by}", "forbidden", found)

    def _error(self, kind: Any, what: str, code: str, found: str) -> BaseOpsError:
        error: BaseOpsError = kind(what, code=code, where=self.where, found=found)
        return error


CONNECTOR = KafkaStream


def _refusals(codes: Any) -> tuple[int, ...]:
    return (
        codes.TOPIC_AUTHORIZATION_FAILED,
        codes.GROUP_AUTHORIZATION_FAILED,
        codes.CLUSTER_AUTHORIZATION_FAILED,
        codes.SASL_AUTHENTICATION_FAILED,
    )


def _is_anew(offsets: dict[str, Any], identity: str | None) -> bool:
    """Whether these offsets are of another topic; cursors from before ids were kept tell nothing."""
    return None not in (offsets.get(_ID), identity) and offsets[_ID] != identity


def _cursor(before: Any, after: dict[Place, int], topic_ids: dict[str, str]) -> dict[str, Any]:
    """The old cursor with the partitions read moved on; topics that the source no longer names stay."""
    cursor: dict[str, Any] = {t: dict(numbers) for t, numbers in before.items()} if isinstance(before, dict) else {}
    for topic, identity in topic_ids.items():
        if _is_anew(cursor.get(topic, {}), identity):
            del cursor[topic]
        cursor.setdefault(topic, {})[_ID] = identity
    for (topic, number), offset in sorted(after.items()):
        cursor.setdefault(topic, {})[str(number)] = offset
    return cursor
