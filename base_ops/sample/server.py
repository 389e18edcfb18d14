"""Vendor A's API on 127.0.0.1, with a bearer token: `GET /v1/quotes?since=…&cursor=…` (or `from=…&to=…`), paged by 100.

    {"data": [{"symbol": …}, …], "next": "<cursor>" or null}

As real ones do, it asks a client to slow down once: the fourth request for quotes gets 429 with `Retry-After: 1`.
It runs by itself (`python -m base_ops.sample <home>`), and ends when nobody asked for 15 minutes; or in the foreground,
for pods to ask (`python -m base_ops.sample --listen 0.0.0.0:8080 --connection sample_api.json`).
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from base_ops.sample import market

PAGE_ROWS = 100
IDLE_S = 15 * 60
CORRECTED = "corrected"
"""A file of this name in the sample folder makes the vendors send their later corrections."""


class Api(ThreadingHTTPServer):
    """The API of one sample folder; what it knows of its clients is kept here."""

    daemon_threads = True

    def __init__(self, folder: Path, address: tuple[str, int] = ("127.0.0.1", 0), token: str = "") -> None:
        super().__init__(address, Handler)
        self.folder = folder
        self.token = token or secrets.token_urlsafe(24)
        self.asked = 0
        self.last_asked = time.monotonic()
        self.timeout = 1.0

    def serve(self) -> None:
        """Until idle."""
        while time.monotonic() - self.last_asked < IDLE_S:
            self.handle_request()


class Handler(BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.server.last_asked = time.monotonic()
        if url.path == "/health":
            return self.answer(200, json.dumps({"pid": os.getpid()}).encode())
        if not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.server.token}"):
            return self.answer(401, b'{"error": "a bearer token is required"}')
        if url.path != "/v1/quotes":
            return self.answer(404, b'{"error": "only /v1/quotes is here"}')
        self.server.asked += 1
        if self.server.asked == 4:
            return self.answer(429, b'{"error": "slow down"}', {"Retry-After": "1"})
        return self.quotes({key: values[-1] for key, values in parse_qs(url.query).items()})

    def quotes(self, params: dict[str, str]) -> None:
        """Records updated after `since`, or of quote dates `from` to before `to`; from number `cursor` on."""
        cursor = params.get("cursor", "0")
        if not (cursor.isascii() and cursor.isdigit()):
            return self.answer(400, b'{"error": "cursor is not one of mine"}')
        rows = market.api_rows(later=(self.server.folder / CORRECTED).exists())
        rows = [row for row in rows if row["updated_at"] > params.get("since", "")]
        rows = [row for row in rows if params.get("from", "")[:10] <= row["date"] < params.get("to", "9999")[:10]]
        start, end = int(cursor), int(cursor) + PAGE_ROWS
        return self.answer(200, market.to_json(rows[start:end], str(end) if end < len(rows) else None))

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: requests are nobody's business."""


def write_private(path: Path, value: object) -> None:
    """A JSON file that only its owner can read, complete or not there at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file, indent=1)
    fresh.replace(path)


def listen(address: str, connection: Path) -> None:
    """Serve in the foreground, with the token of the very connection that the jobs have, until ended."""
    host, _, port = address.rpartition(":")
    token = json.loads(connection.read_text())["password"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Api(connection.parent, (host, int(port)), token).serve_forever()


def main(home: Path) -> None:
    """Serve in the background. Returns once the API answers (also another process's), in the foreground process."""
    folder = home / "sample"
    lock = (folder / "server.lock").open("a")  # held for the server's life, so that there is one
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    api = Api(folder)
    if os.fork():
        os._exit(0)  # the socket listens already; the child has the lock
    os.setsid()
    port = api.server_address[1]
    extra = {"scheme": "http"}
    connection = {"conn_type": "http", "host": "127.0.0.1", "port": port, "password": api.token, "extra": extra}
    write_private(home / "connections" / "sample_api.json", connection)
    write_private(folder / "server.json", {"pid": os.getpid(), "url": f"http://127.0.0.1:{port}"})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        api.serve()
    finally:
        (folder / "server.json").unlink(missing_ok=True)
