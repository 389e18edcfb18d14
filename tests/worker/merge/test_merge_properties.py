"""The engine against a merge by hand, for every rule; and what must never change the bytes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from merge_by_hand import TYPES, Table, by_hand

from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.lake.quarantine import Quarantine
from base_ops.worker.lake.store import Store
from base_ops.worker.merge import CONFLICTS, PART, Merged, SourceFile, engine, merge, streams

SOURCES = ("x", "y", "z")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "k": st.one_of(st.none(), st.integers(0, 2)),
    "j": st.sampled_from(["p", "q"]),
    "t": st.one_of(st.none(), st.integers(0, 2)),
    "a": st.one_of(st.none(), st.sampled_from([0.5, 1.0, 1.25, -3.0])),
    "b": st.one_of(st.none(), st.sampled_from([0.0, 10.0, 10.5])),
    "c": st.one_of(st.none(), st.integers(-2, 2)),
    "s": st.one_of(st.none(), st.sampled_from(["", "u", "v"])),
}


@st.composite
def tables(draw: st.DrawFn) -> list[Table]:
    made = []
    for number in range(draw(st.integers(1, 4))):
        lacks = draw(st.sets(st.sampled_from(["t", "a", "b", "c", "s"]), max_size=2))
        columns = tuple(c for c in TYPES if c not in lacks)
        lines = draw(st.lists(st.fixed_dictionaries({c: VALUES[c] for c in columns}), max_size=6))
        if draw(st.booleans()):
            lines.sort(key=lambda row: (row["k"] is None, row["k"] or 0, row["j"]))
        numbered = [{"_line": line // draw(st.integers(1, 2)) + 1, **row} for line, row in enumerate(lines)]
        made.append(Table(draw(st.sampled_from(SOURCES)), draw(st.integers(1, 2)), f"f{number}", columns, numbered))
    return made


def record_rule(**more: Any) -> st.SearchStrategy[dict[str, Any]]:
    ordered = st.fixed_dictionaries(
        {"rule": st.sampled_from(["last_write_wins", "first_write_wins"]), "by": st.sampled_from([None, "t"])}
    )
    return st.one_of(ordered, st.just({"rule": "most_recent", "by": "t"}), st.just({"rule": "priority"})).map(
        lambda rule: {**rule, **more}
    )


def single(name: str, *, numeric: bool) -> st.SearchStrategy[dict[str, Any]]:
    rules = [record_rule(fields=[name], ignore_nulls=False), record_rule(fields=[name])]
    rules += [st.just({"fields": [name], "rule": rule}) for rule in ("min", "max")]
    if numeric:
        rules += [
            st.just({"fields": [name], "rule": "sum"}),
            st.just({"fields": [name], "rule": "max", "tolerance": 0.5}),
            st.sampled_from([None, "t"]).map(lambda by: {"fields": [name], "rule": "weighted_average", "by": by}),
            st.just({"fields": [name], "rule": "expression", "expression": 'coalesce("y", x + z, x)'}),
        ]
    return st.one_of(rules)


@st.composite
def specs(draw: st.DrawFn) -> MergerSpec:
    fields = [draw(single(name, numeric=name != "s")) for name in draw(st.sets(st.sampled_from(["a", "c", "s"])))]
    grouped = {name for item in fields for name in item["fields"]}
    if "a" not in grouped and draw(st.booleans()):
        fields.append(draw(record_rule(fields=["a", "b"])))
    return MergerSpec.model_validate(
        {
            "dataset": "d",
            "key": draw(st.sampled_from([["k"], ["k", "j"]])),
            "fields": fields,
            "default": draw(st.one_of(st.none(), record_rule())),
            "priority": draw(st.sampled_from([[], ["z"], ["y", "x", "z"]])),
            "weights": {"x": 1.0, "y": 2.0, "z": 0.5},
        }
    )


@contextmanager
def merged(files: list[Table] | list[SourceFile], spec: MergerSpec) -> Iterator[tuple[Merged, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        inputs = [f.write(root) if isinstance(f, Table) else f for f in files]
        quarantine = Quarantine(Store(folder), "quarantine", root, [])
        done = merge(inputs, spec, root, quarantine, threads=2)
        quarantine.finish()
        yield done, root


@settings(max_examples=120)
@given(tables(), specs())
def test_as_by_hand(files: list[Table], spec: MergerSpec) -> None:
    files = [t for t in files if {*spec.key} <= {*t.columns}]
    expected = by_hand(files, spec)
    with merged(files, spec) as (done, root):
        frame = pl.read_parquet(root / PART)
        log = pl.read_parquet(root / CONFLICTS)
    assert (done.rows_in, done.quarantined, done.rows_out) == (expected.records, expected.null_keys, len(expected.rows))
    assert done.rows_in == done.rows_out + done.quarantined + done.merged_away
    keys = frame.select(spec.key).rows()
    assert keys == sorted(expected.rows)
    for key, row in zip(keys, frame.iter_rows(named=True), strict=True):
        for name, value in expected.rows[key].items():
            exact = not any(f.rule == "weighted_average" and name in f.fields for f in spec.fields)
            assert row[name] == (value if exact or value is None else pytest.approx(value, rel=1e-12)), name
            assert row[done.lineage[name]] == expected.sources[key][name], name
    found = {
        (tuple(r[k] for k in spec.key), r["field"], r["loser_object"], r["loser_line"])
        for r in log.iter_rows(named=True)
    }
    assert found == expected.conflicts
    assert sum(c.overruled for c in done.conflicts) == log.height == done.conflict_rows
    for tally in done.conflicts:
        assert tally.conflicts == len({key for key, name, _, _ in expected.conflicts if name == tally.name})
        assert tally.conflicts == sum(tally.wins.values())


def digest(root: Path) -> list[str]:
    return [hashlib.sha256((root / name).read_bytes()).hexdigest() for name in (PART, CONFLICTS)]


@settings(max_examples=25)
@given(tables(), specs(), st.randoms(use_true_random=False))
def test_the_order_of_files_is_without_effect(files: list[Table], spec: MergerSpec, random: Any) -> None:
    shuffled = list(files)
    random.shuffle(shuffled)
    with merged(files, spec) as (_, one), merged(shuffled, spec) as (_, other):
        assert digest(one) == digest(other)


@settings(max_examples=25)
@given(tables(), specs(), st.integers(0, 6))
def test_how_records_are_spread_over_files_is_without_effect(files: list[Table], spec: MergerSpec, cut: int) -> None:
    parts = []
    for table in files:
        for number, row in enumerate(table.rows):
            row["_line"] = number + 1
        for half, lines in (("a", table.rows[:cut]), ("b", table.rows[cut:])):
            parts.append(Table(table.source, table.sequence, table.name + half, table.columns, lines))
    with merged(files, spec) as (_, one), merged(parts, spec) as (_, other):
        assert pl.read_parquet(one / PART).equals(pl.read_parquet(other / PART))
        assert digest(one)[0] == digest(other)[0]


def test_batches_threads_and_spilling_are_without_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows through tiny batches, one thread and little memory: the same bytes as in one go."""
    files = []
    for number, source in enumerate(SOURCES):
        frame = pl.select(
            _line=pl.int_range(1, 40_001),
            k=(pl.int_range(0, 40_000) * (7 + number)) % 30_011,
            t=(pl.int_range(0, 40_000) * 31) % 97,
            a=((pl.int_range(0, 40_000) * 13) % 11).cast(pl.Float64) / 10,
            s=pl.concat_str(pl.lit("text-" * 4), (pl.int_range(0, 40_000) % 5).cast(pl.String)),
        )
        frame.write_parquet(tmp_path / f"{source}.parquet")
        files.append(SourceFile(source, tmp_path / f"{source}.parquet", source, source, 1))
    spec = MergerSpec.model_validate(
        {
            "dataset": "d",
            "key": ["k"],
            "default": {"rule": "last_write_wins", "by": "t"},
            "fields": [{"fields": ["a"], "rule": "weighted_average", "by": "t"}],
        }
    )
    seen = set()
    for chunk, batch, threads in ((122_880, 240_000, 2), (1_000, 1_000, 1), (4_096, 1, 2)):
        monkeypatch.setattr(streams, "_CHUNK_ROWS", chunk)
        monkeypatch.setattr(streams, "_BATCH_ROWS", batch)
        with tempfile.TemporaryDirectory() as folder:
            quarantine = Quarantine(Store(folder), "q", Path(folder), [])
            done = merge(
                files, spec, Path(folder), quarantine, threads=threads, memory_limit_mb=1400 if threads == 2 else 1
            )
            assert done.rows_out == 30_011 and done.conflict_rows > 1000
            seen.add(tuple(digest(Path(folder))))
    assert len(seen) == 1


