"""Uniqueness over all inputs of a task: against a plain Python model, spilling, and as the job that ships."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import DataRef, Identity, Request, Result, StepRequest
from base_ops.core.settings import Settings
from base_ops.data_quality.jobs import validator
from base_ops.data_quality.jobs.validator.unique import OFFENDERS, Offenders, find_duplicates, spill_keys, unique_check
from base_ops.data_quality.specs.validator import UniqueRule, ValidatorSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.engine.plan import POINTER, Batch
from base_ops.worker.lake import Lake
from base_ops.worker.lake.quarantine import read_quarantine
from base_ops.worker.secrets import Secrets


class Rows:
    """A reader of one frame, in batches of three rows; pointers begin at 2, as after a header."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.schema = frame.schema
        self.findings: list[Any] = []
        self.frame = frame.with_columns(pl.int_range(2, pl.len() + 2, dtype=pl.Int64).alias(POINTER))

    def batches(self):
        for start in range(0, self.frame.height, 3):
            yield Batch(self.frame.slice(start, 3))


def offenders(frames: list[pl.DataFrame], folder: Path, spec: ValidatorSpec, **options: Any) -> Path:
    bound = validator.step(spec, None)
    rules = [r for r in bound.rules if isinstance(r, UniqueRule)]
    for number, frame in enumerate(frames):
        keys = folder / f"keys-{number}"
        keys.mkdir()
        spill_keys(Rows(frame), bound, rules, number, keys)
    target = folder / "offenders.parquet"
    find_duplicates(
        sorted(folder.glob("keys-*/*")), rules[0].columns, rules[0].keep, target, temp_dir=folder, **options
    )
    return target


def model(frames: list[pl.DataFrame], columns: list[str], keep: str) -> list[tuple[int, int]]:
    """(file, line) of the offenders."""
    groups: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for file, frame in enumerate(frames):
        for line, row in enumerate(frame.select(columns).rows(), start=2):
            if any(v is not None for v in row):
                groups[repr(row)].append((file, line))
    found = [g[1:] if keep == "first" else g for g in groups.values() if len(g) > 1]
    return sorted(pointer for group in found for pointer in group)


_frame = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 3)),
        st.one_of(st.none(), st.sampled_from(["", "a", "A", "é", "e\u0301"])),
        st.one_of(st.none(), st.sampled_from([0.5, float("nan")])),
    ),
    max_size=12,
)


@settings(max_examples=25)
@given(
    tables=st.lists(_frame, min_size=1, max_size=3),
    columns=st.sampled_from([["a"], ["b", "a"], ["c"], ["a", "b", "c"]]),
    keep=st.sampled_from(["first", "none"]),
)
def test_offenders_equal_the_model(tables: list[Any], columns: list[str], keep: str, tmp_path_factory: Any) -> None:
    frames = [pl.DataFrame(t, schema={"a": pl.Int64, "b": pl.String, "c": pl.Float64}, orient="row") for t in tables]
    if not any(f.height for f in frames):
        return
    spec = ValidatorSpec(rules=[{"check": "unique", "columns": columns, "keep": keep}])
    folder = tmp_path_factory.mktemp("u")
    path = offenders(frames, folder, spec)
    found = pl.read_parquet(path)
    assert found.schema == OFFENDERS
    expected = model(frames, columns, keep)
    assert found.select("file", "line").rows() == expected
    for file, frame in enumerate(frames):  # and the check marks just these, batch by batch
        check = unique_check(spec.rules[0], Offenders(path, tuple("xyz")), file)
        marked = [
            line
            for batch in Rows(frame).batches()
            for line in batch.frame.filter(check.violated.fill_null(False))[POINTER].to_list()
        ]
        assert marked == [line for where, line in expected if where == file]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.Categorical(), ["a", "a"]),
        (pl.Int128, [2**100, 2**100]),
        (pl.Boolean, [True, True]),
        (pl.Float64, [0.0, -0.0]),
        (pl.Datetime("ns", "UTC"), [0, 0]),
        (pl.Decimal(38, 10), [1, 1]),
        (pl.Time, [0, 0]),
        (pl.Binary, [b"a", b"a"]),
    ],
)
def test_types_of_keys(dtype: Any, values: list[Any], tmp_path: Path) -> None:
    spec = ValidatorSpec(rules=[{"check": "unique", "columns": ["x"]}])
    series = pl.Series("x", values).cast(dtype) if not isinstance(values[0], bytes) else pl.Series("x", values)
    assert pl.read_parquet(offenders([series.to_frame()], tmp_path, spec))["line"].to_list() == [3]


def test_column_names_are_no_sql(tmp_path: Path) -> None:
    name = "a\"b; drop table x --'"
    spec = ValidatorSpec(rules=[{"check": "unique", "columns": [name, "file", "line"]}])
    frame = pl.DataFrame({name: [1, 1], "file": [1, 1], "line": [0, 0]})
    assert pl.read_parquet(offenders([frame], tmp_path, spec))["line"].to_list() == [3]


