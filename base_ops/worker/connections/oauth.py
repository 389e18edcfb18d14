"""Access tokens from a token endpoint: one POST, whatever was agreed on (RFC 6749, 7521, 8628, 8693).

| template                        | grant                                                                    |
|---------------------------------|--------------------------------------------------------------------------|
| oauth2, client_credentials      | client_credentials                                                       |
| oauth2, authorization_code/device_code | refresh_token: the last one issued, else the connection's         |
| token_exchange                  | urn:ietf:params:oauth:grant-type:token-exchange                          |
| saml2                           | urn:ietf:params:oauth:grant-type:saml2-bearer, an assertion signed here  |
| cloud azure                     | client_credentials at the tenant's endpoint                              |
| cloud gcp                       | urn:ietf:params:oauth:grant-type:jwt-bearer, a JWT signed here           |

Consent needs a person: `consent_url`, `exchange_code` and `device_login` are for `base-ops sources login`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Transient
from base_ops.data_ingestion.options.authentication import (
    CloudTemplate,
    OAuth2Template,
    SamlTemplate,
    TokenExchangeTemplate,
)
from base_ops.worker.backoff import Backoff, retry, retry_after_s
from base_ops.worker.connections.credentials import Credentials
from base_ops.worker.connections.tls import tls_context
from base_ops.worker.connections.tokens import Token, TokenSource

_TIMEOUT_S = 10.0
_TRIES = 3
_LONGEST_WAIT_S = 30.0
_MAX_BYTES = 1 << 20
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_REFUSED = {"invalid_client", "invalid_grant", "unauthorized_client", "access_denied", "expired_token"}
_OURS = {"invalid_request", "unsupported_grant_type", "invalid_scope", "invalid_target"}
_PENDING = {"authorization_pending", "slow_down"}
_AZURE = "https://login.microsoftonline.com/{tenant_id}/oauth2/v2.0/token"
_GOOGLE = "https://oauth2.googleapis.com/token"
_GRANT = "urn:ietf:params:oauth:grant-type:"

Form = dict[str, str]


def token_source(credentials: Credentials) -> TokenSource:
    """The cached, refreshed token of a template that has one."""
    form = _FORMS[type(credentials.template)]
    return TokenSource(credentials, lambda known: request_token(credentials, form(credentials, known)))


def request_token(credentials: Credentials, form: Form, *, tries: int = _TRIES) -> Token:
    """Ask the token endpoint.

    Raises:
        Denied: it refuses the credential. ConfigError: it does not understand the request. Transient: it is not there.
        BadInput: its answer is none.
    """
    url = token_url(credentials)
    now = credentials.keyring.clock.now().timestamp()
    answer = _post(credentials, url, form, tries)
    value = answer.get("access_token")
    if not isinstance(value, str) or not value or any(ord(c) < 33 or ord(c) > 126 for c in value):
        raise BadInput(
            "The token endpoint gave no usable token",
            code="bad_token",
            where=_at(credentials, url),
            expected="access_token, a text without spaces",
        )
    return Token(
        value=value,
        issued_at=now,
        expires_at=now + _life_s(answer.get("expires_in"), credentials.template.cache_s),
        kind="Bearer" if str(answer.get("token_type", "Bearer")).lower() in ("bearer", "n_a") else "other",
        refresh=_text(answer.get("refresh_token")),
        identity=_text(answer.get("id_token")),
    )


def token_url(credentials: Credentials) -> str:
    """The token endpoint: the template's, else the connection's, else the provider's own; encrypted."""
    template: Any = credentials.template
    url = template.token_url or credentials.find("token_url") or _default_url(template)
    if "{tenant_id}" in url:
        url = url.replace("{tenant_id}", quote(credentials.get("tenant_id"), safe=""))
    return _checked_url(credentials, url, "token_url")


def _default_url(template: Any) -> str:
    if not isinstance(template, CloudTemplate):
        return ""
    return {"azure": _AZURE, "gcp": _GOOGLE}.get(template.provider, "")


def _checked_url(credentials: Credentials, url: str, key: str) -> str:
    parts = urlsplit(url)
    encrypted = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not parts.hostname or not encrypted:
        raise credentials.fault(
            f"{key} cannot be used: the credentials would be sent to nobody or unencrypted",
            "bad_token_url",
            expected="an https URL, in the template or in the connection's extra",
            found=f"{parts.scheme}://{parts.hostname or ''}" if url else "nothing",
        )
    return url


def _life_s(value: Any, default: float) -> float:
    try:
        return max(0.0, min(float(value), 10 * 365 * 86_400))
    except (TypeError, ValueError):
        return default


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


