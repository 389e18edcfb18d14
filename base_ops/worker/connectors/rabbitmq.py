"""RabbitMQ queues (AMQP 0-9-1): taken unacknowledged, landed, acknowledged; see `streams.queues`.

A message's identity is its `message_id` together with its content; publishers that set none get each message at
least once, with a finding where one may be there twice. Classic and quorum queues are read; a stream (x-queue-type) is
refused. A line has `queue`, `exchange`, `routing_key`, `message_id`, `timestamp` (as the publisher set it),
`content_type`, `type`, `app_id`, `correlation_id`, `headers` and `value`.

The connection's schema is the virtual host (default /); its scheme or extra `tls: true` means TLS, which port 5671 and
all hosts but this machine's have by default; extra ca_certificate and verify as everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.authentication import CertificateTemplate
from base_ops.data_ingestion.options.sources.streams import RabbitmqSpec
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.streams.envelope import json_time
from base_ops.worker.connectors.streams.queues import QueueRun
from base_ops.worker.connectors.tls import LOOPBACK, refuse_plain, tls_context
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo

_HEARTBEAT_S = 600
"""Nothing is answered while a run lands what it took; that takes seconds."""
_MOST_AHEAD = 1_000
_OFFSET = "x-stream-offset"
_PRECONDITION_FAILED = 406


class RabbitmqQueues:
    """Takes what the queues hold, one queue after the other."""

    def __init__(self, site: Site) -> None:
        self.pika = require("pika", "rabbitmq")
        self.site = site
        self.spec: RabbitmqSpec = site.source.rabbitmq  # type: ignore[assignment]
        self.where = f"source {site.source.id}, rabbitmq queues {', '.join(self.spec.queues)}"
        self._taken: dict[Any, int] = {}

    def fetch(self, history: History, keep: Keep) -> Report:
        run = QueueRun(self.site, self.spec, history, keep)
        with self._errors():
            connection = self.pika.BlockingConnection(self._parameters())
            try:
                for queue in self.spec.queues:
                    if run.left:
                        self._read(connection, queue, run)
            except BaseException:
                _close(connection)
                raise
        return run.finish(self._acknowledge, lambda: _close(connection))

    def log_in(self) -> None:
        """Log in and leave."""
        with self._errors():
            _close(self.pika.BlockingConnection(self._parameters()))

    def probe(self) -> str:
        """How many messages wait."""
        with self._errors():
            connection = self.pika.BlockingConnection(self._parameters())
            try:
                channel = connection.channel()
                waiting = [
                    channel.queue_declare(queue, passive=True).method.message_count for queue in self.spec.queues
                ]
            finally:
                _close(connection)
        return f"{len(waiting)} queues, {sum(waiting)} messages"

    def _read(self, connection: Any, queue: str, run: QueueRun) -> None:
        """A stream tells of no difference, and would begin with what comes from now on: so its beginning is asked for,
        which queues refuse (as RabbitMQ since 3.10 does) or pass over. The header of an offset is a stream's only where
        this was not refused: publishers may set one of their own on messages to any queue."""
        for arguments in ({_OFFSET: "first"}, None):
            channel = connection.channel()
            channel.basic_qos(prefetch_count=min(run.left, 65_535))
            try:
                self._consume(channel, queue, run, arguments)
                return
            except self.pika.exceptions.ChannelClosedByBroker as error:
                if arguments is None or error.reply_code != _PRECONDITION_FAILED or channel in self._taken:
                    raise

    def _consume(self, channel: Any, queue: str, run: QueueRun, arguments: dict[str, str] | None) -> None:
        for method, properties, body in channel.consume(
            queue, inactivity_timeout=self.spec.idle_s, arguments=arguments
        ):
            if method is None:
                break
            if arguments is not None and _OFFSET in (properties.headers or {}):
                what = "A stream (x-queue-type) cannot be read as a queue: its messages stay"
                raise self._error(ConfigError, what, "not_a_queue", queue)
            self._take(run, queue, method, properties, body)
            self._taken[channel] = method.delivery_tag
            if run.handled % _MOST_AHEAD == 0:
                failpoint("rabbitmq.batch_taken")
            if not run.left:
                break
        channel.cancel()  # what was sent ahead and not taken goes back

    def _take(self, run: QueueRun, queue: str, method: Any, properties: Any, body: bytes) -> None:
        members = run.taking.envelope.members(
            queue=queue,
            exchange=method.exchange,
            routing_key=method.routing_key,
            message_id=properties.message_id,
            content_type=properties.content_type,
            type=properties.type,
            app_id=properties.app_id,
            correlation_id=properties.correlation_id,
        )
        at = None if properties.timestamp is None else properties.timestamp * 1000
        headers = [(str(name), _text(value)) for name, value in (properties.headers or {}).items()]
        run.take(
            _identity(queue, properties.message_id, body), members + b',"timestamp":' + json_time(at), headers, body
        )

    def _acknowledge(self) -> None:
        with self._errors():
            for channel, tag in self._taken.items():
                channel.basic_ack(tag, multiple=True)
                channel.queue_declare(self.spec.queues[0], passive=True)  # answered: the acknowledgement has arrived

    def _parameters(self) -> Any:
        timeout_s = self.site.source.connecting.resolved().connect_s
        found = self.site.connection
        if found is None or not found.host:
            raise ConfigError(
                "RabbitMQ needs a connection", code="no_connection", where=self.where, todo="set source.connection"
            )
        tls = self._encrypted(found)
        return self.pika.ConnectionParameters(
            host=found.host,
            port=found.port or (5671 if tls else 5672),
            virtual_host=found.schema or "/",
            credentials=self._credentials(found),
            ssl_options=self.pika.SSLOptions(tls_context(self.site), found.host) if tls else None,
            heartbeat=_HEARTBEAT_S,
            socket_timeout=timeout_s,
            stack_timeout=timeout_s,
            blocked_connection_timeout=timeout_s,
        )

    def _encrypted(self, found: ConnectionInfo) -> bool:
        """Always with a template; else as the connection says, and then in clear to this machine or in dev only."""
        by_itself = found.port == 5671 or (found.port is None and found.host not in LOOPBACK)
        told = found.extra.get("tls", by_itself or self.site.source.authentication is not None)
        if found.scheme == "amqps" or told in (True, "true", "True"):
            return True
        refuse_plain(self.site, found.host, "extra.tls: true", "no TLS")
        return False

    def _credentials(self, found: ConnectionInfo) -> Any:
        """A certificate proves itself (EXTERNAL); all others have a login and a password (PLAIN)."""
        if isinstance(self.site.source.authentication, CertificateTemplate):
            return self.pika.credentials.ExternalCredentials()
        return self.pika.PlainCredentials(found.login or "guest", found.password or "guest")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell the library's errors apart; their texts are not passed on."""
        errors = self.pika.exceptions
        by = f"connection {self.site.connection.name}" if self.site.connection else ""
        try:
            yield
        except (errors.ProbableAuthenticationError, errors.AuthenticationError):
            raise self._error(Denied, f"RabbitMQ refused {by}", "forbidden", "log-in") from None
        except (errors.ProbableAccessDeniedError, errors.ChannelClosedByBroker, errors.ConnectionClosedByBroker) as e:
            code = getattr(e, "reply_code", 403)
            if code == 403 or isinstance(e, errors.ProbableAccessDeniedError):
                raise self._error(Denied, f"RabbitMQ refused {by}", "forbidden", str(code)) from None
            if code == 404:
                raise self._error(ConfigError, "A queue does not exist", "no_such_queue", str(code)) from None
            if code == 530:
                raise self._error(ConfigError, "The virtual host does not exist", "no_such_vhost", str(code)) from None
            raise self._error(Transient, "RabbitMQ broke off", "rabbitmq_failed", str(code)) from None
        except (errors.AMQPError, OSError) as error:
            raise self._error(Transient, "RabbitMQ cannot be reached", "unreachable", type(error).__name__) from None

    def _error(self, kind: Any, what: str, code: str, found: str) -> BaseOpsError:
        error: BaseOpsError = kind(what, code=code, where=self.where, found=found)
        return error


CONNECTOR = RabbitmqQueues


def _identity(queue: str, message_id: str | None, body: bytes) -> str | None:
    if message_id is None:
        return None
    digest = hashlib.sha256(body).digest()
    return hashlib.sha256(b"\0".join([queue.encode(), message_id.encode(), digest])).hexdigest()[:32]


def _text(value: Any) -> str | bytes | None:
    """A header's value: texts and bytes as they are, other types of AMQP as JSON."""
    if value is None or isinstance(value, str | bytes):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def _close(connection: Any) -> None:
    with suppress(Exception):  # what is unacknowledged goes back either way
        connection.close()
