"""The calls to the Kubernetes API that a job needs, and what its refusals mean.

The provider's retry takes care of 409, 429 (with Retry-After) and 5xx; what is left is an error of ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
from kubernetes.client import CoreV1Api, V1DeleteOptions, V1Pod, V1Preconditions
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from base_ops.core.errors import BaseOpsError
from base_ops.orchestration.kubernetes.failures import ClusterUnavailable, PodDenied, PodRefused


class PodApi:
    """Pods of one cluster. Every method raises PodRefused, PodDenied or ClusterUnavailable."""

    def __init__(self, client: CoreV1Api) -> None:
        self._client = client

    def create(self, pod: V1Pod) -> V1Pod | None:
        """Create a pod; None if its name is taken, which is how two processes cannot both start one."""

        @generic_api_retry  # type: ignore[untyped-decorator]
        def call() -> V1Pod | None:
            try:
                return self._client.create_namespaced_pod(pod.metadata.namespace, pod)
            except ApiException as error:
                if error.status == 409 and reason_of(error) == "AlreadyExists":
                    return None
                raise

        with api_errors(f"create pod {_name(pod)}"):
            return call()

    def read(self, namespace: str, name: str) -> V1Pod | None:
        """The pod; None if there is none of this name."""

        @generic_api_retry  # type: ignore[untyped-decorator]
        def call() -> V1Pod | None:
            try:
                return self._client.read_namespaced_pod(name, namespace)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise

        with api_errors(f"read pod {namespace}/{name}"):
            return call()

    def delete(self, pod: V1Pod, grace_s: int | None = None) -> None:
        """Delete this very pod, not a later one of its name; one that is gone is fine."""
        exact = V1Preconditions(uid=pod.metadata.uid) if pod.metadata.uid else None
        options = V1DeleteOptions(grace_period_seconds=grace_s, preconditions=exact)

        @generic_api_retry  # type: ignore[untyped-decorator]
        def call() -> None:
            try:
                self._client.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, body=options)
            except ApiException as error:
                if error.status != 404 and not (error.status == 409 and reason_of(error) == "Conflict"):
                    raise

        with api_errors(f"delete pod {_name(pod)}"):
            call()

    def find(self, namespace: str, selector: str) -> list[V1Pod]:
        """The pods of a namespace with these labels."""
        call = generic_api_retry(self._client.list_namespaced_pod)  # type: ignore[no-untyped-call]
        with api_errors(f"list pods in {namespace}"):
            return list(call(namespace, label_selector=selector).items)

    def warnings(self, pod: V1Pod) -> list[str]:
        """What the cluster's events complain of; empty where they cannot be read."""
        about = f"involvedObject.name={pod.metadata.name},involvedObject.uid={pod.metadata.uid}"
        try:
            events = self._client.list_namespaced_event(pod.metadata.namespace, field_selector=about).items
        except (ApiException, HTTPError):
            return []
        return [f"{event.reason}: {event.message}" for event in events if event.type == "Warning"]

    def log(self, pod: V1Pod, container: str, since_s: int | None, follow: bool, read_timeout_s: float) -> Any:
        """The open stream of a container's log, each line with its time."""
        return self._client.read_namespaced_pod_log(
            pod.metadata.name,
            pod.metadata.namespace,
            container=container,
            follow=follow,
            timestamps=True,
            since_seconds=since_s,
            _preload_content=False,
            _request_timeout=(10, read_timeout_s),
        )


@contextmanager
def api_errors(what: str) -> Iterator[None]:
    """Turn what the API refuses, after all retries, into our errors."""
    try:
        yield
    except ApiException as error:
        raise refusal(error, what) from None
    except HTTPError as error:
        raise ClusterUnavailable(_text(what, f"no answer: {type(error).__name__}", "see the cluster's API")) from None


def refusal(error: ApiException, what: str) -> Exception:
    """What an answer of the API means for the task."""
    found = f"{error.status} {error.reason}: {message_of(error)}"
    if error.status in (401, 403) and "exceeded quota" not in message_of(error):
        return PodDenied(_text(what, found, "check the role of Airflow's service account in this namespace"))
    if error.status == 403:
        return ClusterUnavailable(_text(what, found, "a retry waits for room; or raise the namespace's quota"))
    if error.status in (400, 404, 405, 422):
        return PodRefused(_text(what, found, "correct the pod template, or create the namespace"))
    return ClusterUnavailable(_text(what, found, "a retry asks again; see the health of the Kubernetes API"))


def reason_of(error: ApiException) -> str:
    """The machine-readable reason of a refusal, e.g. AlreadyExists."""
    return str(_body(error).get("reason", ""))


def message_of(error: ApiException) -> str:
    return str(_body(error).get("message", ""))


def _body(error: ApiException) -> dict[str, Any]:
    try:
        body = json.loads(error.body)
        return body if isinstance(body, dict) else {}
    except (TypeError, ValueError):
        return {}


def _name(pod: V1Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


def _text(what: str, found: str, todo: str) -> str:
    return BaseOpsError(f"The Kubernetes API did not {what}", code="kubernetes_api", found=found, todo=todo).text()
