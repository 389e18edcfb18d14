"""Merge against DuckDB's own queries, whole processes, from the same Parquet files.

Three sources of overlapping keys in order of time, as feeds are; where sources disagree is a share of the rows.
Ours also logs the conflicts, notes which source won, sorts by key and gives the same bytes every time; the peers
do none of it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from base_ops.bench.measure import Comparison, compare, python, run_once, worker
from base_ops.core.protocol import StepRequest

SOURCES = ("s0", "s1", "s2")
WIDE = ("v0", "v1", "v2", "v3", "v4", "v5", "q0", "q1", "sym", "note")
NARROW = ("v0", "v1", "v2", "v3", "v4")
CONFLICT_SHARE = 0.005
PER_FIELD = "merge, a rule per field"
_COPY = "(format parquet, compression zstd, compression_level 1)"


def run(rows: int) -> list[dict[str, Any]]:
    """Measure with `rows` rows per source."""
    with tempfile.TemporaryDirectory() as folder:
        return [_row(c) for c in measure(Path(folder), rows, 5)]


def measure(folder: Path, rows: int, rounds: int, only: str | None = None) -> Iterator[Comparison]:
    """Yield the comparisons, of `rows` per source; `folder` keeps the generated input between calls."""
    out = folder / "out"
    wide, narrow = (_generate(folder / f"merge-{rows}-{len(c)}", rows, c) for c in (WIDE, NARROW))
    window = "row_number() over (partition by k order by updated_at desc) = 1"
    aggregates = "arg_max(v0, updated_at) v0, min(v1) v1, max(v2) v2, avg(v3) v3, arg_max(v4, updated_at) v4"
    cases = [
        (
            "merge, last write wins, all fields",
            _ours(folder, "merge-wide", wide, out, {"default": {"rule": "last_write_wins", "by": "updated_at"}}),
            "DuckDB row_number() = 1",
            _peer(out, f"select * exclude (_line) from {_scan(wide)} qualify {window}"),
            1.10,
        ),
        (
            PER_FIELD,
            _ours(folder, "merge-narrow", narrow, out, {"fields": _rules()}),
            "DuckDB arg_max, min, max, avg",
            _peer(out, f"select k, max(updated_at) updated_at, {aggregates} from {_scan(narrow)} group by k"),
            1.50,
        ),
    ]
    for name, ours, peer_name, peer, limit in cases:
        if only is not None and only not in name:
            continue
        environment = {"BASE_HOME": str(folder / "home")}
        options = {"environment": environment, "clean": out, "rows": len(SOURCES) * rows}
        yield compare(name, ours, peer_name, peer, rounds=rounds, limit=limit, **options)


def _row(c: Comparison) -> dict[str, Any]:
    known = {"ours_mb": "ours_peak_mb", "peer_mb": "peer_peak_mb"}
    return {known.get(name, name): value for name, value in dataclasses.asdict(c).items()}


def _rules() -> list[dict[str, Any]]:
    return [
        {"fields": ["updated_at"], "rule": "max"},
        {"fields": ["v0"], "rule": "last_write_wins", "by": "updated_at"},
        {"fields": ["v1"], "rule": "min"},
        {"fields": ["v2"], "rule": "max"},
        {"fields": ["v3"], "rule": "weighted_average"},
        {"fields": ["v4"], "rule": "last_write_wins", "by": "updated_at"},
    ]


def _ours(folder: Path, name: str, inputs: Path, out: Path, rules: dict[str, Any]) -> list[str]:
    """The worker's command, as the operator starts it."""
    files = {source: [str(inputs / f"{source}.parquet")] for source in SOURCES}
    spec = {"dataset": name, "key": ["k"], "inputs": files, "target": str(out / name), **rules}
    step = StepRequest(agent="data_ingestion.merger", action="merge_processed_files", spec=spec)
    return worker(folder, name, [step])


def _scan(inputs: Path) -> str:
    return f"read_parquet({[str(inputs / f'{source}.parquet') for source in SOURCES]})"


def _peer(out: Path, query: str) -> list[str]:
    statement = f"copy ({query}) to '{out}/peer.parquet' {_COPY}"
    return python(f"import duckdb; duckdb.connect().execute({statement!r})")


def _generate(folder: Path, rows: int, columns: tuple[str, ...]) -> Path:
    """Write (once) one file per source: `rows` of 1.5 × `rows` keys each, k, updated_at, the columns, _line."""
    if folder.exists():
        return folder
    values = {
        **{f"v{i}": f"round(100 + (hash(k + {i}) % 100000) / 1000.0 + d, 4)" for i in range(6)},
        "q0": "(k * 7919) % 1000 + d::bigint",
        "q1": "(k * 104729) % 100000",
        "sym": "'S' || (k % 500)",
        "note": "'note-' || (k % 100000)",
    }
    temporary = folder.with_suffix(".part")
    temporary.mkdir(parents=True)
    for number, source in enumerate(SOURCES):
        wanted = ", ".join(f"{values[name]} as {name}" for name in columns)
        drawn = f"hash(k * 31 + {number})"
        statement = f"""copy (
            select k, timestamp '2026-01-01' + to_milliseconds(k * 1000 + ({drawn} % 900)::bigint) as updated_at,
                {wanted}, row_number() over () as _line
            from (select k, if(hash(k * 17 + {number}) % 1000000 < {CONFLICT_SHARE * 1e6}, 1.0, 0.0) as d
                  from range({rows * 3 // 2}) t(k) where {drawn} % 3 < 2)
            order by k
        ) to '{temporary}/{source}.parquet' {_COPY}"""
        run_once(python(f"import duckdb; duckdb.sql({statement!r})"))  # a process of its own: peaks are inherited
    temporary.rename(folder)
    return folder


if __name__ == "__main__":
    for line in run(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000):
        print(json.dumps(line))  # noqa: T201
