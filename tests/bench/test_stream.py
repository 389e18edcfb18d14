"""The measurement of a stream's latency, in small: every message is in the table once, and each has a wait."""

from __future__ import annotations

import pytest

from base_ops.bench.stream import measure

pytestmark = pytest.mark.slow


def test_every_message_is_stored_and_its_wait_known() -> None:
    found = measure(rate=200, seconds=2)
    assert found.messages == 400 and found.parts >= 1
    assert 0 < found.p50_s <= found.p95_s and found.validation_s > 0
