"""The sweeper ends what no task waits for, and nothing else; as a DAG, it asks Airflow itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.kubernetes import Cluster, Fault, Plan, kubernetes_api
from fakes.kubernetes_tasks import shorten_retries

LAKE = "memory://lake"
NAMESPACE = "base-data-ingestion"
IDENTITY = {"dag_id": "fx", "run_id": "r1", "task_id": "a", "map_index": -1}


@pytest.fixture
def cluster(airflow_db: Path, base_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with kubernetes_api(base_home) as found:
        connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(base_home / "kubeconfig")}}
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("BASE_LAKE_URL", LAKE)
        shorten_retries(monkeypatch)
        found.default = Plan(unschedulable="no room")
        yield found


@pytest.fixture
def api(cluster: Cluster) -> Any:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    from base_ops.orchestration.kubernetes.api import PodApi

    return PodApi(KubernetesHook(conn_id="kubernetes_default").core_v1_client)


def make(
    api: Any, name: str, identity: dict[str, Any] | None = None, lake: str = LAKE, part_of: str = "base-ops"
) -> None:
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    from base_ops.core.settings import load_settings
    from base_ops.orchestration.kubernetes.reconcile import deployment_id
    from base_ops.orchestration.kubernetes.template import pod_template

    labels = {"app.kubernetes.io/part-of": part_of, "base-ops/deployment": deployment_id(lake)}
    annotations = {} if identity is None else {"base-ops/identity": json.dumps(identity)}
    about = {"name": name, "namespace": NAMESPACE, "labels": labels, "annotations": annotations}
    pod = copy.deepcopy(pod_template(load_settings({}), "default"))
    pod["spec"]["containers"][0] |= {"image": "x", "command": ["true"]}
    api.create(PodGenerator.deserialize_model_dict({**pod, "metadata": about}))


def swept(api: Any, state: str | None, age: timedelta = timedelta(hours=1)) -> list[str]:
    from base_ops.orchestration.kubernetes.reconcile import deployment_id
    from base_ops.orchestration.kubernetes.sweeper import sweep

    now = datetime.now(UTC) + age
    return sweep(api, ["base-none", NAMESPACE], deployment_id(LAKE), lambda _: state, now)


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "removed", "upstream_failed", None])
def test_a_pod_whose_task_is_over_is_ended(cluster: Cluster, api: Any, state: str | None) -> None:
    make(api, "left", IDENTITY)
    assert swept(api, state) == ["left"]
    assert not cluster.pods


@pytest.mark.parametrize(
    "state", ["running", "deferred", "queued", "scheduled", "up_for_retry", "restarting", "up_for_reschedule", "none"]
)
def test_a_pod_that_is_waited_for_stays(cluster: Cluster, api: Any, state: str) -> None:
    make(api, "mine", IDENTITY)
    assert swept(api, state) == []
    assert len(cluster.pods) == 1


def test_what_is_young_foreign_or_nameless_stays(cluster: Cluster, api: Any) -> None:
    make(api, "other-airflow", IDENTITY, lake="s3://other/lake")
    make(api, "other-product", IDENTITY, part_of="something")
    make(api, "nameless")
    assert swept(api, "failed") == []
    make(api, "young", IDENTITY)
    assert swept(api, "failed", age=timedelta(minutes=1)) == []
    assert len(cluster.pods) == 4


def test_a_namespace_that_fails_does_not_stop_the_rest(cluster: Cluster, api: Any) -> None:
    make(api, "left", IDENTITY)
    cluster.faults = [Fault("GET /api/v1/namespaces/base-none/pods", 403, message="forbidden")]
    assert swept(api, "failed") == ["left"]


def test_the_dag_asks_airflow(cluster: Cluster, api: Any, run_dag: Callable[..., Any]) -> None:
    """Of three old pods, those of a task that is over and of a run that Airflow does not know go."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG
    from airflow.utils.session import create_session

    from base_ops.orchestration.kubernetes.sweeper import sweep_pods_dag

    with DAG("swept", schedule=None) as dag:
        EmptyOperator(task_id="over")
        EmptyOperator(task_id="waits")
    run_id = run_dag(dag).run_id
    with create_session() as session:
        session.query(TaskInstance).filter_by(dag_id="swept", task_id="waits").update({"state": "up_for_retry"})
    make(api, "unknown-run", IDENTITY)
    for name in ("over", "waits"):
        make(api, name, {"dag_id": "swept", "run_id": run_id, "task_id": name, "map_index": -1})
    for pod in cluster.past:
        pod.body["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    assert str(run_dag(sweep_pods_dag(namespaces=[NAMESPACE])).state) == "success"
    assert [name for _, name in cluster.pods] == ["waits"]


@pytest.mark.parametrize(("runner", "expected"), [("kubernetes", True), ("local", False)])
def test_the_dag_is_there_where_pods_are(
    airflow_db: Path, monkeypatch: pytest.MonkeyPatch, runner: str, expected: bool
) -> None:
    import runpy

    monkeypatch.setenv("BASE_RUNNER", runner)
    file = Path(__file__).parent.parent.parent / "dags" / "sweep_pods.py"
    assert ("sweep_dag" in runpy.run_path(str(file))) is expected
