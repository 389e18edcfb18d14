"""One careful HTTP client: credentials to one host only, bodies streamed to scratch, failures told apart.

| answer                                  | becomes                                                        |
|-----------------------------------------|----------------------------------------------------------------|
| 401, 403, 407                           | Denied                                                         |
| 404, 410, other 4xx, foreign redirect   | ConfigError                                                    |
| 408, 425, 429, 5xx, time-out, cut body  | tried again (Retry-After, or exponential), then Transient      |
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import httpx

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding
from base_ops.worker.backoff import asked_pause_s, retry, retry_after_s
from base_ops.worker.connections.pools import limits
from base_ops.worker.connectors.base import Part, Report, Site
from base_ops.worker.connectors.web.body import Answer, Body
from base_ops.worker.connectors.web.packing import misnamed, not_known
from base_ops.worker.connectors.web.paging import Ask
from base_ops.worker.connectors.web.settings import (
    client_options_of,
    endpoint_of,
    has_profile,
    headers_of,
    origin_of,
    profile_of,
    quota_of,
    tries_of,
    trusted_context,
)
from base_ops.worker.lake.landing import LandedObject

_REDIRECTS = 5
_TRY_AGAIN = {408, 425, 429}
_DENIED = {401: "unauthorized", 403: "forbidden", 407: "proxy_unauthorized"}


class Web:
    """A client bound to one source. Close it (`with`)."""

    def __init__(self, site: Site, report: Report, connections: int = 10) -> None:
        self.site, self.spec, self.report = site, site.web, report
        self.quota = quota_of(site)
        self.profile = profile_of(site, connections)
        self.connections = min(self.profile.pool, self.profile.per_host)
        """So many requests may be under way at once."""
        self.tries, self.backoff = tries_of(site, self.profile)
        own_timeout = "timeout_s" in self.spec.model_fields_set or not has_profile(site)
        self.timeout_s = self.spec.timeout_s if own_timeout else self.profile.timeout_s
        self.endpoint = endpoint_of(site)
        self.origin = origin_of(self.endpoint)
        for name in ("httpx", "httpcore"):  # they would log queries
            logging.getLogger(name).setLevel(logging.WARNING)
        options = {"limits": limits(self.profile), **client_options_of(site, self.endpoint, self.profile)}
        connect_s = self.timeout_s if own_timeout else self.profile.connect_s
        options["timeout"] = httpx.Timeout(self.timeout_s, connect=connect_s)
        options.setdefault("verify", trusted_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")))
        self.tls: ssl.SSLContext = options["verify"]
        self.client = httpx.Client(**options, follow_redirects=False, headers=headers_of(site))

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.quota is not None and self.quota.waited_s:
            self.report.findings.append(
                Finding(
                    code="rate_limited",
                    message=f"waited {self.quota.waited_s:.0f} s for permits of the source's rate "
                    f"({self.quota.rate.requests} in {self.quota.rate.per_s:g} s for all tasks)",
                    data={"seconds": round(self.quota.waited_s, 3)},
                )
            )

    def get(self, ask: Ask, known: LandedObject | None = None) -> Answer | None:
        """Fetch one body; None where the source says it is still what `known` holds (304).

        A body that breaks off is asked for again from there (Range), where the server can, and only of the same
        version (If-Range with its strong ETag, RFC 9110 §13.1.5); else from its start.

        Raises:
            Denied, ConfigError, Transient: see the table above. BadInput: above `max_object_bytes`.
        """
        with Part(self.site, urlsplit(ask.url).path) as part:
            body = Body(part)
            answer = retry(
                lambda: self._once(ask, known, body),
                tries=self.tries,
                backoff=self.backoff,
                clock=self.site.clock,
                longest_wait_s=self.spec.max_retry_after_s,
                on_retry=lambda: self.report.count(retries=1),
                progress=lambda: part.size if body.validator else 0,
            )
            if answer is None:
                part.local.unlink()
            return answer

    def probe(self) -> str:
        """Ask for the endpoint once, leave its body unread, and say what came back.

        Raises:
            as `get`, without trying again.
        """
        with (
            self._guard(),
            self._errors(self.endpoint),
            self.client.stream("GET", self.endpoint, params=dict(self.spec.params) or None) as response,
        ):
            self.report.count(requests=1)
            if not response.has_redirect_location:
                self._check(response)
            return f"HTTP {response.status_code}, {response.headers.get('content-type', 'no content type')}"

    @contextmanager
    def listen(self, headers: Mapping[str, str], idle_s: float) -> Iterator[httpx.Response]:
        """An answer whose body is read as it comes; its errors become ours while it is read, too.

        Raises:
            as `get`, without trying again.
        """
        if self.quota is not None:
            self.quota.take()
        timeout = httpx.Timeout(self.timeout_s, read=idle_s)
        params = dict(self.spec.params) or None
        with (
            self._guard(),
            self._errors(self.endpoint),
            self.client.stream("GET", self.endpoint, params=params, headers=headers, timeout=timeout) as response,
        ):
            self.report.count(requests=1)
            self._heed(response)
            self._check(response)
            yield response

    def signed(self, *, refused: bool = False) -> tuple[str, dict[str, str]] | None:
        """URL and headers that prove who we are, for clients that are not httpx.

        Args:
            refused: the request before was answered with 401: with a token renewed, or None where there is none.
        """
        request = self.client.build_request("GET", self.endpoint, params=dict(self.spec.params) or None)
        auth = self.client.auth or httpx.Auth()
        flow = auth.sync_auth_flow(request)
        request = next(flow)
        if refused:
            try:
                request = flow.send(httpx.Response(401, request=request))
            except StopIteration:
                return None
        plain = {"host", "accept", "accept-encoding", "connection", "user-agent"}
        return str(request.url), {name: value for name, value in request.headers.items() if name not in plain}

    def _guard(self) -> AbstractContextManager[None]:
        return self.site.breaker.guard() if self.site.breaker is not None else nullcontext()

    def _once(self, ask: Ask, known: LandedObject | None, body: Body) -> Answer | None:
        if self.quota is not None:
            self.quota.take()
        with self._guard():
            began = time.perf_counter()
            answer = self._ask(ask, known, body)
        self.report.took(time.perf_counter() - began)
        return answer

    def _ask(self, ask: Ask, known: LandedObject | None, body: Body) -> Answer | None:
        url, params = self._same_origin(ask.url), dict(ask.params) or None
        method = "GET" if ask.content is None else "POST"
        headers = {**ask.headers, **_validators(known), **body.wanted()}
        for _ in range(_REDIRECTS + 1):
            self.report.count(requests=1)
            with (
                self._errors(url),
                self.client.stream(
                    method, url, params=params, headers=headers, content=ask.content() if ask.content else None
                ) as response,
            ):
                if not response.has_redirect_location or ask.content is not None:
                    return self._answer(response, known, body, ask)
                url, params = self._same_origin(str(response.url.join(response.headers["location"]))), None
        raise self._error(ConfigError, "The server redirects in circles", "redirect_loop", url)

    def _answer(self, response: httpx.Response, known: LandedObject | None, body: Body, ask: Ask) -> Answer | None:
        url = str(response.url)
        self._heed(response)
        if response.status_code == 304 and _validators(known):
            return None
        if response.status_code == 416 and body.part.size:
            body.restart()
            raise self._error(Transient, "The rest of the body is not there", "cut_body", url)
        if response.status_code not in ask.accepted:
            self._check(response)
        if packing := not_known(response):
            todo = "ask the server's owner: it was asked for the body as it is (Accept-Encoding: identity)"
            raise self._error(
                ConfigError, "The body is packed in an unknown way", "packed_body", url, packing[:20], todo
            )
        if name := misnamed(response):
            what = f"Content-Encoding {name} names no packing, the body is taken as it is"
            self.report.note("no_packing", what, urlsplit(url).path)
        body.take(response)
        ask.check(body.part.local, response.status_code)
        return Answer(
            url=url,
            local=body.part.local,
            sha256=body.part.sha256,
            bytes=body.part.size,
            etag=response.headers.get("etag"),
            modified=response.headers.get("last-modified"),
            link=response.links.get("next", {}).get("url"),
            status=response.status_code,
        )

    def _heed(self, response: httpx.Response) -> None:
        """What the server says of its limits holds for all tasks of the source."""
        if self.quota is not None:
            wait_s = asked_pause_s(response.status_code, response.headers, self.site.clock.now())
            if wait_s is not None and wait_s > 0:
                self.quota.pause(wait_s)

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
            found = f"{type(error).__name__} after {self.timeout_s:g} s"
            raise self._error(Transient, "The server did not answer in time", "timeout", url, found) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise self._error(ConfigError, "The URL cannot be used", "bad_url", url) from None
        except (httpx.RemoteProtocolError, httpx.DecodingError):
            raise self._error(Transient, "The body was cut or is no HTTP", "cut_body", url) from None
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                todo = (
                    "have the server's certificate corrected, or add its authority as ca_certificate to the connection"
                )
                raise self._error(
                    ConfigError, "The server's certificate cannot be verified", "bad_certificate", url, "", todo
                ) from None
            raise self._error(
                Transient, "The server cannot be reached", "unreachable", url, type(error).__name__
            ) from None

    def _same_origin(self, url: str) -> str:
        """Credentials and trust are for one host: redirects and links that lead elsewhere are refused."""
        if origin_of(url) == self.origin:
            return url
        scheme, host, port = origin_of(url)
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
        if self.site.source.authentication is not None:
            name += f", template {self.site.source.authentication.template or self.site.source.authentication.kind}"
        where = f"source {self.site.source.id}{name}, GET {urlsplit(url).path}"
        error: BaseOpsError = kind(what, code=code, where=where, found=found, todo=todo, retry_after_s=retry_after)
        return error


def _validators(known: LandedObject | None) -> dict[str, str]:
    """Ask for the body only if it is no longer the one that was landed."""
    if known is None:
        return {}
    wanted = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    return {name: value for name, value in wanted.items() if value}
