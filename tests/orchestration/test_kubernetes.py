"""The Kubernetes runner without a cluster: the pod it would ask for."""

from __future__ import annotations

import json
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
from base_ops.orchestration.kubernetes.template import (
    connections_layer,
    fold,
    mebibytes,
    memory_ceiling_mb,
    namespace_of,
    pod_template,
    secret_name,
    with_memory,
)

ATTEMPT = "01a1f962-52e5-7a76-8c7e-6a28502e21a2"
RUN_ID = "scheduled__2026-11-20T00:00:00+00:00"
SPEC = {"source": "a.csv", "target": "b.parquet"}


@pytest.fixture
def operator_class(airflow_db: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from base_ops.orchestration.kubernetes.operator import KubernetesAgentOperator

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
    task.prepare(request(connections), load_settings())
    ti = SimpleNamespace(dag_id="fx", task_id="convert_all", map_index=4, try_number=2)
    return task.build_pod_request_obj({"ti": ti, "run_id": RUN_ID, "dag": dag}, dry_run=True)


def test_the_pod_runs_the_worker_on_its_request(operator_class: Any) -> None:
    pod = pod_of(operator_class)
    (container,) = pod.spec.containers
    assert container.image == Settings().worker_image
    assert container.command == ["python", "-m", "base_ops.worker"]
    assert container.args == ["--request", "env:AGENT_REQUEST"]
    text = {entry.name: entry.value for entry in container.env}["AGENT_REQUEST"]
    assert Request.model_validate_json(text.replace("$$", "$")) == request()
    assert pod.metadata.namespace == "base-data-ingestion"
    assert pod.spec.service_account_name == "base-data-ingestion-worker"
    assert pod.spec.restart_policy == "Never"
    assert [source.secret_ref.name for source in container.env_from] == ["base-lake"]


def test_a_large_request_travels_through_the_lake(operator_class: Any) -> None:
    task = operator_class(task_id="a", spec=SPEC)
    asked = request()
    asked.inputs = [f"memory://lake/{'x' * 100}/{number}" for number in range(500)]
    task.prepare(asked, load_settings())
    assert task.arguments == ["--request", "memory://lake/runs/x/request.json"]
    assert "AGENT_REQUEST" not in {entry.name for entry in task.env_vars}


def test_text_that_kubernetes_would_expand_is_kept(operator_class: Any) -> None:
    task = operator_class(task_id="a", spec=SPEC)
    asked = request()
    asked.steps[0].spec["source"] = "a$(HOME)$$.csv"
    task.prepare(asked, load_settings())
    (text,) = (entry.value for entry in task.env_vars if entry.name == "AGENT_REQUEST")
    assert "a$$(HOME)$$$$.csv" in text


def test_the_name_is_that_of_the_task_instance(operator_class: Any) -> None:
    """The same for every try, and another for every other task instance: the API admits one pod of a name."""
    from base_ops.orchestration.kubernetes.reconcile import pod_name

    pod = pod_of(operator_class)
    mine = request().identity
    assert pod.metadata.name == pod_name("converter", mine, "memory://lake")
    assert re.fullmatch(r"converter-convert-all-[0-9a-f]{12}", pod.metadata.name)
    again = mine.model_copy(update={"try_number": 3, "attempt": "another"})
    assert pod_name("converter", again, "memory://lake") == pod.metadata.name
    others = [{"dag_id": "x"}, {"run_id": "x"}, {"task_id": "convert_al"}, {"map_index": 5}]
    names = {pod_name("converter", mine.model_copy(update=other), "memory://lake") for other in others}
    names.add(pod_name("converter", mine, "memory://other"))
    assert len(names | {pod.metadata.name}) == 6
    long = pod_name("a" * 60, mine.model_copy(update={"task_id": "B_" * 99}), "memory://lake")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", long)


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


def test_the_whole_identity_is_an_annotation(operator_class: Any) -> None:
    """Labels are cut to 63 characters; the sweeper must know the run exactly."""
    pod = pod_of(operator_class)
    identity = json.loads(pod.metadata.annotations["base-ops/identity"])
    assert identity == {"dag_id": "fx", "run_id": RUN_ID, "task_id": "convert_all", "map_index": 4}
    assert pod.metadata.annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert pod.metadata.annotations["sidecar.istio.io/inject"] == "false"
    assert pod.metadata.labels["sidecar.istio.io/inject"] == "false"


def test_work_is_the_same_for_another_attempt_only() -> None:
    from base_ops.orchestration.kubernetes.reconcile import work_id

    mine, other = request(), request()
    other.identity.attempt, other.identity.try_number, other.result_uri = "x", 3, "memory://y"
    assert work_id(mine) == work_id(other)
    other.inputs = ["memory://lake/other.json"]
    assert work_id(mine) != work_id(other)


def test_a_fused_pod_lives_where_its_first_step_does(airflow_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from base_ops.orchestration.kubernetes.operator import KubernetesAgentOperator

    monkeypatch.setenv("BASE_LAKE_URL", "memory://lake")
    asked = request()
    asked.steps.append(StepRequest(agent="data_quality.validator", action="x", spec={}))
    rules = {"rules": [{"check": "presence", "column": "bid"}]}
    parts = [{"agent": "data_ingestion.converter", "spec": SPEC}, {"agent": "data_quality.validator", "spec": rules}]
    task = KubernetesAgentOperator(task_id="convert_all", fuse=parts)
    task.prepare(asked, load_settings())
    assert (task.namespace, task.service_account_name) == ("base-data-ingestion", "base-data-ingestion-worker")
    assert (task.labels["base-ops/module"], task.labels["base-ops/agent"]) == ("data_ingestion", "converter")


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


@pytest.mark.parametrize(
    ("memory_mb", "limit", "requested", "planned"),
    [(None, "4Gi", "1Gi", 2867), (8192, "8192Mi", "2048Mi", 5734), (6000, "6000Mi", "1500Mi", 4200)],
)
def test_memory(memory_mb: int | None, limit: str, requested: str, planned: int) -> None:
    template = with_memory(with_memory(pod_template(Settings(), "default")), memory_mb)
    (container,) = template["spec"]["containers"]
    assert (container["resources"]["limits"]["memory"], container["resources"]["requests"]["memory"]) == (
        limit,
        requested,
    )
    assert [e["value"] for e in container["env"] if e["name"] == "BASE_MEMORY_LIMIT_MB"] == [str(planned)]
    assert memory_ceiling_mb(template) == max(8192, mebibytes(limit))


@pytest.mark.parametrize(("text", "expected"), [("4Gi", 4096), ("512Mi", 512), ("1.5Gi", 1536), ("1G", 953)])
def test_quantities(text: str, expected: int) -> None:
    assert mebibytes(text) == expected


def test_a_wrong_quantity_is_named() -> None:
    with pytest.raises(ConfigError, match="'4 GB' is not an amount of memory"):
        mebibytes("4 GB")


def test_vault_writes_the_connections_before_the_job_starts() -> None:
    layer = connections_layer(["oanda_api"], "base-data-ingestion")
    notes = layer["metadata"]["annotations"]
    assert notes["vault.hashicorp.com/agent-pre-populate-only"] == "true"  # an agent that stays would keep the pod
    assert notes["vault.hashicorp.com/agent-inject-secret-oanda_api.json"] == "secret/data/base/oanda_api"
    assert notes["vault.hashicorp.com/role"] == "base-data-ingestion"
    (container,) = layer["spec"]["containers"]
    assert container == {"name": "base", "env": [{"name": "BASE_CONNECTIONS_DIR", "value": "/vault/secrets"}]}
    assert connections_layer([]) == {}


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
    assert task.retries == 3
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


def test_names_of_secrets_and_namespaces() -> None:
    assert secret_name("My_Vendor.API") == "base-conn-my-vendor-api"
    assert namespace_of("data_ingestion") == "base-data-ingestion"


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
