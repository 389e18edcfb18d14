"""PostgreSQL into the lake, whole processes: the collector as it ships, beside ADBC, connectorx and dlt.

Ours also reads under one exported snapshot, compares counts, hashes and writes the landing log; the peers only write
Parquet. The server is the connection `bench_pg`, which `BENCH_POSTGRES` gives as host:port of a server that trusts
its user postgres. On a small machine the server takes its share of the cores: the floor in rows a second is for two
cores' worth of our own work, by CPU time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from base_ops.bench.measure import Comparison, compare, python, worker
from base_ops.core.protocol import StepRequest

NAME = "rows from PostgreSQL into the lake"
_TABLE = "bench_trades"
_MAKE = """CREATE TABLE {table} AS SELECT i::int8 AS trade_id, '2024-01-01'::timestamptz + i * interval '1 s' AS ts,
(array['AAPL','MSFT','GOOG','AMZN'])[1 + i % 4] AS symbol, (100 + (i % 100000) / 1000.0)::numeric(18,6) AS price,
(i % 1000)::int4 AS quantity, random() AS fee, 'ACC' || lpad((i % 1000000)::text, 6, '0') AS account,
CASE WHEN i % 2 = 0 THEN 'B' ELSE 'S' END AS side, 'USD' AS currency, i % 7 = 0 AS flag
FROM generate_series(1, {rows}) i"""


def measure(folder: Path, rows: int, rounds: int, only: str | None = None) -> Iterator[Comparison]:
    """Yield the comparisons, none without BENCH_POSTGRES; the table stays in the server between calls."""
    if "BENCH_POSTGRES" not in os.environ:
        return
    host, _, port = os.environ["BENCH_POSTGRES"].partition(":")
    url = f"postgresql://postgres@{host}:{port}/postgres"
    _make_table(url, rows)
    keys, out = folder / "connections", folder / "out"
    keys.mkdir(parents=True, exist_ok=True)
    out.mkdir(exist_ok=True)
    told = {"conn_type": "postgres", "host": host, "port": int(port), "login": "postgres", "schema": "postgres"}
    (keys / "bench_pg.json").write_text(json.dumps({**told, "extra": {"sslmode": "disable"}}))
    environment = {"BASE_CONNECTIONS_DIR": str(keys), "BASE_HOME": str(folder / "home")}
    for name, peer in _peers(url, out).items():
        yield compare(
            NAME,
            _ours(folder, out),
            name,
            peer,
            rounds=rounds,
            limit=None,
            environment=environment,
            clean=out,
            rows=rows,
            floor=1e6,
        )


def _make_table(url: str, rows: int) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as server:
        there = server.execute("SELECT to_regclass(%s) IS NOT NULL", (_TABLE,)).fetchone()
        if there == (True,) and server.execute(f"SELECT count(*) FROM {_TABLE}").fetchone() == (rows,):
            return
        server.execute(f"DROP TABLE IF EXISTS {_TABLE}")
        server.execute(_MAKE.format(table=_TABLE, rows=int(rows)))
        server.execute(f"ALTER TABLE {_TABLE} ADD PRIMARY KEY (trade_id)")
        server.execute(f"VACUUM ANALYZE {_TABLE}")


def _ours(folder: Path, lake: Path) -> list[str]:
    """The worker's command, as the operator starts it, with a lake of its own."""
    source: dict[str, Any] = {"id": "bench", "connection": "bench_pg", "sql": {"table": f"public.{_TABLE}"}}
    step = StepRequest(
        agent="data_ingestion.collector", action="collect_data_from_source", spec={"source": source, "mode": "full"}
    )
    return worker(folder, "sql", [step], lake=lake, connections=["bench_pg"])


def _peers(url: str, out: Path) -> dict[str, list[str]]:
    query, file = f"SELECT * FROM {_TABLE}", out / "peer.parquet"
    adbc = f"""
import pyarrow as pa, pyarrow.parquet as pq, adbc_driver_postgresql.dbapi as driver
with driver.connect({url!r}) as opened, opened.cursor() as cursor:
    cursor.execute({query!r})
    writer = None
    for batch in cursor.fetch_record_batch():
        plain = pa.record_batch(
            [c.storage if isinstance(c, pa.ExtensionArray) else c for c in batch.columns], names=batch.schema.names)
        writer = writer or pq.ParquetWriter({str(file)!r}, plain.schema, compression="zstd", compression_level=1)
        writer.write_batch(plain)
    writer.close()
"""
    connectorx = f"""
import connectorx, pyarrow.parquet as pq
table = connectorx.read_sql({url!r}, {query!r}, return_type="arrow", partition_on="trade_id", partition_num=4)
pq.write_table(table, {str(file)!r}, compression="zstd", compression_level=1)
"""
    dlt = f"""
import dlt
from dlt.sources.sql_database import sql_table
table = sql_table({url.replace("postgresql://", "postgresql+psycopg://")!r}, table={_TABLE!r}, backend="pyarrow",
                  chunk_size=100_000)
pipeline = dlt.pipeline("bench", pipelines_dir={str(out / "dlt")!r}, dataset_name="d",
                        destination=dlt.destinations.filesystem({str(out / "files")!r}))
pipeline.run(table, loader_file_format="parquet")
"""
    return {
        "ADBC, one connection": python(adbc),
        "connectorx, 4 ranges": python(connectorx),
        "dlt, pyarrow": python(dlt),
    }
