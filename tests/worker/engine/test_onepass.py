"""The one-pass engine: rows are accounted for, rejects carry pointers and reasons, the source is read once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.writing import WriteSpec
from base_ops.worker.engine.onepass import run_pass
from base_ops.worker.engine.plan import POINTER, Batch, Check, Observation, Plan, Rejected
from base_ops.worker.lake.quarantine import Quarantine, read_quarantine
from base_ops.worker.lake.store import Store


class Frames:
    """A reader over frames in memory; counts how often it is read."""

    def __init__(self, frames: list[pl.DataFrame], refused: list[Rejected] | None = None) -> None:
        self.schema = pl.Schema({k: v for k, v in frames[0].schema.items() if k != POINTER})
        self.findings: list[Finding] = []
        self.frames, self.refused, self.reads = frames, refused or [], 0

    def batches(self) -> Iterator[Batch]:
        self.reads += 1
        for number, frame in enumerate(self.frames):
            yield Batch(frame, self.refused if number == 0 else [])


class Positive:
    agent, action = "data_quality.validator", "validate_data_quality"

    def __init__(self, *, block: bool = False) -> None:
        self.block = block

    def plan(self, schema: pl.Schema) -> Plan:
        return Plan(
            checks=(
                Check("positive", pl.col("x") <= 0, "x must be positive", "x", block=self.block),
                Check("small", pl.col("x") > 100, "x must be small", "x"),
                Check("odd", pl.col("x") % 2 == 1, "x is odd", "x", severity="flag"),
            ),
            observations=(Observation("sum_x", pl.col("x").sum()), Observation("max_x", pl.col("x").max(), "max")),
        )


class Hide:
    agent, action = "data_security.masker", "mask"

    def plan(self, schema: pl.Schema) -> Plan:
        return Plan(transforms=(pl.lit("***").alias("name"),), column_inputs={"name": ["name"]})


def frame(xs: list[int | None], start: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        {"x": xs, "name": [f"n{x}" for x in xs], POINTER: list(range(start, start + len(xs)))},
        schema={"x": pl.Int64, "name": pl.String, POINTER: pl.Int64},
    )


def make(tmp_path: Path, reader: Frames, steps: list, *, sensitive: tuple[str, ...] = (), kind: str = "parquet"):
    store = Store(str(tmp_path / "lake"))
    quarantine = Quarantine(store, "quarantine/d/k/a", tmp_path, sensitive)
    done = run_pass(
        reader,
        steps,
        tmp_path / "out",
        object_uri="lake://object",
        dataset="src",
        kind=kind,
        write=WriteSpec(),
        quarantine=quarantine,
    )
    refs = quarantine.finish()
    rejected = read_quarantine(store, "quarantine/d/k/a") if refs else pl.DataFrame()
    return done, refs, rejected


def test_a_chain_reads_once_and_accounts_for_every_row(tmp_path: Path) -> None:
    refused = [Rejected(3, "ragged_long", "5 cells, expected 2", raw=b"a,b,c,d,e", byte_start=10, byte_end=19)]
    reader = Frames([frame([1, -2, None]), frame([200, 4], start=5)], refused)
    done, refs, rejected = make(tmp_path, reader, [Positive(), Hide()])

    assert reader.reads == 1
    assert pl.read_parquet(tmp_path / "out").to_dict(as_series=False) == {"x": [1, None, 4], "name": ["***"] * 3}
    first, second = (s.counts for s in done.stages)
    assert (first.rows_in, first.rows_out, first.quarantined) == (6, 3, 3)
    assert (second.rows_in, second.rows_out, second.quarantined) == (3, 3, 0)
    assert first.balance() == second.balance() == 0
    assert done.stages[0].violations == {"ragged_long": 1, "positive": 1, "small": 1, "odd": 1}
    assert {(q.rule, q.rows) for q in refs[0]} == {("ragged_long", 1), ("positive", 1), ("small", 1)}
    assert rejected.sort("line").select("line", "rule", "reason").rows() == [
        (2, "positive", "x must be positive"),
        (3, "ragged_long", "5 cells, expected 2"),
        (5, "small", "x must be small"),
    ]
    assert json.loads(rejected.filter(pl.col("line") == 2)["view"][0]) == {"x": -2, "name": "n-2"}


def test_observations_are_of_the_rows_that_passed(tmp_path: Path) -> None:
    done, _, _ = make(tmp_path, Frames([frame([1, -2]), frame([200, 4], start=3)]), [Positive()])
    assert done.stages[0].observed == {"sum_x": 5, "max_x": 4}


def test_sensitive_columns_are_masked_in_views(tmp_path: Path) -> None:
    refused = [Rejected(9, "type", "bad", raw=b"secret-name,7")]
    _, _, rejected = make(tmp_path, Frames([frame([-1])], refused), [Positive()], sensitive=("name",))
    assert "n-1" not in "".join(rejected["view"]) and "secret-name" not in "".join(rejected["view"])
    assert json.loads(rejected.filter(pl.col("rule") == "positive")["view"][0])["name"] == "***"


def test_a_reason_does_not_quote_a_sensitive_cell(tmp_path: Path) -> None:
    refused = [
        Rejected(9, "type", "name: 'ann o\\'neill' is not int64", column="name"),
        Rejected(10, "type", "x: 'abc' is not int64", column="x"),
        Rejected(11, "flood", "and so on", records=7),
    ]
    done, refs, rejected = make(tmp_path, Frames([frame([1])], refused), [Positive()], sensitive=("name",))
    assert rejected["reason"].to_list() == ["name: '***' is not int64", "x: 'abc' is not int64", "and so on"]
    assert {q.rule: q.rows for q in refs[0]} == {"type": 2, "flood": 7}
    assert done.stages[0].counts.quarantined == sum(q.rows for q in refs[0]) == 9


def test_a_blocking_rule_refuses_the_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="blocks the whole input") as caught:
        make(tmp_path, Frames([frame([1, -2])]), [Positive(block=True)])
    assert caught.value.code == "blocked_by_rule"


def test_an_error_of_the_reader_arrives_unchanged(tmp_path: Path) -> None:
    class Broken(Frames):
        def batches(self) -> Iterator[Batch]:
            yield Batch(self.frames[0])
            raise BadInput("the file ends in the middle", code="truncated")

    with pytest.raises(BadInput) as caught:
        make(tmp_path, Broken([frame([1])]), [Positive()])
    assert caught.value.code == "truncated"


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("parquet", pl.read_parquet),
        ("csv", pl.read_csv),
        ("ndjson", pl.read_ndjson),
        ("json", pl.read_json),
        ("arrow", pl.read_ipc),
    ],
)
def test_every_sink_writes_the_same_rows(tmp_path: Path, kind: str, read) -> None:
    make(tmp_path, Frames([frame([1, 2]), frame([3], start=3)]), [Hide()], kind=kind)
    assert read(tmp_path / "out").select("x", "name").rows() == [(1, "***"), (2, "***"), (3, "***")]


@settings(max_examples=25)
@given(st.lists(st.lists(st.none() | st.integers(-5, 150), max_size=6), min_size=1, max_size=5))
def test_any_split_into_batches_gives_the_same_rows_and_counts(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int | None]]
) -> None:
    flat = [x for part in parts for x in part]
    starts = [1 + sum(len(p) for p in parts[:n]) for n in range(len(parts))]
    tmp_path = tmp_path_factory.mktemp("pass")
    done, _, rejected = make(tmp_path, Frames([frame(p, s) for p, s in zip(parts, starts, strict=True)]), [Positive()])
    good = [x for x in flat if x is None or 0 < x <= 100]
    assert pl.read_parquet(tmp_path / "out")["x"].to_list() == good
    counts = done.stages[0].counts
    assert (counts.rows_in, counts.rows_out, counts.quarantined) == (len(flat), len(good), len(flat) - len(good))
    assert rejected.height == counts.quarantined
