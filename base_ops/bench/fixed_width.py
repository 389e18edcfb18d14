"""Convert of fixed-width text against DuckDB, polars and pandas, on the path that ships (rejects, hashes, manifest)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from base_ops.bench.measure import Comparison, compare, converter, python

FIELDS: tuple[tuple[str, int, str], ...] = (
    ("trade_id", 10, "int64"),
    ("ts", 26, "timestamp"),
    ("symbol", 8, "string"),
    ("venue", 4, "string"),
    ("price", 10, "float64"),
    ("quantity", 8, "int64"),
    ("side", 1, "string"),
    ("account", 10, "string"),
    ("currency", 3, "string"),
    ("fee", 8, "float64"),
)
"""Name, characters and type of each field, one after the other."""
_RIGHT = ("int64", "float64")


def measure(folder: Path, rows: int, rounds: int, only: str | None = None) -> Iterator[Comparison]:
    """Yield the comparisons of fixed-width convert; `folder` keeps the generated input between calls."""
    name = "convert fixed-width to Parquet"
    if only is not None and only not in name:
        return
    source = trades_fixed(folder / f"trades-{rows}.dat", rows)
    out = folder / "out"
    ours = converter(folder, source, out, _read())
    peers = [
        ("DuckDB read_csv, substr, cast", python(_duckdb(source, out)), 1.0),
        ("polars scan_csv, str.slice, cast", python(_polars(source, out)), 1.0),
        ("pandas read_fwf", python(_pandas(source, out)), 1.0),
    ]
    environment = {"BASE_HOME": str(folder / "home")}
    for peer_name, peer, limit in peers:
        yield compare(name, ours, peer_name, peer, rounds=rounds, limit=limit, environment=environment, clean=out)


def trades_fixed(path: Path, rows: int) -> Path:
    """Write (once) `rows` trades, 88 bytes each; numbers stand right, texts left."""
    if path.exists():
        return path
    import duckdb

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    duckdb.sql(
        f"""copy (select
            lpad(i::varchar, 10, ' ')
            || strftime(timestamp '2024-01-02 09:30:00' + interval (i * 37) milliseconds, '%Y-%m-%dT%H:%M:%S.%f')
            || rpad((['AAPL','MSFT','GOOG','AMZN','TSLA','NVDA','META','JPM','GS','MS'])[1 + (i * 7919) % 10], 8, ' ')
            || (['XNAS','XNYS','BATS','ARCX'])[1 + (i * 31) % 4]
            || lpad(printf('%.2f', 50 + (hash(i) % 20000) / 100.0), 10, ' ')
            || lpad((1 + hash(i + 1) % 1000)::varchar, 8, ' ')
            || (['B','S'])[1 + (hash(i + 2) % 2)::int]
            || rpad('ACC' || lpad((hash(i + 3) % 50000)::varchar, 6, '0'), 10, ' ')
            || (['USD','EUR','GBP'])[1 + (hash(i + 4) % 3)::int]
            || lpad(printf('%.4f', (hash(i + 5) % 1000) / 10000.0), 8, ' ')
        from range({int(rows)}) t(i)) to '{temporary}' (header false, delimiter '\x1f', quote '')"""
    )
    temporary.rename(path)
    return path


def _places() -> Iterator[tuple[str, int, int, str]]:
    start = 0
    for name, length, type in FIELDS:
        yield name, start, length, type
        start += length


def _read() -> dict[str, Any]:
    """How the records lie."""
    fields: list[dict[str, Any]] = [
        {"name": n, "start": start + 1, "length": length, "type": type} for n, start, length, type in _places()
    ]
    return {"format": "fixed_width", "fixed_width": {"fields": fields}}


def _duckdb(source: Path, out: Path) -> str:
    types = {"int64": "bigint", "float64": "double", "timestamp": "timestamp", "string": "varchar"}
    columns = ", ".join(f"trim(substr(line, {s + 1}, {w}))::{types[t]} as {n}" for n, s, w, t in _places())
    read = f"read_csv('{source}', columns={{line: 'varchar'}}, header=false, delim='\x1f', quote='', escape='')"
    options = "format parquet, compression zstd, compression_level 1"
    copy = f"copy (select {columns} from {read}) to '{out}/peer.parquet' ({options})"
    return f"import duckdb; duckdb.connect().sql({copy!r})"


def _polars(source: Path, out: Path) -> str:
    casts = {"int64": ".cast(pl.Int64)", "float64": ".cast(pl.Float64)", "string": ""}
    casts["timestamp"] = ".str.to_datetime('%Y-%m-%dT%H:%M:%S%.f')"
    line = "pl.col('line').str.slice"
    columns = ", ".join(f"{line}({s}, {w}).str.strip_chars(){casts[t]}.alias('{n}')" for n, s, w, t in _places())
    scan = f"pl.scan_csv('{source}', has_header=False, new_columns=['line'], separator='\\x1f', quote_char=None)"
    sink = f"sink_parquet('{out}/peer.parquet', compression='zstd', compression_level=1)"
    return f"import polars as pl; {scan}.select({columns}).{sink}"


def _pandas(source: Path, out: Path) -> str:
    widths, names = [w for _, w, _ in FIELDS], [n for n, _, _ in FIELDS]
    read = f"pd.read_fwf('{source}', widths={widths}, names={names}, parse_dates=['ts'])"
    return f"import pandas as pd; {read}.to_parquet('{out}/peer.parquet', compression='zstd')"
