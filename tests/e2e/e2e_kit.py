"""The product as a user starts it: command line and Airflow in processes of their own, over a home of their own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deltalake

from base_ops.core.protocol import Result

ROOT = Path(__file__).parent.parent.parent
DATA_FOLDERS = ("landing", "staging", "tables", "quarantine")

Row = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """One process at its end."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document in the last line of stdout."""
        return dict(json.loads(self.out.splitlines()[-1]))

    def of(self, task: str, agent: str = "") -> list[Row]:
        """The document's account of one task's instances."""
        return [t for t in self.document["tasks"] if t["task_id"] == task and t["agent"].endswith(agent)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """This process's environment without any setting of Airflow or base_ops, and `home`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "BASE_"))}
    return {**kept, "BASE_HOME": str(home), "BASE_THREADS": "2", **more}


def run(home: Path, *command: str, cwd: Path = ROOT, timeout_s: float = 240, **more: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment(home, **more), capture_output=True, timeout=timeout_s
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def demo(home: Path, *arguments: str, **more: str) -> Done:
    """`base-ops demo --json`, which must succeed."""
    done = run(home, "base_ops.cli", "demo", "--json", *arguments, **more)
    assert done.code == 0, done.err
    return done


def results(lake: Path) -> list[Result]:
    """All Results of a lake, oldest first."""
    files = sorted((lake / "runs").rglob("result.json"), key=lambda file: file.stat().st_mtime_ns)
    return [Result.model_validate_json(file.read_bytes()) for file in files]


def files_of(lake: Path) -> dict[str, str]:
    """Every data file of a lake, with the hash of its bytes."""
    return {
        str(file.relative_to(lake)): hashlib.sha256(file.read_bytes()).hexdigest()
        for folder in DATA_FOLDERS
        for file in (lake / folder).rglob("*")
        if file.is_file()
    }


def row_versions(lake: Path, dataset: str) -> list[Row]:
    """All rows of a table, past and present, read without base_ops."""
    return list(deltalake.DeltaTable(str(lake / "tables" / dataset)).to_pyarrow_table().to_pylist())


def current(lake: Path, dataset: str) -> list[Row]:
    """The current rows of a table without the columns of its history and lineage, in order."""
    rows = [row for row in row_versions(lake, dataset) if row["_current"]]
    return sorted(({k: v for k, v in row.items() if not k.startswith("_")} for row in rows), key=str)
