"""One careful HTTP client: credentials to one host only, bodies streamed to scratch, failures told apart.

| answer                                  | becomes                                                        |
|-----------------------------------------|----------------------------------------------------------------|
| 401, 403, 407                           | Denied                                                         |
| 404, 410, other 4xx, foreign redirect   | ConfigError                                                    |
| 408, 425, 429, 5xx, time-out, cut body  | tried again (Retry-After, or exponential), then Transient      |
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from base_ops import __version__
from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.backoff import Backoff, retry, retry_after_s
from base_ops.worker.connectors.base import Report, Site, save
from base_ops.worker.connectors.paging import Ask
from base_ops.worker.lake.landing import LandedObject

_REDIRECTS = 5
_TRY_AGAIN = {408, 425, 429}
_DENIED = {401: "unauthorized", 403: "forbidden", 407: "proxy_unauthorized"}
_TOKEN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Answer:
    """A complete body on scratch."""

    url: str
    local: Path
    sha256: str
    bytes: int
    etag: str | None
    modified: str | None
    link: str | None


class Web:
    """A client bound to one source. Close it (`with`)."""

    def __init__(self, site: Site, report: Report) -> None:
        self.site, self.http, self.report = site, site.http, report
        self.endpoint = _endpoint(site)
        self.origin = _origin(self.endpoint)
        for name in ("httpx", "httpcore"):  # they would log queries
            logging.getLogger(name).setLevel(logging.WARNING)
        self.client = httpx.Client(
            timeout=self.http.timeout_s, follow_redirects=False, auth=_auth(site, self.endpoint), headers=_headers(site)
        )

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, ask: Ask, known: LandedObject | None = None) -> Answer | None:
        """Fetch one body; None where the source says it is still what `known` holds (304).

        Raises:
            Denied, ConfigError, Transient: see the table above. BadInput: above `max_object_bytes`.
        """
        return retry(
            lambda: self._once(ask, known),
            tries=self.http.tries,
            backoff=Backoff(base_s=self.http.backoff_s),
            clock=self.site.clock,
            longest_wait_s=self.http.max_retry_after_s,
            on_retry=lambda: self.report.count(retries=1),
        )

    def _once(self, ask: Ask, known: LandedObject | None) -> Answer | None:
        url, params = self._same_origin(ask.url), dict(ask.params) or None
        for _ in range(_REDIRECTS + 1):
            self.report.count(requests=1)
            with (
                self._errors(url),
                self.client.stream("GET", url, params=params, headers=_validators(known)) as response,
            ):
                if not response.has_redirect_location:
                    return self._answer(response, known)
                url, params = self._same_origin(str(response.url.join(response.headers["location"]))), None
        raise self._error(ConfigError, "The server redirects in circles", "redirect_loop", url)

    def _answer(self, response: httpx.Response, known: LandedObject | None) -> Answer | None:
        url = str(response.url)
        if response.status_code == 304 and _validators(known):
            return None
        self._check(response)
        local, digest, size = save(response.iter_bytes(), self.site, urlsplit(url).path)
        return Answer(
            url=url,
            local=local,
            sha256=digest,
            bytes=size,
            etag=response.headers.get("etag"),
            modified=response.headers.get("last-modified"),
            link=response.links.get("next", {}).get("url"),
        )

    def _check(self, response: httpx.Response) -> None:
        status, url = response.status_code, str(response.url)
        found = f"HTTP {status} {response.reason_phrase}".strip()
        if response.is_success:
            return
        if status in _DENIED:
            todo = "check the credentials and rights of the connection"
            raise self._error(Denied, "The server refused the credentials", _DENIED[status], url, found, todo)
        if status in _TRY_AGAIN or status >= 500:
            after = retry_after_s(response.headers.get("retry-after"), self.site.clock.now())
            code = "rate_limited" if status == 429 else "server_error"
            raise self._error(Transient, "The server cannot answer now", code, url, found, retry_after=after)
        code = "not_found" if status in (404, 410) else "bad_request"
        raise self._error(ConfigError, "The server does not accept the request", code, url, found, "check source.http")

    @contextmanager
    def _errors(self, url: str) -> Iterator[None]:
        try:
            yield
        except BaseOpsError:
            raise
        except httpx.TimeoutException as error:
            found = f"{type(error).__name__} after {self.http.timeout_s:g} s"
            raise self._error(Transient, "The server did not answer in time", "timeout", url, found) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise self._error(ConfigError, "The URL cannot be used", "bad_url", url) from None
        except (httpx.RemoteProtocolError, httpx.DecodingError):
            raise self._error(Transient, "The body was cut or is no HTTP", "cut_body", url) from None
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                todo = "have the server's certificate corrected, or add its authority to the worker's trust store"
                raise self._error(
                    ConfigError, "The server's certificate cannot be verified", "bad_certificate", url, "", todo
                ) from None
            raise self._error(
                Transient, "The server cannot be reached", "unreachable", url, type(error).__name__
            ) from None

    def _same_origin(self, url: str) -> str:
        """Credentials and trust are for one host: redirects and links that lead elsewhere are refused."""
        if _origin(url) == self.origin:
            return url
        scheme, host, port = _origin(url)
        raise self._error(
            ConfigError,
            "The server leads to another host, which was not asked",
            "foreign_redirect",
            self.endpoint,
            f"{scheme}://{host}:{port}",
            "if that host is right, put it into the connection",
        )

    def _error(
        self,
        kind: Any,
        what: str,
        code: str,
        url: str,
        found: str = "",
        todo: str = "",
        retry_after: float | None = None,
    ) -> BaseOpsError:
        """The URL's path only: queries may hold what is not for logs."""
        name = f", connection {self.site.connection.name}" if self.site.connection else ""
        where = f"source {self.site.source.id}{name}, GET {urlsplit(url).path}"
        error: BaseOpsError = kind(what, code=code, where=where, found=found, todo=todo, retry_after_s=retry_after)
        return error


