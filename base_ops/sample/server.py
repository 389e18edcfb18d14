"""Vendor A's API on 127.0.0.1, with a bearer token: `GET /v1/quotes?since=…&cursor=…` (or `from=…&to=…`), paged by 100.

    {"data": [{"symbol": …}, …], "next": "<cursor>" or null}

As real ones do, it asks a client to slow down once: the fourth request for quotes gets 429 with `Retry-After: 1`.
It runs by itself (`python -m base_ops.sample <home>`), and ends when nobody asked for 15 minutes; or in the foreground,
for pods to ask (`python -m base_ops.sample --listen 0.0.0.0:8080 --connection sample_api.json`, `--connection` as often
as there are connections).

    POST /oauth/token   client credentials for an access token; GET /oauth/keys: what checks its signature
    GET /v2/quotes      the same quotes for such a token, on a bad day: see faults.py
    GET /v2/trades      trades as server-sent events for such a token: see ticks.py

The same API also answers over TLS 1.3 at an address of its own, where the libraries for it are installed.
"""

from __future__ import annotations

import base64
import fcntl
import hmac
import json
import os
import secrets
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from base_ops.sample import market, ticks
from base_ops.sample.faults import Faults
from base_ops.sample.identity import Issuer, tls

HOST = "127.0.0.1"
PAGE_ROWS = 100
IDLE_S = 15 * 60
CORRECTED = "corrected"
"""A file of this name in the sample folder makes the vendors send their later corrections."""


