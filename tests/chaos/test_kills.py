"""Never lose, never double: every agent killed at every failpoint and at random moments, and run twice at once."""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chaos.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
KILLS = int(os.environ.get("CHAOS_KILLS", "40"))


@dataclass(frozen=True)
class Undisturbed:
    """What an undisturbed run left, to be equalled by every disturbed one in the same place, byte for byte."""

    folder: Path
    lake: Path
    table: list[tuple[Any, ...]]
    versions: int
    published: dict[str, Any]

    def world(self) -> World:
        """A fresh lake at the same path (pointers hold URIs), over the same input files."""
        shutil.rmtree(self.lake, ignore_errors=True)
        return World(self.folder, self.lake)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("reference")
    world = World(folder / "in", folder / "lake")
    world.write_inputs()
    world.run_all()
    assert len(world.table()) > 100
    return Undisturbed(world.folder, world.lake, world.table(), world.versions(), world.published())


def same_data(world: World, reference: Undisturbed) -> None:
    assert world.table() == reference.table
    assert world.versions() == reference.versions
    assert world.published() == reference.published


def test_killed_at_every_failpoint(reference: Undisturbed, tmp_path: Path) -> None:
    """One lake per task: the tasks before run undisturbed, then a kill at each point, then the rest."""
    killed: dict[str, list[str]] = {}
    base = reference.world()
    for task, steps, before in base.stages():
        snapshot = tmp_path / "snapshot"
        shutil.rmtree(snapshot, ignore_errors=True)
        if base.lake.exists():
            shutil.copytree(base.lake, snapshot)
        code, log = base.run(task, steps, before, "record")
        assert code in (0, 3), log
        points = log.rsplit("failpoints passed: ", 1)[1].split('"', 1)[0].split()
        for point in points:
            _restore(snapshot, base.lake)
            code, _ = base.run(task, steps, before, point)
            assert code == -9, f"{task} was not killed at {point}: {code}"
            assert not (base.lake / "runs" / f"{task}.json").exists() or point == "result.after"
            base.published()  # whatever is visible is whole
            code, log = base.run(task, steps, before)
            assert code in (0, 3), f"{task} after a kill at {point}: {log}"
            killed.setdefault(task, []).append(point)
    same_data(base, reference)
    print({task: len(points) for task, points in killed.items()})
    assert set(killed) == {task for task, _, _ in base.stages()}


def _restore(snapshot: Path, lake: Path) -> None:
    shutil.rmtree(lake, ignore_errors=True)
    if snapshot.exists():
        shutil.copytree(snapshot, lake)


def test_killed_at_random_moments(reference: Undisturbed) -> None:
    """Each task is killed again and again at random moments of its life; in the end the data is the same."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    dice = random.Random(seed)
    kills = 0
    while kills < KILLS:
        world = reference.world()
        for task, steps, before in world.stages():
            if kills < KILLS:
                kills += _kill(world, task, steps, before, dice.uniform(0.05, 1.2))
            code, log = world.run(task, steps, before)
            assert code in (0, 3), f"seed {seed}, {task}: {log}"
        same_data(world, reference)
    print(f"{kills} kills")


def _kill(world: World, task: str, steps: list, before: list[str], after_s: float) -> int:
    process = world.start(task, steps, before)
    end = time.monotonic() + after_s
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    world.published()
    return 1


def test_two_attempts_of_every_task_at_once(reference: Undisturbed) -> None:
    world = reference.world()
    for task, steps, before in world.stages():
        pair = [world.start(task, steps, before) for _ in range(2)]
        logs = [p.communicate(timeout=120)[1].decode() for p in pair]
        codes = [p.returncode for p in pair]
        assert all(c in (0, 3) for c in codes), f"{task}: {codes}\n{logs}"
    same_data(world, reference)


def test_running_it_all_again_changes_no_byte(reference: Undisturbed) -> None:
    world = reference.world()

    def tree() -> dict[str, bytes]:
        zones = ("landing", "staging", "tables", "quarantine")
        files = (p for zone in zones for p in (world.lake / zone).rglob("*") if p.is_file())
        return {str(p.relative_to(world.lake)): p.read_bytes() for p in files}

    world.run_all()
    before = tree()
    world.run_all()
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
