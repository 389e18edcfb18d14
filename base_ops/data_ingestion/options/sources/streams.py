"""Message streams: Kafka, Kinesis, Pub/Sub, RabbitMQ, ActiveMQ, and how much of one is taken per run."""

from __future__ import annotations

from pydantic import Field

from base_ops.data_ingestion.options.sources.base import ProtocolSpec


class StreamSpec(ProtocolSpec):
    """What all streams have in common: a run takes a bounded part, and acknowledges it when it has landed."""

    max_messages: int = Field(100_000, ge=1)
    """At most this many in a run."""
    max_seconds: float = Field(60.0, gt=0)
    """At most this long, seconds; a run also ends when nothing more is there."""


class KafkaSpec(StreamSpec):
    """Messages of Kafka topics."""

    topics: tuple[str, ...] = Field(min_length=1)


class RabbitmqSpec(StreamSpec):
    """Messages of RabbitMQ queues."""

    queues: tuple[str, ...] = Field(min_length=1)


class ActivemqSpec(StreamSpec):
    """Messages of an ActiveMQ queue (STOMP)."""

    queue: str


class KinesisSpec(StreamSpec):
    """Records of a Kinesis stream."""

    stream: str


class PubsubSpec(StreamSpec):
    """Messages of a Pub/Sub subscription."""

    subscription: str
