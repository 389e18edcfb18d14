"""The merger as a job: slices, commit keys, adoption, accounts, and stand-alone use."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from base_ops.core.errors import ConfigError
from base_ops.core.ids import uuid7
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import DataRef, Identity, Request, Result, StepRequest
from base_ops.core.settings import Settings
from base_ops.data_ingestion.jobs.merger import run
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.engine.plan import POINTER, fields_of
from base_ops.worker.lake import Lake
from base_ops.worker.lake.quarantine import read_quarantine
from base_ops.worker.secrets import Secrets

KEY = ["symbol", "day"]


class World:
    """A lake with staged parts, and merges in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.refs: list[DataRef] = []
        self.sensitive: list[str] = []

    def stage(self, source: str, frame: pl.DataFrame, slice: str = "all", sequence: int = 1) -> DataRef:
        name = f"part-{len(self.refs)}"
        path = self.home / "lake" / "staging" / "quotes" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.with_row_index(POINTER, 1).with_columns(pl.col(POINTER).cast(pl.Int64)).write_parquet(path)
        ref = DataRef(
            id=f"id-{name}",
            kind="staging",
            uri=str(path),
            name="quotes",
            source=source,
            slice=slice,
            rows=frame.height,
            bytes=path.stat().st_size,
            sequence=sequence,
            fields=fields_of(frame.schema),
            labels={"object": f"landing/{source}/{name}.csv", "symbol": slice},
        )
        self.refs.append(ref)
        return ref

    def context(self) -> Context:
        settings = Settings(home=self.home)
        attempt = uuid7()
        before = Result(status=Outcome.OK, identity=Identity(attempt=attempt), outputs=self.refs)
        request = Request(
            steps=[StepRequest(agent="data_ingestion.merger", action="merge_processed_files", spec={})],
            identity=Identity(attempt=attempt),
            inputs=[settings.lake + "/runs/before.json"],
            sensitive_columns=self.sensitive,
            lake_url=settings.lake,
        )
        lake = Lake(settings.lake, attempt)
        lake.store.write("runs/before.json", before.model_dump_json().encode())
        return Context(request, settings, lake, Secrets(settings.connections), logging.getLogger("test"))

    def merge(self, **spec: Any) -> JobOutput:
        return run(MergerSpec.model_validate({"dataset": "quotes", "key": KEY, **spec}), self.context())

    def read(self, output: JobOutput) -> pl.DataFrame:
        return pl.concat(pl.read_parquet(ref.uri) for ref in output.outputs)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def quotes(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema={"symbol": pl.String, "day": pl.Int64, "bid": pl.Float64, "ask": pl.Float64}, orient="row"
    )


def two_slices(world: World) -> None:
    world.stage("oanda", quotes(("EUR", 1, 1.0, 1.1), ("EUR", 2, 2.0, 2.1)), "EUR", 3)
    world.stage("fxcm", quotes(("EUR", 1, 1.5, 1.6), (None, 2, 9.0, 9.0)), "EUR", 7)
    world.stage("fxcm", quotes(("GBP", 1, 5.0, 5.1), ("GBP", 1, 5.0, 5.1)), "GBP", 7)


def test_slices_are_works_of_their_own_and_one_account(world: World) -> None:
    two_slices(world)
    output = world.merge(priority=["oanda"], default={"rule": "priority"})
    eur, gbp = output.outputs
    assert [(o.slice, o.name, o.source, o.rows, o.sequence) for o in output.outputs] == [
        ("EUR", "quotes", "", 2, 7),
        ("GBP", "quotes", "", 1, 7),
    ]
    assert world.read(output).rows() == [
        ("EUR", 1, 1.0, 1.1, 0),
        ("EUR", 2, 2.0, 2.1, 0),
        ("GBP", 1, 5.0, 5.1, 0),
    ]
    assert json.loads(eur.labels["sources"]) == ["oanda", "fxcm"] and json.loads(gbp.labels["sources"]) == ["fxcm"]
    assert json.loads(eur.labels["lineage"]) == {"bid": "_src_bid", "ask": "_src_bid"}
    (step,) = output.steps
    counts = step.counts
    assert (counts.rows_in, counts.rows_out, counts.quarantined, counts.merged_away) == (6, 3, 1, 2)
    assert counts.balance() == 0 and counts.bytes_in > 0 and counts.bytes_out == (eur.bytes or 0) + (gbp.bytes or 0)
    assert {f.code for f in step.findings} == {"conflicts", "inconsistent"}
    assert next(f for f in step.findings if f.code == "conflicts").data == {
        "field": "bid",
        "rule": "priority",
        "conflicts": 1,
        "overruled": 1,
        "wins": {"oanda": 1},
    }
    assert [(e["type"], e["subject"]) for e in step.events] == [
        ("conflict_detected", "quotes"),
        ("merge_completed", "quotes"),
    ]
    assert [c.inputs for c in output.lineage.columns if c.column == "bid"] == [[("quotes", "bid")]]
    assert output.commit_keys == [eur.id, gbp.id] and not output.adopted


