"""The namespaces of the modules: rendered from one table, valid, and closed to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from deploy.rendering import HELM, OVERLAYS, base, kustomized, script, table

from base_ops.core.ids import MODULES

KUBERNETES = "1.33"


def of_kind(kind: str, objects: Any) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] == kind]


def test_the_table_has_every_module() -> None:
    assert tuple(table()["modules"]) == MODULES
    assert set(table()["modules"].values()) == {4, 5, 6, 7}


@pytest.mark.parametrize("folder", ["modules", "observability", "argocd"])
def test_what_is_in_the_repository_is_what_the_tables_say(folder: str, tmp_path: Path) -> None:
    renderer = script(folder)
    if folder == "argocd":
        renderer.main(["--folder", str(tmp_path)])
        rendered = {path.name: path.read_text() for path in tmp_path.iterdir()}
        where = HELM / folder
    else:
        rendered = renderer.render(table()) if folder == "modules" else renderer.render()
        where = HELM / folder / "base" if folder == "modules" else HELM / folder
    for name, text in rendered.items():
        assert (where / name).read_text() == text, f"run make manifests: {name} is not up to date"


def test_a_module_less_is_a_file_less() -> None:
    fewer = table()
    del fewer["modules"]["data_control"]
    files = script("modules").render(fewer)
    assert "base-data-control.yaml" not in files and "base-data-control" not in files["kustomization.yaml"]
    assert len(files) == len(MODULES)


def test_every_namespace_is_restricted_and_has_its_limits() -> None:
    spaces = of_kind("Namespace", base())
    assert len(spaces) == 14
    for space in spaces:
        labels = space["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        inside = {
            (o["kind"], o["metadata"]["name"])
            for o in base()
            if o["metadata"].get("namespace") == space["metadata"]["name"]
        }
        assert inside == {
            ("ServiceAccount", f"{space['metadata']['name']}-worker"),
            ("Role", "airflow-pods"),
            ("RoleBinding", "airflow-pods"),
            ("ResourceQuota", "jobs"),
            ("LimitRange", "jobs"),
            ("NetworkPolicy", "default-deny"),
            ("NetworkPolicy", "jobs-may-reach"),
        }


def test_nobody_may_read_secrets_or_enter_pods() -> None:
    assert not of_kind("ClusterRole", base()) and not of_kind("ClusterRoleBinding", base())
    for role in of_kind("Role", base()):
        resources = {resource for rule in role["rules"] for resource in rule["resources"]}
        assert resources == {"pods", "pods/log", "events"}
        assert "*" not in {verb for rule in role["rules"] for verb in rule["verbs"]}
    for binding in of_kind("RoleBinding", base()):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "airflow", "namespace": "airflow"}]
    assert all(account["automountServiceAccountToken"] is False for account in of_kind("ServiceAccount", base()))


def ports_to(rules: list[dict[str, Any]], peer: dict[str, Any]) -> set[int]:
    """The ports of the egress rules that name this peer."""
    return {port["port"] for rule in rules if peer in rule["to"] for port in rule["ports"]}


@pytest.mark.server
def test_jobs_reach_what_they_need_and_not_the_nodes_credentials() -> None:
    policies = of_kind("NetworkPolicy", kustomized(HELM / "modules" / "overlays" / "local"))
    rules = next(p for p in policies if p["metadata"]["name"] == "jobs-may-reach")["spec"]["egress"]
    outside = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}  # not the node's metadata
    inside = {"namespaceSelector": {"matchExpressions": [{"key": "module.type", "operator": "DoesNotExist"}]}}
    assert ports_to(rules, outside) == ports_to(rules, inside) == {443, 5432, 9092, 5000, 8200, 8333, 9000}
    assert ports_to(rules, {"ipBlock": {"cidr": "169.254.170.23/32"}}) == {80}
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    assert ports_to(rules, system) == ports_to(rules, {"ipBlock": {"cidr": "169.254.20.10/32"}}) == {53}
    assert all("module.type" in space["metadata"]["labels"] for space in of_kind("Namespace", base()))


def lets_in(policies: list[dict[str, Any]], namespace: str) -> list[Any]:
    """The ingress rules of a namespace that is closed unless a rule opens it."""
    mine = [p for p in policies if p["metadata"]["namespace"] == namespace and "Ingress" in p["spec"]["policyTypes"]]
    assert any(p["spec"]["podSelector"] == {} for p in mine), f"{namespace} is open to everybody"
    return [rule for p in mine for rule in p["spec"].get("ingress", [])]


@pytest.mark.server
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_of_one_module_cannot_reach_another_module(overlay: str) -> None:
    policies = of_kind("NetworkPolicy", kustomized(HELM / "modules" / "overlays" / overlay))
    for namespace in {p["metadata"]["namespace"] for p in policies}:
        assert lets_in(policies, namespace) == []


@pytest.mark.server
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_would_take_the_objects(overlay: str) -> None:
    objects = kustomized(HELM / "modules" / "overlays" / overlay)
    assert len(objects) == 14 * 8
    for item in objects:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)


@pytest.mark.parametrize("rollout", ["automated", "rolling"])
def test_argocd_syncs_by_itself_or_in_waves_never_both(rollout: str, tmp_path: Path) -> None:
    script("argocd").main(["--rollout", rollout, "--folder", str(tmp_path)])
    spec = yaml.safe_load((tmp_path / "applicationset.yaml").read_text())["spec"]
    assert ("automated" in spec["template"]["spec"]["syncPolicy"]) != ("strategy" in spec)
    project = yaml.safe_load((tmp_path / "appproject.yaml").read_text())["spec"]
    targets = {element["namespace"] for element in spec["generators"][0]["list"]["elements"]}
    assert targets == {destination["namespace"] for destination in project["destinations"]}
    assert {d["server"] for d in project["destinations"]} == {spec["template"]["spec"]["destination"]["server"]}
