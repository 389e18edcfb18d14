"""Publishing: the first attempt wins, the second adopts, nothing partial is visible."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from base_ops.core.errors import ConfigError
from base_ops.core.protocol import Counts, DataRef, StepResult
from base_ops.worker.lake import Lake, Store

KEY = "k" * 40


def attempt(tmp_path: Path, name: str, text: str, publish: bool = True):
    lake = Lake(str(tmp_path / "lake"), name)
    with lake.work("fx", KEY) as work:
        if work.published is not None:
            return work.published
        part = work.scratch_file("part-0.parquet")
        part.write_text(text)
        entry = work.add(part, rows=1)
        if not publish:
            return None
        ref = DataRef(id=KEY, kind="staging", uri=work.uri(entry), name="fx", rows=1)
        counts = Counts(rows_in=1, rows_out=1)
        return work.publish([ref], [StepResult(agent="a.b", action="c", counts=counts)], ["i"])


def test_the_first_to_publish_wins_and_the_second_adopts(tmp_path: Path) -> None:
    first = attempt(tmp_path, "one", "data")
    second = attempt(tmp_path, "two", "other")
    assert first == second
    assert Path(first.outputs[0].uri).read_text() == "data"


def test_two_attempts_at_once_end_with_one_manifest(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "lake"))
    lake_one, lake_two = Lake(store.url, "one"), Lake(store.url, "two")
    with lake_one.work("fx", KEY) as one, lake_two.work("fx", KEY) as two:
        assert one.published is None and two.published is None
        published = []
        for work, text in ((one, "same"), (two, "same")):
            part = work.scratch_file("part-0.parquet")
            part.write_text(text)
            entry = work.add(part)
            published.append(work.publish([DataRef(id=KEY, kind="staging", uri=work.uri(entry))], [], ["i"]))
    assert published[0] == published[1] and published[0].attempt == "one"
    assert store.folders(f"staging/fx/{KEY}") == ["one"]


def test_what_is_not_published_is_not_there(tmp_path: Path) -> None:
    attempt(tmp_path, "one", "half", publish=False)
    lake = Lake(str(tmp_path / "lake"), "two")
    assert lake.manifest("fx", KEY) is None
    assert attempt(tmp_path, "two", "whole").attempt == "two"


def test_create_lets_exactly_one_of_many_threads_through(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    won: list[int] = []
    barrier = threading.Barrier(8)

    def race(number: int) -> None:
        barrier.wait()
        if store.create("x/_manifest.json", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and store.read_bytes("x/_manifest.json") == str(won[0]).encode()
    assert [p.name for p in (tmp_path / "x").iterdir()] == ["_manifest.json"]


def test_a_wrong_account_is_never_published(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"), "one")
    with lake.work("fx", KEY) as work, pytest.raises(RuntimeError):
        work.publish([], [StepResult(agent="a.b", action="c", counts=Counts(rows_in=2, rows_out=1))], [])
    assert lake.manifest("fx", KEY) is None


@pytest.mark.parametrize("dataset", ["../x", "a/../b", "", "/abs"])
def test_datasets_cannot_leave_the_lake(tmp_path: Path, dataset: str) -> None:
    with pytest.raises(ConfigError), Lake(str(tmp_path), "a").work(dataset, KEY):
        pass


def test_a_uri_outside_the_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not inside the lake"):
        Store(str(tmp_path / "lake")).path_of(str(tmp_path / "elsewhere"))
