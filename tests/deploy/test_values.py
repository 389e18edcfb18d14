"""Values for the charts and the compose file: documented keys only, and nothing secret in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from deploy.rendering import HELM, ROOT

from base_ops import __version__

AIRFLOW = [HELM / "airflow" / f"{name}.yaml" for name in ("values", "local", "staging", "prod")]
# Keys of the official chart 1.22 that we use. `*`: whatever the object behind takes (Kubernetes' own, or Airflow's).
DOCUMENTED = (Path(__file__).parent / "chart_keys.txt").read_text().split()
PATTERN = re.compile("|".join(re.escape(key).replace(r"\*", ".*") for key in DOCUMENTED))
SECRET = re.compile(
    r"(?i)(password|passwd|secret|token|fernet|api_?key|access_?key)[a-z_]*['\"]?\s*[:=]\s*['\"]?(?!\$|\{|\[|change-me|<|/)[A-Za-z0-9+/_=-]{8,}"
)


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield f"{path}." if value and isinstance(value[0], dict) else path
    else:
        yield path


def merged(*files: Path) -> dict[str, Any]:
    """Values as helm folds them: mappings key by key, the rest replaced."""

    def fold(base: Any, layer: Any) -> Any:
        if isinstance(base, dict) and isinstance(layer, dict):
            return {**base, **{key: fold(base.get(key), item) for key, item in layer.items()}}
        return layer

    result: dict[str, Any] = {}
    for file in files:
        result = fold(result, yaml.safe_load(file.read_text()))
    return result


@pytest.mark.parametrize("file", AIRFLOW, ids=lambda file: file.stem)
def test_values_use_documented_keys(file: Path) -> None:
    unknown = [path for path in leaves(yaml.safe_load(file.read_text())) if not PATTERN.fullmatch(path)]
    if file.stem == "values":
        unknown = [path for path in unknown if not path.startswith("statsd.overrideMappings")]
    assert not unknown
    assert not PATTERN.fullmatch("webserver.replicas")


def test_production_has_two_of_what_must_not_stop() -> None:
    values = merged(AIRFLOW[0], HELM / "airflow" / "prod.yaml")
    replicas = {part: values[part]["replicas"] for part in ("apiServer", "scheduler", "dagProcessor", "triggerer")}
    assert replicas == {"apiServer": 2, "scheduler": 2, "dagProcessor": 1, "triggerer": 2}
    assert values["executor"] == "LocalExecutor"
    assert values["config"]["api"]["expose_config"] == "False"


@pytest.mark.parametrize("environment", ["local", "staging", "prod"])
def test_tasks_that_wait_for_pods_take_no_memory_of_the_scheduler(environment: str) -> None:
    values = merged(AIRFLOW[0], HELM / "airflow" / f"{environment}.yaml")
    assert values["config"]["operators"]["default_deferrable"] == "True"
    assert values["config"]["core"]["parallelism"] <= 32


@pytest.mark.parametrize("environment", ["local", "staging", "prod"])
def test_settings_of_each_environment_are_settings(environment: str) -> None:
    from base_ops.core.settings import load_settings

    values = merged(AIRFLOW[0], HELM / "airflow" / f"{environment}.yaml")
    settings = load_settings({item["name"]: item["value"] for item in values["env"]})
    assert settings.runner == "kubernetes" and settings.lake.startswith("s3://")
    assert settings.env == {"local": "dev"}.get(environment, environment)
    assert "secretName" in values["secret"][0]


def test_the_statsd_exporter_of_the_chart_has_our_mapping() -> None:
    mapping = yaml.safe_load((HELM / "observability" / "statsd-mapping.yaml").read_text())["mappings"]
    assert yaml.safe_load(AIRFLOW[0].read_text())["statsd"]["overrideMappings"] == mapping


def test_the_services_of_a_laptop_are_those_of_the_dev_stack() -> None:
    files = sorted((HELM / "local").glob("*.yaml"))
    objects = [item for file in files for item in yaml.safe_load_all(file.read_text())]
    for item in objects:
        kubernetes_validate.validate(item, "1.33", strict=True)
        assert item["metadata"]["namespace"] == "airflow"
    images = {
        container["image"]
        for item in objects
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    assert images == {compose["postgres"]["image"], compose["s3"]["image"], f"base-ops-worker:{__version__}"}


def scanned() -> list[Path]:
    folders = [HELM, ROOT / "docker", ROOT / "pod_templates", ROOT / "dags"]
    files = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in {".yaml", ".sh", ".json", ".Dockerfile"}
    ]
    return [*files, ROOT / "docker-compose.yaml", ROOT / ".env.example"]


def test_no_secret_is_written_down() -> None:
    assert len(scanned()) > 40
    found = {f"{path.name}: {hit[0]}" for path in scanned() for hit in SECRET.finditer(path.read_text())}
    allowed = {
        "SecretName",
        "secretName",
        "Secret: {name",
        "existingDatabaseSecret",
        "secretKey: state-url",
        "secretKey: connection",
        "passwordKey: password",
    }
    assert not {hit for hit in found if not any(word in hit for word in allowed)}
    assert SECRET.search("password: hunter2hunter2") and SECRET.search('fernet_key = "abcdefghijkl"')


def test_the_compose_file_opens_ports_on_this_machine_alone_and_pins_its_images() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert re.search(r":(v?\d|\$\{TAG)", service["image"]) and "latest" not in service["image"], name
        assert "healthcheck" in service, name
    default = {name for name, service in compose["services"].items() if "profiles" not in service}
    assert default == {
        "postgres", "s3", "airflow-init", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer",
    }  # fmt: skip
    profiles = {profile for service in compose["services"].values() for profile in service.get("profiles", [])}
    assert profiles == {"ml", "streaming", "observability", "cluster"}


def test_every_variable_of_the_compose_file_has_an_example() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", text)) - {"STATSD_ON", "SCHEDULES", "BASE_MLFLOW_TRACKING_URI"}
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if "=" in line and line[0] != "#"
    )
    assert asked <= set(example)
    assert not re.search(r"\$\{[A-Z_]*(PASSWORD|SECRET|KEY|TOKEN)[A-Z_]*:-", text), "a secret with a default"