def _endpoint(site: Site) -> str:
    """The URL to ask: the connection's host and the source's path, or a full URL of the same host."""
    http = site.http
    base = site.connection.base_url if site.connection else ""
    parts = urlsplit(http.path)
    if parts.query or parts.fragment or parts.username or parts.password:
        raise _bad_path(site, "a path or URL without credentials, query (see http.params) and fragment")
    if not parts.scheme:
        if not base or not urlsplit(base).hostname:
            raise _bad_path(site, "a connection with a host, or a full URL")
        return f"{base}/{http.path.lstrip('/')}"
    if base and _origin(base) != _origin(http.path):
        raise _bad_path(site, "a URL on the connection's own host: its credentials are for no other")
    return http.path


def _bad_path(site: Site, expected: str) -> ConfigError:
    return ConfigError(
        f"source {site.source.id}: there is no URL to ask", code="bad_url", where="source.http.path", expected=expected
    )


def _origin(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme,
            (parts.hostname or "").lower(),
            parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0),
        )
    except ValueError:
        return "", "", 0


def _auth(site: Site, endpoint: str) -> httpx.BasicAuth | None:
    """Checks that credentials are there and travel encrypted; basic authentication is the client's own."""
    http, found = site.http, site.connection
    if http.auth == "none":
        return None
    if found is None or not found.password:
        raise ConfigError(
            f"source {site.source.id}: auth={http.auth} needs a connection with a password",
            code="no_credentials",
            where="source.connection",
        )
    scheme, host, _ = _origin(endpoint)
    if scheme != "https" and host not in _LOOPBACK and site.env != "dev":
        raise ConfigError(
            f"source {site.source.id}: credentials would be sent unencrypted",
            code="insecure_url",
            where=f"connection {found.name}",
            expected="https",
            found=scheme,
        )
    return httpx.BasicAuth(found.login, found.password) if http.auth == "basic" else None


def _headers(site: Site) -> dict[str, str]:
    """`identity`, since the bytes are kept as received and their length is checked."""
    http = site.http
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


def _validators(known: LandedObject | None) -> dict[str, str]:
    """Ask for the body only if it is no longer the one that was landed."""
    if known is None:
        return {}
    wanted = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    return {name: value for name, value in wanted.items() if value}
