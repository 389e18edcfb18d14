"""A mapped task's share of an earlier Result: `…/result.json#n` is its output n alone."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import DataRef, Identity, Request, Result, StepRequest
from base_ops.core.settings import Settings
from base_ops.worker.context import Context
from base_ops.worker.lake import Lake
from base_ops.worker.secrets import Secrets


@pytest.mark.parametrize(
    ("suffixes", "expected"),
    [([""], ["a", "b"]), (["#1"], ["b"]), (["#1", "#0"], ["b", "a"]), (["", "#0"], ["a", "b", "a"])],
)
def test_a_share(tmp_path: Path, suffixes: list[str], expected: list[str]) -> None:
    root = tmp_path / "lake#1"  # a '#' elsewhere in a path is no share
    (root / "runs").mkdir(parents=True)
    uri = f"{root}/runs/result.json"
    outputs = [DataRef(id=name, kind="staging", uri=f"{root}/{name}", name=name) for name in ("a", "b")]
    result = Result(status=Outcome.OK, identity=Identity(attempt="x"), outputs=outputs)
    Path(uri).write_text(result.model_dump_json())
    request = Request(
        steps=[StepRequest(agent="data_ingestion.converter", action="a", spec={})],
        identity=Identity(attempt="y"),
        inputs=[uri + suffix for suffix in suffixes],
        lake_url=str(root),
    )
    lake = Lake(str(root), "y")
    context = Context(request, Settings(), lake, Secrets(tmp_path), logging.getLogger("test"))
    assert [ref.id for ref in context.inputs] == expected
