"""One DAG run in this one process: SQLite, no scheduler, no server. What `base-ops demo` and tests run.

    python -m base_ops.orchestration.testrun <dag_id> [--conf JSON]

Reads the pipelines of BASE_PIPELINES_DIR through dags/load.py, as any Airflow would. Exit code 0 = success.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


def airflow_environment(home: Path) -> dict[str, str]:
    """Settings of an Airflow of its own under `home`."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="base_ops.orchestration.testrun")
    parser.add_argument("dag_id")
    parser.add_argument("--conf", type=json.loads, default={}, help="params of the run, as JSON")
    args = parser.parse_args(argv)
    return run(args.dag_id, args.conf)


def run(dag_id: str, conf: dict[str, Any]) -> int:
    """Run one DAG to its end; 0 on success, 1 on failure, 30 where there is no such DAG."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    if not (Path(os.environ["AIRFLOW_HOME"]) / "airflow.db").exists() or not _is_migrated():
        initdb()
    bag = DagBag(dag_folder=str(ROOT / "dags" / "load.py"))
    for file, error in bag.import_errors.items():
        print(f"import error in {file}: {error}", file=sys.stderr)
    if dag_id not in bag.dags:
        print(f"there is no DAG {dag_id!r}; there are: {', '.join(sorted(bag.dags))}", file=sys.stderr)
        return 30
    done = bag.dags[dag_id].test(run_conf=conf)
    print(f"dag run {done.run_id}: {done.state}", flush=True)
    return 0 if str(done.state) == "success" else 1


def _is_migrated() -> bool:
    from airflow.utils.db import check_migrations

    try:
        check_migrations(0)  # type: ignore[no-untyped-call]
    except Exception:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