def test_records_without_a_key_are_found_in_quarantine(world: World) -> None:
    two_slices(world)
    world.sensitive = ["bid"]
    output = world.merge()
    (quarantine,) = output.steps[0].quarantine
    store = world.context().lake.store
    (row,) = read_quarantine(store, store.path_of(quarantine.uri)).rows(named=True)
    assert (row["object"], row["line"], row["rule"], row["column"]) == (
        "landing/fxcm/part-1.csv",
        2,
        "null_key",
        "symbol",
    )
    assert json.loads(row["view"]) == {"symbol": None, "day": 2, "bid": "***", "ask": 9.0}
    log = pl.read_parquet(output.outputs[0].labels["conflicts"]).rows(named=True)
    assert [(r["field"], r["winner_value"], r["loser_value"], r["loser_object"], r["loser_line"]) for r in log] == [
        ("bid", "***", "***", "landing/oanda/part-0.csv", 1),
        ("ask", "1.6", "1.1", "landing/oanda/part-0.csv", 1),
    ]


def test_the_same_work_is_adopted_and_new_input_is_new_work(world: World) -> None:
    two_slices(world)
    first = world.merge()
    again = world.merge()
    assert again.adopted and again.outputs == first.outputs and again.steps == first.steps
    world.refs.reverse()
    assert world.merge().adopted
    assert not world.merge(default={"rule": "first_write_wins"}).adopted
    world.stage("oanda", quotes(("EUR", 1, 4.0, 4.1)), "EUR", 9)
    late = world.merge()
    assert not late.adopted and world.read(late).filter(day=1, symbol="EUR")["bid"].to_list() == [4.0]
    assert late.commit_keys[1] == first.commit_keys[1] and late.commit_keys[0] != first.commit_keys[0]


def test_nothing_new(world: World) -> None:
    output = world.merge()
    assert [f.code for f in output.steps[0].findings] == ["nothing_new"]
    assert output.outputs == [] and output.steps[0].counts.rows_in == 0


@pytest.mark.parametrize(
    "spec",
    [
        {"fields": [{"fields": ["bidd"], "rule": "max"}]},
        {"default": {"rule": "last_write_wins", "by": "bidd"}},
        {"fields": [{"fields": ["ask"], "rule": "last_write_wins", "by": "bidd"}]},
    ],
)
def test_a_name_that_no_input_bears_is_a_mistake(spec: dict[str, Any], world: World) -> None:
    two_slices(world)
    with pytest.raises(ConfigError, match="Did you mean 'bid'") as caught:
        world.merge(**spec)
    assert caught.value.code == "unknown_column"


def test_a_column_that_only_another_slice_has_is_none(world: World) -> None:
    two_slices(world)
    world.stage("fxcm", quotes(("USD", 1, 1.0, 1.0)).with_columns(volume=pl.lit(7)), "USD")
    output = world.merge(fields=[{"fields": ["volume"], "rule": "sum"}])
    assert [pl.read_parquet_schema(ref.uri).names()[-1] for ref in output.outputs] == [
        "_src_bid",
        "_src_bid",
        "_src_bid",
    ]
    assert "volume" in pl.read_parquet_schema(output.outputs[2].uri)


