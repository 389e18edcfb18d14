"""What parsing the DAG files costs over importing the operator base, in a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
_CODE = """
import json, sys, time
from pathlib import Path
import base_ops.orchestration.operator
began = time.perf_counter()
from base_ops.orchestration.factory import build
built = build(Path(sys.argv[1]), None)
print(json.dumps([time.perf_counter() - began, len(built.dags)]))
"""


def parse_seconds(folder: Path, rounds: int) -> tuple[float, int]:
    """(least seconds of `rounds` fresh interpreters, number of DAGs) over the shipped pipelines."""
    home = folder / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    found: list[tuple[float, int]] = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", _CODE, str(_ROOT / "dags" / "pipelines")],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, dags = json.loads(done.stdout.splitlines()[-1])
        found.append((seconds, dags))
    return min(found)
