"""The trainer as a job: what it keeps, what it promotes, and what it says; and detection without any model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from e2e.e2e_kit import run
from fakes.mlflow import fake_mlflow

from base_ops.data_ingestion.jobs.model_trainer import _is_better

SMALL = {"samples_per_class": 12, "test_samples_per_class": 2, "min_accuracy": 0.5}


def train(home: Path, **settings: str) -> dict[str, Any]:
    spec = home / "spec.json"
    spec.write_text(json.dumps(SMALL))
    done = run(
        home, "base_ops.cli", "run", "data_ingestion.model_trainer", "--spec", str(spec), "--result", "-", **settings
    )
    assert done.code == 0, done.err
    return done.document


@pytest.mark.parametrize(
    ("accuracy", "before", "origin", "better"),
    [
        (0.9, None, "none", True),
        (0.9, 0.9, "packaged", True),
        (0.9, 0.91, "packaged", False),
        (0.93, 0.91, "mlflow:3", True),
        (0.92, 0.91, "mlflow:3", False),
    ],
)
def test_what_is_better(accuracy, before, origin, better):
    assert _is_better(accuracy, before, origin, 0.02) is better


def test_a_model_is_kept_measured_and_registered(tmp_path):
    """A small training is worse than the packaged model, and so is registered without becoming the champion."""
    with fake_mlflow() as server:
        result = train(tmp_path, BASE_MLFLOW_TRACKING_URI=server.url)
        name = "base-data_ingestion-format_recognition"
        assert list(server.versions) == [name] and len(server.versions[name]) == 1 and not server.aliases
    (step,) = result["steps"]
    report = step["observations"]
    assert set(report["accuracy"]) == {"model", "rules", "both"} and report["promoted"] is False
    (output,) = result["outputs"]
    kept = Path(output["uri"])
    assert kept.is_relative_to(tmp_path / "lake" / "models" / name)
    assert json.loads(kept.with_name("scores.json").read_text())["sha256"] == output["sha256"]
    assert [f["code"] for f in step["findings"]] == ["model_trained"]


def test_7_2_without_the_model_files_are_converted_by_rules(tmp_path):
    source, target = tmp_path / "a.csv", tmp_path / "a.parquet"
    source.write_text("a,b\n1,x\n2,y\n")
    done = run(tmp_path, "base_ops.cli", "convert", str(source), str(target), BASE_MODELS="off")
    assert done.code == 0 and target.exists() and "format_recognized" in done.out


def test_7_1_unknown_bytes_are_kept_with_an_event(tmp_path):
    source = tmp_path / "a.csv"
    source.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"source": str(source), "target": "staging:x"}))
    done = run(tmp_path, "base_ops.cli", "run", "data_ingestion.converter", "--spec", str(spec), "--result", "-")
    assert done.code == 0, done.err
    (step,) = done.document["steps"]
    assert [e["type"] for e in step["events"]] == ["raw_text_kept"]
    assert "raw_text" in {f["code"] for f in step["findings"]} and step["counts"]["rows_out"] > 2
