"""Google Pub/Sub subscriptions: pulled unacknowledged, landed, acknowledged; see `streams.queues`.

A message's identity is its message id. While a run lasts, its messages are kept from being handed out again (600 s, so
`max_seconds` is 300 at most). Pub/Sub may hand out a message again even after it was acknowledged, unless the
subscription has exactly-once delivery: switch that on, or merge by `message_id`. A line has `subscription`,
`message_id`, `timestamp` (of publishing), `key` (the ordering key), `headers` (the attributes) and `value`.

The connection's extra holds `keyfile_dict`, a service account's key as JSON; without one the environment's
credentials are used. A host of this machine means an emulator: no TLS, no credentials. Tested against a simulated
service.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.streams import PubsubSpec
from base_ops.worker.connections.clouds import google_credentials
from base_ops.worker.connections.credentials import credentials_of
from base_ops.worker.connectors.base import Keep, Report, Site
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.streams.envelope import json_time
from base_ops.worker.connectors.streams.queues import QueueRun
from base_ops.worker.connectors.tls import LOOPBACK
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.landing import History

_HOLD_S = 600
_MOST_SECONDS = _HOLD_S / 2
_MOST = 1_000
"""Messages asked for, held or acknowledged in one request."""


class PubsubSubscription:
    """Takes what the subscription hands out."""

    def __init__(self, site: Site) -> None:
        self.pubsub = require("google.pubsub_v1", "pubsub")
        self.site = site
        self.spec: PubsubSpec = site.source.pubsub  # type: ignore[assignment]
        self.where = f"source {site.source.id}, {self.spec.subscription}"
        self.timeout_s = site.source.connecting.resolved().connect_s
        if self.spec.max_seconds > _MOST_SECONDS:
            raise ConfigError(
                "A run of Pub/Sub would last longer than its messages are held",
                code="too_long",
                where="source.pubsub.max_seconds",
                expected=f"at most {_MOST_SECONDS:g}",
            )
        self._handles: list[str] = []

    def fetch(self, history: History, keep: Keep) -> Report:
        run = QueueRun(self.site, self.spec, history, keep)
        with self._errors():
            client = self._client()
            seen: set[str] = set()
            while (left := run.left) > 0:
                received = self._pull(client, min(left, _MOST))
                if not received:
                    break
                self._hold(client, [item.ack_id for item in received])
                for item in received:
                    self._handles.append(item.ack_id)
                    if item.message.message_id not in seen:
                        self._take(run, item.message)
                    seen.add(item.message.message_id)
                failpoint("pubsub.batch_taken")
        return run.finish(lambda: self._acknowledge(client), lambda: client.transport.close())

    def _pull(self, client: Any, most: int) -> Any:
        """What is there; nothing within `idle_s` is an empty answer."""
        from google.api_core.exceptions import DeadlineExceeded

        asked = {"subscription": self.spec.subscription, "max_messages": most}
        try:
            return client.pull(request=asked, timeout=self.spec.idle_s, retry=None).received_messages
        except DeadlineExceeded:
            return []

    def _hold(self, client: Any, handles: list[str]) -> None:
        asked = {"subscription": self.spec.subscription, "ack_ids": handles, "ack_deadline_seconds": _HOLD_S}
        client.modify_ack_deadline(request=asked, timeout=self.timeout_s)

    def _take(self, run: QueueRun, message: Any) -> None:
        envelope, key = run.taking.envelope, message.ordering_key
        members = envelope.members(subscription=self.spec.subscription, message_id=message.message_id)
        at = round(message.publish_time.timestamp() * 1000) if message.publish_time else None
        headers = sorted(message.attributes.items())
        facts = members + b',"timestamp":' + json_time(at)
        run.take(message.message_id, facts, headers, bytes(message.data), key.encode() if key else None)

    def _acknowledge(self, client: Any) -> None:
        with self._errors():
            for start in range(0, len(self._handles), _MOST):
                asked = {"subscription": self.spec.subscription, "ack_ids": self._handles[start : start + _MOST]}
                client.acknowledge(request=asked, timeout=self.timeout_s)

    def _client(self) -> Any:
        found = self.site.connection
        if found is not None and found.host in LOOPBACK:
            import grpc
            from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

            channel = grpc.insecure_channel(f"{found.host}:{found.port}")
            return self.pubsub.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        if self.site.source.authentication is not None:
            return self.pubsub.SubscriberClient(credentials=google_credentials(credentials_of(self.site)))
        key = found.extra.get("keyfile_dict") if found is not None else None
        if not key:
            return self.pubsub.SubscriberClient()
        try:
            facts = json.loads(key) if isinstance(key, str) else dict(key)
            return self.pubsub.SubscriberClient.from_service_account_info(facts)
        except (ValueError, TypeError, KeyError):
            raise self._error(
                ConfigError, "The connection's keyfile_dict is not a service account's key", "bad_key", ""
            ) from None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell the library's errors apart; their texts are not passed on."""
        from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthenticated
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

        by = f"connection {self.site.connection.name}" if self.site.connection else "the environment's credentials"
        try:
            yield
        except (Forbidden, Unauthenticated) as error:
            raise self._error(Denied, f"Pub/Sub refused {by}", "forbidden", type(error).__name__) from None
        except NotFound as error:
            what = "The subscription does not exist"
            raise self._error(ConfigError, what, "no_such_subscription", type(error).__name__) from None
        except DefaultCredentialsError:
            raise self._error(ConfigError, "There are no credentials for Pub/Sub", "no_credentials", "") from None
        except GoogleAuthError as error:
            raise self._error(Denied, f"Google refused {by}", "forbidden", type(error).__name__) from None
        except GoogleAPIError as error:
            raise self._error(Transient, "Pub/Sub could not be read", "pubsub_failed", type(error).__name__) from None

    def _error(self, kind: Any, what: str, code: str, found: str) -> BaseOpsError:
        error: BaseOpsError = kind(what, code=code, where=self.where, found=found)
        return error


CONNECTOR = PubsubSubscription
