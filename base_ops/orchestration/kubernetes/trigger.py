"""The wait of a deferred task: the same rules as in plain mode, in the triggerer's event loop.

All a successor needs is in `serialize`: a triggerer that dies leaves nothing but the pod, which the next one watches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import cached_property
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.triggers.base import BaseTrigger, TriggerEvent
from kubernetes_asyncio.client import CoreV1Api
from kubernetes_asyncio.client.exceptions import ApiException

from base_ops.orchestration.kubernetes.failures import End, PodEnd
from base_ops.orchestration.kubernetes.watch import Limits, PodWatch, has_started

API_AWAY_S = 600.0
"""How long the API may give no answer before the task goes on without the trigger."""
CONNECTION_S = 300.0
"""How long a connection serves: making one costs more than many looks, but credentials are renewed."""


class AgentPodTrigger(BaseTrigger):
    """Waits for the end of one pod.

    Fires `{"pod": …, "position": …}` with the end of the pod (`end`, `how`, `exit_code`), or with `end` None when it
    is time to write logs.

    Args:
        pod: namespace, name, uid, result_uri and attempt of the pod.
        container: the container that works.
        cluster: arguments of the provider's hook: connection, context, whether in the cluster.
        limits: of watch.Limits, in seconds.
        position: where the log was read to; carried for the operator.
        poll_s: seconds between two looks once the pod runs; until then a second at most.
        logging_s: seconds after which logs are due; None: only at the end.
        deadline: when the task's execution time-out is over, in seconds since the epoch.
        grace_s: grace of a deletion; None: the pod's own.
        keep: leave the pod alone when the task is ended by hand.
    """

    def __init__(
        self,
        pod: dict[str, Any],
        container: str,
        cluster: dict[str, Any],
        limits: dict[str, float],
        position: list[Any],
        poll_s: float = 2.0,
        logging_s: float | None = None,
        deadline: float | None = None,
        grace_s: int | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pod = pod
        self.container = container
        self.cluster = cluster
        self.limits = limits
        self.position = position
        self.poll_s = poll_s
        self.logging_s = logging_s
        self.deadline = deadline
        self.grace_s = grace_s
        self.keep = keep

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, as the database keeps them. No credentials among them."""
        names = ("pod", "container", "cluster", "limits", "position", "poll_s", "logging_s", "deadline", "grace_s")
        arguments = {name: getattr(self, name) for name in (*names, "keep")}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once."""
        payload = await self._wait()
        yield TriggerEvent({**payload, "pod": self.pod, "position": self.position})  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        watch = PodWatch(self.container, Limits(**self.limits))
        began = answered = time.monotonic()
        while True:
            try:
                async with self.hook.get_conn() as connection:
                    api = CoreV1Api(connection)
                    renew = time.monotonic() + CONNECTION_S
                    while time.monotonic() < renew:
                        pod = await self._read(api)
                        answered = time.monotonic()
                        started = pod is not None and has_started(pod, self.container)
                        if end := watch.look(pod, answered) or self._overdue():
                            return end.as_event()
                        if started and self.logging_s is not None and answered - began >= self.logging_s:
                            return {"end": None}
                        await asyncio.sleep(self.poll_s if started else min(1.0, self.poll_s))
            except Exception as error:  # whatever the client, the connection or its credentials raise
                self.log.warning("Pod %s cannot be read: %s", self.pod["name"], type(error).__name__)
                if time.monotonic() - answered >= API_AWAY_S:
                    how = f"the Kubernetes API gave no answer for {API_AWAY_S:.0f} s ({type(error).__name__})"
                    return PodEnd(End.API_AWAY, how).as_event()
                if end := self._overdue():
                    return end.as_event()
                await asyncio.sleep(min(1.0, self.poll_s))

    def _overdue(self) -> PodEnd | None:
        if self.deadline is None or time.time() < self.deadline:
            return None
        return PodEnd(End.DEADLINE, "the task's execution_timeout is over")

    async def _read(self, api: CoreV1Api) -> Any | None:
        try:
            pod = await api.read_namespaced_pod(self.pod["name"], self.pod["namespace"])
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return pod if pod.metadata.uid == self.pod["uid"] else None

    async def on_kill(self) -> None:
        """The task was ended by hand while deferred: take its pod along."""
        if not self.keep:
            await self.hook.delete_pod(self.pod["name"], self.pod["namespace"], grace_period_seconds=self.grace_s)

    @cached_property
    def hook(self) -> AsyncKubernetesHook:
        return AsyncKubernetesHook(**self.cluster)
