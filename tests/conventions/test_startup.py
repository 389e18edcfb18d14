"""Light to find, heavy to read: which libraries a small job loads, seen in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import base_ops
from base_ops.core.ids import uuid7
from base_ops.core.protocol import Identity, Request, Result, StepRequest

NOT_FOR_TEXT = ("pyarrow", "duckdb", "deltalake", "sqlalchemy", "fsspec", "httpx", "pandas", "numpy.ma", "sqlglot")


def loaded_by(code: str, folder: Path, names: tuple[str, ...]) -> list[str]:
    """Which of these modules are loaded after some code ran."""
    probe = f"{code}\nimport json, sys; print(json.dumps([name for name in {names!r} if name in sys.modules]))"
    env = {"PATH": "", "HOME": str(folder), "BASE_HOME": str(folder / "home")}
    root = Path(base_ops.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", probe], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_converting_csv_loads_polars_alone(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in.csv").write_text("id,name,at,paid\n1,a,2026-01-02T03:04:05,1.5\n2,b,2026-01-02T03:04:06,2.5\n")
    spec = {"source": str(tmp_path / "in.csv"), "target": str(tmp_path / f"out.{suffix}")}
    step = StepRequest(agent="data_ingestion.converter", action="convert_to_standard_format", spec=spec)
    result = tmp_path / "lake/result.json"
    request = Request(
        steps=[step], identity=Identity(attempt=uuid7()), lake_url=str(tmp_path / "lake"), result_uri=str(result)
    )
    (tmp_path / "request.json").write_text(request.model_dump_json())
    code = f"from base_ops.worker.main import main; assert main(['--request', {str(tmp_path / 'request.json')!r}]) == 0"
    assert loaded_by(code, tmp_path, (*NOT_FOR_TEXT, "polars")) == ["polars"]
    fields = Result.model_validate_json(result.read_bytes()).outputs[0].fields
    assert [f.type for f in fields] == ["int64", "large_string", "timestamp[us]", "double"]


def test_knowing_the_formats_loads_no_reader(tmp_path: Path) -> None:
    code = "from base_ops.worker.formats.registry import known_formats; assert len(known_formats()) >= 5"
    assert loaded_by(code, tmp_path, ("pyarrow", "duckdb", "numpy")) == []
