"""InfluxDB as a source, against a simulated peer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import StillClock

from base_ops.bench.serving import in_thread
from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Fetched, Site
from base_ops.worker.connectors.influx import InfluxSource
from base_ops.worker.lake.landing import History, LandingEntry
from base_ops.worker.secrets import ConnectionInfo

QUERY = 'from(bucket: "b") |> range(start: v.start, stop: v.stop)'


class Influx(ThreadingHTTPServer):
    """Points by their time; answers with those of the span."""

    daemon_threads = True
    points: dict[datetime, int]
    status = 200
    failure = b""
    """Of a query that fails after its first rows."""


class _Handler(BaseHTTPRequestHandler):
    server: Influx

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        span = re.match(r"option v = \{start: (\S+), stop: (\S+)\}\n", asked["query"])
        low, high = (datetime.fromisoformat(t) for t in span.groups()) if span else (None, None)
        found = [(t, v) for t, v in self.server.points.items() if span is None or low <= t < high]
        status = self.server.status if self.headers["Authorization"] == "Token a-secret" else 401
        body = "".join(f",,0,{t.isoformat()},{v}\r\n" for t, v in sorted(found)).encode() + self.server.failure
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Influx]:
    made = Influx(("127.0.0.1", 0), _Handler)
    made.points = {}
    with in_thread(made):
        yield made


def fetch(server: Influx, folder: Path, clock: StillClock, cursor: Any = None, **options: Any) -> tuple[dict[str, list[int]], Any]:  # fmt: skip
    change = {k: options.pop(k) for k in ("password", "env") if k in options}
    source = SourceSpec.model_validate({"id": "s", "connection": "i", "influx": {"query": QUERY, **options}})
    info = ConnectionInfo("i", host="127.0.0.1", port=server.server_address[1], scheme="http", password=change.get("password", "a-secret"), schema="o", extra={"sslmode": "disable"})  # fmt: skip
    taken: dict[str, list[int]] = {}

    def keep(fetched: Fetched) -> None:
        taken[fetched.path] = [int(line.rsplit(b",", 1)[1]) for line in fetched.local.read_bytes().splitlines()]

    history = History([LandingEntry(sequence=1, source="s", objects=[], cursor_after=cursor)] if cursor else [])
    site = Site(source, folder, info, clock=clock, env=change.get("env", "dev"))
    return taken, InfluxSource(site).fetch(history, keep).cursor_after


def test_points_that_come_late_are_neither_lost_nor_doubled(server: Influx, tmp_path: Path) -> None:
    clock = StillClock(datetime(2024, 1, 1, 12, tzinfo=UTC))
    landed: dict[str, list[int]] = {}
    cursor = None
    for step in range(10):
        now = clock.now()
        server.points[now - timedelta(microseconds=1)] = step
        server.points[now] = 100 + step  # on the edge of a window
        taken, cursor = fetch(server, tmp_path, clock, cursor, incremental=True, lag_s=60)
        landed |= taken
        server.points[now - timedelta(seconds=59)] = 1000 + step  # after it was read
        clock.sleep(20 if step % 3 else 300)
    taken, cursor = fetch(server, tmp_path, clock, cursor, incremental=True, lag_s=60)
    landed |= taken
    assert sorted(v for found in landed.values() for v in found) == sorted(server.points.values())


def test_a_query_is_taken_as_it_is(server: Influx, tmp_path: Path) -> None:
    server.points[datetime(2024, 1, 1, tzinfo=UTC)] = 7
    assert fetch(server, tmp_path, StillClock()) == ({"query.csv": [7]}, None)


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_a_query_that_fails_after_its_first_rows_lands_nothing(rows: int, server: Influx, tmp_path: Path) -> None:
    for n in range(rows):
        server.points[datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=n)] = n
    server.failure = b"\r\n#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,memory allocation limit reached,\r\n"
    with pytest.raises(Transient) as raised:
        fetch(server, tmp_path, StillClock())
    assert raised.value.code == "influx_failed"
    assert list(tmp_path.iterdir()) == []


FAILURES: dict[str, tuple[int, dict[str, Any], type[BaseOpsError], str]] = {
    "token": (200, {"password": "another-secret"}, Denied, "forbidden"),
    "query": (400, {}, ConfigError, "influx_refused"),
    "busy": (503, {}, Transient, "influx_failed"),
    "start": (200, {"incremental": True, "start": "soon"}, ConfigError, "bad_start"),
    "no tls": (200, {"env": "prod"}, ConfigError, "tls_not_verified"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_told_apart_without_a_secret(case: str, server: Influx, tmp_path: Path) -> None:
    server.status, options, kind, code = FAILURES[case]
    with pytest.raises(kind) as raised:
        fetch(server, tmp_path, StillClock(), **options)
    assert raised.value.code == code
    assert "secret" not in str(raised.value)
