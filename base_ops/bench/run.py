"""The bench command: generate, measure, print."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

from base_ops.bench.figures import Figure, derived, figures
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
    _print_figures([*derived(done), *figures(folder, rows, rounds, only)])
    return done


def _print_figures(found: list[Figure]) -> None:
    if found:
        shown = (
            (f.what, _short(f.value), f.unit, f"{'≥' if f.at_least else '≤'} {_short(f.limit)}", f.holds) for f in found
        )
        table("figures", ("what", "value", "unit", "limit", "holds"), shown, numbers=("value", "limit"))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@dataclasses.dataclass(frozen=True)
class Suite:
    """One file of measurements, and how many rows it takes for each million of `--rows`."""

    module: str
    names: str
    """Words that `--only` is looked for in."""
    rows_per_million: int = 1_000_000


SUITES = (
    Suite("convert", "convert CSV to Parquet, convert + validate 10 rules + mask"),
    Suite("merge", "merge, last write wins, all fields; merge, a rule per field", 217_392),
    Suite("ndjson", "convert NDJSON to Parquet, convert JSON document to Parquet", 217_392),
    Suite("avro", "convert Avro to Parquet", 434_783),
    Suite("fixed_width", "convert fixed-width to Parquet", 380_435),
    Suite("xml", "convert XML to Parquet", 41_305),
    Suite("xlsx", "convert XLSX to Parquet", 54_348),
    Suite("mt940", "convert MT940 to Parquet", 6_522),
    Suite("sql", "rows from PostgreSQL into the lake (BENCH_POSTGRES=host:port)", 217_392),
)
"""At the default of 9.2 million rows: CSV of 700 MB, merges of 3 x 2 million, other files of about 100 to 350 MB."""


def _all(folder: Path, rows: int, rounds: int, only: str | None) -> Iterator[Comparison]:
    for suite in SUITES:
        if only is not None and only not in suite.names and suite.module != only:
            continue
        measure = importlib.import_module(f"base_ops.bench.{suite.module}").measure
        wanted = None if only == suite.module else only
        yield from measure(folder, max(1_000, rows * suite.rows_per_million // 1_000_000), rounds, wanted)
