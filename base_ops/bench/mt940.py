"""Convert of SWIFT MT940 statements against mt-940, the library for them; both end with a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from base_ops.bench.measure import Comparison, compare, converter, python

_LINES_PER_STATEMENT = 20
_PEER = """
import sys, mt940, pyarrow as pa, pyarrow.parquet as pq
def cell(value):
    if isinstance(value, mt940.models.Amount): return value.amount
    if isinstance(value, mt940.models.Balance): return value.amount.amount
    return value
rows = []
for statement in mt940.parse_statements(sys.argv[1], options=mt940.Options.all()):
    own = {name: cell(value) for name, value in statement.data.items()}
    rows += [own | {name: cell(value) for name, value in line.data.items()} for line in statement.transactions]
pq.write_table(pa.Table.from_pylist(rows), sys.argv[2], compression="zstd")
"""


def measure(folder: Path, lines: int, rounds: int, only: str | None) -> Iterator[Comparison]:
    """Yield the comparison; `folder` keeps the generated input between calls."""
    name = "convert MT940 to Parquet"
    if only is not None and only not in name:
        return
    source, out = statements(folder / f"statements-{lines}.sta", lines), folder / "out"
    peer = [*python(_PEER), str(source), str(out / "peer.parquet")]
    environment = {"BASE_HOME": str(folder / "home")}
    yield compare(
        name,
        converter(folder, source, out),
        "mt-940 and pyarrow",
        peer,
        rounds=rounds,
        limit=1.0,
        environment=environment,
        clean=out,
    )


def statements(path: Path, lines: int) -> Path:
    """Write (once) statements of about `lines` lines in all, structured as German banks do; about 240 bytes a line."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with temporary.open("w", newline="") as file:
        for first in range(0, lines, _LINES_PER_STATEMENT):
            file.write(_statement(first))
    temporary.rename(path)
    return path


def _statement(first: int) -> str:
    cents = 100_000_000
    text = f":20:ST{first:014d}\r\n:25:50880050/0194787400888\r\n:28C:00004/00001\r\n:60F:C240102EUR{_comma(cents)}\r\n"
    for number in range(first, first + _LINES_PER_STATEMENT):
        amount = number * 7919 % 100_000
        cents += amount if number % 2 else -amount
        text += (
            f":61:2401020103{'C' if number % 2 else 'D'}R{_comma(amount)}NTRFNONREF//{number:016d}\r\n"
            f":86:166?00GUTSCHRIFT?100399?20EREF+TFNR {number:010d}?21SVWZ+Strukturier\r\n"
            f"ter Verwend?22ungszweck {number:08d} DE?30DRESDEFF508?31DE03508800500\r\n"
            f"194791600?32Quentin Quast?33Zweite Zeile\r\n"
        )
    return text + f":62F:C240103EUR{_comma(cents)}\r\n-\r\n"


def _comma(cents: int) -> str:
    return f"{cents // 100},{cents % 100:02d}"