# -- what is sent


def _client_credentials(credentials: Credentials, _known: Token | None) -> Form:
    template = credentials.template
    assert isinstance(template, OAuth2Template)
    for name in ("login", "password"):
        credentials.get(name)
    form = {"grant_type": "client_credentials"}
    if template.scopes:
        form["scope"] = " ".join(template.scopes)
    if template.audience:
        form["audience"] = template.audience
    return form


def _oauth2(credentials: Credentials, known: Token | None) -> Form:
    template = credentials.template
    assert isinstance(template, OAuth2Template)
    if template.grant == "client_credentials":
        return _client_credentials(credentials, known)
    credentials.get("login")
    refresh = (known.refresh if known else "") or credentials.find("refresh_token")
    if not refresh:
        raise credentials.denied(
            "nobody has consented yet",
            "no_consent",
            f"base-ops sources login --source {credentials.source}; it needs a person once",
        )
    return {"grant_type": "refresh_token", "refresh_token": refresh}


def _exchange(credentials: Credentials, _known: Token | None) -> Form:
    template = credentials.template
    assert isinstance(template, TokenExchangeTemplate)
    form = {
        "grant_type": f"{_GRANT}token-exchange",
        "subject_token": credentials.find("subject_token") or credentials.get("password"),
        "subject_token_type": template.subject_token_type,
        "requested_token_type": template.requested_token_type,
    }
    if template.audience:
        form["audience"] = template.audience
    if template.scopes:
        form["scope"] = " ".join(template.scopes)
    return form


def _saml(credentials: Credentials, _known: Token | None) -> Form:
    from base_ops.worker.connections.saml import signed_assertion

    template = credentials.template
    assert isinstance(template, SamlTemplate)
    assertion = base64.urlsafe_b64encode(signed_assertion(credentials, token_url(credentials))).decode().rstrip("=")
    form = {"grant_type": f"{_GRANT}saml2-bearer", "assertion": assertion}
    if template.scopes:
        form["scope"] = " ".join(template.scopes)
    return form


def _cloud(credentials: Credentials, _known: Token | None) -> Form:
    template = credentials.template
    assert isinstance(template, CloudTemplate)
    if template.provider == "azure":
        for name in ("login", "password"):
            credentials.get(name)
        return {
            "grant_type": "client_credentials",
            "scope": " ".join(template.scopes) or "https://storage.azure.com/.default",
        }
    if template.provider == "gcp":
        from base_ops.worker.connections.jwts import sign

        who = credentials.get("client_email")
        scope = " ".join(template.scopes) or "https://www.googleapis.com/auth/cloud-platform"
        claims = {"iss": who, "scope": scope, "aud": token_url(credentials)}
        return {
            "grant_type": f"{_GRANT}jwt-bearer",
            "assertion": sign(credentials, claims, "RS256", template.lifetime_s, skew_s=0),
        }
    raise credentials.fault("AWS signs requests and has no token", "no_token")


_FORMS: Mapping[type, Callable[[Credentials, Token | None], Form]] = {
    OAuth2Template: _oauth2,
    TokenExchangeTemplate: _exchange,
    SamlTemplate: _saml,
    CloudTemplate: _cloud,
}


# -- how it is sent


def _post(credentials: Credentials, url: str, form: Form, tries: int) -> dict[str, Any]:
    return retry(
        lambda: _post_once(credentials, url, form),
        tries=tries,
        backoff=Backoff(),
        clock=credentials.keyring.clock,
        longest_wait_s=_LONGEST_WAIT_S,
    )


def _post_once(credentials: Credentials, url: str, form: Form) -> dict[str, Any]:
    login, password = credentials.find("login"), credentials.find("password")
    auth, style = None, getattr(credentials.template, "client_authentication", "post")
    public = not password or (
        isinstance(credentials.template, TokenExchangeTemplate) and not credentials.find("subject_token")
    )
    if style == "basic" and not public:
        auth = httpx.BasicAuth(quote(login, safe=""), quote(password, safe=""))  # RFC 6749 §2.3.1: form-encoded first
    elif "assertion" not in form and login:
        form = {**form, "client_id": login, **({} if public else {"client_secret": password})}
    status, headers, body = _exchange_bytes(credentials, url, form, auth)
    answer = _json(body)
    if status == 200:
        if answer is None:
            raise BadInput("The token endpoint's answer is no JSON", code="bad_token", where=_at(credentials, url))
        return answer
    raise _refusal(credentials, url, status, headers, answer)


