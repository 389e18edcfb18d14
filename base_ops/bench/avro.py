"""Avro to Parquet, against polars and fastavro, on the path that ships (rejects, hashes, manifest)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from base_ops.bench.measure import Comparison, compare, converter, python

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Trade",
    "fields": [
        {"name": "trade_id", "type": "long"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "symbol", "type": "string"},
        {"name": "venue", "type": ["null", "string"]},
        {"name": "price", "type": "double"},
        {"name": "quantity", "type": "int"},
        {"name": "side", "type": {"type": "enum", "name": "Side", "symbols": ["B", "S"]}},
        {"name": "account", "type": "string"},
        {"name": "currency", "type": ["null", "string"]},
        {"name": "fee", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 4}},
    ],
}
_SYMBOLS = ("AAPL", "MSFT", "GOOG", "AMZN", "TSLA", "NVDA", "META", "JPM", "GS", "MS")
_VENUES = ("XNAS", "XNYS", "BATS", "ARCX", None)


def trades_avro(path: Path, rows: int, codec: str = "deflate") -> Path:
    """Write (once) an Avro file of `rows` trades in blocks of about 64 KiB."""
    if path.exists():
        return path
    import fastavro

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(SCHEMA), _trades(rows), codec=codec, sync_interval=1 << 16)
    temporary.rename(path)
    return path


def _trades(rows: int) -> Iterator[dict[str, Any]]:
    dice = random.Random(1)  # noqa: S311
    for i in range(rows):
        yield {
            "trade_id": i,
            "ts": 1_704_187_800_000_000 + i * 37_000,
            "symbol": _SYMBOLS[i * 7919 % 10],
            "venue": _VENUES[i * 31 % 5],
            "price": round(50 + dice.randrange(20_000) / 100, 2),
            "quantity": 1 + dice.randrange(1000),
            "side": "BS"[i & 1],
            "account": f"ACC{dice.randrange(50_000):06d}",
            "currency": ("USD", "EUR", None)[i % 3],
            "fee": Decimal(dice.randrange(1000)).scaleb(-4),
        }


def measure(folder: Path, rows: int, rounds: int, only: str | None) -> Iterator[Comparison]:
    """Yield the comparisons of Avro to Parquet; `folder` keeps the generated input between calls."""
    out = folder / "out"
    options = f"'{out}/peer.parquet', compression='zstd', compression_level=1"
    for codec in ("deflate", "null"):
        name = f"convert Avro ({codec}) to Parquet"
        if only is not None and only not in name:
            continue
        source = trades_avro(folder / f"trades-{rows}.{codec}.avro", rows, codec)
        ours = converter(folder, source, out)
        peers = {
            "polars read_avro": python(f"import polars as pl; pl.read_avro('{source}').write_parquet({options})"),
            "fastavro + pyarrow": python(_fastavro(source, out)),
        }
        for peer_name, peer in peers.items():
            yield compare(
                name,
                ours,
                peer_name,
                peer,
                rounds=rounds,
                limit=1.0,
                environment={"BASE_HOME": str(folder / "home")},
                clean=out,
            )


def _fastavro(source: Path, out: Path) -> str:
    """What a careful user writes: batches of records, so that the memory is bounded."""
    return f"""
import itertools, fastavro, pyarrow as pa, pyarrow.parquet as pq
schema = pa.schema([("trade_id", pa.int64()), ("ts", pa.timestamp("us", "UTC")), ("symbol", pa.string()),
    ("venue", pa.string()), ("price", pa.float64()), ("quantity", pa.int32()), ("side", pa.string()),
    ("account", pa.string()), ("currency", pa.string()), ("fee", pa.decimal128(9, 4))])
with open("{source}", "rb") as file, pq.ParquetWriter("{out}/peer.parquet", schema, compression="zstd") as writer:
    records = fastavro.reader(file)
    while rows := list(itertools.islice(records, 100_000)):
        writer.write_table(pa.Table.from_pylist(rows, schema))
"""