@pytest.mark.parametrize("order", ["sorted", "shuffled", "sorted but for the end"])
def test_files_in_order_of_key_are_merged_as_runs_to_the_same_bytes(
    order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_CHUNK_ROWS", 3_000)
    tried: list[str] = []
    for name in ("merged_pieces", "sorted_pieces"):
        made = getattr(streams, name)
        monkeypatch.setattr(engine, name, lambda *a, name=name, made=made: tried.append(name) or made(*a))
    spec = MergerSpec.model_validate(
        {
            "dataset": "d",
            "key": ["symbol", "k"],
            "default": {"rule": "last_write_wins", "by": "t"},
            "fields": [
                {"fields": ["a"], "rule": "min"},
                {"fields": ["b"], "rule": "first_write_wins"},
                {"fields": ["c"], "rule": "weighted_average", "by": "t"},
            ],
        }
    )
    digests = []
    for arrangement in ("sorted", order):
        files = []
        for number, source in enumerate(SOURCES):
            i = pl.int_range(0, 20_000)
            frame = pl.select(
                _line=i + 1,
                symbol=pl.concat_str(pl.lit("S"), (i // 5_000).cast(pl.String)),
                k=(i % 5_000) // (1 + number % 2) * (1 + number),
                t=(i * 31) % 97,
                a=((i * 13) % 11).cast(pl.Float64) / 10,
                b=(i * (7 + number)) % 5,
                c=((i * 17) % 3).cast(pl.Float64),
            )
            if arrangement == "shuffled":
                frame = frame.sample(fraction=1.0, shuffle=True, seed=number)
            elif arrangement != "sorted":
                frame = pl.concat([frame[1:], frame[:1]])
            path = tmp_path / f"{arrangement}-{source}.parquet"
            frame.write_parquet(path)
            files.append(SourceFile(source, path, source, source, 1 + number % 2))
        with merged(files, spec) as (done, root):
            assert done.merged_away > 10_000 and done.conflict_rows > 10_000
            digests.append(digest(root))
    assert digests[0] == digests[1]
    assert tried == ["merged_pieces", "merged_pieces", "sorted_pieces"][: 2 if order == "sorted" else 3]