def test_a_killed_merge_leaves_nothing_and_the_next_one_publishes(world: World) -> None:
    two_slices(world)
    ctx = world.context()
    spec = {"dataset": "quotes", "key": KEY}
    request = ctx.request.model_copy(
        update={
            "steps": [StepRequest(agent="data_ingestion.merger", action="merge_processed_files", spec=spec)],
            "result_uri": ctx.lake.store.uri("runs/merge.json"),
        }
    )
    file = world.home / "request.json"
    file.write_text(request.model_dump_json())
    command = [sys.executable, "-m", "base_ops.worker", "--request", str(file)]
    for point in ("merge.before_read", "merge.batch", "merge.after_write", "merge.before_publish:2"):
        done = subprocess.run(command, env={**os.environ, "BASE_FAILPOINT": point}, capture_output=True, check=False)
        assert done.returncode == -9, done.stderr
        folders = [p for p in (world.home / "lake/staging/quotes").iterdir() if p.is_dir()]
        assert len([f for f in folders if (f / "_manifest.json").exists()]) == (1 if point.endswith(":2") else 0)
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 3, done.stderr  # partial: one record is in quarantine
    result = Result.model_validate_json((world.home / "lake/runs/merge.json").read_bytes())
    assert result.counts.rows_out == 3 and not result.adopted
    assert world.merge().adopted


# -- stand-alone use


def test_files_into_a_folder(world: World, tmp_path: Path) -> None:
    frames = {
        "a": [quotes(("EUR", 1, 1.0, 1.1), (None, 1, 0.0, 0.0)), quotes(("EUR", 1, 2.0, 2.1))],
        "b": [quotes(("EUR", 2, 3.0, 3.1))],
    }
    inputs: dict[str, list[str]] = {}
    for source, parts in frames.items():
        for number, part in enumerate(parts):
            part.write_parquet(tmp_path / f"{source}{number}.parquet")
            inputs.setdefault(source, []).append(str(tmp_path / f"{source}{number}.parquet"))
    target = tmp_path / "out"
    spec = {"inputs": inputs, "target": str(target)}
    output = world.merge(**spec)
    assert pl.read_parquet(target / "part-0.parquet").rows() == [("EUR", 1, 2.0, 2.1, 0), ("EUR", 2, 3.0, 3.1, 1)]
    assert sorted(p.name for p in target.iterdir()) == ["conflicts.parquet", "part-0.parquet", "quarantine"]
    (ref,) = output.outputs
    assert (ref.kind, ref.rows, ref.uri, output.steps[0].counts.balance()) == (
        "file",
        2,
        str(target / "part-0.parquet"),
        0,
    )
    before = (target / "part-0.parquet").read_bytes()
    assert world.merge(**spec).outputs[0].sha256 == ref.sha256 and (target / "part-0.parquet").read_bytes() == before
    with pytest.raises(ConfigError, match="not there"):
        world.merge(inputs={"a": [str(tmp_path / "nowhere.parquet")]}, target=str(target))


# -- other people's data

COLUMNS = [
    "bid_open",
    "bid_high",
    "bid_low",
    "bid_close",
    "bid_size",
    "ask_open",
    "ask_high",
    "ask_low",
    "ask_close",
    "ask_size",
]


@pytest.mark.corpora
def test_two_vendors_of_euro_dollar(world: World) -> None:
    frames = {}
    for vendor in ("oanda", "fxcm"):
        folder = Path(os.environ["BASE_CORPORA"]) / "market-data-fx-crypto" / "forex" / vendor / "daily"
        with zipfile.ZipFile(folder / "eurusd.zip") as archive, archive.open(archive.namelist()[0]) as file:
            frame = pl.read_csv(
                file.read(),
                has_header=False,
                new_columns=["time", *COLUMNS],
                schema_overrides=[pl.String] + [pl.Float64] * 10,
            )
        frames[vendor] = frame.with_columns(pl.col("time").str.to_datetime("%Y%m%d %H:%M"))
        world.stage(vendor, frames[vendor])
    output = world.merge(key=["time"], priority=["oanda", "fxcm"], default={"rule": "priority"})
    counts = output.steps[0].counts
    assert (counts.rows_in, counts.rows_out, counts.merged_away, counts.quarantined) == (7225, 3743, 3482, 0)
    rows = world.read(output)
    for number, vendor in enumerate(("oanda", "fxcm")):
        own = rows.filter(pl.col("_src_bid_open") == number).drop("_src_bid_open")
        assert own.join(frames[vendor], on=["time", *COLUMNS], nulls_equal=True).height == own.height > 0
    assert rows["_src_bid_open"].value_counts().sort("count")["count"].to_list() == [5, 3738]
