"""Cassandra as a source, against a simulated cluster of the real driver's types."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cassandra
import cassandra.cluster
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cassandra.util import Date, SortedSet, Time

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.connectors.cassandra import CassandraSource
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo

IDENTITY = uuid.UUID("0e37df36-f698-11e6-8dd4-cb9ced3df976")
CELLS: list[tuple[str, str, Any, Any]] = [
    # column, CQL type, what the driver gives, what lands
    ("Id", "bigint", 2**62, 2**62),
    ("t", "text", "é", "é"),
    ("at", "timestamp", datetime(2024, 1, 1, 0, 0, 0, 5000, UTC).replace(tzinfo=None), datetime(2024, 1, 1, 0, 0, 0, 5000, UTC)),
    ("d", "decimal", Decimal("1.10"), "1.10"),
    ("u", "uuid", IDENTITY, str(IDENTITY)),
    ("day", "date", Date("2024-02-29"), "2024-02-29"),
    ("time", "time", Time(1), "00:00:00.000000001"),
    ("l", "list<text>", ["a", "b'"], "['a', 'b''']"),
    ("s", "set<int>", SortedSet([2, 1]), "{1, 2}"),
    ("b", "blob", b"\xff", b"\xff"),
    ("n", "varint", None, None),
]  # fmt: skip


def fetch(monkeypatch: pytest.MonkeyPatch, folder: Path, rows: Any, **options: Any) -> tuple[pa.Table, Report, list[Any]]:  # fmt: skip
    asked: list[Any] = []

    def execute(statement: Any, timeout: float) -> Any:
        asked.append(statement)
        if isinstance(rows, Exception):
            raise rows
        return iter(rows)

    columns = {name: SimpleNamespace(name=name, cql_type=kind) for name, kind, _, _ in CELLS}
    metadata = SimpleNamespace(keyspaces={"k": SimpleNamespace(tables={"T": SimpleNamespace(columns=columns)})})
    made = SimpleNamespace(connect=lambda _keyspace: SimpleNamespace(execute=execute), metadata=metadata, shutdown=lambda: asked.append("shut"))  # fmt: skip
    monkeypatch.setattr(cassandra.cluster, "Cluster", lambda *_, **__: made)
    source = SourceSpec.model_validate({"id": "s", "connection": "c", "cassandra": {"table": "T", **options}})
    info = ConnectionInfo("c", host="a, b", schema="k", login="me", password="a-secret", extra={"sslmode": "disable"})
    tables: list[pa.Table] = []

    def keep(fetched: Fetched) -> None:
        tables.append(pq.read_table(fetched.local))

    report = CassandraSource(Site(source, folder, info)).fetch(History(), keep)
    return pa.concat_tables(tables), report, asked


def test_values_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table, report, asked = fetch(monkeypatch, tmp_path, [tuple(c[2] for c in CELLS)] * 3, part_rows=2)
    assert list(table.to_pylist()[2].values()) == [c[3] for c in CELLS]
    assert (table.num_rows, report.pages, asked[0].fetch_size, asked[1]) == (3, 2, 5000, "shut")
    assert asked[0].query_string.startswith('SELECT "Id", "t"')


def test_an_empty_table_lands_as_an_empty_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert fetch(monkeypatch, tmp_path, [])[0].num_rows == 0


FAILURES: list[tuple[Exception, type[BaseOpsError]]] = [
    (cassandra.AuthenticationFailed("a-secret"), Denied),
    (cassandra.InvalidRequest("a-secret"), ConfigError),
    (cassandra.OperationTimedOut(), Transient),
    (cassandra.cluster.NoHostAvailable("a-secret", {"a": cassandra.AuthenticationFailed("x")}), Denied),
    (cassandra.cluster.NoHostAvailable("a-secret", {}), Transient),
]


@pytest.mark.parametrize(("error", "kind"), FAILURES)
def test_failures_are_told_apart_without_a_secret(
    error: Exception, kind: type[BaseOpsError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(kind) as raised:
        fetch(monkeypatch, tmp_path, error)
    assert "secret" not in str(raised.value)
