"""The Kubernetes runner without a cluster: the pod it would ask for, and what a pod's end means."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import models as k8s

from base_ops.core.errors import ConfigError
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Identity, Request, StepRequest
from base_ops.core.settings import Settings, load_settings
from base_ops.orchestration.pods import fold, log_line, pod_end, pod_template, secret_name

ATTEMPT = "01a1f962-52e5-7a76-8c7e-6a28502e21a2"
RUN_ID = "scheduled__2026-11-20T00:00:00+00:00"
SPEC = {"source": "a.csv", "target": "b.parquet"}


@pytest.fixture
def operator_class(airflow_db: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from base_ops.orchestration.kubernetes import KubernetesAgentOperator

    monkeypatch.setenv("BASE_LAKE_URL", "memory://lake")
    return type("ConverterOperator", (KubernetesAgentOperator,), {"agent": "data_ingestion.converter"})


def request(connections: tuple[str, ...] = ()) -> Request:
    return Request(
        steps=[StepRequest(agent="data_ingestion.converter", action="convert_to_standard_format", spec=dict(SPEC))],
        identity=Identity(
            dag_id="fx", run_id=RUN_ID, task_id="convert_all", map_index=4, try_number=2, attempt=ATTEMPT
        ),
        connections=list(connections),
        lake_url="memory://lake",
        result_uri="memory://lake/runs/x/result.json",
    )


def pod_of(operator_class: Any, connections: tuple[str, ...] = (), **options: Any) -> k8s.V1Pod:
    from airflow.sdk import DAG

    with DAG("fx", start_date=datetime(2024, 1, 1, tzinfo=UTC), schedule=None) as dag:
        task = operator_class(task_id="convert_all", spec=SPEC, **options)
    task.prepare(request(connections), "memory://lake/runs/x/request.json", load_settings())
    ti = SimpleNamespace(dag_id="fx", task_id="convert_all", map_index=4, try_number=2)
    return task.build_pod_request_obj({"ti": ti, "run_id": RUN_ID, "dag": dag}, dry_run=True)


def test_the_pod_runs_the_worker_on_a_request_in_the_lake(operator_class: Any) -> None:
    pod = pod_of(operator_class)
    (container,) = pod.spec.containers
    assert container.image == Settings().worker_image
    assert container.command == ["python", "-m", "base_ops.worker"]
    assert container.args == ["--request", "memory://lake/runs/x/request.json"]
    assert pod.metadata.namespace == "base-data-ingestion"
    assert pod.metadata.name.startswith("converter-convert-all-")
    assert pod.spec.service_account_name == "base-data-ingestion-worker"
    assert pod.spec.restart_policy == "Never"


def test_labels_say_what_runs_and_are_legal(operator_class: Any) -> None:
    pod = pod_of(operator_class)
    labels = pod.metadata.labels
    assert labels["base-ops/module"] == "data_ingestion"
    assert labels["base-ops/agent"] == "converter"
    assert labels["base-ops/attempt"] == ATTEMPT
    assert (labels["dag_id"], labels["task_id"]) == ("fx", "convert_all")
    assert (labels["map_index"], labels["try_number"]) == ("4", "2")
    assert labels["run_id"].startswith("scheduled__2026-11-20T")
    for value in labels.values():
        assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?)?", value), value
    assert pod.metadata.annotations["base-ops/result-uri"] == "memory://lake/runs/x/result.json"


def test_a_new_try_finds_the_pod_of_an_earlier_process(operator_class: Any) -> None:
    """The labels that the provider searches by must not name the attempt, which is new in each process."""
    task = operator_class(task_id="convert_all", spec=SPEC)
    task.prepare(request(), "r", load_settings())
    ti = SimpleNamespace(dag_id="fx", task_id="convert_all", map_index=4, try_number=2)
    selector = task._build_find_pod_label_selector({"ti": ti, "run_id": RUN_ID, "dag": SimpleNamespace()})
    assert "base-ops/agent=converter" in selector
    assert ATTEMPT not in selector


def test_the_pod_is_restricted(operator_class: Any) -> None:
    pod = pod_of(operator_class)
    (container,) = pod.spec.containers
    assert pod.spec.security_context.run_as_non_root is True
    assert pod.spec.security_context.run_as_user == pod.spec.security_context.fs_group == 1000
    assert pod.spec.security_context.seccomp_profile.type == "RuntimeDefault"
    assert pod.spec.automount_service_account_token is False
    assert container.security_context.allow_privilege_escalation is False
    assert container.security_context.read_only_root_filesystem is True
    assert container.security_context.capabilities.drop == ["ALL"]
    assert container.resources.limits == {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi"}
    assert container.resources.requests == {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "2Gi"}
    assert [(mount.name, mount.mount_path) for mount in container.volume_mounts] == [("scratch", "/tmp")]


def test_connections_are_mounted_secrets_and_nothing_else(operator_class: Any) -> None:
    pod = pod_of(operator_class, ("oanda_api", "FX.key"))
    (volume,) = (found for found in pod.spec.volumes if found.name == "connections")
    assert [source.secret.name for source in volume.projected.sources] == ["base-conn-oanda-api", "base-conn-fx-key"]
    (container,) = pod.spec.containers
    env = {entry.name: entry.value for entry in container.env}
    (mount,) = (found for found in container.volume_mounts if found.name == "connections")
    assert mount.mount_path == env["BASE_CONNECTIONS_DIR"]
    assert mount.read_only is True
    assert {name for name in env if name.startswith("BASE_")} <= {f"BASE_{n.upper()}" for n in Settings.model_fields}


@pytest.mark.parametrize(
    ("profile", "memory", "disk", "gpu"),
    [
        ("default", "4Gi", "10Gi", None),
        ("high-memory", "8Gi", "10Gi", None),
        ("bulk-io", "4Gi", "50Gi", None),
        ("gpu", "4Gi", "10Gi", "1"),
    ],
)
def test_profiles(operator_class: Any, profile: str, memory: str, disk: str, gpu: str | None) -> None:
    pod = pod_of(operator_class, profile=profile)
    (container,) = pod.spec.containers
    limits = container.resources.limits
    assert (limits["memory"], limits["ephemeral-storage"], limits.get("nvidia.com/gpu")) == (memory, disk, gpu)
    keys = [toleration.key for toleration in pod.spec.tolerations]
    assert keys == ["workload-type", "nvidia.com/gpu"] if gpu else ["workload-type"]
    assert len({entry.name for entry in container.env}) == len(container.env)


def test_an_override_comes_last(operator_class: Any) -> None:
    override = {"spec": {"containers": [{"name": "base", "resources": {"limits": {"memory": "12Gi"}}}]}}
    (container,) = pod_of(operator_class, profile="high-memory", pod_override=override).spec.containers
    assert container.resources.limits["memory"] == "12Gi"
    assert container.resources.requests["memory"] == "6Gi"


def test_an_unknown_profile_is_named_with_the_known() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'high-memory'"):
        pod_template(Settings(), "high-memry")


def test_a_local_lake_is_refused(operator_class: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_LAKE_URL", "/data/lake")
    with pytest.raises(ConfigError, match="BASE_LAKE_URL"):
        operator_class(task_id="a", spec=SPEC)


def test_operator_defaults(operator_class: Any) -> None:
    task = operator_class(task_id="a", spec=SPEC)
    assert task.startup_check_interval_seconds == 1
    assert task.do_xcom_push is False
    assert (task.retries, task.durable) == (3, True)
    assert tuple(task.template_fields) == ("spec", "fuse")


def test_request_and_result_go_through_the_lake(operator_class: Any) -> None:
    from base_ops.core.protocol import Result
    from base_ops.orchestration.lake import find_results, read_result, write_request

    asked = request()
    write_request("memory://lake/runs/x/request.json", asked)
    assert read_result("memory://lake/runs/x/result.json") is None
    import fsspec

    result = Result(status=Outcome.OK, identity=asked.identity)
    fsspec.filesystem("memory").pipe_file("memory://lake/runs/x/result.json", result.model_dump_json().encode())
    assert read_result("memory://lake/runs/x/result.json") == result
    assert [uri.replace("memory:///", "memory://") for uri in find_results("memory://lake/runs")] == [
        "memory://lake/runs/x/result.json"
    ]


def ended(exit_code: int, reason: str = "Error", pod_reason: str | None = None) -> k8s.V1Pod:
    state = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=exit_code, reason=reason))
    status = k8s.V1ContainerStatus(name="base", state=state, image="i", image_id="i", ready=False, restart_count=0)
    return k8s.V1Pod(status=k8s.V1PodStatus(phase="Failed", reason=pod_reason, container_statuses=[status]))


@pytest.mark.parametrize(
    ("pod", "outcome", "says"),
    [
        (ended(3), Outcome.PARTIAL, "exit code 3"),
        (ended(10), Outcome.BAD_INPUT, "exit code 10"),
        (ended(30), Outcome.CONFIG_ERROR, "exit code 30"),
        (ended(1), Outcome.BUG, "exit code 1"),
        (ended(137, "OOMKilled"), Outcome.TRANSIENT, "memory"),
        (ended(143), Outcome.TRANSIENT, "143"),
        (ended(0, "Completed", "Evicted"), Outcome.TRANSIENT, "Evicted"),
        (None, Outcome.TRANSIENT, "vanished"),
        (k8s.V1Pod(status=k8s.V1PodStatus(phase="Pending")), Outcome.TRANSIENT, "Pending"),
        (k8s.V1Pod(status=k8s.V1PodStatus()), Outcome.TRANSIENT, "unknown phase"),
    ],
)
def test_what_a_pods_end_means(pod: Any, outcome: Outcome, says: str) -> None:
    found, how = pod_end(pod, "base")
    assert found is outcome
    assert says in how


@pytest.mark.parametrize(
    ("base", "layer", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        (
            {"a": [{"name": "x", "v": 1}, {"name": "y"}]},
            {"a": [{"name": "x", "v": 2}, {"name": "z"}]},
            {"a": [{"name": "x", "v": 2}, {"name": "y"}, {"name": "z"}]},
        ),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
    ],
)
def test_folding_templates(base: Any, layer: Any, expected: Any) -> None:
    assert fold(base, layer) == expected


def test_log_lines_and_secret_names() -> None:
    assert log_line("base", '{"level": "ERROR", "msg": "no"}') == "ERROR no"
    assert log_line("base", "plain") == "plain"
    assert secret_name("My_Vendor.API") == "base-conn-my-vendor-api"


@pytest.mark.parametrize(
    ("runner", "base", "loaded"), [("kubernetes", "KubernetesPodOperator", True), ("local", "BaseOperator", False)]
)
def test_the_base_is_chosen_by_the_runner(runner: str, base: str, loaded: bool, airflow_db: Path) -> None:
    code = (
        "import sys\nfrom base_ops.orchestration.operator import AgentOperator\n"
        "print([c.__name__ for c in AgentOperator.__mro__], 'airflow.providers.cncf.kubernetes.operators.pod' in sys.modules)"
    )
    env = {"BASE_RUNNER": runner, "BASE_LAKE_URL": "s3://bucket/lake", "PATH": "", "AIRFLOW_HOME": str(airflow_db)}
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=root, capture_output=True, text=True, check=True)
    assert f"'{base}'" in done.stdout
    assert done.stdout.strip().endswith(str(loaded))
