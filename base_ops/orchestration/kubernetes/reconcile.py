"""One pod per task instance. Its name is made of the identity, without the try: the API itself admits no second one.

Whoever comes second (a retry, a restarted worker, a zombie) finds the first one's pod and decides:

    it does the same work and still runs       adopt it; its Result will count
    it has ended and left a green Result       adopt it; nothing runs again
    it does other work (the DAG has changed)   delete it and wait until it is gone
    it has ended without                       the same
    it does not go                             force it away; its manifests cannot overwrite ours
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubernetes.client import V1Pod

from base_ops.core.errors import BaseOpsError
from base_ops.core.ids import fingerprint
from base_ops.core.protocol import Identity, Request
from base_ops.orchestration.kubernetes.api import PodApi
from base_ops.orchestration.kubernetes.failures import PodInTheWay
from base_ops.orchestration.kubernetes.watch import has_ended
from base_ops.orchestration.lake import read_result

ATTEMPT = "base-ops/attempt"
WORK = "base-ops/work"
"""Label: what the pod works on; equal for two tries of unchanged work."""
DEPLOYMENT = "base-ops/deployment"
"""Label: which Airflow (by its lake) the pod belongs to."""
RESULT_URI = "base-ops/result-uri"
"""Annotation: where this pod's Result will be; who adopts the pod reads it there."""
IDENTITY = "base-ops/identity"
"""Annotation: the whole identity as JSON; labels are cut to 63 characters."""
_MAX_NAME = 63


def pod_name(agent: str, identity: Identity, lake_url: str) -> str:
    """`<agent>-<task>-<hash>`: the same for every try of a task instance, and for no other of the cluster."""
    parts = [identity.dag_id, identity.run_id, identity.task_id, identity.map_index]
    key = fingerprint(lake_url, *parts)[:12]
    stem = re.sub(r"[^a-z0-9]+", "-", f"{agent}-{identity.task_id}".lower()).strip("-")
    return f"{stem[: _MAX_NAME - 13].rstrip('-')}-{key}"


def work_id(request: Request) -> str:
    """What is to be done, without who does it: a pod is adopted only for the same work."""
    steps = [step.model_dump(mode="json") for step in request.steps]
    return fingerprint(steps, request.inputs, request.lake_url, sorted(request.sensitive_columns))[:16]


def deployment_id(lake_url: str) -> str:
    """Which Airflow a pod belongs to, on a cluster that several share."""
    return fingerprint(lake_url)[:12]


@dataclass
class Reconciler:
    """Brings about the one pod of a task instance.

    `after` is given each pod that is cleared away and the one wanted, and says which is wanted now: one that takes
    the place of a pod that ran out of memory must be larger.
    """

    api: PodApi
    container: str
    log: logging.Logger
    after: Callable[[V1Pod, V1Pod], V1Pod]
    terminate_s: float = 90
    poll_s: float = 1.0

    def ensure(self, wanted: V1Pod) -> V1Pod:
        """The pod as created now, or the one found that does the same work.

        Raises:
            PodInTheWay: an older pod did not go even when forced. And what the API raises.
        """
        began = time.monotonic()
        forced = False
        while True:
            created = self.api.create(wanted)
            if created is not None:
                return created
            found = self.api.read(wanted.metadata.namespace, wanted.metadata.name)
            if found is None:  # it went between the two calls
                self._wait(began, wanted)
                continue
            if self._is_to_adopt(found, wanted):
                self.log.info("Adopting the pod %s of an earlier process.", found.metadata.name)
                return found
            if found.metadata.deletion_timestamp is None:
                self.log.info("Clearing away the pod %s of an earlier try.", found.metadata.name)
                wanted = self.after(found, wanted)
                self.api.delete(found)
            elif not forced and time.monotonic() - began > self.terminate_s:
                self.log.warning("The pod %s does not go; it is forced away.", found.metadata.name)
                self.api.delete(found, grace_s=0)
                forced = True
            self._wait(began, wanted)

    def _wait(self, began: float, wanted: V1Pod) -> None:
        if time.monotonic() - began > 2 * self.terminate_s:
            raise PodInTheWay(
                BaseOpsError(
                    "An earlier pod of this task instance does not go away, and there must not be two",
                    code="pod_in_the_way",
                    where=f"{wanted.metadata.namespace}/{wanted.metadata.name}",
                    todo="a retry tries again; see its node, its finalizers and what creates it",
                ).text()
            )
        time.sleep(self.poll_s)

    def _is_to_adopt(self, found: V1Pod, wanted: V1Pod) -> bool:
        if found.metadata.deletion_timestamp is not None:
            return False
        labels: dict[str, Any] = found.metadata.labels or {}
        if labels.get(WORK) != wanted.metadata.labels[WORK]:
            return False
        return not has_ended(found, self.container) or has_green_result(found)


def has_green_result(pod: V1Pod) -> bool:
    """Whether a pod published its work before it ended."""
    uri = (pod.metadata.annotations or {}).get(RESULT_URI, "")
    try:
        result = read_result(uri) if uri else None
    except BaseOpsError:
        return False
    attempt = (pod.metadata.labels or {}).get(ATTEMPT)
    return result is not None and result.identity.attempt == attempt and result.status.is_green
