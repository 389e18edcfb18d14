"""What a real cluster would refuse: every pod we make is admitted, and what must not be allowed is not."""

from __future__ import annotations

import copy
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import admission
from fakes.kubernetes import Cluster, kubernetes_api

from base_ops.core.ids import MODULES
from base_ops.core.settings import load_settings
from base_ops.orchestration.kubernetes.template import connections_layer, fold, namespace_of, pod_template

PROFILES = ["default", "high-memory", "bulk-io", "gpu"]
A = "base-data-ingestion"


def pod(profile: str = "default", vault_role: str = "") -> dict[str, Any]:
    """A pod as the templates make it, with a connection."""
    template = fold(pod_template(load_settings({}), profile), connections_layer(["oanda"], vault_role))
    named = {"metadata": {"name": "converter-all-0123456789ab"}, "spec": {"serviceAccountName": f"{A}-worker"}}
    return dict(
        fold(
            copy.deepcopy(template),
            {**named, "spec": {**named["spec"], "containers": [{"name": "base", "image": "i"}]}},
        )
    )


@pytest.mark.parametrize("vault_role", ["", "base-modules"])
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_admitted(profile: str, vault_role: str) -> None:
    assert admission.refused(A, pod(profile, vault_role), []) == (0, "", "")


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"spec": {"securityContext": {"runAsNonRoot": False}}}, 403, "runAsNonRoot"),
        ({"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}}, 403, "seccompProfile"),
        ({"spec": {"hostNetwork": True}}, 403, "hostNetwork"),
        ({"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}, 403, "hostPath"),
        ({"spec": {"containers": [{"name": "side", "image": "i", "resources": {}}]}}, 403, "side: allowPrivilege"),
        ({"spec": {"serviceAccountName": "airflow"}}, 403, "service account"),
        ({"spec": {"containers": [{"name": "base", "resources": {"requests": {"memory": "5Gi"}}}]}}, 422, "its limit"),
        ({"spec": {"containers": [{"name": "base", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}]}}, 422, "volume"),
        ({"metadata": {"labels": {"base-ops/run": "2026-11-20T00:00"}}}, 422, "base-ops/run"),
        ({"metadata": {"name": "A_b"}}, 422, "metadata.name"),
        ({"spec": {"tolerance": []}}, 422, "tolerance"),
    ],
)  # fmt: skip
def test_what_is_not_restricted_or_not_legal_is_refused(change: dict[str, Any], status: int, why: str) -> None:
    code, _, message = admission.refused(A, fold(pod(), change), [])
    assert code == status and why in message


def test_a_full_namespace_takes_no_more() -> None:
    code, _, message = admission.refused(A, pod(), [pod()] * 120)
    assert code == 403 and message.startswith("exceeded quota: jobs")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with kubernetes_api(tmp_path) as found:
        yield found


def status_of(cluster: Cluster, method: str, path: str) -> int:
    request = urllib.request.Request(f"{cluster.url}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        assert json.load(error)["reason"] in ("Forbidden", "NotFound")
        return error.code


@pytest.mark.parametrize("module", MODULES)
def test_airflow_may_handle_pods_of_every_module_and_nothing_else(cluster: Cluster, module: str) -> None:
    space = f"/api/v1/namespaces/{namespace_of(module)}"
    assert status_of(cluster, "GET", f"{space}/pods") == 200
    assert status_of(cluster, "GET", f"{space}/events") == 200
    assert status_of(cluster, "DELETE", f"{space}/pods/none") == 404
    assert status_of(cluster, "GET", f"{space}/pods/none/log") == 404
    for path in ("secrets", "secrets/base-lake", "configmaps", "pods/none/exec", "serviceaccounts"):
        assert status_of(cluster, "GET", f"{space}/{path}") == 403
    assert status_of(cluster, "GET", "/api/v1/pods") == status_of(cluster, "GET", "/api/v1/namespaces") == 403
    assert status_of(cluster, "GET", "/api/v1/namespaces/kube-system/pods") == 403