def test_nested_columns_are_no_keys(tmp_path: Path) -> None:
    spec = ValidatorSpec(rules=[{"check": "unique", "columns": ["x"]}])
    with pytest.raises(ConfigError) as caught:
        offenders([pl.DataFrame({"x": [[1]]})], tmp_path, spec)
    assert caught.value.code == "unfit_type"


def test_rows_that_another_rule_rejects_do_not_count(tmp_path: Path) -> None:
    spec = ValidatorSpec(rules=[{"check": "unique", "columns": ["x"]}, {"check": "presence", "column": "y"}])
    frame = pl.DataFrame({"x": [1, 1, 1], "y": [None, "good", "double"]})
    assert pl.read_parquet(offenders([frame], tmp_path, spec)).select("line", "first_line").rows() == [(4, 3)]


def test_more_keys_than_memory_spill_to_disk(tmp_path: Path) -> None:
    rows = 600_000
    frame = (
        pl.select(pl.format("a rather long key with the number {}", pl.int_range(rows) % (rows - 3)).alias("x"))
        .lazy()
        .collect()
    )
    keys = tmp_path / "k.parquet"
    frame.select(
        pl.lit(0, dtype=pl.Int32).alias("file"),
        pl.int_range(1, rows + 1, dtype=pl.Int64).alias("line"),
        pl.int_range(0, rows, dtype=pl.Int64).alias("seq"),
        pl.col("x").alias("k_x"),
    ).write_parquet(keys)
    target = tmp_path / "o.parquet"
    assert find_duplicates([keys], ["x"], "first", target, temp_dir=tmp_path, memory_mb=100) == 3
    assert pl.read_parquet(target)["line"].to_list() == [rows - 2, rows - 1, rows]


# -- the job


RULES = [
    {"check": "unique", "columns": ["id"]},
    {"check": "range", "column": "price", "min": 0},
]


def context(tmp_path: Path, frames: list[pl.DataFrame], *, attempt: str = "a1") -> Context:
    """A task whose predecessor staged the frames."""
    lake = Lake(str(tmp_path / "lake"), attempt)
    refs = []
    for number, frame in enumerate(frames):
        part = tmp_path / f"part-{number}.parquet"
        frame.with_columns(pl.int_range(2, pl.len() + 2, dtype=pl.Int64).alias(POINTER)).write_parquet(part)
        lake.store.put(part, f"staging/raw/k{number}/a0/part-0.parquet")
        refs.append(
            DataRef(
                id=f"k{number}",
                kind="staging",
                uri=lake.store.uri(f"staging/raw/k{number}/a0/part-0.parquet"),
                name="raw",
                source="feed",
                rows=frame.height,
                labels={"object": f"lake://landing/feed/day-{number}.csv"},
            )
        )
    identity = Identity(attempt=attempt)
    before = Result(status="ok", identity=identity, outputs=refs)
    lake.store.write("runs/before.json", before.model_dump_json().encode())
    request = Request(
        steps=[StepRequest(agent=validator.AGENT, action="validate_data_quality", spec={})],
        identity=identity,
        inputs=[lake.store.uri("runs/before.json")],
        lake_url=str(tmp_path / "lake"),
    )
    return Context(request, Settings(), lake, Secrets(tmp_path), logging.getLogger("test"))


def spec_of(**changes: Any) -> ValidatorSpec:
    return ValidatorSpec(**{"rules": RULES, "target": "staging:clean", "max_failure_share": 1.0, **changes})


def rows_of(output: JobOutput) -> list[list[Any]]:
    return [pl.read_parquet(ref.uri)["id"].to_list() for ref in output.outputs]


