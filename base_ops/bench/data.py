"""Generated input for the benchmarks: trades, ten columns, one timestamp; about 78 bytes a row."""

from __future__ import annotations

from pathlib import Path


def trades_csv(path: Path, rows: int) -> Path:
    """Write (once) a CSV of `rows` trades, the timestamps with six fractional digits."""
    if path.exists():
        return path
    import duckdb

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    duckdb.sql(
        f"""copy (select
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
        from range({int(rows)}) t(i)) to '{temporary}' (header, delimiter ',')"""
    )
    temporary.rename(path)
    return path
