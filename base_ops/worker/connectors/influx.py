"""InfluxDB 2: the annotated CSV that the server sends for a Flux query, kept as it comes.

Incremental: windows of time (see `databases/windows.py`) fill `v.start` and `v.stop` of the query; each window is an
object that its next reading replaces. A Flux `range` takes its start and leaves its stop out, and so do the windows
here: a name `--<stop>` means points before stop. Without an authentication template the connection's password is sent
as `Token`; the server takes a token of `api_key_bearer` as well. Tested against a simulated peer: no
InfluxDB server could be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.databases import InfluxSpec
from base_ops.worker.connections.credentials import credentials_of
from base_ops.worker.connections.http import client_options
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site, save
from base_ops.worker.connectors.databases import windows
from base_ops.worker.connectors.databases.tls import checked_mode
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.tls import tls_context
from base_ops.worker.connectors.web.packing import unpacked
from base_ops.worker.lake.landing import History

_DIALECT = {
    "annotations": ["datatype", "group", "default"],
    "header": True,
    "delimiter": ",",
    "dateTimeFormat": "RFC3339Nano",
}
_COLUMN = "_time"
_ERROR = b"\n,error,reference"


class InfluxSource:
    """Fetches what one Flux query gives. The connection's password is the token, its schema the organisation."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.spec: InfluxSpec = site.source.influx  # type: ignore[assignment]
        self.where = f"source {site.source.id}, influx"
        self.report = Report()
        if site.connection is None:
            raise ConfigError("InfluxDB needs a connection", code="no_connection", where=self.where)
        self.connection = site.connection
        if self.connection.base_url.startswith("http://"):
            checked_mode(site, self.where, {"disable"})

    def fetch(self, history: History, keep: Keep) -> Report:
        if not self.spec.incremental:
            self._read("query", {}, keep)
            return self.report
        start = _moment(self.spec.start, self.where)
        saved = windows.saved_bounds(history.cursor, _COLUMN, "utc", self.where) or [start]
        lag = windows.lag_of("utc", self.spec.lag_s, 0)
        now = self.site.clock.now().astimezone(UTC)
        due, bounds = windows.plan(saved, max(now, saved[-1]), lag)
        if self.site.mode == "full":
            due = list(dict.fromkeys([*windows.known(history.wholes, "query#", "utc"), *due]))
        for window in due:
            span = {"start": windows.written(window.low, "utc"), "stop": windows.written(window.high, "utc")}
            self._read(f"query#{window.name('utc')}", span, keep)
        texts: list[Any] = [windows.written(value, "utc") for value in bounds]
        self.report.cursor_after = {"column": _COLUMN, "kind": "utc", "bounds": texts, "after_entry": history.last}
        return self.report

    def _read(self, name: str, span: dict[str, str], keep: Keep) -> None:
        option = f"option v = {{start: {span['start']}, stop: {span['stop']}}}\n" if span else ""
        with self._errors():
            local, digest, size = save(self._ask(option + self.spec.query), self.site, name)
        self.report.count(pages=1)
        keep(Fetched(f"{name}.csv", local, digest, size))

    def _ask(self, flux: str) -> Iterator[bytes]:
        httpx = require("httpx", "worker")
        self.report.count(requests=1)
        with (
            httpx.Client(**self._options(), follow_redirects=False) as client,
            client.stream(
                "POST",
                f"{self.connection.base_url}/api/v2/query",
                params={"org": self.connection.schema},
                headers={"Accept": "application/csv", "Accept-Encoding": "gzip", **self._token()},
                json={"query": flux, "type": "flux", "dialect": _DIALECT},
            ) as answer,
        ):
            if answer.status_code != 200:
                raise self._told(answer.status_code)
            yield from self._whole(unpacked(answer))

    def _whole(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """A query that fails after its first rows says so in one more table, under status 200 (Flux specification,
        CSV encoding, Errors)."""
        seen = b"\n"
        for chunk in chunks:
            seen += chunk
            if _ERROR in seen:
                what = "InfluxDB's query failed after its first rows, which were not landed"
                raise Transient(what, code="influx_failed", where=self.where, todo="see the server's log")
            yield chunk
            seen = seen[-len(_ERROR) :]

    def probe(self) -> str:
        """Ask, and leave the answer unread."""
        with self._errors():
            next(iter(self._ask(self.spec.query.replace("v.start", "-1s").replace("v.stop", "now()"))), b"")
        return "it answers"

    def _options(self) -> dict[str, Any]:
        """Of the template; without one, of the connection alone."""
        if self.site.source.authentication is None:
            return {"timeout": 60.0, "verify": tls_context(self.site)}
        return client_options(credentials_of(self.site), self.site.source.connecting.resolved())

    def _token(self) -> dict[str, str]:
        """Without a template, the connection's password is the token."""
        if self.site.source.authentication is not None:
            return {}
        return {"Authorization": f"Token {self.connection.password}"}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        httpx = require("httpx", "worker")
        try:
            yield
        except httpx.HTTPError as error:
            what, found = "InfluxDB could not be read", type(error).__name__
            raise Transient(what, code="influx_failed", where=self.where, found=found) from None

    def _told(self, status: int) -> BaseOpsError:
        found = f"HTTP {status}"
        if status in (401, 403):
            what = f"InfluxDB refused connection {self.connection.name}"
            return Denied(what, code="forbidden", where=self.where, found=found, todo="check token and organisation")
        if status == 429 or status >= 500:
            return Transient("InfluxDB could not be read", code="influx_failed", where=self.where, found=found)
        what = "InfluxDB does not understand what is asked"
        return ConfigError(what, code="influx_refused", where=self.where, found=found, todo="check the query")


CONNECTOR = InfluxSource


def _moment(text: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        what = "influx.start is not a time"
        raise ConfigError(what, code="bad_start", where=where, expected="ISO 8601, e.g. 2024-01-01T00:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
