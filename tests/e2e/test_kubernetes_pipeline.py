"""The base layer's pipeline with the kubernetes runner: Airflow, pods and an object store, as on a cluster.

The cluster is a stand-in that runs each pod's own command as a process and refuses what RBAC, quotas and Pod Security
would; the store is an S3 server; the vendor's API listens as it does in the cluster.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import deltalake
import pytest
from e2e_kit import run
from fakes.kubernetes import Cluster, kubernetes_api
from fakes.s3 import client, s3_server
from test_sample_market import Key, by_key, expected_table, without_email

pytestmark = pytest.mark.slow


@contextmanager
def vendor_a(folder: Path) -> Iterator[Path]:
    """The sample's APIs in the foreground; the folder of the connections to them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"conn_type": "http", "host": "127.0.0.1", "port": port}
    extra = {"scheme": "http", "token_url": f"http://127.0.0.1:{port}/oauth/token"}
    first = {**shared, "password": secrets.token_hex(8), "extra": {"scheme": "http"}}
    second = {**shared, "login": "base-ops", "password": secrets.token_hex(8), "extra": extra}
    command = ["-m", "base_ops.sample", "--listen", f"127.0.0.1:{port}"]
    for name, about in (("sample_api", first), ("sample_v2", second)):
        (folder / f"{name}.json").write_text(json.dumps(about))
        command += ["--connection", str(folder / f"{name}.json")]
    server = subprocess.Popen([sys.executable, *command])
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        yield folder
    finally:
        server.terminate()
        server.wait(10)


def agents(cluster: Cluster) -> Counter[str]:
    """How many pods each agent had, with the namespace it ran in."""
    metas = [pod.body["metadata"] for pod in cluster.past]
    return Counter(f"{meta['namespace']}/{meta['labels']['base-ops/agent']}" for meta in metas)


@contextmanager
def as_pods(folder: Path, dag_id: str) -> Iterator[tuple[Cluster, dict[str, str]]]:
    """The cluster after a run of the DAG that ended well, and what gives access to its lake."""
    with s3_server() as url, kubernetes_api(folder) as cluster, vendor_a(folder) as connections:
        client(url).create_bucket(Bucket="lake")
        access = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        access |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
        cluster.secrets |= {
            "base-lake": access,
            "base-conn-sample-api": {"sample_api.json": (connections / "sample_api.json").read_text()},
            "base-conn-sample-v2": {"sample_v2.json": (connections / "sample_v2.json").read_text()},
            "base-conn-masking-key": {
                "masking_key.json": '{"conn_type": "generic", "password": "0123456789abcdef0123"}'
            },
        }
        settings = {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(Path("dags").absolute()),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(Path("plugins").absolute()),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(
                {"conn_type": "kubernetes", "extra": {"kube_config_path": str(folder / "kubeconfig")}}
            ),
            "BASE_RUNNER": "kubernetes",
            "BASE_LAKE_URL": "s3://lake/base",
            **access,
        }
        migrated = run(folder / "home", "airflow", "db", "migrate", **settings)
        assert migrated.code == 0, migrated.err
        done = run(folder / "home", "airflow", "dags", "test", dag_id, timeout_s=500, **settings)
        assert done.code == 0 and "state=success" in done.out + done.err, (done.out + done.err)[-6000:]
        assert not cluster.pods and max(cluster.most_live.values()) == 1
        yield cluster, {**access, "AWS_S3_ALLOW_UNSAFE_RENAME": "true"}


def current(table: str, options: dict[str, str]) -> list[dict[str, object]]:
    """The current rows of a table in the lake."""
    found = deltalake.DeltaTable(f"s3://lake/base/tables/{table}", storage_options=options).to_pyarrow_table()
    return [row for row in found.to_pylist() if row["_current"]]


def test_the_base_pipeline_as_pods(tmp_path: Path) -> None:
    with as_pods(tmp_path, "base_layer_data_pipeline") as (cluster, options):
        assert agents(cluster) == {
            "base-data-ingestion/collector": 2,
            "base-data-ingestion/converter": 2,
            "base-data-ingestion/merger": 1,
            "base-data-quality/validator": 1,
            "base-data-security/masker": 1,
            "base-data-storage/tier_manager": 1,
        }
        rows = [{k: v for k, v in row.items() if k[0] != "_"} for row in current("eod_quotes", options)]
        found: dict[Key, dict[str, object]] = by_key(rows)
        assert without_email(found) == without_email(expected_table())


WORKFLOWS = {
    "base_standard_ingestion_workflow": "vendor_quotes",
    "base_bulk_file_ingestion_workflow": "bulk_quotes",
    "base_realtime_stream_ingestion": "trades",
    "base_data_ingestion_resilient_fetch": "recovered_quotes",
    "base_data_ingestion_dlq_processor": "",
}
"""The other pipelines whose sample pods can see, and their tables."""


@pytest.mark.parametrize("dag_id", os.environ.get("WORKFLOWS_AS_PODS", "base_standard_ingestion_workflow").split())
def test_a_workflow_as_pods(dag_id: str, tmp_path: Path) -> None:
    """One in CI; WORKFLOWS_AS_PODS names others."""
    with as_pods(tmp_path, dag_id) as (_, options):
        if table := WORKFLOWS[dag_id]:
            assert len(current(table, options)) > 20
