"""The measurement of connections, in small: it ends only if all are open at once."""

from __future__ import annotations

from base_ops.bench.http import measure


def test_all_connections_are_open_at_once() -> None:
    found = measure(connections=50, body_bytes=1000)
    assert (found.most_at_once, found.bytes) == (50, 50_000)
