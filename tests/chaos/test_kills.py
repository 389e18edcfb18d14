"""Never lose, never double: every agent killed at every failpoint and at random moments, and run twice at once."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pytest
from chaos.world import World

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("CHAOS_KILLS", "40"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An undisturbed run, whose data every disturbed run must equal."""
    folder = tmp_path_factory.mktemp("reference")
    world = World(folder / "in", folder / "lake")
    world.write_inputs()
    world.run_all()
    assert len(world.table()) > 100
    return world


def same_data(world: World, reference: World) -> None:
    assert world.table() == reference.table()
    assert world.versions() == reference.versions()
    assert world.published() == reference.published()


def test_killed_at_every_failpoint(reference: World, tmp_path: Path) -> None:
    """One lake per task: the tasks before run undisturbed, then a kill at each point, then the rest."""
    killed: dict[str, list[str]] = {}
    base = World(reference.folder, tmp_path / "lake")
    for task, steps, before in base.stages():
        snapshot = tmp_path / "snapshot"
        shutil.rmtree(snapshot, ignore_errors=True)
        if base.lake.exists():
            shutil.copytree(base.lake, snapshot)
        code, log = base.run(task, steps, before, "record")
        assert code in (0, 3), log
        points = log.rsplit("failpoints passed: ", 1)[1].split('"', 1)[0].split()
        for point in points:
            world = World(reference.folder, base.lake)
            _restore(snapshot, world.lake)
            code, _ = world.run(task, steps, before, point)
            assert code == -9, f"{task} was not killed at {point}: {code}"
            assert not (world.lake / "runs" / f"{task}.json").exists() or point == "result.after"
            world.published()  # whatever is visible is whole
            code, log = world.run(task, steps, before)
            assert code in (0, 3), f"{task} after a kill at {point}: {log}"
            killed.setdefault(task, []).append(point)
    same_data(base, reference)
    print({task: len(points) for task, points in killed.items()})
    assert set(killed) == {task for task, _, _ in base.stages()}


def _restore(snapshot: Path, lake: Path) -> None:
    shutil.rmtree(lake, ignore_errors=True)
    if snapshot.exists():
        shutil.copytree(snapshot, lake)


def test_killed_at_random_moments(reference: World, tmp_path: Path) -> None:
    """Each task is killed again and again at random moments of its life; in the end the data is the same."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    dice = random.Random(seed)
    stages = list(reference.stages())
    kills = 0
    round_ = 0
    while kills < KILLS:
        round_ += 1
        world = World(reference.folder, tmp_path / f"lake-{round_}")
        for task, steps, before in stages:
            if kills < KILLS:
                kills += _kill(world, task, steps, before, dice.uniform(0.05, 1.2))
            code, log = world.run(task, steps, before)
            assert code in (0, 3), f"seed {seed}, {task}: {log}"
        same_data(world, reference)
    print(f"{kills} kills in {round_} rounds")


def _kill(world: World, task: str, steps: list, before: list[str], after_s: float) -> int:
    process = world.start(task, steps, before)
    end = time.monotonic() + after_s
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    world.published()
    return 1


def test_two_attempts_of_every_task_at_once(reference: World, tmp_path: Path) -> None:
    world = World(reference.folder, tmp_path / "lake")
    for task, steps, before in world.stages():
        pair = [world.start(task, steps, before) for _ in range(2)]
        logs = [p.communicate(timeout=120)[1].decode() for p in pair]
        codes = [p.returncode for p in pair]
        assert any(c in (0, 3) for c in codes), f"{task}: {codes}\n{logs}"
        assert all(c in (0, 3, 20) for c in codes), f"{task}: {codes}\n{logs}"
    same_data(world, reference)


def test_running_it_all_again_changes_no_byte(reference: World) -> None:
    def tree() -> dict[str, bytes]:
        zones = ("landing", "staging", "tables", "quarantine")
        return {
            str(p.relative_to(reference.lake)): p.read_bytes()
            for zone in zones
            for p in (reference.lake / zone).rglob("*")
            if p.is_file()
        }

    before = tree()
    reference.run_all()
    assert tree() == before


def test_a_corrected_file_changes_exactly_the_corrected_rows(tmp_path: Path) -> None:
    world = World(tmp_path / "in", tmp_path / "lake")
    world.write_inputs()
    world.run_all()
    before = world.table()
    world.write_inputs(correction=True)
    results = world.run_all()
    after = world.table()
    changed = [row for row in after if row not in set(before)]
    assert len(changed) == len([row for row in before if row not in set(after)]) == 2 * 3
    assert world.versions() == len(after) + len(changed)
    assert results["store"].steps[0].observations["changed"] == len(changed)
