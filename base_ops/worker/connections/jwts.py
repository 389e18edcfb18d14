"""JSON Web Tokens: signing our own, and checking those of others against the issuer's keys (RFC 7519, 7517)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from base_ops.core.errors import BadInput, Denied, Transient, missing_extra
from base_ops.data_ingestion.options.authentication import JwtTemplate
from base_ops.worker.connections.credentials import Credentials
from base_ops.worker.connections.tokens import Token, TokenSource

_MAX_JWKS_BYTES = 1 << 20
_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256"]


def own_token(credentials: Credentials) -> TokenSource:
    """The bearer token of a `jwt` template, signed anew before it ends."""
    template = credentials.template
    assert isinstance(template, JwtTemplate)

    def make(_known: Token | None) -> Token:
        issuer = template.issuer or credentials.get("login")
        claims = {
            "iss": issuer,
            "sub": template.subject or issuer,
            "aud": template.audience or credentials.connection.base_url,
        }
        now = credentials.keyring.clock.now().timestamp()
        value = sign(credentials, claims, template.algorithm, template.lifetime_s, skew_s=template.skew_s)
        return Token(value, expires_at=now + template.lifetime_s, issued_at=now)

    return TokenSource(credentials, make)


def sign(
    credentials: Credentials, claims: Mapping[str, Any], algorithm: str, lifetime_s: float, *, skew_s: float
) -> str:
    """A JWT with these claims, dated back by `skew_s`."""
    jwt = _library(credentials)
    now = int(credentials.keyring.clock.now().timestamp())
    body = {**claims, "iat": int(now - skew_s), "nbf": int(now - skew_s), "exp": int(now + lifetime_s)}
    body["jti"] = str(uuid.uuid4())
    if algorithm == "HS256":
        key: Any = credentials.get("password")
        if len(key.encode()) < 32:
            raise credentials.fault(
                "The shared secret is too short for HS256",
                "bad_credential",
                expected="at least 32 bytes (RFC 7518 §3.2)",
            )
    else:
        from base_ops.worker.connections.tls import load_private_key

        key = load_private_key(credentials)
    headers = {"kid": kid} if (kid := credentials.find("key_id")) else None
    try:
        return str(jwt.encode(body, key, algorithm=algorithm, headers=headers))
    except (TypeError, ValueError, jwt.PyJWTError):
        raise credentials.fault(
            "The private key does not fit the algorithm", "bad_private_key", expected=f"a key for {algorithm}"
        ) from None


class KeySet:
    """The keys of an issuer: read once, read again for an unknown key id, but not too often."""

    def __init__(
        self,
        credentials: Credentials,
        url: str,
        *,
        cache_s: float = 3600.0,
        min_refresh_s: float = 300.0,
        most: int = 100,
    ) -> None:
        self._credentials, self._url = credentials, url
        self._cache_s, self._min_refresh_s, self._most = cache_s, min_refresh_s, most
        self._keys: dict[str, Any] = {}
        self._read_at = float("-inf")
        self.reads = 0

    def key(self, key_id: str) -> Any:
        """Raises: Denied where the issuer has no such key; Transient where it cannot be asked."""
        age = self._credentials.keyring.clock.now().timestamp() - self._read_at
        if age > self._cache_s or (key_id not in self._keys and age > self._min_refresh_s):
            self._read()
        if key_id not in self._keys:
            raise self._credentials.denied("a token signed with a key that its issuer does not publish", "unknown_key")
        return self._keys[key_id]

    def _read(self) -> None:
        import httpx

        from base_ops.worker.connections.tls import tls_context

        jwt = _library(self._credentials)
        context = tls_context(self._credentials) if self._url.startswith("https") else True
        try:
            with httpx.Client(verify=context, timeout=10.0) as client:
                answer = client.get(self._url)
            if answer.status_code != 200 or len(answer.content) > _MAX_JWKS_BYTES:
                raise ValueError
            found = json.loads(answer.content)["keys"]
        except httpx.HTTPError as error:
            raise Transient(
                "The issuer's keys cannot be read",
                code="jwks_unavailable",
                where=self._credentials.where,
                found=type(error).__name__,
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            found = None
        if not isinstance(found, list) or len(found) > self._most:
            raise BadInput(
                "The issuer's key set cannot be used",
                code="bad_jwks",
                where=self._credentials.where,
                expected=f"a JWK set of at most {self._most} keys",
            )
        self._keys = {}
        for item in found:
            try:
                key = jwt.PyJWK(item)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue  # of a kind we do not know
            self._keys[str(key.key_id or "")] = key
        self._read_at = self._credentials.keyring.clock.now().timestamp()
        self.reads += 1


def verify(
    credentials: Credentials, token: str, keys: KeySet, *, issuer: str = "", audience: str = "", skew_s: float = 30.0
) -> dict[str, Any]:
    """The claims of a token that is genuine and valid now, give or take `skew_s`.

    Raises:
        Denied: forged, ended, not yet valid, of another issuer or for another audience.
    """
    jwt = _library(credentials)
    try:
        header = jwt.get_unverified_header(token)
        key = keys.key(str(header.get("kid") or ""))
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=_ALGORITHMS,
            issuer=issuer or None,
            audience=audience or None,
            options={"verify_aud": bool(audience), "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except Denied:
        raise
    except (jwt.PyJWTError, ValueError) as error:
        raise credentials.denied(f"a token that is not genuine ({type(error).__name__})", "bad_token") from None
    _check_dates(credentials, claims, skew_s)
    return claims


def _check_dates(credentials: Credentials, claims: Mapping[str, Any], skew_s: float) -> None:
    """By the worker's own clock object, which tests can set."""
    now = credentials.keyring.clock.now().timestamp()
    try:
        ended = "exp" in claims and now > float(claims["exp"]) + skew_s
        early = any(name in claims and now < float(claims[name]) - skew_s for name in ("nbf", "iat"))
    except (TypeError, ValueError):
        raise credentials.denied("a token whose dates are none", "bad_token") from None
    if ended or early:
        how = "has ended" if ended else "is not valid yet"
        raise credentials.denied(f"a token that {how} (clocks may differ by {skew_s:g} s)", "bad_token_date")


def _library(credentials: Credentials) -> Any:
    try:
        import jwt
    except ImportError:
        raise missing_extra("PyJWT", "auth", f"the template {credentials.name}") from None
    return jwt
