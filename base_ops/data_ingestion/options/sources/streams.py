"""Message streams: Kafka, Kinesis, Pub/Sub, RabbitMQ, ActiveMQ, and how much of one is taken per run."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator

from base_ops.data_ingestion.options.sources.base import ProtocolSpec

RECEIVED = {"date": "%Y-%m-%d", "hour": "%Y-%m-%dT%H", "minute": "%Y-%m-%dT%H%M"}
"""Captures of a stream's parts: when they were received, UTC, as strftime writes it."""


class StreamSpec(ProtocolSpec):
    """What all streams have in common: a run takes a bounded part, and acknowledges it when it has landed."""

    value: Literal["json", "text", "bytes"] = "json"
    """What a message holds: JSON, put into the landed line as it is, so that its fields become columns `value.…`;
    UTF-8 text; or any bytes, landed as base64. A message that is something else goes to the dead letters."""
    max_messages: int = Field(100_000, ge=1)
    """At most this many in a run."""
    max_seconds: float = Field(30.0, gt=0)
    """At most this long, seconds; a run also ends when nothing more is there."""
    part_mb: int = Field(64, ge=1, le=1024)
    """A landed file is closed when it has this size, MB (10⁶ bytes)."""
    dead_letters_alert: int = Field(1_000, ge=1)
    """An alert is raised once so many messages wait in the dead letters."""
    dead_letters_limit: int = Field(10_000, ge=1)
    """The source is paused, as an error, once so many wait; nothing is discarded."""

    @property
    def needs_mode(self) -> Literal["snapshot", "append"] | None:
        return "append"

    @property
    def repeatable(self) -> bool:
        """What was acknowledged, or sent while nobody else kept it, does not come again."""
        return False


class LogSpec(StreamSpec):
    """Streams that can be read from any place: the place is the cursor in the landing log."""

    start: str = "earliest"
    """Where the first run begins: earliest, or a time (ISO 8601, with zone)."""
    lost: Literal["refuse", "go_on"] = "refuse"
    """What to do when messages expired before they were read, or the stream was made anew: fail, or go on with the
    earliest that is there, with a finding."""

    @property
    def moves_cursor(self) -> bool:
        return True

    @property
    def repeatable(self) -> bool:
        return True

    @field_validator("start")
    @classmethod
    def _place(cls, value: str) -> str:
        if value != "earliest":
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                moment = None
            if moment is None or moment.tzinfo is None:
                raise ValueError("start is earliest, or a time with its zone, e.g. 2026-01-05T00:00:00Z")
        return value

    @property
    def start_time(self) -> datetime | None:
        """The moment of the first message wanted; None: the earliest."""
        return None if self.start == "earliest" else datetime.fromisoformat(self.start)


class QueueSpec(StreamSpec):
    """Streams that hand out each message until it is acknowledged, which is done when it has landed."""

    idle_s: float = Field(1.0, gt=0)
    """A run ends when no message has come for this long, seconds."""

    @property
    def moves_cursor(self) -> bool:
        return True


class KafkaSpec(LogSpec):
    """Messages of Kafka topics."""

    topics: tuple[str, ...] = Field(min_length=1)
    """Names of the topics; those whose messages look different are sources of their own."""
    key: Literal["text", "bytes"] = "text"
    """What a message's key is: UTF-8 text, or any bytes, landed as base64."""
    group: str = "base-collectors"
    """Consumer group whose offsets are set once the messages have landed, for those who watch its lag."""
    batch: int = Field(100, ge=1, le=10_000)
    """Messages handed over by the client at a time."""
    buffer_mb: int = Field(64, ge=1, le=1024)
    """Memory for messages fetched ahead, MB (10⁶ bytes); fetching pauses while it is filled to 80 %."""


class KinesisSpec(LogSpec):
    """Records of a Kinesis stream."""

    stream: str
    """Name of the stream."""


class RabbitmqSpec(QueueSpec):
    """Messages of RabbitMQ queues."""

    queues: tuple[str, ...] = Field(min_length=1)
    """Names of the queues; the virtual host is the connection's schema."""


class ActivemqSpec(QueueSpec):
    """Messages of an ActiveMQ queue (STOMP)."""

    queue: str
    """Name of the queue."""


class PubsubSpec(QueueSpec):
    """Messages of a Pub/Sub subscription."""

    subscription: str
    """projects/<project>/subscriptions/<name>."""
