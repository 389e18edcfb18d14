"""Storing, reading, history, exactly once: through Tables, on a local lake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tables_lake import NOON, RULES, TableLake

from base_ops.core.errors import BadInput, ConfigError, Transient
from base_ops.core.protocol import DataRef
from base_ops.worker.lake.tables import Rules, Tables

META = ["_known_from", "_known_to", "_commit", "_slice"]


@pytest.fixture
def lake(tmp_path: Path) -> TableLake:
    return TableLake(tmp_path)


# -- one commit


def test_a_first_store_makes_the_table_in_one_commit(lake: TableLake) -> None:
    stored = lake.store("c1", lake.unit({1: "a", 2: "b"}, "x"), lake.unit({1: "c"}, "y"), s=3)
    assert (stored.outcome, stored.version, stored.rows) == ("stored", 0, 3)
    assert lake.counts(stored) == (3, 0, 0, 0)
    assert lake.delta().version() == 0
    frame = lake.tables.read("t").sort("_slice", "k").collect()
    assert frame.columns == ["k", "v", *META]
    assert frame["v"].to_list() == ["a", "b", "c"]
    assert frame["_slice"].to_list() == ["x", "x", "y"]
    assert set(frame["_commit"]) == {"c1"}
    assert set(frame["_known_from"]) == {lake.now}
    assert frame["_known_to"].null_count() == 3


def test_a_correction_of_k_rows_changes_exactly_k_rows(lake: TableLake) -> None:
    content = {n: f"v{n}" for n in range(1000)}
    lake.store("c1", lake.unit(content))
    before = lake.tables.read("t").collect()
    corrected = {**content, 5: "A", 500: "B", 999: "C"}
    stored = lake.store("c2", lake.unit(corrected))
    assert lake.counts(stored) == (0, 3, 997, 0)
    after = lake.tables.read("t").collect()
    assert lake.rows() == corrected
    assert sorted(after.join(before, on=after.columns, how="anti", nulls_equal=True)["k"]) == [5, 500, 999]
    everything = pl.scan_delta(lake.delta()).collect()
    assert everything.height == 1003
    past = everything.filter(~pl.col("_current"))
    assert sorted(past["k"]) == [5, 500, 999]
    assert set(past["_known_to"]) == {lake.now}


def test_rows_that_are_gone_are_closed_or_kept(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a", 2: "b"}))
    kept = lake.store("c2", lake.unit({2: "b", 3: "c"}), rules=Rules(("k",), missing_rows="keep"))
    assert lake.counts(kept) == (1, 0, 1, 0)
    assert lake.rows() == {1: "a", 2: "b", 3: "c"}
    closed = lake.store("c3", lake.unit({3: "c"}))
    assert lake.counts(closed) == (0, 0, 1, 2)
    assert lake.rows() == {3: "c"}
    emptied = lake.store("c4", lake.unit({}))
    assert lake.counts(emptied) == (0, 0, 0, 1)
    assert (lake.rows(), emptied.rows) == ({}, 0)


def test_latest_keeps_no_past(lake: TableLake) -> None:
    rules = Rules(("k",), history="latest")
    lake.store("c1", lake.unit({1: "a", 2: "b"}), rules=rules)
    lake.store("c2", lake.unit({1: "A"}), rules=rules)
    assert pl.scan_delta(lake.delta()).select("k", "v").collect().rows() == [(1, "A")]


def test_other_slices_keep_their_files(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}, "x"), lake.unit({1: "b"}, "y/é %2F"))
    untouched = {uri for uri in lake.delta().file_uris() if "_slice=x" in uri}
    lake.store("c2", lake.unit({1: "B"}, "y/é %2F"))
    assert untouched < set(lake.delta().file_uris())
    assert sorted(lake.tables.read("t").select("_slice", "v").collect().rows()) == [("x", "a"), ("y/é %2F", "B")]


@pytest.mark.parametrize(
    "name", ["2026-11-20", "007", "true", "null", "NaN", "None", " x ", "a=b", "50%", "x:y", "it's"]
)
def test_any_text_names_a_slice(lake: TableLake, name: str) -> None:
    lake.store("c1", lake.unit({1: "a"}, name))
    lake.store("c2", lake.unit({1: "b"}, name), lake.unit({2: "c"}, "other"))
    found = lake.tables.read("t").sort("k").collect()
    assert found.select("k", "v", "_slice").rows() == [(1, "b", name), (2, "c", "other")]


@pytest.mark.parametrize("name", ["", "__HIVE_DEFAULT_PARTITION__", "é" * 40])
def test_a_slice_without_a_name_is_refused(lake: TableLake, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lake.store("c1", lake.unit({1: "a"}, name))
    assert caught.value.code == "bad_slice"


def test_added_rows_go_to_a_file_of_their_own_until_there_are_many(lake: TableLake) -> None:
    content = {}
    for n in range(20):
        content[n] = "v"
        lake.store(f"c{n}", lake.unit(content))
    assert lake.rows() == content
    assert 1 < len(lake.delta().file_uris()) <= 16


def test_only_lineage_columns_differ_and_the_row_is_left_alone(lake: TableLake) -> None:
    lake.store("c1", lake.unit(pl.DataFrame({"k": [1], "v": ["a"], "_src_v": [0]})))
    stored = lake.store("c2", lake.unit(pl.DataFrame({"k": [1], "v": ["a"], "_src_v": [1]})))
    assert (stored.outcome, stored.version, lake.counts(stored)) == ("unchanged", 0, (0, 0, 1, 0))
    assert lake.tables.read("t").select("_src_v", "_commit").collect().row(0) == (0, "c1")


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        (None, None, 0),
        (None, 1.0, 1),
        (1.0, None, 1),
        (float("nan"), float("nan"), 0),
        (float("nan"), None, 1),
        (0.1 + 0.2, 0.3, 1),
    ],
)
def test_equality_is_null_safe(lake: TableLake, old: float | None, new: float | None, changed: int) -> None:
    for commit, value in (("c1", old), ("c2", new)):
        stored = lake.store(
            commit, lake.unit(pl.DataFrame({"k": [1], "v": [value]}, schema={"k": pl.Int64, "v": pl.Float64}))
        )
    assert stored.total("changed") == changed


def test_a_null_is_a_key_like_any_other(lake: TableLake) -> None:
    key = {"k": [None, 1], "l": ["a", None]}
    lake.store("c1", lake.unit(pl.DataFrame({**key, "v": ["x", "y"]})), rules=Rules(("k", "l")))
    stored = lake.store("c2", lake.unit(pl.DataFrame({**key, "v": ["x", "z"]})), rules=Rules(("k", "l")))
    assert lake.counts(stored) == (0, 1, 1, 0)


def test_several_files_of_a_slice_are_one_content(lake: TableLake) -> None:
    stored = lake.store("c1", lake.unit({1: "a"}), lake.unit(pl.DataFrame({"k": [2], "w": [1.5]})))
    assert lake.counts(stored) == (2, 0, 0, 0)
    assert sorted(lake.tables.read("t").select("k", "v", "w").collect().rows()) == [(1, "a", None), (2, None, 1.5)]


def test_a_duplicate_key_is_refused_and_named(lake: TableLake) -> None:
    twice = pl.DataFrame({"k": [1, 2, 2], "secret": ["a", "b", "b"], "v": ["x", "y", "z"]})
    rules = Rules(("k", "secret"), sensitive=frozenset({"secret"}))
    with pytest.raises(BadInput, match=r"slice all, key k=2, secret=\*\*\*") as caught:
        lake.store("c1", lake.unit(twice), rules=rules)
    assert caught.value.code == "duplicate_key"
    assert not (lake.root / "tables").exists()
    with pytest.raises(BadInput, match="duplicate|more than once"):
        lake.store("c2", lake.unit({1: "a"}), lake.unit({1: "a"}))


def test_names_that_need_quoting(lake: TableLake) -> None:
    frame = pl.DataFrame({'k"ey': [1, 2], "v;' DROP": ["a", "b"], "a.b": [1, 2], "had": [True, False], "fresh": [1, 2]})
    rules = Rules(('k"ey',))
    lake.store("c'1", lake.unit(frame, "it's"), rules=rules)
    stored = lake.store("c'2", lake.unit(frame.with_columns(fresh=pl.lit(1)), "it's"), rules=rules)
    assert lake.counts(stored) == (0, 1, 1, 0)
    assert lake.tables.read("t").select(frame.columns).sort('k"ey').collect()["fresh"].to_list() == [1, 1]


def test_the_key_must_be_there_and_stay(lake: TableLake) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'k'") as unknown:
        lake.store("c1", lake.unit({1: "a"}), rules=Rules(("kk",)))
    assert unknown.value.code == "unknown_column"
    lake.store("c1", lake.unit({1: "a"}))
    with pytest.raises(ConfigError) as changed:
        lake.store("c2", lake.unit({1: "a"}), rules=Rules(("v",)))
    assert changed.value.code == "key_changed"


def test_the_same_content_and_clock_give_the_same_bytes(tmp_path: Path) -> None:
    content = pl.DataFrame({"k": range(5000), "v": [f"v{n % 7}" for n in range(5000)]}).sample(
        fraction=1, shuffle=True, seed=1
    )
    files = []
    for name in ("one", "two"):
        lake = TableLake(tmp_path / name)
        lake.store("c1", lake.unit(content))
        lake.store("c2", lake.unit(content.with_columns(v=pl.when(pl.col("k") < 9).then(pl.lit("new")).otherwise("v"))))
        files.append(sorted(path.read_bytes() for path in (lake.root / "tables").rglob("*.parquet")))
    assert len(files[0]) == 3
    assert files[0] == files[1]


# -- as of


def test_as_of_gives_what_a_plain_read_gave_then(lake: TableLake) -> None:
    contents = [{1: "a", 2: "b"}, {1: "A", 2: "b", 3: "c"}, {3: "c"}, {1: "a", 3: "c"}]
    then: list[tuple[datetime, pl.DataFrame]] = []
    for n, content in enumerate(contents):
        lake.store(f"c{n}", lake.unit(content))
        then.append((lake.now, lake.tables.read("t").sort("k").collect()))
    for moment, frame in then:
        assert lake.tables.read("t", moment).sort("k").collect().equals(frame)
        assert lake.tables.read("t", moment + timedelta(microseconds=999_999)).sort("k").collect().equals(frame)
    assert lake.tables.read("t", then[0][0] - timedelta(microseconds=1)).collect().is_empty()


def test_as_of_needs_a_time_zone(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}))
    with pytest.raises(ConfigError, match="time zone"):
        lake.tables.read("t", datetime(2026, 11, 20))  # noqa: DTZ001


@pytest.mark.parametrize("drift", [timedelta(0), timedelta(days=-1)])
def test_moments_grow_even_if_the_clock_does_not(lake: TableLake, drift: timedelta) -> None:
    moments = []
    for n in range(4):
        lake.tables.clock = lambda n=n: NOON + n * drift  # type: ignore[misc]
        lake.store(f"c{n}", lake.unit({1: f"v{n}"}))
        moments.append(lake.tables.read("t").select("_known_from").collect().item())
    assert moments == [NOON + timedelta(microseconds=n) for n in range(4)]
    assert [lake.rows(m)[1] for m in moments] == ["v0", "v1", "v2", "v3"]


def test_a_plain_read_opens_no_past(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a", 2: "b"}))
    lake.store("c2", lake.unit({1: "A", 2: "b"}))
    for path in (lake.root / "tables/t/_current=false").rglob("*.parquet"):
        path.unlink()
    assert lake.rows() == {1: "A", 2: "b"}


def test_an_unknown_table_is_named(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}))
    with pytest.raises(ConfigError, match="There is no table 'tt'. Did you mean 't'"):
        lake.tables.read("tt")
    with pytest.raises(ConfigError):
        lake.tables.read("../t")
    assert lake.tables.consumed("tt") == {}


# -- exactly once


def test_the_same_work_is_done_once(lake: TableLake) -> None:
    unit = lake.unit({1: "a"})
    lake.store("c1", unit, s=1)
    files = sorted(lake.root.rglob("*"))
    again = lake.store("c1", unit, s=1)
    assert (again.outcome, again.version, again.rows) == ("adopted", 0, 1)
    assert sorted(lake.root.rglob("*")) == files


def test_a_late_retry_of_old_work_is_a_no_op(lake: TableLake) -> None:
    one, two = lake.unit({1: "a"}), lake.unit({1: "b"})
    lake.store("c1", one, s=1)
    lake.store("c2", two, s=2)
    assert lake.store("c1", one, s=1).outcome == "adopted"
    assert lake.store("c0", one, s=1).outcome == "superseded"
    assert (lake.rows(), lake.delta().version()) == ({1: "b"}, 1)


@pytest.mark.parametrize("considered", [(1, 2, 3), (1, 1, 1), (None, None, None)])
def test_content_may_go_back_to_what_it_was(lake: TableLake, considered: tuple[int | None, ...]) -> None:
    one, two = lake.unit({1: "a"}), lake.unit({1: "b"})
    for commit, unit, number in zip(("c1", "c2", "c1"), (one, two, one), considered, strict=True):
        stored = lake.store(commit, unit, **({} if number is None else {"s": number}))
        assert stored.outcome == "stored"
    assert lake.rows() == {1: "a"}
    assert lake.tables.history_of("t", {"k": 1})["v"].to_list() == ["a", "b", "a"]


def test_what_was_consumed_is_durable_and_per_source(lake: TableLake) -> None:
    assert lake.tables.consumed("t") == {}
    lake.store("c1", lake.unit({1: "a"}, "x"), a=1, b=7)
    lake.store("c2", lake.unit({1: "b"}, "y"), a=2)
    assert lake.tables.consumed("t") == {"a": 2, "b": 7}
    assert lake.store("c3", lake.unit({1: "z"}, "x"), a=3, b=6).outcome == "superseded"
    assert lake.tables.consumed("t") == {"a": 2, "b": 7}


def test_content_that_changes_nothing_still_counts_as_consumed(lake: TableLake) -> None:
    unit = lake.unit({1: "a"})
    lake.store("c1", unit, s=1)
    files = lake.delta().file_uris()
    stored = lake.store("c1", unit, s=2)
    assert (stored.outcome, stored.version, lake.counts(stored)) == ("stored", 1, (0, 0, 1, 0))
    assert lake.delta().file_uris() == files
    assert lake.tables.consumed("t") == {"s": 2}
    assert lake.store("c9", lake.unit({1: "a"}), s=2).outcome == "unchanged"
    assert lake.delta().version() == 1


def test_nothing_to_store_is_nothing(lake: TableLake) -> None:
    assert lake.store("c1", s=1).outcome == "unchanged"
    lake.store("c1", lake.unit({1: "a"}), s=1)
    assert lake.store("c2", s=2).version == 0


def test_a_restore_makes_later_landings_unconsumed_and_storable_again(lake: TableLake) -> None:
    one, two, three = lake.unit({1: "a"}), lake.unit({1: "b"}), lake.unit({1: "c"})
    lake.store("c1", one, s=1)
    lake.store("c2", two, s=2)
    lake.store("c3", three, s=3)
    newest = lake.now
    lake.delta().restore(0)
    assert (lake.rows(), lake.tables.consumed("t")) == ({1: "a"}, {"s": 1})
    assert lake.store("c1", one, s=1).outcome == "adopted"
    lake.now = NOON
    assert lake.store("c2", two, s=2).outcome == "stored"
    assert (lake.rows(), lake.tables.consumed("t")) == ({1: "b"}, {"s": 2})
    assert lake.tables.read("t").select("_known_from").collect().item() > newest
    assert lake.store("c3", three, s=3).outcome == "stored"
    assert lake.rows() == {1: "c"}


def test_restores_of_restores_and_by_time(lake: TableLake) -> None:
    for n in range(4):
        lake.store(f"c{n}", lake.unit({1: f"v{n}"}), s=n)
    lake.delta().restore(1)  # version 4
    lake.delta().restore(3)  # version 5
    assert (lake.rows()[1], lake.tables.consumed("t")) == ("v3", {"s": 3})
    lake.delta().restore(4)
    assert (lake.rows()[1], lake.tables.consumed("t")) == ("v1", {"s": 1})
    for n, entry in enumerate(sorted((lake.root / "tables" / "t" / "_delta_log").glob("*.json"))):
        os.utime(entry, (NOON.timestamp() + n,) * 2)  # Delta goes by these; commits of one millisecond would tie
    lake.delta().restore(NOON + timedelta(seconds=2))
    expected = lake.rows()[1]
    assert lake.tables.consumed("t") == {"s": int(expected[1])}
    assert expected == "v2"


def test_commits_of_others_are_passed_over(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}), s=1)
    lake.store("c2", lake.unit({1: "a", 2: "b"}), s=2)
    lake.delta().optimize.compact()
    lake.delta().alter.set_table_properties({"delta.checkpointInterval": "50"})
    assert (lake.rows(), lake.tables.consumed("t")) == ({1: "a", 2: "b"}, {"s": 2})
    stored = lake.store("c3", lake.unit({1: "A", 2: "b"}), s=3)
    assert lake.counts(stored) == (0, 1, 1, 0)


def test_checkpoints_and_many_commits_lose_nothing(lake: TableLake) -> None:
    lake.store("c0", lake.unit({1: "v0"}), s=0)
    for n in range(1, 12):
        lake.store(f"c{n}", lake.unit({1: f"v{n}"}), s=n)
        lake.delta().create_checkpoint()
        lake.delta().cleanup_metadata()
    assert lake.tables.consumed("t") == {"s": 11}
    assert lake.store("c3", lake.unit({1: "v3"}), s=3).outcome == "adopted"
    assert lake.tables.history_of("t", {"k": 1})["v"].to_list() == [f"v{n}" for n in range(12)]


# -- kills and company

WORKER = """
import json, sys
from base_ops.core.protocol import DataRef
from base_ops.worker.failpoints import arm
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.tables import Rules, Tables
root, commit, unit, considered, point = sys.argv[1:]
arm(point)
sys.stdin.readline()
ref = DataRef.model_validate_json(unit)
stored = Tables(Store(root), threads=1).store_units("t", [ref], Rules(("k",)), commit, considered=json.loads(considered))
print(stored.outcome)
"""


def start(lake: TableLake, commit: str, unit: DataRef, considered: str, point: str = "") -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", WORKER, str(lake.root), commit, unit.model_dump_json(), considered, point]
    return subprocess.Popen(argv, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("tables.before_files", marks=pytest.mark.slow),
        pytest.param("tables.after_files", marks=pytest.mark.slow),
        "tables.before_commit",
        "tables.after_commit",
    ],
)
def test_a_kill_leaves_the_old_or_the_new_and_a_rerun_finishes(lake: TableLake, point: str) -> None:
    lake.store("c1", lake.unit({1: "a", 2: "b"}), s=1)
    unit = lake.unit({1: "A", 2: "b"})
    process = start(lake, "c2", unit, '{"s": 2}', point)
    process.communicate("go\n")
    assert process.returncode == -9
    killed_after = point == "tables.after_commit"
    assert lake.rows() == ({1: "A", 2: "b"} if killed_after else {1: "a", 2: "b"})
    assert lake.store("c2", unit, s=2).outcome == ("adopted" if killed_after else "stored")
    assert lake.rows() == {1: "A", 2: "b"}
    assert lake.tables.history_of("t", {"k": 1})["v"].to_list() == ["a", "A"]
    lake.delta().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)
    assert lake.rows() == {1: "A", 2: "b"}
    assert lake.tables.commit_record("t", "c2") is not None


def test_two_at_once_store_the_same_work_once(lake: TableLake) -> None:
    unit = lake.unit(dict.fromkeys(range(1000), "a"))
    workers = [start(lake, "c1", unit, '{"s": 1}') for _ in range(2)]
    outcomes = sorted(said(workers))
    assert outcomes == ["adopted", "stored"]
    assert lake.delta().version() == 0
    assert lake.tables.read("t").collect().height == 1000


def test_two_at_once_store_different_work_one_after_the_other(lake: TableLake) -> None:
    lake.store("c0", lake.unit({1: "z"}), s=0)
    workers = [start(lake, f"c{n}", lake.unit({1: f"v{n}"}, f"s{n}"), f'{{"s{n}": 1}}') for n in (1, 2)]
    assert said(workers) == ["stored", "stored"]
    assert lake.delta().version() == 2
    frame = lake.tables.read("t").filter(pl.col("_slice") != "all").collect()
    assert sorted(frame["v"]) == ["v1", "v2"]
    consumed = lake.tables.consumed("t")
    assert (consumed["s1"], consumed["s2"]) == (1, 1)


def said(workers: list[subprocess.Popen[str]]) -> list[str]:
    """What workers printed that were all let go at the same time."""
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return [worker.communicate()[0].strip() for worker in workers]


class Meddler:
    """Lets somebody else commit between an attempt's look at the table and its commit."""

    def __init__(self, actions: Iterator[Callable[[], object]]) -> None:
        self.actions = actions

    def __call__(self, name: str) -> None:
        if name == "tables.before_commit" and (action := next(self.actions, None)):
            action()


