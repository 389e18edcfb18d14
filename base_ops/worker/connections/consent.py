"""The way back from a person's browser: one request to this machine brings the authorization code (RFC 8252 §7.3)."""

from __future__ import annotations

import hmac
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from base_ops.core.errors import ConfigError, Denied

_WAIT_S = 600.0
_LOOPBACK = {"127.0.0.1", "localhost"}


def code_from_browser(redirect_uri: str, state: str, wait_s: float = _WAIT_S) -> str:
    """Listen at the redirect URI until the browser comes back with the code.

    Raises:
        ConfigError: the redirect URI is not on this machine. Denied: consent was refused, or nobody came.
    """
    parts = urlsplit(redirect_uri)
    if parts.hostname not in _LOOPBACK or parts.scheme != "http" or not parts.port:
        raise ConfigError(
            "The redirect URI is not on this machine",
            code="bad_redirect_uri",
            where="authentication.redirect_uri",
            expected="http://127.0.0.1:<port>/",
        )
    came: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            ours = hmac.compare_digest(query.get("state", ""), state)
            self.send_response(200 if ours else 400)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"You can close this window.\n" if ours else b"Not the answer to our question.\n")
            if ours:
                came.update(query)

        def log_message(self, format: str, *args: object) -> None:  # it would show the code
            return

    with HTTPServer(("127.0.0.1", parts.port), Handler) as server:
        server.timeout = wait_s
        for _ in range(20):  # strangers' requests do not end it at once, nor keep it waiting for ever
            server.handle_request()
            if came:
                break
    if "code" not in came:
        raise Denied("No consent was given", code="no_consent", where=redirect_uri, todo="start again")
    return came["code"]
