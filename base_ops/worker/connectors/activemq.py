"""ActiveMQ queues over STOMP 1.2 (Classic and Artemis): taken unacknowledged, landed, acknowledged; see
`streams.queues`.

A message's identity is the `message-id` that the broker gave it. A line has `queue`, `message_id`, `timestamp`,
`headers` (all others) and `value`. The connection's port is 61613 by default, 61614 and extra `tls: true` mean TLS,
which all hosts but this machine's have by default; extra ca_certificate and verify as everywhere.
"""

from __future__ import annotations

import queue
import ssl
import threading
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.streams import ActivemqSpec
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.streams.envelope import json_time
from base_ops.worker.connectors.streams.queues import QueueRun
from base_ops.worker.connectors.tls import LOOPBACK, pem_files, policy_of, refuse_plain, tls_context
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.landing import History

_AHEAD = 1_000
"""Messages held in memory at most; the broker is not read while there are so many."""
_OWN = {"message-id", "ack", "destination", "subscription", "timestamp", "content-length"}


class ActivemqQueue:
    """Takes what the queue holds."""

    def __init__(self, site: Site) -> None:
        self.stomp = require("stomp", "activemq")
        self.site = site
        self.spec: ActivemqSpec = site.source.activemq  # type: ignore[assignment]
        self.where = f"source {site.source.id}, activemq queue {self.spec.queue}"
        self.timeout_s = site.source.connecting.resolved().connect_s
        self._last: str | None = None

    def fetch(self, history: History, keep: Keep) -> Report:
        run = QueueRun(self.site, self.spec, history, keep)
        inbox = _Inbox()
        connection = self._connect(inbox)
        try:
            connection.subscribe(
                f"/queue/{self.spec.queue}", id="1", ack="client", headers={"activemq.prefetchSize": str(run.left)}
            )
            self._read(inbox, run)
        except BaseException:
            inbox.close(connection)
            raise
        return run.finish(lambda: self._acknowledge(connection, inbox), lambda: inbox.close(connection))

    def log_in(self) -> None:
        """Log in and leave."""
        inbox = _Inbox()
        inbox.close(self._connect(inbox))

    def probe(self) -> str:
        """Only whether the broker lets us in: STOMP cannot ask for more."""
        self.log_in()
        return "logged in"

    def _read(self, inbox: _Inbox, run: QueueRun) -> None:
        while run.left:
            try:
                frame = inbox.frames.get(timeout=min(self.spec.idle_s, run.taking.seconds_left + 0.001))
            except queue.Empty:
                break
            if frame is None:
                raise self._told(inbox)
            self._take(run, frame.headers, frame.body)
            if run.handled % _AHEAD == 0:
                failpoint("activemq.batch_taken")
        if inbox.fault is not None:
            raise self._told(inbox)

    def _take(self, run: QueueRun, told: dict[str, str], body: bytes | str) -> None:
        envelope, at = run.taking.envelope, told.get("timestamp", "")
        members = envelope.members(queue=self.spec.queue, message_id=told["message-id"])
        facts = members + b',"timestamp":' + json_time(int(at) if at.isdigit() else None)
        headers = [(name, value) for name, value in told.items() if name not in _OWN]
        run.take(told["message-id"], facts, headers, body.encode() if isinstance(body, str) else body)
        self._last = told["ack"]

    def _acknowledge(self, connection: Any, inbox: _Inbox) -> None:
        """All messages up to the last one taken; those sent ahead go back when the connection ends."""
        try:
            connection.ack(self._last, receipt="acknowledged")
        except self.stomp.exception.StompException as error:
            raise self._error(Transient, "ActiveMQ broke off", "activemq_failed", type(error).__name__) from None
        if not inbox.acknowledged.wait(self.timeout_s):
            raise self._error(Transient, "ActiveMQ did not confirm", "activemq_failed", "")

    def _connect(self, inbox: _Inbox) -> Any:
        found = self.site.connection
        if found is None or not found.host:
            raise ConfigError(
                "ActiveMQ needs a connection", code="no_connection", where=self.where, todo="set source.connection"
            )
        by_itself = found.port == 61614 or (found.port is None and found.host not in LOOPBACK)
        told = found.extra.get("tls", by_itself or self.site.source.authentication is not None)
        place = (found.host, found.port or (61614 if told in (True, "true", "True") else 61613))
        connection = self.stomp.Connection12(
            [place], auto_decode=False, reconnect_attempts_max=1, timeout=self.timeout_s, try_loopback_connect=False
        )
        if told in (True, "true", "True"):
            connection.set_ssl([place], **self._tls())
        else:
            refuse_plain(self.site, found.host, "extra.tls: true", "no TLS")
        connection.set_listener("", inbox)
        try:
            connection.connect(found.login or None, found.password or None, wait=True)
        except self.stomp.exception.StompException as error:
            if inbox.fault is not None:
                raise self._told(inbox) from None
            raise self._error(Transient, "ActiveMQ cannot be reached", "unreachable", type(error).__name__) from None
        return connection

    def _tls(self) -> dict[str, Any]:
        """The library makes its own context: one that verifies chain and name, of this protocol."""
        policy_of(self.site)
        pem = pem_files(self.site)
        return {
            "ssl_version": ssl.PROTOCOL_TLS_CLIENT,
            "ca_certs": pem.authorities or None,
            "cert_file": pem.certificate or None,
            "key_file": pem.key or None,
            "password": pem.password or None,
            "verify": tls_context(self.site).verify_mode == ssl.CERT_REQUIRED,
        }

    def _told(self, inbox: _Inbox) -> BaseOpsError:
        """What the broker's ERROR frame means; its text is not passed on."""
        text = (inbox.fault or "").lower()
        if any(word in text for word in ("password", "security", "authoriz", "authentic", "credential")):
            name = self.site.connection.name if self.site.connection else ""
            return self._error(Denied, f"ActiveMQ refused connection {name}", "forbidden", "ERROR frame")
        return self._error(Transient, "ActiveMQ broke off", "activemq_failed", "ERROR frame" if text else "")

    def _error(self, kind: Any, what: str, code: str, found: str) -> BaseOpsError:
        error: BaseOpsError = kind(what, code=code, where=self.where, found=found)
        return error


CONNECTOR = ActivemqQueue


class _Inbox:
    """The library calls this from its own thread, which waits while the inbox is full."""

    def __init__(self) -> None:
        self.frames: queue.Queue[Any] = queue.Queue(_AHEAD)
        self.acknowledged = threading.Event()
        self.fault: str | None = None
        self._over = threading.Event()

    def on_message(self, frame: Any) -> None:
        self._put(frame)

    def on_error(self, frame: Any) -> None:
        body = frame.body.decode("utf-8", "replace") if isinstance(frame.body, bytes) else str(frame.body)
        self.fault = f"{frame.headers.get('message', '')} {body}"
        self._put(None)

    def on_disconnected(self) -> None:
        if not self._over.is_set():
            self.fault = self.fault or ""
            self._put(None)

    def on_receipt(self, frame: Any) -> None:
        if frame.headers.get("receipt-id") == "acknowledged":
            self.acknowledged.set()

    def close(self, connection: Any) -> None:
        """End the connection without a word: what is unacknowledged goes back."""
        self._over.set()
        connection.transport.disconnect_socket()

    def _put(self, frame: Any) -> None:
        while not self._over.is_set():
            try:
                return self.frames.put(frame, timeout=0.1)
            except queue.Full:
                continue

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):  # the library's other calls
            return lambda *_: None
        raise AttributeError(name)
