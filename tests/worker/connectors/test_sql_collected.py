"""SQL sources through the collector: attempts that overlap, and attempts that die."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes.collecting import collected, connect, context

from base_ops.worker.connectors.databases.sqlite import Sqlite

WORKER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from fakes.collecting import collected
from base_ops.worker.failpoints import arm
arm({place!r})
collected(Path({home!r}), {source})
"""
SOURCE = {"id": "orders", "connection": "lite", "sql": {"table": "t", "cursor": "id", "lag_keys": 3}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "orders.db"
    connect(tmp_path, "lite", conn_type="sqlite", host=str(found))
    add(found, 1, 2, 3, 8, 9)
    return found


def add(file: Path, *ids: int) -> None:
    with sqlite3.connect(file) as opened:
        opened.execute("PRAGMA journal_mode = WAL")  # a reader does not hold up the writer, as on a server
        opened.execute("CREATE TABLE IF NOT EXISTS t (id integer primary key)")
        opened.executemany("INSERT INTO t VALUES (?)", [(i,) for i in ids])
    opened.close()


def landed(home: Path) -> list[int]:
    """The rows that the landing zone holds now."""
    refs = context(home).landing("orders").effective()
    return sorted(pa.concat_tables([pq.read_table(ref.uri) for ref in refs]).column("id").to_pylist())


def test_an_attempt_that_was_overtaken_lands_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(tmp_path, SOURCE)
    add(file, 12)
    count, overtaken = Sqlite.count, []

    def meddle(self: Sqlite, *conditions: str) -> str:
        if not overtaken:
            overtaken.append(True)
            add(file, 7, 10)  # the slow attempt began to read before these
            collected(tmp_path, SOURCE)
        return count(self, *conditions)

    monkeypatch.setattr(Sqlite, "count", meddle)
    out = collected(tmp_path, SOURCE)
    assert (out.adopted, landed(tmp_path)) == (True, [1, 2, 3, 7, 8, 9, 10, 12])


@pytest.mark.parametrize("place", ["collector.after_download:1", "collector.after_download:2", "landing.bytes_stored", "landing.before_append", "landing.after_append"])  # fmt: skip
def test_an_attempt_that_is_killed_is_made_good(place: str, file: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    script = WORKER.format(tests=str(root / "tests"), place=place, home=str(tmp_path), source=SOURCE)
    killed = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    add(file, 7, 12)
    collected(tmp_path, SOURCE)
    collected(tmp_path, SOURCE)
    assert landed(tmp_path) == [1, 2, 3, 7, 8, 9, 12]
