"""Convert a workbook of 500,000 rows and 10 columns, against polars (calamine) and pandas (openpyxl)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from base_ops.bench.measure import Comparison, compare, converter, python

_HEADER = ("trade_id", "ts", "symbol", "side", "price", "quantity", "fee", "currency", "account", "active")


def measure(folder: Path, rows: int = 500_000, rounds: int = 5, only: str | None = None) -> Iterator[Comparison]:
    """Yield the comparisons; `folder` keeps the generated workbook between calls.

    The peers read the same workbook and write the same Parquet. pandas takes about a minute per 500,000 rows.
    """
    source = trades_xlsx(folder / f"trades-{rows}.xlsx", rows)
    out = folder / "out"
    ours = converter(folder, source, out)
    polars = python(
        f"import polars as pl; pl.read_excel('{source}').write_parquet('{out}/peer.parquet', compression='zstd',"
        " compression_level=1)"
    )
    pandas = python(
        f"import pandas as pd; pd.read_excel('{source}', engine='openpyxl').to_parquet('{out}/peer.parquet')"
    )
    cases = [
        ("convert XLSX to Parquet", "polars read_excel, calamine", polars, 1.0),
        ("convert XLSX to Parquet, slow peer", "pandas read_excel, openpyxl", pandas, 1.0),
    ]
    environment = {"BASE_HOME": str(folder / "home")}
    for name, peer_name, peer, limit in cases:
        if only is None or only in peer_name:
            yield compare(name, ours, peer_name, peer, rounds=rounds, limit=limit, environment=environment, clean=out)


def trades_xlsx(path: Path, rows: int) -> Path:
    """A workbook of trades as Excel would store them: numbers, timestamps with milliseconds, shared texts, booleans."""
    if path.exists():
        return path
    import xlsxwriter

    noise = random.Random(7)  # noqa: S311 - the same trades every time
    symbols = ["".join(noise.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4)) for _ in range(500)]
    start = datetime(2024, 1, 1)  # noqa: DTZ001 - a workbook has no zones
    unfinished = path.with_suffix(".part")
    with xlsxwriter.Workbook(str(unfinished)) as workbook:
        sheet = workbook.add_worksheet("trades")
        stamp = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        money = workbook.add_format({"num_format": "0.00"})
        sheet.write_row(0, 0, _HEADER)
        for row in range(1, rows + 1):
            sheet.write_number(row, 0, row)
            sheet.write_datetime(row, 1, start + timedelta(milliseconds=row * 137 + noise.randrange(100)), stamp)
            sheet.write_string(row, 2, noise.choice(symbols))
            sheet.write_string(row, 3, noise.choice("BS"))
            sheet.write_number(row, 4, round(noise.uniform(1, 1000), 4), money)
            sheet.write_number(row, 5, noise.randrange(1, 10_000))
            sheet.write_number(row, 6, round(noise.uniform(0, 1), 6))
            sheet.write_string(row, 7, noise.choice(("USD", "EUR", "GBP")))
            sheet.write_string(row, 8, f"ACC{noise.randrange(10**6):06d}")
            sheet.write_boolean(row, 9, noise.random() < 0.5)
    return unfinished.rename(path)
