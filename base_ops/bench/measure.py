"""Paired timing of whole processes: ours and a peer in turn, so that a drifting machine cancels out."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_ops.core.ids import uuid7
from base_ops.core.protocol import Identity, Request, StepRequest


@dataclass(frozen=True)
class Run:
    """One finished process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Comparison:
    """Medians of paired runs; `ratio` is the median of ours/peer pair by pair."""

    name: str
    peer: str
    ours_s: float
    peer_s: float
    ratio: float
    limit: float | None
    ours_mb: float
    peer_mb: float
    ours_cpu_s: float = 0.0
    """User and system time of our process."""
    rows: int | None = None
    """Rows moved, where rows a second count; `floor` of them with two cores' work."""
    floor: float | None = None

    @property
    def holds(self) -> bool | None:
        return None if self.limit is None else self.ratio <= self.limit


def run_once(command: Sequence[str], environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end; raises with its output if it fails (exit code 3 = partial is a success)."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 3):
            output.seek(0)
            raise RuntimeError(f"{command} ended with {process.returncode}: {output.read().decode()[-2000:]}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def python(code: str) -> list[str]:
    """A command that runs Python code in a fresh interpreter."""
    return [sys.executable, "-c", code]


def compare(
    name: str,
    ours: Sequence[str],
    peer_name: str,
    peer: Sequence[str],
    *,
    rounds: int,
    limit: float | None,
    environment: dict[str, str] | None = None,
    clean: Path | None = None,
    rows: int | None = None,
    floor: float | None = None,
) -> Comparison:
    """Ours, peer, ours, peer, …; the first pair warms up and does not count."""
    pairs: list[tuple[Run, Run]] = []
    for number in range(rounds + 1):
        if clean is not None:
            _empty(clean)
        ours_run = run_once(ours, environment)
        if clean is not None:
            _empty(clean)
        peer_run = run_once(peer, environment)
        if number:
            pairs.append((ours_run, peer_run))
    return Comparison(
        name=name,
        peer=peer_name,
        ours_s=statistics.median(o.seconds for o, _ in pairs),
        peer_s=statistics.median(p.seconds for _, p in pairs),
        ratio=statistics.median(o.seconds / p.seconds for o, p in pairs),
        limit=limit,
        ours_mb=max(o.peak_mb for o, _ in pairs),
        peer_mb=max(p.peak_mb for _, p in pairs),
        ours_cpu_s=statistics.median(o.cpu_seconds for o, _ in pairs),
        rows=rows,
        floor=floor,
    )


def _empty(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def worker(
    folder: Path, name: str, steps: Sequence[StepRequest], *, lake: Path | None = None, connections: Sequence[str] = ()
) -> list[str]:
    """The worker's command for a chain, as the operator starts it; the Result goes to <lake>/runs/<name>.json.

    Args:
        lake: default: the folder `lake` in `folder`.
    """
    lake = lake or folder / "lake"
    request = Request(
        steps=list(steps),
        identity=Identity(attempt=uuid7()),
        connections=list(connections),
        lake_url=str(lake),
        result_uri=f"{lake}/runs/{name}.json",
    )
    file = folder / f"{name}.request.json"
    file.write_text(request.model_dump_json())
    return [sys.executable, "-m", "base_ops.worker", "--request", str(file)]


def convert_step(source: Path, target: Path, read: dict[str, Any] | None = None) -> StepRequest:
    """Conversion of one file."""
    spec = {"source": str(source), "target": str(target), **({"read": read} if read else {})}
    return StepRequest(agent="data_ingestion.converter", action="convert_to_standard_format", spec=spec)


def converter(folder: Path, source: Path, out: Path, read: dict[str, Any] | None = None) -> list[str]:
    """The worker's command that converts `source` to `ours.parquet` in `out`."""
    name = f"{source.stem}-{source.suffix[1:]}"
    return worker(folder, name, [convert_step(source, out / "ours.parquet", read)])
