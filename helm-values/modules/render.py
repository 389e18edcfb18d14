"""Render the manifests of the module namespaces from table.yaml: `make manifests` (or `render.py FOLDER`).

One file per module: Namespace, service account, Airflow's rights, quota, limits, network policies.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
Manifest = dict[str, Any]
DNS_CACHE = "169.254.20.10"
"""Where NodeLocal DNSCache listens, if there is one."""
POD_IDENTITY = "169.254.170.23"
"""EKS Pod Identity: where a pod asks for the credentials of its own role."""
HEADER = "# Rendered from ../table.yaml by `make manifests`. Do not edit.\n"


def render(table: dict[str, Any]) -> dict[str, str]:
    """File name → text of everything in modules/base."""
    files = {f"{name(module)}.yaml": _text(manifests(module, wave, table)) for module, wave in table["modules"].items()}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "labels": [{"pairs": {"app.kubernetes.io/part-of": "base-ops"}}],
        "resources": sorted(files),
    }
    return {**files, "kustomization.yaml": _text([kustomization])}


def manifests(module: str, wave: int, table: dict[str, Any]) -> list[Manifest]:
    """All objects of one module's namespace."""
    return [
        _namespace(module, wave),
        _object("v1", "ServiceAccount", module, f"{name(module)}-worker", automountServiceAccountToken=False),
        _role(module),
        _binding(module, table["airflow"]),
        _quota(module, table["limits"]),
        _limits(module, table["container"]),
        _policy(module, "default-deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        _policy(module, "jobs-may-reach", _egress(table["airflow"]["namespace"], table["reach"])),
    ]


def name(module: str) -> str:
    return f"base-{module.replace('_', '-')}"


def _namespace(module: str, wave: int) -> Manifest:
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    labels = {"module.type": name(module), "deployment.wave": str(wave), **level}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name(module), "labels": labels}}


def _role(module: str) -> Manifest:
    """What the operator does with pods, and no more: no secrets, no exec."""
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "get", "list", "patch", "watch"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
    ]
    return _object("rbac.authorization.k8s.io/v1", "Role", module, "airflow-pods", rules=rules)


def _binding(module: str, airflow: dict[str, Any]) -> Manifest:
    accounts = [
        {"kind": "ServiceAccount", "name": account, "namespace": airflow["namespace"]}
        for account in airflow["service_accounts"]
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "airflow-pods"}
    kind = ("rbac.authorization.k8s.io/v1", "RoleBinding")
    return _object(*kind, module, "airflow-pods", roleRef=role, subjects=accounts)


def _quota(module: str, limits: dict[str, Any]) -> Manifest:
    hard = {"pods": str(limits["pods"]), **{f"requests.{what}": amount for what, amount in limits["requests"].items()}}
    return _object("v1", "ResourceQuota", module, "jobs", spec={"hard": hard})


def _limits(module: str, container: dict[str, Any]) -> Manifest:
    limit = {"type": "Container", "defaultRequest": container["requests"], "default": container["limits"]}
    return _object("v1", "LimitRange", module, "jobs", spec={"limits": [limit]})


def _policy(module: str, policy: str, spec: Manifest) -> Manifest:
    return _object("networking.k8s.io/v1", "NetworkPolicy", module, policy, spec=spec)


def _egress(airflow: str, reach: dict[str, list[int]]) -> Manifest:
    """DNS; Airflow's API, database and StatsD; what else is configured, by its port; the node's agent for credentials.

    Some networks take an address block for what is outside the cluster only: pods are named beside it, but those of
    no module. No rule lets anything in either, so that a job of one module cannot reach one of another on any port.
    The node's metadata stays closed.
    """
    within = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": airflow}}}
    dns = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}, _address(DNS_CACHE)]
    others = {"namespaceSelector": {"matchExpressions": [{"key": "module.type", "operator": "DoesNotExist"}]}}
    anywhere = [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}, others]
    rules = [
        {"to": dns, "ports": [_port(53, "UDP"), _port(53)]},
        {"to": [within], "ports": [_port(8080), _port(5432), _port(9125, "UDP")]},
        {"to": anywhere, "ports": [_port(port) for ports in reach.values() for port in ports]},
        {"to": [_address(POD_IDENTITY)], "ports": [_port(80)]},
    ]
    return {"podSelector": {}, "policyTypes": ["Egress"], "egress": rules}


def _address(address: str) -> Manifest:
    return {"ipBlock": {"cidr": f"{address}/32"}}


def _port(number: int, protocol: str = "TCP") -> Manifest:
    return {"port": number, "protocol": protocol}


def _object(version: str, kind: str, module: str, called: str, **body: Any) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": called, "namespace": name(module)}, **body}


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(documents: list[Manifest]) -> str:
    return HEADER + yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=120)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = render(yaml.safe_load((HERE / "table.yaml").read_text()))
    for stale in {path.name for path in folder.glob("*.yaml")} - set(files):
        (folder / stale).unlink()
    for file, text in files.items():
        (folder / file).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "base")
