"""NDJSON and a JSON document to Parquet, against DuckDB, polars and pyarrow, on the path that ships.

Ours also counts every line, refuses what is not exact, hashes the input and publishes; the peers do none of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from base_ops.bench.measure import Comparison, compare, converter, python, run_once

_DOCUMENT_ROWS = 560_000
"""Of ten values each: 100 MB."""
_COPY = "(format parquet, compression zstd, compression_level 1)"
_ZSTD = "compression='zstd', compression_level=1"


def measure(folder: Path, rows: int, rounds: int, only: str | None) -> Iterator[Comparison]:
    """Yield the comparisons; `folder` keeps the generated input between calls."""
    out = folder / "out"
    lines = folder / f"trades-{rows}.ndjson"
    document = folder / f"trades-{_DOCUMENT_ROWS}.json"
    cases = [
        ("convert NDJSON to Parquet", lines, "DuckDB read_json", _duckdb(lines, out)),
        (
            "convert NDJSON to Parquet",
            lines,
            "polars scan_ndjson",
            python(f"import polars as pl; pl.scan_ndjson('{lines}').sink_parquet('{out}/peer.parquet', {_ZSTD})"),
        ),
        ("convert NDJSON to Parquet", lines, "pyarrow.json", _pyarrow(lines, out)),
        ("convert JSON document to Parquet", document, "DuckDB read_json", _duckdb(document, out)),
        (
            "convert JSON document to Parquet",
            document,
            "polars read_json",
            python(f"import polars as pl; pl.read_json('{document}').write_parquet('{out}/peer.parquet', {_ZSTD})"),
        ),
    ]
    environment = {"BASE_HOME": str(folder / "home")}
    for name, source, peer_name, peer in cases:
        if only is None or only in name:
            _generate(source, rows if source == lines else _DOCUMENT_ROWS, array=source == document)
            ours = converter(folder, source, out)
            yield compare(name, ours, peer_name, peer, rounds=rounds, limit=1.0, environment=environment, clean=out)


def _duckdb(source: Path, out: Path) -> list[str]:
    statement = f"copy (from read_json('{source}')) to '{out}/peer.parquet' {_COPY}"
    return python(f"import duckdb; duckdb.connect().execute({statement!r})")


def _pyarrow(source: Path, out: Path) -> list[str]:
    return python(
        "import pyarrow.json as pj, pyarrow.parquet as pq\n"
        f"reader = pj.open_json('{source}')\n"
        f"with pq.ParquetWriter('{out}/peer.parquet', reader.schema, {_ZSTD}) as writer:\n"
        "    for batch in reader: writer.write_batch(batch)"
    )


def _generate(path: Path, rows: int, *, array: bool) -> None:
    """Write (once) the trades of `data.trades_csv` as JSON, about 178 bytes a row."""
    if path.exists():
        return
    temporary = path.with_suffix(".part")
    statement = f"""copy (select
            i as trade_id,
            strftime(timestamp '2024-01-02 09:30:00' + interval (i * 37) milliseconds, '%Y-%m-%dT%H:%M:%S.%f') as ts,
            (['AAPL','MSFT','GOOG','AMZN','TSLA','NVDA','META','JPM','GS','MS'])[1 + (i * 7919) % 10] as symbol,
            (['XNAS','XNYS','BATS','ARCX'])[1 + (i * 31) % 4] as venue,
            round(50 + (hash(i) % 20000) / 100.0, 2) as price,
            1 + hash(i + 1) % 1000 as quantity,
            (['B','S'])[1 + (hash(i + 2) % 2)::int] as side,
            'ACC' || lpad((hash(i + 3) % 50000)::varchar, 6, '0') as account,
            (['USD','EUR','GBP'])[1 + (hash(i + 4) % 3)::int] as currency,
            round((hash(i + 5) % 1000) / 10000.0, 4) as fee
        from range({int(rows)}) t(i)) to '{temporary}' (format json, array {str(array).lower()})"""
    run_once(python(f"import duckdb; duckdb.sql({statement!r})"))  # a process of its own: peaks are inherited
    temporary.rename(path)


if __name__ == "__main__":
    import dataclasses

    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    for found in measure(place, int(sys.argv[2]), int(sys.argv[3]), None):
        print(json.dumps(dataclasses.asdict(found)), flush=True)  # noqa: T201
