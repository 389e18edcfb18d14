"""Airflow for tests: a home and a SQLite database of their own, made once per session, before Airflow is imported."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).parent.parent
_HOME = Path(tempfile.mkdtemp(prefix="base-ops-airflow-"))
os.environ.update(
    {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(_HOME / "logs"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }
)

hypothesis.settings.register_profile("ours", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("ours")


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    """A migrated Airflow database; returns AIRFLOW_HOME."""
    from airflow.utils.db import initdb

    (_HOME / "dags").mkdir(exist_ok=True)
    initdb()
    return _HOME


@pytest.fixture(scope="session", autouse=True)
def _airflow_home() -> Iterator[None]:
    yield
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A worker that runs in the process of a test sets up logging as its own, its level above all."""
    loggers = [logging.getLogger(), logging.getLogger("base_ops")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def run_dag(airflow_db: Path) -> Callable[..., Any]:
    """Run a DAG object to its end in this process and return its DagRun."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    def run(dag: Any, **options: Any) -> Any:
        DagBundlesManager().sync_bundles_to_db()
        bag = DagBag(dag_folder=str(airflow_db / "dags"), collect_dags=False, bundle_path=airflow_db / "dags")
        dag.relative_fileloc = "test.py"
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder", None)
        return dag.test(**options)

    return run


@pytest.fixture
def base_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """BASE_HOME of a test: its lake, state database and connections."""
    monkeypatch.setenv("BASE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def fake_worker(base_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local runner starts tests/orchestration/fake_worker.py instead of the worker."""
    from base_ops.orchestration.local import LocalAgentOperator

    monkeypatch.setattr(LocalAgentOperator, "worker_command", (str(ROOT / "tests/orchestration/fake_worker.py"),))
