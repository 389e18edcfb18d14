"""The lake files the orchestrator touches."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import Transient
from base_ops.core.protocol import Identity
from base_ops.orchestration.lake import attempt_folder, find_results, path_segment, read_result


def test_where_an_attempt_leaves_its_result() -> None:
    who = Identity(dag_id="fx", run_id="manual__2026-01-01T00:00:00+00:00", task_id="g.t", try_number=2, attempt="a")
    assert attempt_folder("s3://b/lake/", who) == "s3://b/lake/runs/fx/manual__2026-01-01T00_00_00_00_00/g.t/2-a"
    mapped = who.model_copy(update={"map_index": 7})
    assert attempt_folder("/lake", mapped).endswith("/g.t/7/2-a")


@given(st.text(min_size=1))
def test_no_name_leaves_its_folder(name: str) -> None:
    segment = path_segment(name)
    assert segment and segment not in (".", "..") and "/" not in segment and segment.isascii()


@pytest.mark.parametrize("torn", ["", "{", '{"status": "ok"}', "[]", '{"version": 2, "status": "ok"}'])
def test_a_result_that_cannot_be_read_is_transient(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(torn)
    with pytest.raises(Transient, match=r"result\.json"):
        read_result(str(path))
    assert read_result(str(tmp_path / "none.json")) is None


def test_results_are_found_at_any_depth(tmp_path: Path) -> None:
    for part in ("d/r/t/1-a", "d/r/t/3/1-b"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "result.json").write_text("{}")
        (tmp_path / part / "request.json").write_text("{}")
    assert find_results(str(tmp_path)) == [f"{tmp_path}/d/r/t/1-a/result.json", f"{tmp_path}/d/r/t/3/1-b/result.json"]
    assert find_results(str(tmp_path / "none")) == []
