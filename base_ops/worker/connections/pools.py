"""Several endpoints of one peer behind one client: which is asked next, and who steps in when one fails.

The connection's extra `endpoints` lists them: URLs, or `{url, weight}`. Requests keep the URL of the connection; only
the last step, the transport, sends them elsewhere, so that redirects, caches and logs see one peer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from base_ops.data_ingestion.options.connections import ConnectionProfile
from base_ops.worker.connections.credentials import Credentials


@dataclass
class Endpoint:
    """One of them, and how it is doing."""

    url: httpx.URL
    weight: float = 1.0
    active: int = 0
    """Requests under way."""
    credit: float = 0.0
    """weighted: grows with its weight, shrinks when it is chosen (smooth weighted round robin)."""


class Balancer:
    """Chooses among endpoints, for all threads of a client."""

    def __init__(self, endpoints: list[Endpoint], how: str) -> None:
        self.endpoints, self._how = endpoints, how
        self._next = 0
        self._lock = threading.Lock()

    def order(self) -> list[Endpoint]:
        """All endpoints, the one to ask first; the others step in one after the other."""
        with self._lock:
            first = self._first()
            return self.endpoints[first:] + self.endpoints[:first]

    def count(self, endpoint: Endpoint, by: int) -> None:
        with self._lock:
            endpoint.active += by

    def _first(self) -> int:
        if self._how == "least_connections":
            return min(range(len(self.endpoints)), key=lambda n: self.endpoints[n].active)
        if self._how == "weighted":
            for endpoint in self.endpoints:
                endpoint.credit += endpoint.weight
            best = max(range(len(self.endpoints)), key=lambda n: self.endpoints[n].credit)
            self.endpoints[best].credit -= sum(endpoint.weight for endpoint in self.endpoints)
            return best
        self._next = (self._next + 1) % len(self.endpoints)
        return self._next - 1 if self._next else len(self.endpoints) - 1


class BalancedTransport(httpx.BaseTransport):
    """Sends each request to one of the endpoints; one that cannot be reached is passed over."""

    def __init__(self, inner: httpx.BaseTransport, balancer: Balancer) -> None:
        self._inner, self._balancer = inner, balancer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        fault: httpx.ConnectError | httpx.ConnectTimeout | None = None
        for endpoint in self._balancer.order():
            self._balancer.count(endpoint, 1)
            try:
                response = self._inner.handle_request(_sent_to(request, endpoint.url))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:  # nothing was sent: another may be asked
                self._balancer.count(endpoint, -1)
                fault = error
            except BaseException:
                self._balancer.count(endpoint, -1)
                raise
            else:
                response.stream = _Counted(response.stream, partial(self._balancer.count, endpoint, -1))
                return response
        assert fault is not None
        raise fault

    def close(self) -> None:
        self._inner.close()


class _Counted(httpx.SyncByteStream):
    """A body; the request is under way until it has been read or given up."""

    def __init__(self, body: Any, ended: Callable[[], None]) -> None:
        self._body, self._ended = body, ended

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        try:
            self._body.close()
        finally:
            self._ended()
            self._ended = lambda: None  # closed twice, ended once


def limits(profile: ConnectionProfile) -> httpx.Limits:
    """A profile's pool as httpx has it; one source speaks to one host, so the smaller bound holds."""
    most = min(profile.pool, profile.per_host)
    idle = min(profile.idle, most) if profile.idle_s else 0
    return httpx.Limits(max_connections=most, max_keepalive_connections=idle, keepalive_expiry=profile.idle_s)


def balancer_of(credentials: Credentials, how: str) -> Balancer | None:
    """The connection's endpoints; None where it has one only.

    Raises:
        ConfigError: an endpoint that is no URL, of another scheme, or without weight.
    """
    listed = credentials.connection.extra.get("endpoints")
    if not listed:
        return None
    scheme = httpx.URL(credentials.connection.base_url).scheme
    return Balancer([_endpoint(credentials, item, scheme) for item in listed], how)


def _endpoint(credentials: Credentials, item: Any, scheme: str) -> Endpoint:
    text, weight = (item.get("url"), item.get("weight", 1)) if isinstance(item, dict) else (item, 1)
    try:
        url = httpx.URL(str(text))
        endpoint = Endpoint(url, float(weight))
    except (httpx.InvalidURL, TypeError, ValueError):
        endpoint = Endpoint(httpx.URL(""), 0.0)
    if endpoint.url.scheme != scheme or not endpoint.url.host or endpoint.weight <= 0:
        raise credentials.fault(
            "endpoints of the connection cannot be used",
            "bad_endpoint",
            expected=f"{scheme}://host[:port], or {{url, weight}} with a weight above 0",
        )
    return endpoint


def _sent_to(request: httpx.Request, endpoint: httpx.URL) -> httpx.Request:
    url = request.url.copy_with(host=endpoint.host, port=endpoint.port)
    headers = httpx.Headers(request.headers)
    headers["Host"] = url.netloc.decode()
    return httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)
