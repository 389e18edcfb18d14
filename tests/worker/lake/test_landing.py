"""The landing zone: immutable bytes, an append-only log, and what of it counts."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.worker.lake.landing import History, LandedObject, Landing, LandingEntry
from base_ops.worker.lake.store import Store


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(Store(str(tmp_path / "lake")), "s", "attempt")


def item(path: str, sha256: str, **more: Any) -> LandedObject:
    return LandedObject(path=path, stored=f"landing/s/{sha256}", sha256=sha256, bytes=1, **more)


def entry(sequence: int, *objects: LandedObject, **more: Any) -> LandingEntry:
    return LandingEntry(sequence=sequence, source="s", objects=list(objects), **more)


def test_bytes_are_stored_once_under_their_content(landing: Landing, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    stored, found, size = landing.add_bytes(local, ".csv")
    assert (stored, found, size) == (f"landing/s/{digest[:2]}/{digest}.csv", digest, 3)
    local.write_bytes(b"changed in place")
    assert landing.store.read_bytes(stored) == b"abc"
    again = tmp_path / "again"
    again.write_bytes(b"abc")
    assert landing.move_bytes(again, digest, ".csv") == stored
    assert not again.exists()
    assert [f.name for f in (tmp_path / "lake").rglob("*") if f.is_file()] == [f"{digest}.csv"]


def test_the_same_bytes_from_many_threads(landing: Landing, tmp_path: Path) -> None:
    def put(number: int) -> str:
        local = tmp_path / str(number)
        local.write_bytes(b"abc")
        return landing.move_bytes(local, hashlib.sha256(b"abc").hexdigest())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(put, range(32)))) == 1


def test_one_of_many_takes_a_number(landing: Landing) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: landing.append(entry(1, item("a", str(n)))), range(16)))
    assert won.count(True) == 1
    assert len(landing.entries()) == 1


def test_entries_after(landing: Landing) -> None:
    for number in (1, 2, 3):
        assert landing.append(entry(number))
    landing.store.write("landing/s/_log/notes.txt", b"not an entry")
    assert [e.sequence for e in landing.entries(after=1)] == [2, 3]
    assert [e.sequence for e in landing.entries()] == [1, 2, 3]


def test_a_lost_entry_is_not_passed_over(landing: Landing) -> None:
    for number in (4, 5, 7):  # the head may be gone by retention
        landing.append(entry(number))
    with pytest.raises(BadInput) as error:
        landing.entries()
    assert error.value.code == "landing_log_gap"
    assert "0000000006" in error.value.where


def test_a_source_is_a_folder_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Landing(Store(str(tmp_path)), "../x", "a")


def test_windows_and_replays_do_not_move_the_cursor(landing: Landing) -> None:
    landing.append(entry(1, item("a", "1"), cursor_after=7))
    landing.append(entry(2, item("b", "2"), cursor_after=99, window=("x", "y")))
    landing.append(entry(3, item("c", "3", replay_of="1")))
    assert landing.cursor() == (3, 7)


@pytest.mark.parametrize(
    ("mode", "before", "now", "new"),
    [
        ("snapshot", [], [("a", "1")], ["a"]),
        ("snapshot", [("a", "1")], [("a", "1")], []),
        ("snapshot", [("a", "1")], [("a", "2"), ("b", "1")], ["a", "b"]),
        ("snapshot", [("a", "1"), ("a", "2")], [("a", "1")], ["a"]),  # back to what it was: a change
        ("append", [("a", "1"), ("a", "2")], [("a", "1")], []),
        ("append", [("a", "1")], [("b", "1"), ("a", "2")], ["a", "b"]),
    ],
)
def test_what_is_new(mode: str, before: list[tuple[str, str]], now: list[tuple[str, str]], new: list[str]) -> None:
    history = History(entry(n, item(*pair), mode=mode) for n, pair in enumerate(before, 1))
    assert [i.path for i in history.new_objects([item(*pair) for pair in now], mode)] == new


def pages(*shas: str) -> list[LandedObject]:
    return [item(f"q/page-{n}", sha, part_of="q") for n, sha in enumerate(shas, 1)]


@pytest.mark.parametrize(
    ("now", "new"), [(["1", "2"], 0), (["1", "3"], 2), (["1"], 1), (["1", "2", "3"], 3), (["2", "1"], 2)]
)
def test_pages_of_a_snapshot_replace_the_earlier_ones_as_a_whole(now: list[str], new: int, landing: Landing) -> None:
    first = entry(1, *pages("1", "2"), item("other", "9"))
    landing.append(first)
    fresh = History([first]).new_objects(pages(*now), "snapshot")
    assert len(fresh) == new
    if fresh:
        landing.append(entry(2, *fresh))
    assert landing.history().new_objects(pages(*now), "snapshot") == []
    assert sorted(r.id for r in landing.effective()) == sorted([*now, "9"])


def test_replays_count_as_long_as_what_they_correct(landing: Landing) -> None:
    landing.append(entry(1, item("a", "1")))
    landing.append(entry(2, item("a", "fix", replay_of="1")))
    assert [r.id for r in landing.effective()] == ["1", "fix"]
    landing.append(entry(3, item("a", "2")))
    assert [r.id for r in landing.effective()] == ["2"]
    assert [r.id for r in landing.effective(upto=2)] == ["1", "fix"]


def test_slices_are_chosen(landing: Landing) -> None:
    landing.append(entry(1, item("a", "1", slice="x"), item("b", "2", slice="y")))
    assert [r.id for r in landing.effective(slices=["y"])] == ["2"]
    assert landing.effective(slices=[]) == []


deliveries = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("123")), max_size=4, unique_by=lambda p: p[0]),
    max_size=8,
)


@given(deliveries, st.sampled_from(["snapshot", "append"]))
def test_logging_only_what_is_new_keeps_what_counts(rounds: list[list[tuple[str, str]]], mode: str) -> None:
    """snapshot: the last delivery of each name; append: each (name, content) once. Nothing twice, nothing lost."""
    log: list[LandingEntry] = []
    expected: dict[Any, str] = {}
    for delivered in rounds:
        new = History(log).new_objects([item(*pair) for pair in delivered], mode)
        if new:
            log.append(entry(len(log) + 1, *new, mode=mode))
        expected |= {(path if mode == "snapshot" else (path, sha)): sha for path, sha in delivered}
    landing = Landing(Store("/nowhere"), "s", "a")
    landing.entries = lambda after=0: log  # type: ignore[method-assign]
    assert sorted(r.id for r in landing.effective()) == sorted(expected.values())
