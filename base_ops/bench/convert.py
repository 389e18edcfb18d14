"""Convert, and the fused chain, against DuckDB and polars, on the path that ships (rejects, hashes, manifest)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from base_ops.bench.data import trades_csv
from base_ops.bench.measure import Comparison, compare, convert_step, python, run_once, worker
from base_ops.core.ids import uuid7
from base_ops.core.protocol import Result, StepRequest

RULES: list[dict[str, Any]] = [
    {"check": "presence", "column": "trade_id"},
    {"check": "presence", "column": "ts"},
    {"check": "range", "column": "price", "min": 0, "exclusive": True},
    {"check": "range", "column": "quantity", "min": 1, "max": 1_000_000},
    {"check": "enum", "column": "side", "values": ["B", "S"]},
    {"check": "enum", "column": "currency", "values": ["USD", "EUR", "GBP"]},
    {"check": "pattern", "column": "account", "pattern": "ACC[0-9]{6}"},
    {"check": "expression", "id": "fee_share", "expression": "fee < price"},
    {"check": "length", "column": "symbol", "min": 1, "max": 5},
    {"check": "range", "column": "ts", "min": "2024-01-01T00:00:00"},
]


def measure(folder: Path, rows: int, rounds: int, only: str | None) -> Iterator[Comparison]:
    """Yield the comparisons of convert; `folder` keeps the generated input between calls."""
    source = trades_csv(folder / f"trades-{rows}.csv", rows)
    out = folder / "out"
    bare = worker(folder, "bare", [convert_step(source, out / "ours.parquet")])
    fused = worker(folder, "fused", [convert_step(source, out / "ours.parquet"), _validate(), _mask()])
    duck = python(
        f"import duckdb; duckdb.connect().sql(\"copy (from read_csv('{source}', store_rejects=true)) to "
        f"'{out}/peer.parquet' (format parquet, compression zstd, compression_level 1)\")"
    )
    pol = python(
        f"import polars as pl; pl.scan_csv('{source}', try_parse_dates=True).sink_parquet('{out}/peer.parquet',"
        " compression='zstd', compression_level=1)"
    )
    cases = [
        ("convert CSV to Parquet", bare, "DuckDB COPY, store_rejects", duck, 1.10),
        ("convert CSV to Parquet", bare, "polars scan_csv, try_parse_dates", pol, 0.85),
        ("convert + validate 10 rules + mask", fused, "our bare convert", bare, 1.30),
    ]
    keys = folder / "connections"
    keys.mkdir(exist_ok=True)
    (keys / "bench_key.json").write_text(json.dumps({"conn_type": "generic", "password": uuid7() + uuid7()}))
    environment = {"BASE_CONNECTIONS_DIR": str(keys), "BASE_HOME": str(folder / "home")}
    for name, ours, peer_name, peer, limit in cases:
        if only is None or only in name:
            yield compare(name, ours, peer_name, peer, rounds=rounds, limit=limit, environment=environment, clean=out)


def startup_seconds(folder: Path) -> float:
    """Process start to first byte of work, of a worker with a tiny file; the least of five."""
    source = folder / "tiny.csv"
    source.write_text("a,b\n1,2\n")
    command = worker(folder, "tiny", [convert_step(source, folder / "out" / "ours.parquet")])
    result = folder / "lake" / "runs" / "tiny.json"
    seconds = []
    for _ in range(5):
        run_once(command, {"BASE_HOME": str(folder / "home")})
        seconds.append(Result.model_validate_json(result.read_bytes()).startup_seconds)
    return min(seconds)


def _validate() -> StepRequest:
    return StepRequest(agent="data_quality.validator", action="validate_data_quality", spec={"rules": RULES})


def _mask() -> StepRequest:
    spec: dict[str, Any] = {"columns": {"account": {"method": "tokenize", "key": "bench_key"}}}
    return StepRequest(agent="data_security.masker", action="mask", spec=spec)
