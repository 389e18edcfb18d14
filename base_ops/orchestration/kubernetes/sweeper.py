"""The DAG `base_sweep_pods`: ends the pods of this deployment that no task waits for any more.

A task clears its own pod away, and a retry that of an earlier try. What is left are pods of runs that were deleted,
marked or never retried while nothing could reach the cluster. A pod is an orphan when Airflow says that its task
instance is over or does not exist; a task that waits for its retry keeps its pod, for the retry adopts it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, task
from kubernetes.client import V1Pod

from base_ops.core.ids import MODULES
from base_ops.core.settings import load_settings
from base_ops.orchestration.kubernetes.api import PodApi
from base_ops.orchestration.kubernetes.failures import ClusterUnavailable, PodDenied, PodRefused
from base_ops.orchestration.kubernetes.reconcile import DEPLOYMENT, IDENTITY, deployment_id
from base_ops.orchestration.kubernetes.template import namespace_of

SWEEP_PODS = "base_sweep_pods"
MIN_AGE = timedelta(minutes=10)
"""A pod younger than this is left alone: its task's state may not have been written yet."""
_OVER = {"success", "failed", "skipped", "removed", "upstream_failed"}

log = logging.getLogger(__name__)
States = Callable[[dict[str, Any]], str | None]
"""The state of a task instance by its identity; None where Airflow knows none."""


def sweep(api: PodApi, namespaces: Iterable[str], deployment: str, state_of: States, now: datetime) -> list[str]:
    """Delete the orphans of these namespaces; returns their names. One namespace that fails does not stop the rest."""
    ended: list[str] = []
    for namespace in namespaces:
        try:
            for pod in api.find(namespace, f"app.kubernetes.io/part-of=base-ops,{DEPLOYMENT}={deployment}"):
                if is_orphan(pod, state_of, now):
                    log.info("Ending the orphan %s/%s.", namespace, pod.metadata.name)
                    api.delete(pod)
                    ended.append(pod.metadata.name)
        except (ClusterUnavailable, PodDenied, PodRefused) as error:
            log.warning("%s is not swept: %s", namespace, error)
    return ended


def is_orphan(pod: V1Pod, state_of: States, now: datetime) -> bool:
    """Whether nobody waits for a pod. One whose identity cannot be read is not ours to judge."""
    if pod.metadata.deletion_timestamp is not None or now - pod.metadata.creation_timestamp < MIN_AGE:
        return False
    try:
        identity = json.loads((pod.metadata.annotations or {})[IDENTITY])
    except (KeyError, ValueError):
        return False
    state = state_of(identity)
    return state is None or state in _OVER


def state_in_airflow(ti: Any, identity: dict[str, Any]) -> str | None:
    """The state of a task instance, asked as tasks ask: through Airflow's API, not its database."""
    mapped = identity["map_index"] >= 0
    states = ti.get_task_states(
        dag_id=identity["dag_id"],
        task_ids=[identity["task_id"]],
        run_ids=[identity["run_id"]],
        map_index=identity["map_index"] if mapped else None,
    ).get(identity["run_id"], {})
    key = f"{identity['task_id']}_{identity['map_index']}" if mapped else identity["task_id"]
    if key not in states:
        return None
    return "none" if states[key] is None else str(states[key])


def sweep_pods_dag(kubernetes_conn_id: str = "kubernetes_default", namespaces: Sequence[str] = ()) -> DAG:
    """The sweeper as a DAG, every quarter of an hour."""
    with DAG(
        dag_id=SWEEP_PODS,
        description="End pods that no task waits for",
        doc_md=__doc__,
        schedule="*/15 * * * *",
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=False,  # nobody would miss it before the cluster is full
        max_active_runs=1,
        tags={"base-layer", "upkeep"},
        default_args={"owner": "base-platform"},
        auto_register=False,
    ) as dag:

        @task(retries=0)
        def sweep_pods(**context: Any) -> list[str]:
            from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

            api = PodApi(KubernetesHook(conn_id=kubernetes_conn_id).core_v1_client)
            places = namespaces or [namespace_of(module) for module in MODULES]
            deployment = deployment_id(load_settings().lake)
            return sweep(
                api, places, deployment, lambda identity: state_in_airflow(context["ti"], identity), datetime.now(UTC)
            )

        sweep_pods()
    return dag