def test_after_a_conflict_the_table_is_looked_at_again(lake: TableLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.store("c0", lake.unit({1: "z", 2: "z"}), s=0)
    mine, theirs = lake.unit({1: "m", 2: "z"}), lake.unit({1: "z", 2: "t"})
    other = Tables(lake.tables.store, threads=1)
    meddle = iter([lambda: other.store_units("t", [theirs], RULES, "theirs", considered={"s": 1})])
    monkeypatch.setattr("base_ops.worker.lake.tables.storing.failpoint", Meddler(meddle))
    stored = lake.store("mine", mine, s=2)
    assert (stored.outcome, stored.version) == ("stored", 2)
    assert lake.rows() == {1: "m", 2: "z"}
    assert lake.tables.history_of("t", {"k": 2})["v"].to_list() == ["z", "t", "z"]


def test_a_table_that_somebody_makes_meanwhile_is_looked_at(lake: TableLake, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = lake.unit({2: "t"}, "theirs")
    other = Tables(lake.tables.store, threads=1)
    meddle = iter([lambda: other.store_units("t", [theirs], RULES, "theirs", considered={"s": 1})])
    monkeypatch.setattr("base_ops.worker.lake.tables.storing.failpoint", Meddler(meddle))
    assert lake.store("mine", lake.unit({1: "m"}, "mine"), z=2).version == 1
    assert (lake.rows(), lake.tables.consumed("t")) == ({1: "m", 2: "t"}, {"s": 1, "z": 2})


def test_others_who_never_stop_committing_are_named(lake: TableLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.store("c0", lake.unit({1: "z"}))
    meddle = (
        lambda n=n: lake.delta().alter.set_table_properties({"delta.checkpointInterval": str(n)}) for n in range(9, 99)
    )
    monkeypatch.setattr("base_ops.worker.lake.tables.storing.failpoint", Meddler(meddle))
    with pytest.raises(Transient, match="kept committing") as caught:
        lake.store("mine", lake.unit({1: "m"}))
    assert caught.value.code == "commit_conflict"
    assert lake.rows() == {1: "z"}


def test_work_that_falls_behind_while_it_runs_gives_way(lake: TableLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.store("c0", lake.unit({1: "z"}), s=0)
    mine, theirs = lake.unit({1: "old"}), lake.unit({1: "new"})
    other = Tables(lake.tables.store, threads=1)
    meddle = iter([lambda: other.store_units("t", [theirs], RULES, "theirs", considered={"s": 2})])
    monkeypatch.setattr("base_ops.worker.lake.tables.storing.failpoint", Meddler(meddle))
    assert lake.store("mine", mine, s=1).outcome == "superseded"
    assert (lake.rows(), lake.tables.consumed("t")) == ({1: "new"}, {"s": 2})