def test_needs_all_rows() -> None:
    assert validator.needs_all_rows(spec_of())
    assert not validator.needs_all_rows(ValidatorSpec(rules=RULES[1:]))
    suite = {"expectations": [{"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}}]}
    assert validator.needs_all_rows(ValidatorSpec(suite=suite))


DAYS = [
    pl.DataFrame({"id": [1, 2, 2, 3, 4], "price": [1.0, 1.0, 1.0, -1.0, None]}),
    pl.DataFrame({"id": [3, 1, 5, None, None], "price": [1.0, 1.0, 1.0, 1.0, 1.0]}),
]


def test_job_sets_doubles_aside_and_says_where_the_first_is(tmp_path: Path) -> None:
    ctx = context(tmp_path, DAYS)
    output = validator.run(spec_of(), ctx)
    assert rows_of(output) == [[1, 2, 4], [3, 5, None, None]]  # the 3 of day 0 breaks a rule, so that of day 1 stays
    assert output.steps[0].counts.model_dump(include={"rows_in", "rows_out", "quarantined"}) == {
        "rows_in": 10,
        "rows_out": 7,
        "quarantined": 3,
    }
    assert output.steps[0].observations["violations"] == {"unique_id": 2, "range_price": 1}
    folders = {ref.uri for ref in output.steps[0].quarantine}
    found = pl.concat(read_quarantine(ctx.lake.store, ctx.lake.store.path_of(uri)) for uri in sorted(folders))
    said = {(row["object"], row["line"]): row["reason"] for row in found.iter_rows(named=True)}
    assert said == {
        ("lake://landing/feed/day-0.csv", 4): "id must be unique, the first is kept (first: line 3)",
        ("lake://landing/feed/day-0.csv", 5): "price must be >= 0",
        ("lake://landing/feed/day-1.csv", 3): "id must be unique, the first is kept (first: line 2 of day-0.csv)",
    }


def test_job_keeps_none(tmp_path: Path) -> None:
    rules = [{"check": "unique", "columns": ["id"], "keep": "none"}]
    ctx = context(tmp_path, [DAYS[0]])
    output = validator.run(spec_of(rules=rules), ctx)
    assert rows_of(output) == [[1, 3, 4]]
    (ref,) = output.steps[0].quarantine
    found = read_quarantine(ctx.lake.store, ctx.lake.store.path_of(ref.uri))
    assert found["reason"].to_list() == ["id must be unique (first of 2 records)", "id must be unique (first: line 3)"]


def test_flagged_doubles_pass(tmp_path: Path) -> None:
    rules = [{"check": "unique", "columns": ["id"], "on_failure": "flag"}]
    output = validator.run(spec_of(rules=rules), context(tmp_path, DAYS[:1]))
    assert rows_of(output) == [[1, 2, 2, 3, 4]]
    assert output.steps[0].observations["violations"] == {"unique_id": 1}


def test_tolerated_share(tmp_path: Path) -> None:
    def run(share: float, folder: str) -> JobOutput:
        rules = [{"check": "unique", "columns": ["id"], "on_failure": "flag", "max_failure_share": share}]
        (tmp_path / folder).mkdir()
        return validator.run(spec_of(rules=rules), context(tmp_path / folder, DAYS[:1]))

    assert rows_of(run(0.2, "a")) == [[1, 2, 2, 3, 4]]
    with pytest.raises(BadInput) as caught:
        run(0.19, "b")
    assert caught.value.code == "too_many_violations"


def test_blocking_refuses_the_input(tmp_path: Path) -> None:
    rules = [{"check": "unique", "columns": ["id"], "on_failure": "block"}]
    with pytest.raises(BadInput) as caught:
        validator.run(spec_of(rules=rules), context(tmp_path, DAYS[:1]))
    assert caught.value.code == "blocked_by_rule"


def test_a_repeated_job_adopts_without_reading(tmp_path: Path) -> None:
    first = validator.run(spec_of(), context(tmp_path, DAYS))
    again = context(tmp_path, DAYS, attempt="a2")
    for number in range(2):
        again.lake.store.remove_tree(f"staging/raw/k{number}")
    second = validator.run(spec_of(), again)
    assert second.adopted
    assert [r.uri for r in second.outputs] == [r.uri for r in first.outputs]


def test_verdicts_depend_on_all_inputs_and_so_does_the_key(tmp_path: Path) -> None:
    alone = validator.run(spec_of(), context(tmp_path, DAYS[:1]))
    both = validator.run(spec_of(), context(tmp_path, DAYS, attempt="a2"))
    assert not both.adopted
    assert set(alone.commit_keys).isdisjoint(both.commit_keys)


def test_nothing_to_do(tmp_path: Path) -> None:
    output = validator.run(spec_of(), context(tmp_path, []))
    assert [f.code for f in output.steps[0].findings] == ["nothing_new"]


def test_other_types_in_another_input(tmp_path: Path) -> None:
    ctx = context(tmp_path, [DAYS[0], pl.DataFrame({"id": ["1"]})])
    with pytest.raises(BadInput, match="1 of 2 objects cannot be used; the others are staged") as caught:
        validator.run(spec_of(rules=RULES[:1]), ctx)
    assert caught.value.code == "schema_differs"


def test_missing_key_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'idd'.*Did you mean 'id'"):
        validator.run(spec_of(rules=[{"check": "unique", "columns": ["idd"]}]), context(tmp_path, DAYS))


def test_another_moment_is_other_work_where_freshness_is_judged(tmp_path: Path) -> None:
    def keys(moment: str, rules: list[dict[str, Any]], attempt: str) -> list[str]:
        ctx = context(
            tmp_path,
            [
                pl.DataFrame({"id": [1], "price": [1.0], "day": ["2024-01-01"]}).with_columns(
                    pl.col("day").str.to_date()
                )
            ],
            attempt=attempt,
        )
        ctx.request.identity.logical_date = moment
        return validator.run(spec_of(rules=rules), ctx).commit_keys

    fresh = [*RULES, {"check": "freshness", "column": "day", "max_age_s": 864000}]
    assert keys("2024-01-01T00:00:00Z", RULES, "a1") == keys("2024-01-02T00:00:00Z", RULES, "a2")
    assert keys("2024-01-01T00:00:00Z", fresh, "a3") != keys("2024-01-02T00:00:00Z", fresh, "a4")
