"""What a failed run did is undone, and only that: commits of tables, entries of landing logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fakes.collecting import collected, context

from base_ops.core.ids import commit_key
from base_ops.core.protocol import DataRef
from base_ops.data_ingestion.jobs.collector.restore import restore_cursor
from base_ops.data_ingestion.specs.collector import RestoreCursorSpec
from base_ops.data_storage.jobs.tier_manager import run
from base_ops.data_storage.specs.tier_manager import StoreValidatedDataSpec, UnpublishSpec
from base_ops.worker.context import Context
from base_ops.worker.lake.tables import Tables


def store(home: Path, run_id: str, rows: dict[int, int], seen: int) -> Context:
    """One run that makes `rows` (key → value) the content of the table, having seen the log up to `seen`."""
    ctx = context(home, dag_id="d", run_id=run_id)
    name = commit_key("t", [str(sorted(rows.items()))], seen, "")
    file = home / "lake" / "staging" / "t" / f"{name}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"k": list(rows), "v": list(rows.values())}).write_parquet(file)
    unit = DataRef(id=name, kind="staging", uri=str(file), name="t", source="s", rows=len(rows), sequence=seen)
    ctx.__dict__ |= {"inputs": [unit], "considered": {"s": seen}}
    run(StoreValidatedDataSpec(dataset="t", key=("k",)), ctx)
    return ctx


def unpublish(home: Path, run_id: str) -> dict[str, Any]:
    output = run(UnpublishSpec(action="unpublish", dataset="t"), context(home, dag_id="d", run_id=run_id))
    return output.steps[0].observations


def table(home: Path) -> tuple[dict[int, int], int]:
    tables = Tables(context(home).lake.store)
    frame = tables.read("t").collect()
    return dict(zip(frame["k"], frame["v"], strict=True)), tables.consumed("t").get("s", 0)


def test_the_commits_of_a_run_are_taken_back_and_can_be_made_again(tmp_path: Path) -> None:
    store(tmp_path, "one", {1: 10, 2: 20}, 1)
    store(tmp_path, "two", {1: 11, 2: 20, 3: 30}, 2)
    store(tmp_path, "two", {1: 12, 2: 20, 3: 30}, 3)
    done = unpublish(tmp_path, "two")
    assert len(done["taken_back"]) == 2 and not done["kept"]
    assert table(tmp_path) == ({1: 10, 2: 20}, 1)
    assert unpublish(tmp_path, "two")["taken_back"] == []  # repeatable
    store(tmp_path, "three", {1: 12, 2: 20, 3: 30}, 3)  # the same work: not taken for done
    assert table(tmp_path) == ({1: 12, 2: 20, 3: 30}, 3)


def test_a_table_that_the_run_made_is_empty_again(tmp_path: Path) -> None:
    store(tmp_path, "one", {1: 10}, 1)
    assert len(unpublish(tmp_path, "one")["taken_back"]) == 1
    assert table(tmp_path) == ({}, 0)
    assert unpublish(tmp_path, "one")["taken_back"] == []
    store(tmp_path, "two", {1: 10}, 1)
    assert table(tmp_path) == ({1: 10}, 1)


def test_what_others_built_on_stays(tmp_path: Path) -> None:
    store(tmp_path, "one", {1: 10}, 1)
    store(tmp_path, "two", {1: 11}, 2)
    done = unpublish(tmp_path, "one")
    assert done["taken_back"] == [] and len(done["kept"]) == 1
    assert table(tmp_path) == ({1: 11}, 2)


def test_no_table_is_nothing_to_do(tmp_path: Path) -> None:
    assert unpublish(tmp_path, "one") == {"taken_back": [], "kept": [], "version": None}


# -- the landing log


def collect(home: Path, run_id: str, source: dict[str, Any]) -> Any:
    ctx = context(home, dag_id="d", run_id=run_id)
    (home / "lake" / "runs" / "d" / run_id / "collect" / "0" / f"1-{ctx.identity.attempt}").mkdir(parents=True)
    return collected(home, source, ctx=ctx)


def restore(home: Path, run_id: str) -> Any:
    spec = RestoreCursorSpec(action="restore_cursor", source="s")
    return restore_cursor(spec, context(home, dag_id="d", run_id=run_id))


@pytest.fixture
def source(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "a.csv").write_text("k\n1\n")
    return {"id": "s", "files": {"path": str(tmp_path / "drop" / "{name}.csv")}}


def test_what_a_run_landed_is_withdrawn_and_fetched_again(source: dict[str, Any], tmp_path: Path) -> None:
    collect(tmp_path, "one", source)
    (tmp_path / "drop" / "b.csv").write_text("k\n2\n")
    assert collect(tmp_path, "two", source).steps[0].observations["objects_new"] == 1
    assert restore(tmp_path, "two").steps[0].observations == {"withdrawn": [2], "kept": []}
    landing = context(tmp_path).landing("s")
    assert [ref.name for ref in landing.effective()] == ["a.csv"]
    assert [ref.name for ref in landing.effective(upto=2)] == ["a.csv", "b.csv"]  # as it was seen then
    assert landing.history().last == 3
    assert restore(tmp_path, "two").steps[0].observations == {"withdrawn": [], "kept": []}
    again = collect(tmp_path, "three", source)
    assert again.steps[0].observations["objects_new"] == 1
    assert [ref.name for ref in again.outputs] == ["a.csv", "b.csv"]


def test_what_a_table_took_in_is_not_withdrawn(source: dict[str, Any], tmp_path: Path) -> None:
    collect(tmp_path, "one", source)
    store(tmp_path, "one", {1: 1}, 1)
    done = restore(tmp_path, "one")
    assert done.steps[0].observations == {"withdrawn": [], "kept": [1]}
    assert [f.code for f in done.steps[0].findings] == ["cursor_kept"]
    unpublish(tmp_path, "one")
    assert restore(tmp_path, "one").steps[0].observations["withdrawn"] == [1]
