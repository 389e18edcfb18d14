"""An identity provider and an API behind it, in this process: OAuth 2.0, OpenID Connect, SAML bearer, keys, signatures.

It checks what it is sent as a real one does, with the libraries a server would use.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from base_ops.bench.serving import in_thread

CLIENT, SECRET = "base-ops", "client-secret-%:+ä"
USER, PASSWORD = "me", "pass-word-of-mine"
KEY = "k" * 40
GRANT = "urn:ietf:params:oauth:grant-type:"


@dataclass
class Provider:
    """What the server knows and was asked."""

    life_s: float | None = 3600
    refresh_tokens: set[str] = field(default_factory=lambda: {"refresh-token-0"})
    rotates: bool = False
    amr: list[str] | None = field(default_factory=lambda: ["pwd", "otp"])
    secret: str = SECRET
    token_status: list[int] = field(default_factory=list)
    """Status codes to answer token requests with, first to last, before answering properly."""
    public_keys: dict[str, Any] = field(default_factory=dict)
    """By algorithm: what tokens of clients are verified with."""
    certificate: str = ""
    """Of SAML clients."""
    codes: dict[str, str] = field(default_factory=dict)
    """Authorization code: code challenge."""
    device_polls: int = 2
    valid: set[str] = field(default_factory=set)
    forms: list[dict[str, str]] = field(default_factory=list)
    api_calls: int = 0
    url: str = ""
    key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def revoke_all(self) -> None:
        self.valid.clear()

    # -- the token endpoint

    def token(self, form: dict[str, str], headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.forms.append(form)
        if self.token_status:
            return self.token_status.pop(0), {"error": "temporarily_unavailable"}
        grant = form.get("grant_type", "")
        handlers = {
            "client_credentials": lambda: self._client(form, headers),
            "refresh_token": lambda: self._client(form, headers) or self._refresh(form),
            "authorization_code": lambda: self._client(form, headers) or self._code(form),
            f"{GRANT}device_code": self._device,
            f"{GRANT}token-exchange": lambda: (
                None if form.get("subject_token") == "subject-token-1" else "invalid_grant"
            ),
            f"{GRANT}saml2-bearer": lambda: self._saml(form),
            f"{GRANT}jwt-bearer": lambda: self._assertion(form),
        }
        if grant not in handlers:
            return 400, {"error": "unsupported_grant_type"}
        fault = handlers[grant]()
        if fault is not None:
            return (401 if fault == "invalid_client" else 400), {"error": fault, "error_description": str(form)}
        return 200, self._issue(grant)

    def _issue(self, grant: str) -> dict[str, Any]:
        value, now = f"access-{secrets.token_urlsafe(16)}", int(time.time())
        self.valid.add(value)
        claims = {"iss": self.url, "sub": "me", "aud": CLIENT, "iat": now, "exp": now + 3600}
        if self.amr is not None:
            claims["amr"] = self.amr
        told: dict[str, Any] = {"access_token": value, "token_type": "Bearer"}
        told["id_token"] = jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "k1"})
        if self.life_s is not None:
            told["expires_in"] = self.life_s
        if grant in ("authorization_code", f"{GRANT}device_code") or (grant == "refresh_token" and self.rotates):
            told["refresh_token"] = f"refresh-{secrets.token_urlsafe(8)}"
            self.refresh_tokens.add(told["refresh_token"])
        return told

    def _client(self, form: dict[str, str], headers: dict[str, str]) -> str | None:
        who, secret = form.get("client_id", ""), form.get("client_secret", "")
        if (given := headers.get("authorization", "")).startswith("Basic "):
            who, _, secret = base64.b64decode(given[6:]).decode().partition(":")
            who, secret = unquote(who), unquote(secret)
        return None if (who, secret) == (CLIENT, self.secret) else "invalid_client"

    def _refresh(self, form: dict[str, str]) -> str | None:
        given = form.get("refresh_token", "")
        if given not in self.refresh_tokens:
            return "invalid_grant"
        if self.rotates:
            self.refresh_tokens.remove(given)
        return None

    def _code(self, form: dict[str, str]) -> str | None:
        challenge = self.codes.pop(form.get("code", ""), None)
        made = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode()
        return None if challenge == made.rstrip("=") else "invalid_grant"

    def _device(self) -> str | None:
        self.device_polls -= 1
        return None if self.device_polls < 0 else "authorization_pending"

    def _saml(self, form: dict[str, str]) -> str | None:
        from signxml.verifier import XMLVerifier

        given = form.get("assertion", "")
        data = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
        signed = XMLVerifier().verify(data, x509_cert=self.certificate).signed_xml
        text = " ".join(str(item) for item in signed.itertext())
        return None if f"{self.url}/token" in text and CLIENT in text else "invalid_grant"

    def _assertion(self, form: dict[str, str]) -> str | None:
        self._own(form["assertion"], "RS256", f"{self.url}/token")
        return None

    def _own(self, token: str, algorithm: str, audience: str) -> dict[str, Any]:
        """A token made by a client, checked to the second."""
        found: dict[str, Any] = jwt.decode(token, self.public_keys[algorithm], [algorithm], audience=audience)
        return found

    # -- the API

    def allowed(self, kind: str, handler: Any, query: dict[str, str]) -> bool:
        self.api_calls += 1
        sent = handler.headers.get("Authorization", "")
        match kind:
            case "token":
                return sent.removeprefix("Bearer ") in self.valid
            case "header":
                return handler.headers.get("X-API-Key") == KEY
            case "query":
                return query.get("api_key") == KEY
            case "bearer":
                return bool(sent == f"Bearer {KEY}")
            case "basic":
                return bool(sent == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
            case "digest":
                return self._digest(sent, handler)
            case "hmac":
                return self._hmac(handler)
            case "jwt_RS256" | "jwt_HS256" | "jwt_ES256":
                return bool(self._own(sent.removeprefix("Bearer "), kind[4:], self.url)["iss"] == CLIENT)
            case "certificate":
                return bool(handler.connection.getpeercert())
            case _:
                return kind == "open"

    def _digest(self, sent: str, handler: Any) -> bool:
        parts = dict(re.findall(r'(\w+)="?([^",]*)"?', sent))
        if not parts:
            return False
        one = hashlib.md5(f"{USER}:api:{PASSWORD}".encode()).hexdigest()
        two = hashlib.md5(f"GET:{parts['uri']}".encode()).hexdigest()
        text = f"{one}:{parts['nonce']}:{parts['nc']}:{parts['cnonce']}:{parts['qop']}:{two}"
        return hashlib.md5(text.encode()).hexdigest() == parts["response"]

    def _hmac(self, handler: Any) -> bool:
        stamp = handler.headers.get("X-Timestamp", "0")
        body = hashlib.sha256(b"").hexdigest()
        text = f"GET\n{handler.path}\n{stamp}\n{body}"
        made = hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()
        fresh = abs(time.time() - float(stamp)) <= 300
        return fresh and handler.headers.get("X-Key-Id") == USER and handler.headers.get("X-Signature") == made


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        provider: Provider = self.server.provider
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = {key: values[0] for key, values in parse_qs(body, keep_blank_values=True).items()}
        with provider.lock:
            if self.path == "/device":
                self._answer(
                    200, {"device_code": "d", "user_code": "ABCD", "verification_uri": "http://x/", "interval": 1}
                )
            else:
                headers = {key.lower(): value for key, value in self.headers.items()}
                self._answer(*provider.token(form, headers))

    def do_GET(self) -> None:
        provider: Provider = self.server.provider
        url = urlsplit(self.path)
        with provider.lock:
            if url.path == "/jwks":
                public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(provider.key.public_key()))
                return self._answer(200, {"keys": [{**public, "kid": "k1", "alg": "RS256", "use": "sig"}]})
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            if provider.allowed(url.path.removeprefix("/api/"), self, query):
                return self._answer(200, [{"id": 1}])
        self._answer(401, {"error": "unauthorized"}, {"WWW-Authenticate": 'Digest realm="api", nonce="n1", qop="auth"'})

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:  # the client did not like it
                return
        with request:
            super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None: ...


@contextmanager
def identity_provider(provider: Provider | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """A running provider; `url` is its address."""
    provider = provider or Provider()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.tls, server.provider = tls, provider  # type: ignore[attr-defined]
    provider.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    with in_thread(server):
        yield provider
