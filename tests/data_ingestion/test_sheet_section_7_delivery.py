"""The checks of the module's sheet, section 7, that concern what arrives, under their numbers: 5, 6 and 9."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from chaos.world import World
from fakes.collecting import Asked, Reply, StillClock, collected, connect, context, page, serving

from base_ops.core.errors import BadInput
from base_ops.core.protocol import DataRef
from base_ops.data_ingestion.jobs.collector.stream import process
from base_ops.data_ingestion.specs.collector import ProcessStreamingDataSpec
from base_ops.data_quality.jobs.validator import run as validate
from base_ops.data_quality.specs.validator import ValidatorSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.context import JobOutput
from base_ops.worker.inside import result_of
from base_ops.worker.lake.tables import Tables


@pytest.mark.slow
def test_7_5_killed_in_a_download_and_in_a_merge_the_rerun_gives_the_same_bytes(tmp_path: Path) -> None:
    world = World(tmp_path / "in", tmp_path / "lake")
    world.write_inputs(rows=100)
    world.run_all()
    published, landed, table = world.published(), objects(world.lake), world.table()
    assert len(table) > 50 and len(landed) == 4
    shutil.rmtree(world.lake)
    kills = {"collect_a": "collector.after_download:2", "merge": "merge.batch"}
    for task, steps, before in world.stages():
        if task in kills:
            code, log = world.run(task, steps, before, kills[task])
            assert code == -9, f"{task} was not killed: {log}"
        code, log = world.run(task, steps, before)
        assert code in (0, 3), log
    assert (world.published(), objects(world.lake), world.table()) == (published, landed, table)


def objects(lake: Path) -> set[str]:
    """The landed objects, which bear the sha256 of their bytes."""
    return {file.name for file in (lake / "landing").rglob("*") if file.is_file() and file.parent.name != "_log"}


# -- 7.6: delivered twice


def test_7_6_the_same_file_twice(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "a.csv").write_text("k,v\n1,2\n")
    source = {"id": "drop", "files": {"path": str(drop / "{name}.csv")}}
    assert len(collected(tmp_path, source).outputs) == 1
    (drop / "a.csv").write_text("k,v\n1,2\n")  # delivered again: a new file, the same bytes
    again = collected(tmp_path, source, StillClock())
    assert again.steps[0].observations["objects_new"] == 0 and len(again.outputs) == 1
    (drop / "b.csv").write_text("k,v\n1,2\n")
    other = collected(tmp_path, source)
    assert kinds(other) >= {"duplicate_found"}
    assert len({ref.sha256 for ref in other.outputs}) == 1


def test_7_6_the_same_page_twice(tmp_path: Path) -> None:
    """An API that hands out page 1 as page 2 again: both land, one copy of the records passes."""
    records = [{"k": n, "v": n * 2} for n in range(5)]
    pages = {None: page(records, "2"), "2": page(records, "3"), "3": page([{"k": 9, "v": 1}])}
    source = {
        "id": "api",
        "connection": "api",
        "http": {"path": "/v", "auth": "bearer", "paging": {"style": "cursor"}, "records": "data"},
        "read": {"format": "json", "records": "data"},
        "mode": "append",
    }
    with serving(lambda asked: pages[asked.params.get("cursor")]) as server:
        connect(tmp_path, "api", conn_type="http", host=f"http://127.0.0.1:{server.port}", password="token-1234")
        output = collected(tmp_path, source)
    assert len(output.outputs) == 3
    staged = convert(tmp_path, source, output)
    ctx = context(tmp_path)
    ctx.__dict__["input_results"] = [result_of(ctx, staged)]
    judged = validate(ValidatorSpec(rules=[{"check": "unique", "columns": ["k"]}], max_failure_share=1.0), ctx)
    rows = pl.concat([pl.read_parquet(ref.uri) for ref in judged.outputs])
    assert sorted(rows["k"]) == [0, 1, 2, 3, 4, 9]
    assert kinds(judged) == {"duplicate_found"} and judged.steps[0].counts.quarantined == 5


def convert(home: Path, source: dict[str, Any], before: JobOutput) -> JobOutput:
    from base_ops.data_ingestion.jobs import converter
    from base_ops.data_ingestion.specs.converter import ConverterSpec
    from base_ops.worker.engine.chain import run_chain

    ctx = context(home)
    ctx.__dict__["input_results"] = [result_of(ctx, before)]
    spec = ConverterSpec.model_validate({"source": source, "target": "staging:v"})
    return run_chain([converter], [spec], ctx)


def kinds(output: JobOutput) -> set[str]:
    return {str(event["type"]) for step in output.steps for event in step.events if "duplicate" in str(event["type"])}


# -- 7.9: poison messages, and 7.6 for messages


def stream(values: list[str], per_answer: int = 1000) -> Any:
    """Server-sent events, their ids from 1; 204 when there is no more."""

    def script(asked: Asked) -> Reply:
        after = int(asked.headers.get("last-event-id") or 0)
        events = [f"id: {n}\ndata: {value}\n\n" for n, value in enumerate(values, 1) if n > after][:per_answer]
        kind = {"Content-Type": "text/event-stream"}
        return Reply(body="".join(events).encode(), headers=kind) if events else Reply(status=204)

    return script


def spec(**sse: Any) -> ProcessStreamingDataSpec:
    source = {
        "id": "ticks",
        "connection": "api",
        "sse": {"path": "/s", "auth": "bearer", "idle_s": 1, "rate": None, **sse},
        "mode": "append",
        "read": {"format": "ndjson", "columns": [{"name": "n", "source_name": "value.n", "type": "int64"}]},
    }
    convert = {"agent": "data_ingestion.converter", "spec": {"source": source, "target": "staging:ticks"}}
    convert["spec"]["whole_slices"] = False
    unique = {"agent": "data_quality.validator", "spec": {"rules": [{"check": "unique", "columns": ["n"]}]}}
    unique["spec"] |= {"max_failure_share": 0.5, "action": "validate_streaming_data"}
    store = {"action": "store_streaming_data", "dataset": "ticks", "key": ["n"], "missing_rows": "keep"}
    then = [[convert], [unique], [{"agent": "data_storage.tier_manager", "spec": store}]]
    return ProcessStreamingDataSpec.model_validate(
        {"action": "process_streaming_data", "source": source, "dataset": "ticks", "then": then, "idle_parts": 1}
    )


def processed(home: Path, values: list[str], **sse: Any) -> JobOutput:
    with serving(stream(values)) as server:
        connect(home, "api", conn_type="http", host=f"http://127.0.0.1:{server.port}", password="token-1234")
        return process(spec(**sse), context(home), Clock())


def table(home: Path) -> list[int]:
    return sorted(Tables(context(home).lake.store).read("ticks").collect()["n"])


def test_7_6_the_same_message_twice(tmp_path: Path) -> None:
    values = [json.dumps({"n": n}) for n in (1, 2, 2, 3, 3, 4)]
    done = processed(tmp_path, values)
    assert table(tmp_path) == [1, 2, 3, 4]
    assert kinds(done) == {"duplicate_found"}
    again = [*values, json.dumps({"n": 4}), json.dumps({"n": 5})]  # 4 comes again in another part
    processed(tmp_path, again)
    assert table(tmp_path) == [1, 2, 3, 4, 5]


def test_7_9_a_poison_message_holds_up_nobody(tmp_path: Path) -> None:
    values = [json.dumps({"n": n}) if n % 10 else "{torn" for n in range(1, 41)]
    done = processed(tmp_path, values, max_messages=15)
    assert table(tmp_path) == [n for n in range(1, 41) if n % 10]
    assert done.cursor_after == {"last_event_id": "40"}
    assert done.steps[0].observations["dead_letters"] == 4
    told = [e for step in done.steps for e in step.events if e["type"] == "dead_lettered"]
    assert {e["subject"] for e in told} == {"ingestion.dlq"} and sum(e["data"]["messages"] for e in told) == 4
    landing = context(tmp_path).landing("ticks")
    dead = [json.loads(line) for d in landing.history().dead_letters.values() for line in lines(tmp_path, d.stored)]
    assert len(dead) == 4 and {d["rule"] for d in dead} == {"not_json"}


def lines(home: Path, stored: str) -> list[str]:
    return (home / "lake" / stored).read_text().splitlines()


def test_7_9_many_are_an_alert_and_more_a_pause(tmp_path: Path) -> None:
    """The sheet's 1000 and 10,000, scaled to 10 and 30."""
    limits = {"dead_letters_alert": 10, "dead_letters_limit": 30, "max_messages": 8}
    values = ["{torn"] * 60 + [json.dumps({"n": 1})]
    done = processed(tmp_path, values[:12], **limits)
    told = {str(e["type"]) for step in done.steps for e in step.events if e["subject"] == "ingestion.dlq"}
    assert told == {"dead_lettered", "dead_letter_queue_long"}
    done = processed(tmp_path, values, **limits)
    told = {str(e["type"]) for step in done.steps for e in step.events if e["subject"] == "ingestion.dlq"}
    assert "dead_letter_queue_full" in told
    history = context(tmp_path).landing("ticks").history()
    assert history.dead_messages == 30 and history.cursor == {"last_event_id": "30"}  # nothing is discarded
    with pytest.raises(BadInput, match="paused"):
        processed(tmp_path, values, **limits)
    landing = context(tmp_path).landing("ticks")
    landing.settle(landing.history().dead_letters)
    processed(tmp_path, values[:30] + values[-1:], **limits)
    assert table(tmp_path) == [1]


def test_what_was_landed_and_not_stored_is_taken_in_first(tmp_path: Path) -> None:
    """A stream's job killed between landing and storing: the next one begins with what the table lacks."""
    values = [json.dumps({"n": n}) for n in range(1, 9)]
    with serving(stream(values[:4])) as server:
        connect(tmp_path, "api", conn_type="http", host=f"http://127.0.0.1:{server.port}", password="token-1234")
        collected(tmp_path, spec().source.model_dump(exclude_unset=True), dataset="ticks")
    done = processed(tmp_path, values)
    assert table(tmp_path) == list(range(1, 9))
    assert isinstance(done.outputs[0], DataRef) and done.outputs[0].rows == 8
