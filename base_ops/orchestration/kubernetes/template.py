"""Pod templates: base → profile → override, folded in one function. No Airflow, no cluster: plain mappings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.settings import Settings
from base_ops.core.yamlio import load_yaml

CONTAINER = "base"
"""The container that does the work; whatever else runs in the pod does not count."""
CONNECTIONS_DIR = "/var/run/base-connections"
"""Where the Secrets of a job's connections are mounted."""
VAULT_DIR = "/vault/secrets"
"""Where Vault's agent writes them instead."""
MEMORY_CEILING = "base-ops/memory-ceiling"
"""Annotation of a profile: how far a retry after running out of memory may raise the limit."""
PLANNED_SHARE = 0.7
"""Of the memory limit, what a job plans for; the rest is for the libraries and the page cache."""

_BESIDE_PACKAGE = Path(__file__).parent.parent.parent.parent / "pod_templates"
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|T|)")


def pod_template(settings: Settings, profile: str, override: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The base template with a profile and the task's override folded over it, in this order.

    Raises:
        ConfigError: an unknown profile, with those that are known.
    """
    folder = settings.pod_templates_dir or _BESIDE_PACKAGE
    known = sorted(path.stem for path in folder.glob("*.yaml") if path.stem != "base")
    if profile not in known:
        raise ConfigError(
            f"The pod profile {profile!r} is not known. {did_you_mean(profile, known)}",
            code="unknown_profile",
            todo=f"write {folder / profile}.yaml",
        )
    template: dict[str, Any] = load_yaml(folder / "base.yaml").data
    for layer in (load_yaml(folder / f"{profile}.yaml").data, override or {}):
        template = fold(template, layer)
    return template


def fold(base: Any, layer: Any) -> Any:
    """Fold one template over another: mappings key by key, lists of named things by name, the rest replaced."""
    if isinstance(base, Mapping) and isinstance(layer, Mapping):
        return {**base, **{key: fold(base[key], value) if key in base else value for key, value in layer.items()}}
    if _is_named(base) and _is_named(layer):
        by_name = {item["name"]: item for item in base}
        for item in layer:
            by_name[item["name"]] = fold(by_name.get(item["name"], {}), item)
        return list(by_name.values())
    return layer


def with_memory(template: Mapping[str, Any], memory_mb: int | None = None) -> dict[str, Any]:
    """Set the memory limit (and the request in proportion), and tell the job what to plan for.

    Args:
        memory_mb: the new limit in MiB; None keeps the template's.
    """
    resources = _resources(template)
    limit = memory_limit_mb(template)
    if limit is None:
        return dict(template)
    memory = memory_mb or limit
    requested = mebibytes(resources.get("requests", {}).get("memory", f"{limit}Mi"))
    layer: dict[str, Any] = {"name": CONTAINER}
    if memory != limit:
        scaled = {"limits": {"memory": f"{memory}Mi"}, "requests": {"memory": f"{requested * memory // limit}Mi"}}
        layer["resources"] = scaled
    planned = {"name": "BASE_MEMORY_LIMIT_MB", "value": str(int(memory * PLANNED_SHARE))}
    if memory_mb or not any(entry["name"] == planned["name"] for entry in _container(template).get("env", [])):
        layer["env"] = [planned]
    return dict(fold(template, {"spec": {"containers": [layer]}}))


def memory_limit_mb(template: Mapping[str, Any]) -> int | None:
    """The memory limit of the working container in MiB; None where it has none."""
    limit = _resources(template).get("limits", {}).get("memory")
    return None if limit is None else mebibytes(limit)


def memory_ceiling_mb(template: Mapping[str, Any]) -> int:
    """How far a retry may raise the limit, in MiB; without the annotation not at all."""
    ceiling = (template.get("metadata", {}).get("annotations") or {}).get(MEMORY_CEILING)
    return max(mebibytes(ceiling) if ceiling else 0, memory_limit_mb(template) or 0)


def mebibytes(quantity: str) -> int:
    """A Kubernetes quantity of memory in MiB.

    Raises:
        ConfigError: not such a quantity.
    """
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None:
        raise ConfigError(
            f"{quantity!r} is not an amount of memory", code="bad_quantity", expected="for example 4Gi or 6144Mi"
        )
    return int(float(found[1]) * _UNITS[found[2]]) >> 20


def namespace_of(module: str) -> str:
    """`data_ingestion` → `base-data-ingestion`."""
    return f"base-{module.replace('_', '-')}"


def secret_name(connection: str) -> str:
    """The pre-provisioned Secret of a connection; it holds the one key `<connection>.json`."""
    return "base-conn-" + re.sub(r"[^a-z0-9]+", "-", connection.lower()).strip("-")


def connections_layer(names: Iterable[str], vault_role: str = "") -> dict[str, Any]:
    """What brings a job its connections: one folder with `<name>.json` each. Only their names are in the pod.

    By default one volume made of a Secret per connection; the job itself reports a missing one, with all places it
    tried. With a Vault role, Vault's agent writes the files before the job starts (an init container, so that nothing
    keeps the pod alive), with a token of its own that the job does not see.
    """
    names = list(names)
    if not names:
        return {}
    folder = VAULT_DIR if vault_role else CONNECTIONS_DIR
    container: dict[str, Any] = {"name": CONTAINER, "env": [{"name": "BASE_CONNECTIONS_DIR", "value": folder}]}
    if vault_role:
        token = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 3600}}
        volume: dict[str, Any] = {"name": "vault-token", "projected": {"sources": [token]}}
        metadata: dict[str, Any] = {"annotations": _vault_annotations(names, vault_role)}
        return {"metadata": metadata, "spec": {"containers": [container], "volumes": [volume]}}
    sources = [{"secret": {"name": secret_name(name), "optional": True}} for name in names]
    volume = {"name": "connections", "projected": {"defaultMode": 0o440, "sources": sources}}
    container["volumeMounts"] = [{"name": "connections", "mountPath": folder, "readOnly": True}]
    return {"spec": {"containers": [container], "volumes": [volume]}}


def _vault_annotations(names: Iterable[str], role: str) -> dict[str, str]:
    """Of Vault's agent injector: secret/data/base/<name> becomes <name>.json, once, before the job."""
    prefix = "vault.hashicorp.com"
    annotations = {
        f"{prefix}/agent-inject": "true",
        f"{prefix}/agent-pre-populate-only": "true",
        f"{prefix}/agent-service-account-token-volume-name": "vault-token",
        f"{prefix}/role": role,
    }
    for name in names:
        path = f"secret/data/base/{name}"
        annotations[f"{prefix}/agent-inject-secret-{name}.json"] = path
        annotations[f"{prefix}/agent-inject-template-{name}.json"] = (
            f'{{{{ with secret "{path}" }}}}{{{{ .Data.data | toJSON }}}}{{{{ end }}}}'
        )
    return annotations


def _container(template: Mapping[str, Any]) -> Mapping[str, Any]:
    found = [c for c in template.get("spec", {}).get("containers", []) if c.get("name") == CONTAINER]
    return found[0] if found else {}


def _resources(template: Mapping[str, Any]) -> Mapping[str, Any]:
    return _container(template).get("resources") or {}


def _is_named(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(isinstance(i, Mapping) and "name" in i for i in items)
