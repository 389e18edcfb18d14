"""WebSockets (RFC 6455): subscribe, then take messages for a bounded time, each as one line.

Nothing can be asked for again: what is sent while nobody listens is lost. Where messages are counted (`sequence`),
those that came before are dropped and gaps are told; the last number is the cursor in the landing log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.sources.web import WebsocketSpec
from base_ops.worker.backoff import Backoff, retry
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.streams.envelope import Envelope
from base_ops.worker.connectors.streams.taking import Taking
from base_ops.worker.connectors.tls import tls_context
from base_ops.worker.connectors.web.client import Web
from base_ops.worker.connectors.web.paging import dig
from base_ops.worker.lake.landing import History

_TOO_BIG = 1009  # close code, RFC 6455 §7.4.1


class WebsocketSource:
    """Takes a run's part of the messages."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client: Any = require("websockets.sync.client", "websocket")
        self.errors_of: Any = require("websockets.exceptions", "websocket")
        assert site.source.websocket is not None
        self.spec: WebsocketSpec = site.source.websocket
        self.where = f"source {site.source.id}, WebSocket {urlsplit(self.spec.path).path}"
        self.last: int | None = None
        self.gaps = self.dropped = 0
        self.greatest = 0

    def fetch(self, history: History, keep: Keep) -> Report:
        self.last = history.cursor.get("sequence") if isinstance(history.cursor, dict) else None  # type: ignore[assignment]
        taking = Taking(self.site, self.spec, history, keep, Envelope(self.spec.value, extra="websocket"))
        with Web(self.site, taking.report) as web:
            retry(
                lambda: self._listen(web, taking),
                tries=self.spec.tries,
                backoff=Backoff(base_s=self.spec.backoff_s),
                clock=self.site.clock,
                longest_wait_s=self.spec.max_retry_after_s,
                on_retry=lambda: taking.report.count(retries=1),
                progress=lambda: taking.taken,
            )
        report = taking.finish()
        if self.gaps:
            message = f"{self.gaps} messages are missing by their numbers ({self.spec.sequence})"
            report.findings.append(Finding(code="messages_missing", severity="warning", message=message))
        if self.dropped and self.greatest < (self.last or 0):
            message = (
                f"{self.dropped} messages were dropped, whose numbers ({self.spec.sequence}) end before {self.last}, "
                "the last one taken: does the server count anew? Then give the source a new id, or leave sequence out"
            )
            report.findings.append(Finding(code="sequence_restarted", severity="error", message=message))
        elif self.dropped:
            message = f"{self.dropped} messages had come before and were dropped"
            report.findings.append(Finding(code="duplicate_messages", message=message))
        report.cursor_after = {"sequence": self.last} if self.last is not None else None
        return report

    def _listen(self, web: Web, taking: Taking) -> None:
        if web.quota is not None:
            web.quota.take()
        taking.report.count(requests=1)
        with self._errors(), self._connect(web) as socket:
            for message in self.spec.subscribe:
                socket.send(message if isinstance(message, str) else json.dumps(message))
            while taking.left:
                try:
                    body = socket.recv(timeout=min(self.spec.idle_s, taking.seconds_left))
                except (TimeoutError, self.errors_of.ConnectionClosedOK):
                    return
                self._take(taking, body)

    def _take(self, taking: Taking, body: str | bytes) -> None:
        raw = body.encode() if isinstance(body, str) else body
        if self.spec.sequence is not None and (number := self._number(raw)) is not None:
            self.greatest = max(self.greatest, number)
            if self.last is not None and number <= self.last:
                self.dropped += 1
                return
            self.gaps += number - self.last - 1 if self.last is not None else 0
            self.last = number
        kind = "text" if isinstance(body, str) else "binary"
        received = self.site.clock.now().isoformat()
        taking.take(f'"kind":"{kind}","received":"{received}"'.encode(), (), raw)

    def _number(self, raw: bytes) -> int | None:
        """A message without a number is taken as it is."""
        try:
            found = dig(json.loads(raw), str(self.spec.sequence))
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def _connect(self, web: Web) -> Any:
        """A token that is refused is renewed once."""
        first = web.signed()
        assert first is not None
        try:
            return self._opened(web, *first)
        except self.errors_of.InvalidStatus as error:
            again = web.signed(refused=True) if error.response.status_code == 401 else None
            if again is None:
                raise
            return self._opened(web, *again)

    def _opened(self, web: Web, url: str, headers: dict[str, str]) -> Any:
        url = "ws" + url.removeprefix("http")
        tls = None
        if url.startswith("wss:"):
            tls = web.tls if self.site.source.authentication is not None else tls_context(self.site)
        return self.client.connect(
            url,
            additional_headers=headers,
            open_timeout=self.spec.timeout_s,
            ping_interval=self.spec.ping_s,
            ping_timeout=self.spec.ping_s,
            close_timeout=5,
            max_size=self.spec.max_message_bytes,
            ssl=tls,
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import ssl

        known = self.errors_of
        try:
            yield
        except BaseOpsError:
            raise
        except known.InvalidStatus as error:
            raise self._refused(error.response.status_code) from None
        except known.ConnectionClosed as error:
            sent = error.sent.code if error.sent else None
            if sent == _TOO_BIG:
                raise BadInput(
                    "A message is longer than the source allows",
                    code="message_too_large",
                    where=self.where,
                    expected=f"at most {self.spec.max_message_bytes} bytes (websocket.max_message_bytes)",
                ) from None
            found = f"close code {error.rcvd.code}" if error.rcvd else "no closing handshake"
            raise Transient("The connection was lost", code="connection_lost", where=self.where, found=found) from None
        except ssl.SSLCertVerificationError:
            raise ConfigError(
                "The server's certificate cannot be verified", code="bad_certificate", where=self.where
            ) from None
        except (known.InvalidHandshake, known.InvalidURI) as error:
            raise ConfigError(
                "The server speaks no WebSocket here",
                code="bad_handshake",
                where=self.where,
                found=type(error).__name__,
            ) from None
        except (OSError, TimeoutError, EOFError) as error:
            found = type(error).__name__
            raise Transient("The server cannot be reached", code="unreachable", where=self.where, found=found) from None

    def _refused(self, status: int) -> BaseOpsError:
        found = f"HTTP {status}"
        if status in (401, 403):
            return Denied("The server refused the credentials", code="unauthorized", where=self.where, found=found)
        if status in (408, 425, 429) or status >= 500:
            return Transient("The server cannot answer now", code="server_error", where=self.where, found=found)
        return ConfigError("The server does not accept the request", code="bad_request", where=self.where, found=found)


CONNECTOR = WebsocketSource
