"""What a cluster with RBAC, quotas and Pod Security asks before it does anything, read from helm-values/modules.

Airflow's service account may do what the rendered Roles say, and a pod is taken only if its namespace, its service
account and its quota are there and it is `restricted` (Kubernetes' Pod Security Standards, 1.33).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import kubernetes_validate
from deploy.rendering import base

from base_ops.orchestration.kubernetes.template import mebibytes

KUBERNETES = "1.33"
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_VERBS = {"POST": "create", "DELETE": "delete", "PATCH": "patch"}
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@cache
def _objects(kind: str) -> dict[str, list[dict[str, Any]]]:
    """The manifests of a kind by namespace."""
    found: dict[str, list[dict[str, Any]]] = {}
    for item in base():
        if item["kind"] == kind:
            meta = item["metadata"]
            found.setdefault(meta.get("namespace", meta["name"]), []).append(item)
    return found


def forbidden(method: str, path: str, query: Mapping[str, str]) -> str:
    """Why Airflow's account may not do this; empty if it may."""
    parts = re.fullmatch(r"/api/v1/namespaces/([^/]+)/([a-z]+)(?:/([^/]+))?(?:/([a-z]+))?", path)
    if parts is None:
        return f'cannot {method} "{path}" at the cluster scope'
    namespace, resource, name, part = parts.groups()
    resource = f"{resource}/{part}" if part else resource
    verb = _VERBS.get(method) or ("watch" if query.get("watch") else "get" if name else "list")
    rules = [rule for role in _objects("Role").get(namespace, []) for rule in role["rules"]]
    if any(resource in rule["resources"] and verb in rule["verbs"] for rule in rules):
        return ""
    who = 'User "system:serviceaccount:airflow:airflow"'
    return f'{who} cannot {verb} resource "{resource}" in API group "" in the namespace "{namespace}"'


def refused(namespace: str, pod: dict[str, Any], live: Iterable[dict[str, Any]]) -> tuple[int, str, str]:
    """(status, reason, message) of a pod that is not taken; (0, "", "") if it is.

    Args:
        live: the bodies of the namespace's pods that have not ended.
    """
    spec = pod["spec"]
    if namespace not in _objects("Namespace"):
        return 404, "NotFound", f'namespaces "{namespace}" not found'
    try:
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return 422, "Invalid", f"{'.'.join(map(str, error.path))}: {error.message}"
    if wrong := list(_malformed(pod)):
        return 422, "Invalid", ", ".join(wrong)
    account = spec.get("serviceAccountName", "default")
    if account not in {a["metadata"]["name"] for a in _objects("ServiceAccount")[namespace]} | {"default"}:
        return 403, "Forbidden", f"error looking up service account {namespace}/{account}: not found"
    if wrong := list(unrestricted(spec)):
        return 403, "Forbidden", f'violates PodSecurity "restricted:latest": {", ".join(wrong)}'
    for quota in _objects("ResourceQuota")[namespace]:
        if over := _over(quota["spec"]["hard"], [pod, *live]):
            return 403, "Forbidden", f"exceeded quota: {quota['metadata']['name']}, {over}"
    return 0, "", ""


def unrestricted(spec: dict[str, Any]) -> Iterator[str]:
    """What of a pod the standard `restricted` does not admit."""
    whole = spec.get("securityContext") or {}
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in spec.get("volumes") or []:
        if kinds := set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is {', '.join(kinds)}"
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        own = container.get("securityContext") or {}
        both = {**whole, **own}
        name = container["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation != false"
        if "ALL" not in ((own.get("capabilities") or {}).get("drop") or []):
            yield f"{name}: unrestricted capabilities"
        if own.get("privileged"):
            yield f"{name}: privileged"
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield f"{name}: runAsNonRoot != true"
        if (both.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"


def _malformed(pod: dict[str, Any]) -> Iterator[str]:
    """What the schema does not say: names, labels, and amounts that contradict each other."""
    meta = pod["metadata"]
    if not _NAME.fullmatch(meta["name"]):
        yield f"metadata.name: {meta['name']!r}"
    for key, value in (meta.get("labels") or {}).items():
        if not _LABEL.fullmatch(value) or not _LABEL.fullmatch(key.rpartition("/")[2]):
            yield f"metadata.labels: {key}={value!r}"
    if sum(len(k) + len(v) for k, v in (meta.get("annotations") or {}).items()) > 256 << 10:
        yield "metadata.annotations: too long"
    volumes = {volume["name"] for volume in pod["spec"].get("volumes") or []}
    for container in pod["spec"]["containers"]:
        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in volumes:
                yield f"volumeMounts: no volume {mount['name']!r}"
        asked, limit = (container["resources"].get(kind, {}) for kind in ("requests", "limits"))
        for what in asked.keys() & limit.keys():
            if _amount(what, asked[what]) > _amount(what, limit[what]):
                yield f"resources.requests.{what}: must not be more than its limit"


def _over(hard: dict[str, str], pods: list[dict[str, Any]]) -> str:
    if len(pods) > int(hard["pods"]):
        return f"used: pods={len(pods) - 1}, limited: pods={hard['pods']}"
    for what in ("cpu", "memory"):
        asked = sum(_amount(what, c["resources"]["requests"][what]) for p in pods for c in p["spec"]["containers"])
        if asked > _amount(what, hard[f"requests.{what}"]):
            return f"requested: requests.{what}={asked:g}, limited: {hard[f'requests.{what}']}"
    return ""


def _amount(what: str, text: str) -> float:
    if what == "cpu":
        return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)
    return float(mebibytes(text)) if not str(text).isdigit() else float(text)
