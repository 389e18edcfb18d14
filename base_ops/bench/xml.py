"""XML to Parquet against lxml in a hand-written loop and pandas.read_xml, whole processes, from the same file.

Ours also types the columns, keeps the line of every record, sets bad records aside, and hashes what it reads and
writes; the peers get their types by one cast (lxml) or by pandas' guess, and do none of the rest.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from base_ops.bench.measure import Comparison, compare, converter, python, run_once

BYTES_PER_ROW = 270
_LXML = """
import polars as pl
from lxml import etree
columns = {}
for _, element in etree.iterparse(SOURCE, tag="Trade"):
    for child in element:
        columns.setdefault(child.tag, []).append(child.text)
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]
frame = pl.DataFrame(columns).with_columns(
    pl.col("TradeId", "Quantity").cast(pl.Int64), pl.col("Price", "Fee").cast(pl.Float64),
    pl.col("Ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f"))
frame.write_parquet(TARGET, compression="zstd", compression_level=1)
"""
_PANDAS = """
import pandas
frame = pandas.read_xml(SOURCE, parser="lxml", iterparse={"Trade": COLUMNS}, parse_dates=["Ts"])
frame.to_parquet(TARGET, compression="zstd")
"""
_COLUMNS = ("TradeId", "Ts", "Symbol", "Venue", "Price", "Quantity", "Side", "Account", "Currency", "Fee")


def measure(folder: Path, rows: int, rounds: int, only: str | None = None) -> Iterator[Comparison]:
    """Yield the comparisons; `folder` keeps the generated input between calls. 380,000 rows are about 100 MB."""
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    source = trades_xml(folder / f"trades-{rows}.xml", rows)
    ours = converter(folder, source, out)
    cases = [
        ("lxml iterparse, hand-written, and polars", _peer(_LXML, source, out), 0.80),
        ("pandas.read_xml, iterparse", _peer(_PANDAS, source, out), 0.30),
    ]
    for peer_name, peer, limit in cases:
        if only is None or only in peer_name:
            environment = {"BASE_HOME": str(folder / "home")}
            name = "convert XML to Parquet"
            yield compare(name, ours, peer_name, peer, rounds=rounds, limit=limit, environment=environment, clean=out)


def _peer(code: str, source: Path, out: Path) -> list[str]:
    names = {"SOURCE": str(source), "TARGET": str(out / "peer.parquet"), "COLUMNS": list(_COLUMNS)}
    for name, value in names.items():
        code = code.replace(name, repr(value))
    return python(code)


def trades_xml(path: Path, rows: int) -> Path:
    """Write (once) a flat document of `rows` trades of ten elements each."""
    if path.exists():
        return path
    elements = {
        "TradeId": "i",
        "Ts": "strftime(timestamp '2024-01-02 09:30:00' + interval (i * 37) milliseconds, '%Y-%m-%dT%H:%M:%S.%f')",
        "Symbol": "(['AAPL','MSFT','GOOG','AMZN','TSLA','NVDA','META','JPM','GS','MS'])[1 + (i * 7919) % 10]",
        "Venue": "(['XNAS','XNYS','BATS','ARCX'])[1 + (i * 31) % 4]",
        "Price": "round(50 + (hash(i) % 20000) / 100.0, 2)",
        "Quantity": "1 + hash(i + 1) % 1000",
        "Side": "(['B','S'])[1 + (hash(i + 2) % 2)::int]",
        "Account": "'ACC' || lpad((hash(i + 3) % 50000)::varchar, 6, '0')",
        "Currency": "(['USD','EUR','GBP'])[1 + (hash(i + 4) % 3)::int]",
        "Fee": "round((hash(i + 5) % 1000) / 10000.0, 4)",
    }
    text = " || ".join(f"'<{name}>' || ({value}) || '</{name}>'" for name, value in elements.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    code = f"""
import duckdb
rows = duckdb.connect().execute({f"select '<Trade>' || {text} || '</Trade>' from range({int(rows)}) t(i)"!r})
with open({str(temporary)!r}, "w") as file:
    file.write('<?xml version="1.0" encoding="UTF-8"?>\\n<Trades>\\n')
    while chunk := rows.fetchmany(10000):
        file.write("\\n".join(row[0] for row in chunk) + "\\n")
    file.write("</Trades>\\n")
"""
    run_once(python(code))  # a process of its own: peaks are inherited
    temporary.rename(path)
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as _folder:
        for found in measure(Path(_folder), int(sys.argv[1]) if len(sys.argv) > 1 else 380_000, 3):
            print(json.dumps(vars(found)))  # noqa: T201