def _exchange_bytes(
    credentials: Credentials, url: str, form: Form, auth: httpx.BasicAuth | None
) -> tuple[int, httpx.Headers, bytes]:
    context = tls_context(credentials) if url.startswith("https") else True
    try:
        with (
            httpx.Client(verify=context, timeout=_TIMEOUT_S, auth=auth, follow_redirects=False) as client,
            client.stream("POST", url, data=form, headers={"Accept": "application/json"}) as response,
        ):
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    break
            return response.status_code, response.headers, body
    except httpx.TimeoutException:
        raise _not_there(credentials, url, "timeout") from None
    except httpx.HTTPError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise ConfigError(
                "The certificate of the token endpoint cannot be verified",
                code="bad_certificate",
                where=_at(credentials, url),
                todo="add its authority as ca_certificate to the connection",
            ) from None
        raise _not_there(credentials, url, type(error).__name__) from None


def _refusal(
    credentials: Credentials, url: str, status: int, headers: httpx.Headers, answer: dict[str, Any] | None
) -> BaseOpsError:
    """The error code of RFC 6749 §5.2 is quoted where it is a known one; descriptions may hold anything and are not."""
    said = (answer or {}).get("error")
    code = said if isinstance(said, str) and said in _REFUSED | _OURS | _PENDING else ""
    found = f"HTTP {status}{', ' + code if code else ''}"
    if status == 429 or status >= 500:
        after = retry_after_s(headers.get("retry-after"), credentials.keyring.clock.now())
        return _not_there(credentials, url, found, after)
    if code in _PENDING:
        return Transient("The consent is not given yet", code=code, where=_at(credentials, url))
    if code in _OURS:
        return ConfigError(
            "The token endpoint does not accept the request",
            code=code,
            where=_at(credentials, url),
            found=found,
            todo="check the template's scopes, audience and grant",
        )
    return credentials.denied(found, code or "unauthorized")


def _not_there(credentials: Credentials, url: str, found: str, after: float | None = None) -> Transient:
    return Transient(
        "The token endpoint does not answer",
        code="token_endpoint_unavailable",
        where=_at(credentials, url),
        found=found,
        retry_after_s=after,
    )


def _at(credentials: Credentials, url: str) -> str:
    parts = urlsplit(url)
    return f"{credentials.where}, POST {parts.hostname}{parts.path}"


def _json(body: bytes) -> dict[str, Any] | None:
    import json

    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# -- consent, once, by a person


def consent_url(credentials: Credentials) -> tuple[str, str, str]:
    """(URL for a person's browser, state, PKCE verifier) of the authorization code grant (RFC 7636, S256)."""
    template = credentials.template
    assert isinstance(template, OAuth2Template)
    verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = {
        "response_type": "code",
        "client_id": credentials.get("login"),
        "redirect_uri": template.redirect_uri,
        "scope": " ".join(template.scopes),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    url = _checked_url(credentials, template.authorize_url, "authorize_url")
    return f"{url}?{urlencode({k: v for k, v in query.items() if v})}", state, verifier


def exchange_code(credentials: Credentials, code: str, verifier: str) -> Token:
    """The code that came back from the browser, for tokens."""
    template = credentials.template
    assert isinstance(template, OAuth2Template)
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": template.redirect_uri,
        "code_verifier": verifier,
    }
    return request_token(credentials, form)


def device_login(credentials: Credentials, show: Callable[[str, str], None]) -> Token:
    """The device grant: `show(url, code)` tells a person where to consent; then poll until it is done (RFC 8628)."""
    template = credentials.template
    assert isinstance(template, OAuth2Template)
    url = _checked_url(credentials, template.device_url, "device_url")
    asked = {"client_id": credentials.get("login"), "scope": " ".join(template.scopes)}
    status, headers, body = _exchange_bytes(credentials, url, asked, None)
    answer = _json(body)
    if status != 200 or answer is None:
        raise _refusal(credentials, url, status, headers, answer)
    show(_text(answer.get("verification_uri")), _text(answer.get("user_code")))
    wait = max(template.poll_s, _life_s(answer.get("interval"), template.poll_s))
    form = {"grant_type": f"{_GRANT}device_code", "device_code": _text(answer.get("device_code"))}
    for _ in range(template.polls):
        credentials.keyring.clock.sleep(wait)
        try:
            return request_token(credentials, form, tries=1)
        except Transient as error:
            if error.code not in _PENDING:
                raise
            wait += 5.0 if error.code == "slow_down" else 0.0
    raise credentials.denied("nobody consented in time", "no_consent")
