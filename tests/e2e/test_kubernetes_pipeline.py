"""The base layer's pipeline with the kubernetes runner: Airflow, pods and an object store, as on a cluster.

The cluster is a stand-in that runs each pod's own command as a process and refuses what RBAC, quotas and Pod Security
would; the store is an S3 server; the vendor's API listens as it does in the cluster.
"""

from __future__ import annotations

import json
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
def vendor_a(folder: Path) -> Iterator[str]:
    """The sample API in the foreground; the file of the connection to it, as text."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    extra = {"scheme": "http"}
    about = {"conn_type": "http", "host": "127.0.0.1", "port": port, "password": secrets.token_hex(8), "extra": extra}
    file = folder / "sample_api.json"
    file.write_text(json.dumps(about))
    command = ["-m", "base_ops.sample", "--listen", f"127.0.0.1:{port}", "--connection", str(file)]
    server = subprocess.Popen([sys.executable, *command])
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        yield file.read_text()
    finally:
        server.terminate()
        server.wait(10)


def agents(cluster: Cluster) -> Counter[str]:
    """How many pods each agent had, with the namespace it ran in."""
    metas = [pod.body["metadata"] for pod in cluster.past]
    return Counter(f"{meta['namespace']}/{meta['labels']['base-ops/agent']}" for meta in metas)


def test_the_base_pipeline_as_pods(tmp_path: Path) -> None:
    with s3_server() as url, kubernetes_api(tmp_path) as cluster, vendor_a(tmp_path) as connection:
        client(url).create_bucket(Bucket="lake")
        access = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        access |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
        cluster.secrets |= {
            "base-lake": access,
            "base-conn-sample-api": {"sample_api.json": connection},
            "base-conn-masking-key": {
                "masking_key.json": '{"conn_type": "generic", "password": "0123456789abcdef0123"}'
            },
        }
        settings = {
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(Path("dags").absolute()),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(Path("plugins").absolute()),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(
                {"conn_type": "kubernetes", "extra": {"kube_config_path": str(tmp_path / "kubeconfig")}}
            ),
            "BASE_RUNNER": "kubernetes",
            "BASE_LAKE_URL": "s3://lake/base",
            **access,
        }
        migrated = run(tmp_path / "home", "airflow", "db", "migrate", **settings)
        assert migrated.code == 0, migrated.err
        done = run(tmp_path / "home", "airflow", "dags", "test", "base_layer_data_pipeline", timeout_s=500, **settings)
        assert done.code == 0 and "state=success" in done.out + done.err, (done.out + done.err)[-6000:]
        assert agents(cluster) == {
            "base-data-ingestion/collector": 2,
            "base-data-ingestion/converter": 2,
            "base-data-ingestion/merger": 1,
            "base-data-quality/validator": 1,
            "base-data-security/masker": 1,
            "base-data-storage/tier_manager": 1,
        }
        assert not cluster.pods and max(cluster.most_live.values()) == 1
        options = {**access, "AWS_S3_ALLOW_UNSAFE_RENAME": "true"}
        table = deltalake.DeltaTable("s3://lake/base/tables/eod_quotes", storage_options=options)
        rows = [row for row in table.to_pyarrow_table().to_pylist() if row["_current"]]
        found: dict[Key, dict[str, object]] = by_key([{k: v for k, v in r.items() if k[0] != "_"} for r in rows])
        assert without_email(found) == without_email(expected_table())
