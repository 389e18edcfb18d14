"""What tests of the collector share: a clock that does not wait, a context, and an HTTP server that misbehaves."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from base_ops.bench.serving import in_thread
from base_ops.core.ids import uuid7
from base_ops.core.protocol import Identity, Request, StepRequest
from base_ops.core.settings import Settings
from base_ops.data_ingestion.jobs.collector import collect
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.specs.collector import CollectDataFromSourceSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.lake import Lake
from base_ops.worker.secrets import Secrets


class StillClock(Clock):
    """An hour ahead, so that files just written have settled; sleeping only moves it."""

    def __init__(self, now: datetime | None = None) -> None:
        self.moment = now or datetime.now(UTC) + timedelta(hours=1)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += timedelta(seconds=seconds)


def context(home: Path, *, env: str = "dev", lake_url: str = "", **identity: Any) -> Context:
    settings = Settings(home=home, env=env, lake_url=lake_url)  # type: ignore[arg-type]
    attempt = uuid7()
    request = Request(
        steps=[StepRequest(agent="data_ingestion.collector", action="collect_data_from_source", spec={})],
        identity=Identity(attempt=attempt, **identity),
        lake_url=settings.lake,
    )
    lake = Lake(settings.lake, attempt)
    return Context(request, settings, lake, Secrets(settings.connections), logging.getLogger("test"))


def collected(
    home: Path, source: dict[str, Any], clock: Clock | None = None, ctx: Context | None = None, **spec: Any
) -> JobOutput:
    """One run of the collector."""
    made = CollectDataFromSourceSpec(source=SourceSpec.model_validate(source), **spec)
    return collect(made, ctx or context(home), clock or StillClock())


def connect(home: Path, name: str, **parts: Any) -> None:
    """Write a connection file."""
    folder = home / "connections"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(parts))


# -- HTTP


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Reply:
    """One answer. `cut`: fewer bytes than the header says; `hang`: no answer until the test ends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hang: bool = False
    chunked: bool = False


Script = Callable[[Asked], Reply]


class ScriptedServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.asked: list[Asked] = []
        self.over = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = Asked(
            url.path,
            {k: v[-1] for k, v in parse_qs(url.query).items()},
            {k.lower(): v for k, v in self.headers.items()},
            self.rfile.read(int(self.headers.get("Content-Length", 0))),
        )
        self.server.asked.append(asked)
        reply = self.server.script(asked)
        if reply.hang:
            self.server.over.wait(30)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(
                f"{len(reply.body):x}\r\n".encode() + reply.body + (b"" if reply.cut else b"\r\n0\r\n\r\n")
            )
        else:
            self.send_header("Content-Length", str(len(reply.body) + (10 if reply.cut else 0)))
            self.end_headers()
            self.wfile.write(reply.body)
        self.close_connection = reply.cut

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    with in_thread(server):
        try:
            yield server
        finally:
            server.over.set()


def in_turn(*replies: Reply) -> Script:
    """The replies one after the other; the last one again and again."""
    left = list(replies)
    return lambda _asked: left.pop(0) if len(left) > 1 else left[0]


def page(records: list[Any], following: Any = None) -> Reply:
    return Reply(
        body=json.dumps({"data": records, "next": following}).encode(), headers={"Content-Type": "application/json"}
    )


def wait_until(condition: Callable[[], bool], patience_s: float = 10.0) -> bool:
    """For another process's doing; polls."""
    end = time.monotonic() + patience_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()
