"""Real brokers, started once per session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import brokers


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[brokers.Broker]:
    with brokers.running(brokers.kafka()) as broker:
        yield broker


@pytest.fixture(scope="session")
def rabbitmq_broker() -> Iterator[brokers.Broker]:
    with brokers.running(brokers.rabbitmq()) as broker:
        yield broker


@pytest.fixture(scope="session")
def activemq_broker() -> Iterator[brokers.Broker]:
    with brokers.running(brokers.activemq()) as broker:
        yield broker