class Api(ThreadingHTTPServer):
    """The API of one sample folder; what it knows of its clients is kept here."""

    daemon_threads = True

    def __init__(
        self,
        folder: Path,
        address: tuple[str, int] = (HOST, 0),
        token: str = "",
        faults: Faults | None = None,
        issuer: Issuer | None = None,
    ) -> None:
        super().__init__(address, Handler)
        self.folder = folder
        self.token = token or secrets.token_urlsafe(24)
        self.issuer = issuer or Issuer()
        self.faults = faults or Faults()
        self.asked = 0
        self.last_asked = time.monotonic()
        self.timeout = 1.0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    def serve(self) -> None:
        """Until idle."""
        while time.monotonic() - self.last_asked < IDLE_S:
            self.handle_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: clients hang up, and some are meant to."""

    def connections(self) -> dict[str, dict[str, Any]]:
        """How clients log in, by the name of the connection."""
        port = self.server_address[1]
        shared = {"conn_type": "http", "host": HOST, "port": port}
        extra = {"scheme": "http", "token_url": f"{self.url}/oauth/token"}
        return {
            "sample_api": {**shared, "password": self.token, "extra": {"scheme": "http"}},
            "sample_v2": {**shared, "login": self.issuer.client, "password": self.issuer.secret, "extra": extra},
        }


class SecureApi(ThreadingHTTPServer):
    """The same API behind TLS, at an address of its own."""

    daemon_threads = True

    def __init__(self, api: Api, context: Any, authority: str) -> None:
        super().__init__((HOST, 0), Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.api = api
        self.authority = authority

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: a client that only looks at the certificate is none."""

    def connection(self) -> dict[str, Any]:
        """How clients log in."""
        extra = {"token_url": f"{self.url}/oauth/token", "ca_certificate": self.authority}
        issuer = self.api.issuer
        return {
            "conn_type": "http",
            "host": f"https://{HOST}",
            "port": self.server_address[1],
            "login": issuer.client,
            "password": issuer.secret,
            "extra": extra,
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    @property
    def api(self) -> Api:
        """What both addresses share."""
        return cast(Api, getattr(self.server, "api", self.server))

    def do_POST(self) -> None:
        self.api.last_asked = time.monotonic()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        issuer = self.api.issuer
        login = base64.b64encode(f"{issuer.client}:{issuer.secret}".encode()).decode()
        if self.path != "/oauth/token" or not hmac.compare_digest(
            self.headers.get("Authorization", ""), f"Basic {login}"
        ):
            return self.answer(401, b'{"error": "invalid_client"}')
        token = {"access_token": issuer.token(), "token_type": "Bearer", "expires_in": 3600}
        return self.answer(200, json.dumps(token).encode())

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.api.last_asked = time.monotonic()
        if url.path == "/health":
            return self.answer(200, json.dumps({"pid": os.getpid()}).encode())
        if url.path == "/oauth/keys":
            return self.answer(200, json.dumps(self.api.issuer.keys()).encode())
        if url.path.startswith("/v2/"):
            return self.second(url.path, {key: values[-1] for key, values in parse_qs(url.query).items()})
        if not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.api.token}"):
            return self.answer(401, b'{"error": "a bearer token is required"}')
        if url.path != "/v1/quotes":
            return self.answer(404, b'{"error": "only /v1/quotes is here"}')
        self.api.asked += 1
        if self.api.asked == 4:
            return self.answer(429, b'{"error": "slow down"}', {"Retry-After": "1"})
        return self.quotes({key: values[-1] for key, values in parse_qs(url.query).items()})

    def second(self, path: str, params: dict[str, str]) -> None:
        """The API for tokens that can be revoked, on a bad day."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.api.issuer.knows(token):
            return self.answer(401, b'{"error": "invalid_token"}')
        if path == "/v2/trades":
            return self.trades()
        if path != "/v2/quotes":
            return self.answer(404, b'{"error": "only /v2/quotes and /v2/trades are here"}')
        fault = self.api.faults.next()
        if fault == "revoked":
            self.api.issuer.revoke(token)
            return self.answer(401, b'{"error": "invalid_token"}')
        if fault == "unavailable":
            return self.answer(503, b'{"error": "try again"}')
        if fault == "slow_down":
            return self.answer(429, b'{"error": "slow down"}', {"Retry-After": self.api.faults.retry_after})
        self.close_connection = fault in ("cut", "hang_up")
        return None if fault == "hang_up" else self.quotes(params, cut=fault == "cut")

    def trades(self) -> None:
        """Events behind Last-Event-ID; 204 tells the client that there will be no more."""
        last = self.headers.get("Last-Event-ID", "")
        body = ticks.stream(int(last) if last.isdigit() else 0)
        if body is None:
            return self.answer(204, b"")
        self.close_connection = True
        return self.answer(200, body, {"Content-Type": "text/event-stream"})

    def quotes(self, params: dict[str, str], *, cut: bool = False) -> None:
        """Records updated after `since`, or of quote dates `from` to before `to`; from number `cursor` on."""
        cursor = params.get("cursor", "0")
        if not (cursor.isascii() and cursor.isdigit()):
            return self.answer(400, b'{"error": "cursor is not one of mine"}')
        rows = market.api_rows(later=(self.api.folder / CORRECTED).exists())
        rows = [row for row in rows if row["updated_at"] > params.get("since", "")]
        rows = [row for row in rows if params.get("from", "")[:10] <= row["date"] < params.get("to", "9999")[:10]]
        start, end = int(cursor), int(cursor) + PAGE_ROWS
        body = market.to_json(rows[start:end], str(end) if end < len(rows) else None)
        return self.answer(200, body, sent=body[: len(body) // 2] if cut else body)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, sent: bytes | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if sent is None else sent)

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


def listen(address: str, connections: list[Path]) -> None:
    """Serve in the foreground until ended, to whoever has the very connections that the jobs have.

    Args:
        connections: sample_api.json with the token of the first API, sample_v2.json with the login of the second.
    """
    host, _, port = address.rpartition(":")
    known = {file.stem: json.loads(file.read_text()) for file in connections}
    token = known.get("sample_api", {}).get("password", "")
    second = known.get("sample_v2")
    issuer = Issuer(second["login"], second["password"]) if second else Issuer()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Api(connections[0].parent, (host, int(port)), token, issuer=issuer).serve_forever()


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
    connections, secure_url = api.connections(), ""
    if made := tls(HOST):
        secure = SecureApi(api, *made)
        connections["sample_secure"], secure_url = secure.connection(), secure.url
        threading.Thread(target=secure.serve_forever, daemon=True).start()
    for name, connection in connections.items():
        write_private(home / "connections" / f"{name}.json", connection)
    write_private(folder / "server.json", {"pid": os.getpid(), "url": api.url, "secure_url": secure_url})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        api.serve()
    finally:
        (folder / "server.json").unlink(missing_ok=True)
