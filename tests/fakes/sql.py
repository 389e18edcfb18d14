"""Reading SQL sources in tests, with the landing zone's own history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fakes.collecting import StillClock

from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.connectors.sql import SqlSource
from base_ops.worker.lake.landing import History, LandedObject, LandingEntry
from base_ops.worker.secrets import ConnectionInfo


class Landed:
    """What a source has landed over several runs, as its log and lake would hold it."""

    def __init__(self, folder: Path, connection: ConnectionInfo, **sql: Any) -> None:
        self.folder, self.connection, self.sql = folder, connection, sql
        self.entries: list[LandingEntry] = []
        self.tables: dict[str, pa.Table] = {}
        self.report = Report()

    def site(self, mode: Any = "incremental", env: str = "dev") -> Site:
        source = SourceSpec.model_validate({"id": "s", "connection": self.connection.name, "sql": self.sql})
        return Site(source, self.folder, self.connection, mode=mode, clock=StillClock(), env=env)

    def run(self, mode: Any = "incremental", env: str = "dev") -> list[str]:
        """One run: names of the objects that are new."""
        objects: list[LandedObject] = []

        def keep(fetched: Fetched) -> None:
            self.tables[fetched.sha256] = pq.read_table(fetched.local)
            fetched.local.unlink()
            objects.append(LandedObject(path=fetched.path, stored="", sha256=fetched.sha256, bytes=fetched.bytes, part_of=fetched.part_of))  # fmt: skip

        history = History(self.entries)
        self.report = SqlSource(self.site(mode, env)).fetch(history, keep)
        new = history.new_objects(objects, "snapshot")
        if new:
            self.entries.append(LandingEntry(sequence=history.last + 1, source="s", objects=new, cursor_after=self.report.cursor_after))  # fmt: skip
        assert list(self.folder.iterdir()) == []
        return [item.path for item in new]

    @property
    def table(self) -> pa.Table:
        """All rows that count: of each whole its newest set of parts."""
        wholes: dict[str, list[LandedObject]] = {}
        for entry in self.entries:
            arrived: dict[str, list[LandedObject]] = {}
            for item in entry.objects:
                arrived.setdefault(item.whole, []).append(item)
            wholes.update(arrived)
        tables = [self.tables[i.sha256] for items in wholes.values() for i in sorted(items, key=lambda i: i.path)]
        return pa.concat_tables([t for t in tables if t.num_rows] or tables[:1])

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.table.to_pylist()
        return found

    def codes(self) -> list[str]:
        return [f.code for f in self.report.all_findings()]
