"""The sample stream: trades as server-sent events, some of them sent twice, some of them no JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from base_ops.sample.market import quotes

TICKS = 240
POISON = (37, 120, 181)
"""Numbers of the events that are no JSON."""
TWICE = (10, 64, 65, 150, 239)
"""Numbers of the events that come again, with an id of their own."""
HANG_UP_EVERY = 90
"""The server ends the connection after so many events; a client goes on with Last-Event-ID."""
_FIRST = datetime(2025, 3, 31, 13, 30, tzinfo=UTC)


def trade(number: int) -> dict[str, object]:
    """What event `number` (from 1) says."""
    row = quotes()[number * 7 % len(quotes())]
    at = (_FIRST + timedelta(milliseconds=250 * number)).isoformat(timespec="milliseconds")
    return {"trade": number, "symbol": row["symbol"], "time": at, "price": row["close"], "size": 100 * (1 + number % 9)}


def events() -> Iterator[tuple[int, str]]:
    """(id, data) of all events, in order; ids count from 1 without a gap."""
    sent = 0
    for number in range(1, TICKS + 1):
        data = '{"trade": 37, "price": ' if number in POISON else json.dumps(trade(number))
        for _ in range(2 if number in TWICE else 1):
            sent += 1
            yield sent, data


def good() -> list[int]:
    """Numbers of the trades that a table holds in the end."""
    return [number for number in range(1, TICKS + 1) if number not in POISON]


def stream(after: int) -> bytes | None:
    """The next stretch of the stream behind an event's id, as text/event-stream; None when there is no more."""
    lines = [f"id: {n}\nevent: trade\ndata: {data}\n\n" for n, data in events() if n > after]
    return "".join(lines[:HANG_UP_EVERY]).encode() or None
