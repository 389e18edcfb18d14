"""dags/load.py and dags/load_errors.py, as Airflow reads them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
GOOD = "schedule: '@daily'\ntasks: {a: {agent: data_storage.tier_manager, spec: {dataset: d, key: [k]}}}\n"


@pytest.fixture
def pipelines(tmp_path: Path, airflow_db: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    monkeypatch.setenv("BASE_PIPELINES_DIR", str(folder))
    return folder


def read_dags() -> tuple[set[str], dict[str, str]]:
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(dag_folder=str(ROOT / "dags"), bundle_path=ROOT / "dags", bundle_name="dags-folder")
    return set(bag.dags), bag.import_errors


def test_a_broken_pipeline_is_an_import_error_and_costs_no_dag(pipelines: Path) -> None:
    (pipelines / "good.yaml").write_text(GOOD)
    (pipelines / "bad.yaml").write_text(GOOD.replace("dataset", "datset"))
    (pipelines / "torn.yaml").write_text("tasks: [")
    dags, errors = read_dags()
    assert dags == {"good", "base_run_agent"}
    ((file, text),) = errors.items()
    assert file == "load_errors.py"
    for says in ("bad.yaml, line 2, key tasks.a.spec.datset", "Did you mean 'dataset'?", "torn.yaml, line 2"):
        assert says in text


def test_import_errors_switch_off_no_other_dag(pipelines: Path) -> None:
    """The reason for load_errors.py: Airflow marks every DAG of a file that has an import error as stale."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.models.dag import DagModel
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session

    DagBundlesManager().sync_bundles_to_db()
    (pipelines / "still_good.yaml").write_text(GOOD)
    (pipelines / "bad.yaml").write_text(GOOD.replace("dataset", "datset"))
    bag = BundleDagBag(dag_folder=str(ROOT / "dags"), bundle_path=ROOT / "dags", bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)
    with create_session() as session:
        model = session.get(DagModel, "still_good")
        assert (model.has_import_errors, model.is_stale) == (False, False)
        assert [error.filename for error in session.query(ParseImportError)] == ["load_errors.py"]


def test_no_faults_no_import_errors(pipelines: Path) -> None:
    (pipelines / "good.yaml").write_text(GOOD)
    assert read_dags() == ({"good", "base_run_agent"}, {})


def test_the_pipelines_of_this_repository_have_no_faults(airflow_db: Path) -> None:
    dags, errors = read_dags()
    assert errors == {}
    assert "base_run_agent" in dags


@pytest.mark.parametrize("example", sorted(path.parent.parent.name for path in ROOT.glob("examples/*/dags/pipelines")))
def test_the_examples_have_no_faults(example: str, monkeypatch: pytest.MonkeyPatch, airflow_db: Path) -> None:
    folder = ROOT / "examples" / example / "dags"
    monkeypatch.setenv("BASE_PIPELINES_DIR", str(folder / "pipelines"))
    monkeypatch.setenv("BASE_CONFIG_DIR", str(folder / "config"))
    dags, errors = read_dags()
    assert errors == {}
    assert len(dags) > 1


def test_parsing_imports_nothing_heavy(airflow_db: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from base_ops.orchestration.factory import build_dags\n"
        f"build_dags(Path({str(ROOT / 'dags' / 'pipelines')!r}), {{}})\n"
        "print([m for m in ('polars', 'pyarrow', 'duckdb', 'deltalake', 'kubernetes', 'base_ops.worker') if m in sys.modules])"
    )
    env = {"PATH": "", "AIRFLOW_HOME": str(airflow_db)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
