"""The bench command: generate, measure, print."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from base_ops.bench import convert, parse
from base_ops.bench.measure import Comparison
from base_ops.cli.output import console, table


def run(*, rows: int, rounds: int, only: str | None, as_json: bool, folder: Path | None = None) -> list[Comparison]:
    """Run all measurements (or those whose name contains `only`) and print them as they come."""
    folder = folder or Path(".bench").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    done: list[Comparison] = []
    for comparison in _all(folder, rows, rounds, only):
        done.append(comparison)
        if not as_json:
            console.print(f"  {comparison.name} / {comparison.peer}: {comparison.ratio:.2f}", markup=False)
    if as_json:
        console.print(json.dumps([dataclasses.asdict(c) for c in done]), markup=False, soft_wrap=True)
        return done
    table(
        f"{rows:,} rows, medians of {rounds} paired runs, whole processes",
        ("what", "peer", "ours s", "peer s", "ratio", "limit", "ours MB", "peer MB", "holds"),
        (
            (
                c.name,
                c.peer,
                f"{c.ours_s:.2f}",
                f"{c.peer_s:.2f}",
                f"{c.ratio:.2f}",
                f"{c.limit:.2f}" if c.limit else None,
                round(c.ours_mb),
                round(c.peer_mb),
                c.holds,
            )
            for c in done
        ),
        numbers=("ours s", "peer s", "ratio", "limit", "ours MB", "peer MB"),
    )
    if only is None or only in "startup":
        console.print(
            f"agent start-up (process start to first byte of work): {convert.startup_seconds(folder):.2f} s, "
            "limit 0.60 s"
        )
    if only is None or only in "parse":
        seconds, dags = parse.parse_seconds(folder, rounds)
        console.print(f"parsing {dags} DAGs, over importing the operator base: {seconds:.2f} s, limit 0.50 s")
    return done


def _all(folder: Path, rows: int, rounds: int, only: str | None) -> Iterator[Comparison]:
    yield from convert.measure(folder, rows, rounds, only)
    if only is None or only in "merge":
        from base_ops.bench import merge

        yield from merge.measure(folder, rounds)
