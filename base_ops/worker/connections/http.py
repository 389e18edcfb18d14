"""HTTP clients that prove who they are: one `httpx.Auth` per kind of template, and a client with pool and TLS.

A refused token is replaced once; the second refusal stands (two tries at most, so that no account is locked).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Generator
from typing import Any

import httpx

from base_ops.data_ingestion.options.authentication import (
    ApiKeyTemplate,
    BasicTemplate,
    CertificateTemplate,
    CloudTemplate,
    DigestTemplate,
    HmacTemplate,
    JwtTemplate,
    LdapTemplate,
    OAuth2Template,
    SamlTemplate,
    TokenExchangeTemplate,
)
from base_ops.data_ingestion.options.connections import ConnectionProfile
from base_ops.worker.connections.credentials import Credentials
from base_ops.worker.connections.jwts import own_token
from base_ops.worker.connections.oauth import token_source
from base_ops.worker.connections.pools import BalancedTransport, balancer_of, limits
from base_ops.worker.connections.tls import shared_tls_context
from base_ops.worker.connections.tokens import TokenSource

_SENDABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
Flow = Generator[httpx.Request, httpx.Response, None]


class TokenAuth(httpx.Auth):
    """A bearer token; refused with 401, it is replaced once."""

    def __init__(self, tokens: TokenSource) -> None:
        self.tokens = tokens

    def auth_flow(self, request: httpx.Request) -> Flow:
        token = self.tokens.current()
        request.headers["Authorization"] = f"Bearer {token.value}"
        response = yield request
        if response.status_code == 401:
            request.headers["Authorization"] = f"Bearer {self.tokens.renew(token).value}"
            yield request


class KeyAuth(httpx.Auth):
    """A fixed key in a header or query parameter."""

    def __init__(self, place: str, name: str, key: str) -> None:
        self._place, self._name, self._key = place, name, key

    def auth_flow(self, request: httpx.Request) -> Flow:
        if self._place == "query":
            request.url = request.url.copy_set_param(self._name, self._key)
        else:
            request.headers[self._name] = self._key
        yield request


class HmacAuth(httpx.Auth):
    """A signature over method, path with query, time stamp and body."""

    requires_request_body = True

    def __init__(self, credentials: Credentials, template: HmacTemplate) -> None:
        self._credentials, self._template = credentials, template
        self._key = credentials.get("password").encode()

    def auth_flow(self, request: httpx.Request) -> Flow:
        stamp = str(int(self._credentials.keyring.clock.now().timestamp()))
        target = request.url.raw_path.decode()
        request.headers[self._template.key_id_header] = self._credentials.find("login")
        request.headers[self._template.timestamp_header] = stamp
        request.headers[self._template.signature_header] = signature(
            self._key, request.method, target, stamp, request.content
        )
        yield request


def signature(key: bytes, method: str, target: str, stamp: str, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) in hexadecimal over `method\\ntarget\\nstamp\\nsha256(body)`."""
    text = "\n".join((method.upper(), target, stamp, hashlib.sha256(body).hexdigest()))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def token_of(credentials: Credentials) -> TokenSource | None:
    """The token a template works with; None where it has none."""
    template = credentials.template
    if isinstance(template, JwtTemplate):
        return own_token(credentials)
    if isinstance(template, CloudTemplate) and template.provider == "aws":
        return None
    if isinstance(template, (OAuth2Template, TokenExchangeTemplate, SamlTemplate, CloudTemplate)):
        return token_source(credentials)
    return None


def auth_of(credentials: Credentials) -> httpx.Auth | None:
    """What signs the requests; None for a certificate, which is shown in the handshake.

    Raises:
        ConfigError: a template that HTTP knows nothing of, or a credential that cannot be sent.
    """
    template = credentials.template
    if (tokens := token_of(credentials)) is not None:
        return TokenAuth(tokens)
    match template:
        case ApiKeyTemplate():
            key = _checked_key(credentials, template)
            if template.place == "bearer":
                return KeyAuth("header", "Authorization", f"Bearer {key}")
            return KeyAuth(template.place, template.name, key)
        case BasicTemplate() | LdapTemplate():
            return httpx.BasicAuth(credentials.get("login"), credentials.get("password"))
        case DigestTemplate():
            return httpx.DigestAuth(credentials.get("login"), credentials.get("password"))
        case HmacTemplate():
            return HmacAuth(credentials, template)
        case CertificateTemplate():
            return None
    raise credentials.fault(
        f"The template {credentials.name} is not for HTTP", "wrong_template", found=f"kind: {template.kind}"
    )


def client_options(
    credentials: Credentials, profile: ConnectionProfile, *, min_version: str | None = None
) -> dict[str, Any]:
    """Arguments of `httpx.Client`: authentication, TLS, pool, time-outs, and the transport where there are several
    endpoints."""
    context = shared_tls_context(credentials, min_version=min_version, client_certificate=profile.mutual_tls)
    options: dict[str, Any] = {
        "auth": auth_of(credentials),
        "verify": context,
        "limits": limits(profile),
        "timeout": httpx.Timeout(profile.timeout_s, connect=profile.connect_s),
    }
    if (balancer := balancer_of(credentials, profile.balancing)) is not None:
        inner = httpx.HTTPTransport(verify=context, limits=options["limits"])
        options["transport"] = BalancedTransport(inner, balancer)
    return options


def _checked_key(credentials: Credentials, template: ApiKeyTemplate) -> str:
    key = credentials.get("password")
    fits = template.min_chars <= len(key) <= template.max_chars and _SENDABLE.fullmatch(key) is not None
    if template.pattern == "alphanumeric":
        fits = fits and key.isascii() and key.isalnum()
    if not fits:
        raise credentials.fault(
            "The key of the connection cannot be right",
            "bad_credential",
            expected=f"{template.min_chars} to {template.max_chars} printable characters"
            + (", letters and digits" if template.pattern == "alphanumeric" else ""),
            found=f"{len(key)} characters",
        )
    return key
