"""Every file in pipelines/ is one Airflow DAG; what is wrong with a file is shown by load_errors.py."""

from pathlib import Path

from base_ops.orchestration.factory import build_dags

build_dags(Path(__file__).parent / "pipelines", globals())
