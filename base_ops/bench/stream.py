"""From a message's birth to its row in the table: the stream loop as it ships, against a server beside it.

    python -m base_ops.bench.stream <messages a second> <seconds>

The server sends trades as server-sent events the moment they are due, each with that moment in it. The worker is a
process of its own: parts land, are converted, validated and stored. A row is there when its Delta commit is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from base_ops.bench.measure import worker
from base_ops.bench.serving import in_thread
from base_ops.core.protocol import Result, StepRequest

_DATASET = "trades"
_AT_ONCE_S = 0.01
_MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class Measured:
    """One measurement; seconds."""

    rate: int
    """Messages a second."""
    messages: int
    parts: int
    p50_s: float
    p95_s: float
    late_p95_s: float
    """p95 of the last fifth: whether it grows while the stream goes on."""
    validation_s: float
    """Validating a part, p95."""
    cpu_s: float
    """Of the worker, imports and all."""
    peak_mb: float


def measure(rate: int = 10_000, seconds: float = 10.0, part_s: float = 0.25) -> Measured:
    """Send, store, and look into the table.

    Raises:
        RuntimeError: the worker failed, or a row is missing or doubled.
    """
    total = int(rate * seconds)
    with tempfile.TemporaryDirectory() as place, _server(rate, total) as server:
        home = Path(place)
        result = _run(home, f"http://127.0.0.1:{server.server_address[1]}/trades", total, part_s, seconds + 60)
        waits = _waits(home / "lake", server.began)
    if sorted(waits) != list(range(1, total + 1)):
        raise RuntimeError(f"{total} messages were sent, {len(waits)} rows are there")
    parts = int(result.steps[0].observations["parts_with_data"])  # type: ignore[arg-type]
    stages: Any = result.steps[0].observations["stage_s_p95"]
    everything = [waits[number] for number in sorted(waits)]
    late = everything[int(0.8 * len(everything)) :]
    return Measured(
        rate,
        total,
        parts,
        _quantile(everything, 0.5),
        _quantile(everything, 0.95),
        _quantile(late, 0.95),
        stages["validate_streaming_data"],
        result.cpu_seconds,
        result.peak_memory_bytes / (1 << 20),
    )


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


def _run(home: Path, url: str, total: int, part_s: float, patience_s: float) -> Result:
    source = {
        "id": "bench",
        "sse": {"path": url, "max_messages": total, "max_seconds": part_s, "idle_s": 1, "rate": None},
        "mode": "append",
        "slice": "{minute}",
        "read": {
            "format": "ndjson",
            "columns": [
                {"name": "trade", "source_name": "value.trade", "type": "int64", "required": True},
                {"name": "symbol", "source_name": "value.symbol", "type": "string"},
                {"name": "price", "source_name": "value.price", "type": "float64"},
            ],
        },
    }
    rules = [{"check": "range", "column": "price", "min": 0}, {"check": "unique", "columns": ["trade"]}]
    stages = [
        ("data_ingestion.converter", {"source": source, "target": f"staging:{_DATASET}", "whole_slices": False}),
        ("data_quality.validator", {"action": "validate_streaming_data", "rules": rules}),
        (
            "data_storage.tier_manager",
            {"action": "store_streaming_data", "dataset": _DATASET, "key": ["trade"], "missing_rows": "keep"},
        ),
    ]
    spec: dict[str, Any] = {
        "source": source,
        "dataset": _DATASET,
        "max_seconds": patience_s,
        "idle_parts": 20,
        "then": [[{"agent": agent, "spec": body}] for agent, body in stages],
    }
    step = StepRequest(agent="data_ingestion.collector", action="process_streaming_data", spec=spec)
    command = worker(home, "stream", [step])
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s + 120)
    out = home / "lake" / "runs" / "stream.json"
    if done.returncode not in (0, 3) or not out.exists():
        raise RuntimeError(f"the worker ended with {done.returncode}: {done.stderr[-2000:]}")
    return Result.model_validate_json(out.read_text())


def _waits(lake: Path, began: dict[int, float]) -> dict[int, float]:
    """Seconds from each message's birth to the commit that has its row, by its number."""
    import polars as pl

    log = lake / "tables" / _DATASET / "_delta_log"
    waits: dict[int, float] = {}
    for commit in sorted(log.glob("*.json")):
        there = commit.stat().st_mtime
        for line in commit.read_text().splitlines():
            added = json.loads(line).get("add")
            if added and "_current=true" in added["path"]:
                for trade in pl.read_parquet(lake / "tables" / _DATASET / added["path"], columns=["trade"])["trade"]:
                    waits.setdefault(trade, there - began[0] - (trade - 1) / began[1])
    return waits


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        after = int(self.headers.get("Last-Event-ID") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            self._send(after)
        except OSError:  # the client has had enough for this part
            self.close_connection = True

    def _send(self, after: int) -> None:
        server = self.server
        with server.lock:
            server.began.setdefault(0, time.time())
            server.began.setdefault(1, float(server.rate))
        while after < server.total:
            due = min(server.total, after + _MOST_AT_ONCE, 1 + int((time.time() - server.began[0]) * server.rate))
            self.wfile.write("".join(_event(number) for number in range(after + 1, due + 1)).encode())
            if due < after + _MOST_AT_ONCE:
                time.sleep(_AT_ONCE_S)
            after = max(after, due)

    def log_message(self, format: str, *args: object) -> None: ...


def _event(number: int) -> str:
    return f'id: {number}\ndata: {{"trade":{number},"symbol":"AAPL","price":{50 + number % 2000 / 100:.2f}}}\n\n'


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, rate: int, total: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rate, self.total = rate, total
        self.lock = threading.Lock()
        self.began: dict[int, float] = {}
        """0: when the first message was born; 1: messages a second."""


@contextmanager
def _server(rate: int, total: int) -> Iterator[_Server]:
    server = _Server(rate, total)
    with in_thread(server):
        yield server


if __name__ == "__main__":
    found = measure(int(sys.argv[1]), float(sys.argv[2]))
    print(f"{datetime.now(UTC):%H:%M:%S} {found}")  # noqa: T201
