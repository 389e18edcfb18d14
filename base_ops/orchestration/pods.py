"""Pod templates and what a pod's end means. No Airflow: plain mappings and the objects of the Kubernetes client."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.outcomes import Outcome, outcome_of_exit
from base_ops.core.settings import Settings
from base_ops.core.yamlio import load_yaml

CONNECTIONS_DIR = "/var/run/base-connections"
"""Where the Secrets of a job's connections are mounted."""
_BESIDE_PACKAGE = Path(__file__).parent.parent.parent / "pod_templates"


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


def namespace_of(module: str) -> str:
    """`data_ingestion` → `base-data-ingestion`."""
    return f"base-{module.replace('_', '-')}"


def secret_name(connection: str) -> str:
    """The pre-provisioned Secret of a connection; it holds the one key `<connection>.json`."""
    return "base-conn-" + re.sub(r"[^a-z0-9]+", "-", connection.lower()).strip("-")


def pod_end(pod: Any, container: str) -> tuple[Outcome, str]:
    """How a pod ended, as an outcome and in words.

    A pod that is gone, was evicted or ran out of memory is transient: a later try may find more room.
    """
    status = getattr(pod, "status", None)
    if status is None:
        return Outcome.TRANSIENT, "the pod vanished"
    if status.reason:
        return Outcome.TRANSIENT, f"the pod was ended: {status.reason}"
    for state in (found.state for found in status.container_statuses or [] if found.name == container):
        ended = state.terminated if state else None
        if ended is None:
            continue
        if ended.reason == "OOMKilled":
            return (
                Outcome.TRANSIENT,
                "the pod was killed for using more memory than its limit (choose a larger profile)",
            )
        return outcome_of_exit(ended.exit_code), f"exit code {ended.exit_code} ({ended.reason})"
    return Outcome.TRANSIENT, f"the pod is {status.phase or 'in an unknown phase'}"


def log_line(_container: str, line: str) -> str:
    """A worker's JSON log line as people read it in the task's log."""
    try:
        record = json.loads(line)
        return f"{record.get('level', 'INFO')} {record['msg']}" + (f"\n{record['error']}" if "error" in record else "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line


def _is_named(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(isinstance(i, Mapping) and "name" in i for i in items)
