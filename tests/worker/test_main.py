"""The worker as a process: outcomes, Results on failure too, secrets masked, foreign errors given their place."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from base_ops.core.errors import BadInput, BaseOpsError, Denied, Transient
from base_ops.core.protocol import Identity, Request, Result, StepRequest
from base_ops.core.settings import load_settings
from base_ops.worker.main import classify, run


def request(tmp_path: Path, *steps: tuple[str, str, dict[str, Any]]) -> Request:
    return Request(
        steps=[StepRequest(agent=a, action=b, spec=c) for a, b, c in steps],
        identity=Identity(attempt="01-attempt"),
        lake_url=str(tmp_path / "lake"),
        result_uri=str(tmp_path / "lake" / "runs" / "r.json"),
    )


def work(
    tmp_path: Path, asked: Request | str, *, secrets: dict[str, Any] | None = None
) -> tuple[int, str, Result | None]:
    text = asked if isinstance(asked, str) else asked.model_dump_json()
    command = [sys.executable, "-m", "base_ops.worker", "--request", "-"]
    pipe: list[int] = []
    if secrets is not None:
        reading, writing = os.pipe()
        os.write(writing, json.dumps(secrets).encode())
        os.close(writing)
        command += ["--secrets-fd", str(reading)]
        pipe = [reading]
    environment = {**os.environ, "BASE_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, pass_fds=pipe)
    for descriptor in pipe:
        os.close(descriptor)
    file = tmp_path / "lake" / "runs" / "r.json"
    return done.returncode, done.stderr, Result.model_validate_json(file.read_text()) if file.exists() else None


CONVERT = ("data_ingestion.converter", "convert_to_standard_format")
MASK = ("data_security.masker", "mask")


@pytest.mark.parametrize(
    ("content", "spec", "code", "error"),
    [
        ("a,b\n1,2\n3,4\n", {}, 0, None),
        ("a,b\n" + "1,2\n" * 99 + "1,2,3\n", {}, 3, None),
        ("a,b\n1,2\n1,2,3\n", {}, 10, "too_many_errors"),
        ("", {}, 10, "empty_object"),
        (None, {}, 10, "file_not_found"),
        ("a,b\n1,2\n", {"read": {"format": "csw"}}, 30, "unknown_format"),
        ("a,b\n1,2\n", {"write": {"format": "parkuet"}}, 30, "bad_spec"),
        ("a,b\n1,2\n", {"read": {"format": "parquet"}}, 10, "not_this_format"),
        (",".join(f"c{n}" for n in range(50_000)) + "\n" + "1," * 49_999 + "1\n", {}, 10, "too_many_columns"),
    ],
)
def test_outcomes(tmp_path: Path, content: str | None, spec: dict[str, Any], code: int, error: str | None) -> None:
    file = tmp_path / "in.csv"
    if content is not None:
        file.write_text(content)
    asked = request(tmp_path, (*CONVERT, {"source": str(file), "target": str(tmp_path / "out.parquet"), **spec}))
    returned, log, result = work(tmp_path, asked)
    assert (returned, result.error.code if result and result.error else None) == (code, error), log
    assert result is not None and result.status.exit_code == code
    assert (tmp_path / "out.parquet").exists() == (code in (0, 3))
    assert all(step.counts.balance() == 0 for step in result.steps)
    if error:
        assert result.error is not None and result.error.what
    else:
        assert result.peak_memory_bytes > 1 << 20 and result.outputs[0].sha256


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"version": 2}'])
def test_a_request_that_cannot_be_read_is_a_config_error(tmp_path: Path, text: str) -> None:
    code, log, result = work(tmp_path, text)
    assert (code, result) == (30, None) and "request cannot be read" in log


def test_a_secret_of_the_pipe_masks_data_and_shows_up_nowhere(tmp_path: Path) -> None:
    secret = "s3cr3t-masking-key-value"
    (tmp_path / "in.csv").write_text("id,name\n1,ann\n2,bob\n")
    asked = request(
        tmp_path,
        (*CONVERT, {"source": str(tmp_path / "in.csv"), "target": str(tmp_path / "out.parquet")}),
        (*MASK, {"columns": {"name": {"method": "hash", "key": "k"}}}),
    )
    code, log, _ = work(tmp_path, asked, secrets={"k": {"conn_type": "generic", "password": secret}})
    assert code == 0, log
    names = pl.read_parquet(tmp_path / "out.parquet")["name"].to_list()
    assert [len(n) for n in names] == [64, 64] and names[0] != names[1]
    written = [log.encode(), *(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())]
    assert not any(secret.encode() in data for data in written)


def test_a_missing_key_names_every_place_that_was_tried(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,name\n1,ann\n")
    asked = request(
        tmp_path,
        (*CONVERT, {"source": str(tmp_path / "in.csv"), "target": str(tmp_path / "out.parquet")}),
        (*MASK, {"columns": {"name": {"method": "hash", "key": "nowhere"}}}),
    )
    code, _, result = work(tmp_path, asked)
    assert code == 30 and result is not None and result.error is not None
    assert all(place in result.error.where for place in ("Airflow", "nowhere.json", "$AIRFLOW_CONN_NOWHERE"))
    assert not (tmp_path / "out.parquet").exists()


def test_what_needs_all_rows_cannot_be_fused(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    unique = {"rules": [{"check": "unique", "columns": ["a"]}]}
    asked = request(
        tmp_path,
        (*CONVERT, {"source": str(tmp_path / "in.csv"), "target": str(tmp_path / "out.parquet")}),
        ("data_quality.validator", "validate_data_quality", unique),
    )
    code, _, result = work(tmp_path, asked)
    assert code == 30 and result is not None and result.error is not None and result.error.code == "cannot_fuse"


def panic() -> BaseException:
    kind = type("PanicException", (BaseException,), {})  # polars' own cannot be made from Python
    return kind("index out of bounds")


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (panic(), BaseOpsError, "engine_panic"),
        (MemoryError(), Transient, "out_of_memory"),
        (FileNotFoundError(2, "no", "x.csv"), BadInput, "file_not_found"),
        (PermissionError(13, "no", "x.csv"), Denied, "access_refused"),
        (OSError(28, "No space left on device"), Transient, "os_error"),
        (ZeroDivisionError("division by zero"), BaseOpsError, "bug"),
        (BadInput("x", code="own"), BadInput, "own"),
    ],
)
def test_foreign_errors_are_given_their_place(error: BaseException, kind: type[BaseOpsError], code: str) -> None:
    known = classify(error)
    assert type(known) is kind and known.code == code


def test_work_in_a_process_that_collects_garbage_leaves_that_alone(tmp_path: Path) -> None:
    """What is frozen is never collected: a stream's loop works on part after part in one process."""
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    spec = {"source": str(tmp_path / "a.csv"), "target": str(tmp_path / "a.parquet")}
    before = gc.get_freeze_count()
    result = run(request(tmp_path, (*CONVERT, spec)), load_settings())
    assert (result.error, gc.get_freeze_count(), gc.isenabled()) == (None, before, True)
