"""What a task does where a source is missing, by the states of the tasks before it; the whole is in tests/e2e."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from base_ops.orchestration.loading import load_pipeline
from base_ops.orchestration.missing_sources import go_on, plans, tell_missing

PIPELINE = """\
required_sources: {required}
sources:
  - {{id: a, files: {{path: /in/a.csv}}}}
  - {{id: b, files: {{path: /in/b.csv}}}}
tasks:
  look: {{agent: data_ingestion.scheduler, for_each: source, spec: {{action: validate_source_availability, source: "${{source}}"}}}}
  collect: {{after: look, agent: data_ingestion.collector, for_each: source, spec: {{source: "${{source}}", dataset: d}}}}
  convert:
    after: collect
    agent: data_ingestion.converter
    for_each: source
    spec: {{source: "${{source}}", target: "staging:other"}}
  merge: {{after: convert, agent: data_ingestion.merger, spec: {{dataset: d, key: [k]}}}}
  store: {{after: merge, agent: data_storage.tier_manager, spec: {{dataset: d, key: [k]}}}}
"""


def pipeline(tmp_path: Path, required: str = "any") -> Any:
    file = tmp_path / "p.yaml"
    file.write_text(PIPELINE.format(required=required))
    return load_pipeline(file, tmp_path)


def context(states: dict[str, str], handed_on: dict[int, Any] | None = None) -> dict[str, Any]:
    def pull(task_ids: str, map_indexes: int, key: str) -> Any:
        return (handed_on or {}).get(map_indexes)

    ti = SimpleNamespace(
        dag_id="d",
        run_id="r",
        get_task_states=lambda dag_id, task_ids, run_ids: {
            "r": {n: s for n, s in states.items() if n.rpartition("_")[0] in task_ids or n in task_ids}
        },
        xcom_pull=pull,
    )
    return {"ti": ti}


def test_who_takes_part_how(tmp_path: Path) -> None:
    found = plans(pipeline(tmp_path))
    assert {name: plan["role"] for name, plan in found.items()} == {
        "collect": "reads",
        "convert": "converts",
        "merge": "gathers",
    }
    assert (found["convert"]["reading"], found["merge"]["converting"]) == (["collect", "look"], ["convert"])
    assert found["convert"]["table"] == "d", "the table that is collected for, not what is staged"
    assert plans(pipeline(tmp_path, "all")) == {}


FAILED = {"look_0": "success", "look_1": "failed", "collect_0": "success", "collect_1": "skipped"}


def test_a_reader_is_left_out_for_its_own_source_alone(tmp_path: Path) -> None:
    plan = plans(pipeline(tmp_path))["collect"]
    assert go_on(context(FAILED), plan, "a") == ({}, [])
    with pytest.raises(AirflowSkipException, match="b is left out of this run: look failed"):
        go_on(context(FAILED), plan, "b")


def test_a_converter_is_told_that_its_source_is_missing(tmp_path: Path) -> None:
    plan = plans(pipeline(tmp_path))["convert"]
    assert go_on(context(FAILED), plan, "a") == ({}, [])
    assert go_on(context(FAILED), plan, "b") == ({"b": "look failed"}, [])
    with pytest.raises(AirflowSkipException, match="Every source is missing"):
        go_on(context({**FAILED, "collect_0": "failed"}), plan, "a")


BROKEN = {**FAILED, "look_1": "success", "collect_1": "success", "convert_0": "success", "convert_1": "failed"}


def test_what_a_failed_converter_handed_on_stands_in(tmp_path: Path) -> None:
    plan = plans(pipeline(tmp_path))["merge"]
    assert go_on(context(BROKEN, {1: {"result_uri": "lake/r.json"}}), plan, "") == ({}, ["lake/r.json"])
    with pytest.raises(AirflowSkipException, match="convert of b broke down and left nothing"):
        go_on(context(BROKEN), plan, "")


def test_a_required_source_holds_up_the_others(tmp_path: Path) -> None:
    states = {**FAILED, "convert_0": "success", "convert_1": "success"}
    plan = plans(pipeline(tmp_path, "[a]"))["merge"]
    assert go_on(context(states), plan, "") == ({}, [])
    plan = plans(pipeline(tmp_path, "[b]"))["merge"]
    with pytest.raises(AirflowSkipException, match="The others wait for b"):
        go_on(context(states), plan, "")


@pytest.mark.parametrize(
    ("states", "required", "says"),
    [
        (FAILED, [], r"1 of 2 sources missing: b \(look failed\). The other sources went on"),
        (FAILED, ["b"], "Nothing was stored, since b is required"),
        ({"look_0": "failed", "look_1": "failed"}, [], "Nothing was stored, since every source is missing"),
    ],
)
def test_the_run_says_what_is_missing(states: dict[str, str], required: list[str], says: str) -> None:
    with pytest.raises(AirflowFailException, match=says):
        tell_missing(["look", "collect"], ["a", "b"], required, **context(states))
    tell_missing(["look"], ["a", "b"], required, **context({"look_0": "success", "look_1": "skipped"}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("required_sources: [c]", "required_sources names 'c', which is no source here"),
        ("required_sources: all\n", ""),
    ],
)
def test_faults(text: str, says: str, tmp_path: Path) -> None:
    from base_ops.core.errors import ConfigError

    file = tmp_path / "p.yaml"
    file.write_text(PIPELINE.format(required="any").replace("required_sources: any", text))
    if not says:
        load_pipeline(file, tmp_path)
        return
    with pytest.raises(ConfigError, match=says) as caught:
        load_pipeline(file, tmp_path)
    assert "p.yaml, line 1" in caught.value.text()
