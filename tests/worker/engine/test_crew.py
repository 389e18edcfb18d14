"""Many small inputs: several processes share them, and the result is that of one alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_ingestion.worker_kit import job

from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Result
from base_ops.worker.engine import crew
from base_ops.worker.engine.crew import Crew, is_of_share, processes_for

FILES = 70


@pytest.fixture
def converted(tmp_path: Path, base_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Convert a folder of small files with so many threads, in a lake of its own."""
    drop = tmp_path / "drop"
    drop.mkdir()
    for number in range(FILES):
        rows = "".join(f"{number * 10 + row},{row}.50\n" for row in range(30))
        (drop / f"{number:03d}.csv").write_text(f"id,price\n{rows}")
    (drop / "007.csv").write_text((drop / "006.csv").read_text())  # the same bytes, another name
    (drop / "020.csv").write_text((drop / "020.csv").read_text() + "1,2,3\n")
    source = {"id": "drop", "mode": "append", "files": {"path": f"{drop}/*.csv"}}

    def convert(threads: int, **spec: Any) -> Result:
        monkeypatch.setenv("BASE_THREADS", str(threads))
        home = tmp_path / f"home-{threads}"
        home.mkdir(exist_ok=True)
        collect = {"source": source, "dataset": "drop"}
        assert job(home, "data_ingestion.collector", "collect_data_from_source", collect).error is None
        spec = {"source": source, "target": "staging:drop", "max_error_share": 0.1, **spec}
        return job(home, "data_ingestion.converter", "convert_to_standard_format", spec)

    convert.drop = drop  # type: ignore[attr-defined]
    return convert


def account(result: Result) -> Any:
    """All that does not depend on when and where."""
    outputs = [(ref.id, ref.sha256, ref.rows, ref.sequence) for ref in result.outputs]
    set_aside = sorted((found.rule, found.rows) for found in result.quarantine)
    return result.status, result.commit_keys, outputs, set_aside, result.counts, result.steps[0].observations


def test_shares_make_the_same_result(converted: Callable[..., Result], capfd: pytest.CaptureFixture[str]) -> None:
    alone, shared = converted(1), converted(2)
    assert account(shared) == account(alone)
    assert (shared.status, shared.counts.quarantined, shared.counts.rows_out) == (Outcome.PARTIAL, 1, FILES * 30)
    told = capfd.readouterr().err
    assert told.count("2 processes share the remaining 53 inputs") == 1
    assert shared.peak_memory_bytes > alone.peak_memory_bytes
    again = converted(2)
    assert (again.adopted, account(again)) == (True, account(alone))
    assert "share the remaining" not in capfd.readouterr().err  # what is only adopted is not worth a process


def test_what_cannot_be_used_is_told_once(converted: Callable[..., Result], capfd: pytest.CaptureFixture[str]) -> None:
    for number in (3, 30, 31, 32, 33):
        (converted.drop / f"{number:03d}.csv").write_bytes(b"PK\x03\x04 no archive")  # type: ignore[attr-defined]
    result = converted(2)
    assert (result.status, result.error and result.error.what) == (
        Outcome.BAD_INPUT,
        f"5 of {FILES} objects cannot be used; the others are staged",
    )
    told = capfd.readouterr().err
    assert all(told.count(f'"msg": "{number:03d}.csv: ') == 1 for number in (3, 30, 31, 32, 33))


def test_a_share_whose_process_dies_is_done_here(
    converted: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = converted(1)
    monkeypatch.setenv("BASE_FAILPOINT", "work.publish.before:3")  # of the others: this process has read its own
    settings = "base_ops.worker.main.arm"
    monkeypatch.setattr(settings, lambda _name: None)
    shared = converted(2)
    assert "A process with a share of the inputs ended early (-9); its share is done here" in capfd.readouterr().err
    assert account(shared) == account(alone)


def test_new_files_behind_old_ones_are_shared(
    converted: Callable[..., Result], capfd: pytest.CaptureFixture[str]
) -> None:
    drop = converted.drop  # type: ignore[attr-defined]
    waiting = drop.parent / "waiting"
    waiting.mkdir()
    for number in range(20, FILES):
        (drop / f"{number:03d}.csv").rename(waiting / f"{number:03d}.csv")
    assert converted(2).error is None
    for file in waiting.iterdir():
        file.rename(drop / file.name)
    assert converted(2).counts.rows_out == FILES * 30
    assert capfd.readouterr().err.count("2 processes share the remaining 34 inputs") == 1


def test_an_interrupted_job_leaves_nothing(converted: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[Any] = []
    lakes: list[Any] = []

    def interrupted(self: Crew) -> None:
        processes.extend(helper.process for helper in self._running)
        lakes.append(self._ctx.lake.store.url)
        deadline = time.monotonic() + 30
        while not list(Path(lakes[0], ".scratch").iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)  # until the other is at work
        raise RuntimeError("interrupted")

    monkeypatch.setattr(crew.Crew, "wait", interrupted)
    assert converted(2).status == Outcome.BUG
    assert [process.poll() is not None for process in processes] == [True]
    assert list(Path(lakes[0], ".scratch").iterdir()) == []


@pytest.mark.parametrize("fault", ["no process", "no Python", "noise"])
def test_help_that_does_not_come_costs_nothing_but_time(
    fault: str, converted: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = converted(1)
    start = crew.subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        if fault == "no process":
            raise BlockingIOError(11, "no more processes")
        if fault == "noise":
            code = f"print('hello'); import runpy, sys; sys.argv = {command[2:]!r}; "
            code += "runpy.run_module(sys.argv[0], run_name='__main__')"
            return start([command[0], "-c", code], **options)
        return start(["/bin/false"], **options)

    monkeypatch.setattr(crew.subprocess, "Popen", popen)
    assert account(converted(2)) == account(alone)
    told = {"no process": "No further process can be started", "no Python": "ended early (1)", "noise": ""}[fault]
    assert told in capfd.readouterr().err
    assert fault != "noise" or "ended early" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("small", "cores", "memory_mb", "expected"),
    [(15, 8, 8000, 1), (31, 8, 8000, 1), (32, 8, 8000, 2), (1000, 2, 8000, 2), (1000, 64, 8000, 8),
     (1000, 8, 1400, 4), (1000, 8, 300, 1)],
)  # fmt: skip
def test_how_many_processes(small: int, cores: int, memory_mb: int, expected: int) -> None:
    assert processes_for(small, cores, memory_mb) == expected


def test_a_key_falls_to_one_share() -> None:
    keys = [f"{number:040x}" for number in range(0, 1 << 130, (1 << 130) // 97)]
    assert all(sum(is_of_share(key, (number, 3)) for number in range(3)) == 1 for key in keys)
