"""What a source, its connection and its profile say of a client: where to, with what credentials, how often."""

from __future__ import annotations

import functools
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

from base_ops import __version__
from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.connections import ConnectionProfile
from base_ops.worker.backoff import Backoff
from base_ops.worker.connectors.base import Site
from base_ops.worker.quota import OwnBoard, Quota

_TOKEN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def quota_of(site: Site) -> Quota | None:
    """Shared by all that use the same connection, or by the tasks of a source without one."""
    rate = site.web.rate
    if rate is None:
        return None
    name = site.connection.name if site.connection else site.source.id
    board = site.landing.store if site.landing else OwnBoard()
    return Quota(name, rate, site.clock, site.web.max_retry_after_s, board)


def endpoint_of(site: Site) -> str:
    """The URL to ask: the connection's host and the source's path, or a full URL of the same host."""
    http = site.web
    base = site.connection.base_url if site.connection else ""
    parts = urlsplit(http.path)
    if not parts.scheme:
        if not base or not urlsplit(base).hostname:
            raise _bad_path(site, "a connection with a host, or a full URL")
        return f"{base}/{http.path.lstrip('/')}"
    if base and origin_of(base) != origin_of(http.path):
        raise _bad_path(site, "a URL on the connection's own host: its credentials are for no other")
    return http.path


def _bad_path(site: Site, expected: str) -> ConfigError:
    return ConfigError(
        f"source {site.source.id}: there is no URL to ask", code="bad_url", where="source.http.path", expected=expected
    )


def origin_of(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme,
            (parts.hostname or "").lower(),
            parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0),
        )
    except ValueError:
        return "", "", 0


def profile_of(site: Site, connections: int) -> ConnectionProfile:
    """The source's profile, where it says anything of it; `http.connections`, if it is said, is the pool."""
    profile = site.source.connecting.resolved()
    if has_profile(site) and not (site.source.http and "connections" in site.source.http.model_fields_set):
        return profile
    return profile.model_copy(update={"pool": connections, "per_host": connections, "idle": connections})


def has_profile(site: Site) -> bool:
    return bool({"profile", "settings"} & site.source.connecting.model_fields_set)


def tries_of(site: Site, profile: ConnectionProfile) -> tuple[int, Backoff]:
    """What the source's block says goes before its profile."""
    web, own = site.web, site.web.model_fields_set
    if not has_profile(site):
        return web.tries, Backoff(base_s=web.backoff_s)
    first_s = web.backoff_s if "backoff_s" in own else profile.backoff_s
    return web.tries if "tries" in own else profile.tries, Backoff(base_s=first_s, growth=profile.backoff)


@functools.cache
def trusted_context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """httpx's own context, made once: reading the authorities takes longer than many a part of a stream."""
    return httpx.create_ssl_context()


def client_options_of(site: Site, endpoint: str, profile: ConnectionProfile) -> dict[str, Any]:
    """What the source's authentication template says; without one, what `http.auth` says."""
    source = site.source
    options: dict[str, Any] = {"auth": _auth(site, endpoint)}
    if source.authentication is None and site.connection:
        from base_ops.worker.connectors.tls import shared_tls_context, verified

        if site.connection.extra.get("ca_certificate") or not verified(site):
            options["verify"] = shared_tls_context(site)
    if source.authentication is not None:
        from base_ops.worker.connections.credentials import credentials_of
        from base_ops.worker.connections.http import client_options

        credentials = credentials_of(site)
        _check_encrypted(site, endpoint)
        options |= client_options(credentials, profile)
    return options


def _auth(site: Site, endpoint: str) -> httpx.BasicAuth | None:
    """Checks that credentials are there and travel encrypted; basic authentication is the client's own."""
    http, found = site.web, site.connection
    if http.auth == "none":
        return None
    if found is None or not found.password:
        raise ConfigError(
            f"source {site.source.id}: auth={http.auth} needs a connection with a password",
            code="no_credentials",
            where="source.connection",
        )
    _check_encrypted(site, endpoint)
    return httpx.BasicAuth(found.login, found.password) if http.auth == "basic" else None


def _check_encrypted(site: Site, endpoint: str) -> None:
    scheme, host, _ = origin_of(endpoint)
    if scheme != "https" and host not in _LOOPBACK and site.env != "dev":
        raise ConfigError(
            f"source {site.source.id}: credentials would be sent unencrypted",
            code="insecure_url",
            where=f"connection {site.connection.name if site.connection else ''}",
            expected="https",
            found=scheme,
        )


def headers_of(site: Site) -> dict[str, str]:
    """`identity`, since the bytes are kept as received and their length is checked."""
    http = site.web
    headers = {"User-Agent": f"base-ops/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    if http.auth in ("bearer", "api_key") and site.connection and not _TOKEN.fullmatch(site.connection.password):
        raise ConfigError(
            f"source {site.source.id}: the password of the connection cannot be sent in a header",
            code="bad_credential",
            where=f"connection {site.connection.name}",
            expected="printable ASCII without spaces or line breaks at its ends",
        )
    if http.auth == "bearer" and site.connection:
        headers["Authorization"] = f"Bearer {site.connection.password}"
    elif http.auth == "api_key" and site.connection:
        headers[http.api_key_header] = site.connection.password
    return headers
