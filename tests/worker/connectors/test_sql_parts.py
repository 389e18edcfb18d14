"""Parquet parts of SQL rows: how they are encoded, and that nothing of it changes a value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.databases.parts import encodings, parquet_parts

ROWS = 50_000
START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS_OF = {
    "id": pa.array(range(ROWS), pa.int64()),
    "at": pa.array([START + timedelta(seconds=n) for n in range(ROWS)], pa.timestamp("us", "UTC")),
    "day": pa.array([(START + timedelta(days=n % 3000 if n % 7 else 0)).date() for n in range(ROWS)], pa.date32()),
    "fee": pa.array([n * 1.1 for n in range(ROWS)]),
    "price": pa.array([Decimal(n) / 100 for n in range(ROWS)], pa.decimal128(18, 2)),
    "account": pa.array([f"A{n}" if n % 5 else None for n in range(ROWS)]),
    "symbol": pa.array(["AAPL", "MSFT"] * (ROWS // 2)),
    "quantity": pa.array([n % 100 for n in range(ROWS)], pa.int32()),
    "nothing": pa.nulls(ROWS, pa.string()),
}


def test_only_values_that_repeat_go_into_dictionaries() -> None:
    made = encodings(pa.table(ROWS_OF))
    assert made["use_dictionary"] == ["symbol", "quantity", "nothing"]
    assert made["column_encoding"] == dict.fromkeys(("id", "at", "day"), "DELTA_BINARY_PACKED")


def test_every_value_comes_back_whoever_reads(tmp_path: Path) -> None:
    table = pa.table(ROWS_OF)
    source = SourceSpec.model_validate({"id": "s", "connection": "c", "sql": {"table": "t", "part_rows": ROWS}})
    ((fetched, rows),) = parquet_parts(table.to_batches(7_000), table.schema, Site(source, tmp_path), "t", 1)
    assert rows == ROWS and pq.read_table(fetched.local).equals(table)
    assert pl.read_parquet(fetched.local).equals(pl.from_arrow(table))
    plain = tmp_path / "plain"
    pq.write_table(table, plain, compression="zstd", compression_level=1)
    assert fetched.bytes < plain.stat().st_size
