"""Section 10 of the platform's requirements: what shows each point, and the points that nothing else shows."""

from __future__ import annotations

import ast
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deploy.rendering import ROOT
from deploy.section_10 import points

SECRET = "for-this-test-alone-" * 4


def test_every_point_is_shown_by_tests_that_exist() -> None:
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    assert set(points()) == set(range(1, 13)) - {7}  # the console's own tests show 7
    for entry in (entry for shown in points().values() for entry in shown):
        if entry.startswith("make "):
            assert entry.removeprefix("make ") in targets
            continue
        file, name = entry.split("::")
        functions = [n.name for n in ast.parse((ROOT / file).read_text()).body if isinstance(n, ast.FunctionDef)]
        assert name in functions, entry


def test_3_all_dags_import_in_half_a_minute(airflow_db: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    began = time.monotonic()
    bag = DagBag(dag_folder=str(ROOT / "dags"), bundle_path=ROOT / "dags")
    assert time.monotonic() - began < 30
    assert not bag.import_errors and "base_layer_data_pipeline" in bag.dags


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"BASE_RUNNER": "pods"}, 30, "BASE_RUNNER has a value that cannot be used"),
        ({"BASE_LAKE": "s3://b/lake"}, 30, "The environment variable BASE_LAKE is not a setting."),
        ({}, 20, "Airflow's database cannot be reached. Where: 127.0.0.1:9/airflow."),
    ],
)
def test_10_airflow_does_not_start_on_what_is_wrong(
    change: dict[str, str], code: int, says: str, tmp_path: Path
) -> None:
    """The dev stack's and the cluster's first step, on which all of Airflow's parts wait."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BASE_", "AIRFLOW"))}
    database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg://airflow:hidden@127.0.0.1:9/airflow"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "docker" / "init.py")],
        env={**kept, **database, "BASE_LAKE_URL": "s3://b/lake", **change},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    assert done.stderr.startswith(says) and done.stderr.count("\n") == 1
    assert "hidden" not in done.stderr


@pytest.mark.parametrize(("env", "high", "normal"), [("dev", 20, 50), ("staging", 20, 50), ("prod", 200, 500)])
@pytest.mark.parametrize("first", ["init", "scheduler"])
def test_whoever_comes_first_makes_the_pools_of_the_environment_and_leaves_alone_what_somebody_sized(
    first: str, env: str, high: int, normal: int, airflow_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.jobs.job import Job
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    monkeypatch.setenv("BASE_ENV", env)
    makers = [runpy.run_path(str(ROOT / "docker" / "init.py"))["_pools"], Job]  # the latter as a scheduler makes one
    with create_session() as session:
        session.query(Pool).filter(Pool.pool != Pool.DEFAULT_POOL_NAME).delete()
        session.add(Pool(pool="base_low", slots=7, include_deferred=True))
    for make in makers if first == "init" else reversed(makers):
        make()
    with create_session() as session:
        found = {pool.pool: (pool.slots, pool.include_deferred) for pool in session.query(Pool)}
        session.query(Pool).filter(Pool.pool != Pool.DEFAULT_POOL_NAME).delete()
    assert (found["base_high"], found["base_normal"], found["base_low"]) == ((high, True), (normal, True), (7, True))
    assert found["data_ingestion"] == (20, True) and found[Pool.DEFAULT_POOL_NAME][1]
    assert len(found) == 1 + 3 + 14


@pytest.mark.slow
def test_11_a_run_id_posted_twice_is_one_run(airflow_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", SECRET)
    from airflow.api_fastapi.app import create_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.sdk import DAG
    from fastapi.testclient import TestClient

    with DAG("posted", schedule=None) as dag:
        pass
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=str(airflow_db / "dags"), collect_dags=False, bundle_path=airflow_db / "dags")
    dag.relative_fileloc = "posted.py"
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    app = create_app()
    token = app.state.auth_manager.generate_jwt(SimpleAuthManagerUser(username="a", role="admin"))
    with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
        body = {"dag_run_id": "once", "logical_date": None}
        answers = [client.post("/api/v2/dags/posted/dagRuns", json=body).status_code for _ in range(2)]
        runs = client.get("/api/v2/dags/posted/dagRuns").json()
    assert answers == [200, 409] and [run["dag_run_id"] for run in runs["dag_runs"]] == ["once"]
