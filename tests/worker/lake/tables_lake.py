"""A lake for tests of tables: a clock that ticks a second per look, and short ways to say things."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from base_ops.core.protocol import DataRef
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.tables import Rules, Stored, Tables

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULES = Rules(key=("k",))


class TableLake:
    """A lake with one table, t."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = NOON
        self.tables = Tables(Store(str(root)), threads=1, clock=self.tick)
        self.names = itertools.count()

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def unit(self, data: pl.DataFrame | dict[int, Any], slice: str = "all", **ref: Any) -> DataRef:
        frame = (
            data
            if isinstance(data, pl.DataFrame)
            else pl.DataFrame({"k": list(data), "v": list(data.values())}, schema={"k": pl.Int64, "v": pl.String})
        )
        path = self.root / "staging" / f"{next(self.names)}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path)
        return DataRef(id=path.stem, kind="staging", uri=str(path), slice=slice, rows=frame.height, **ref)

    def store(self, commit: str, *units: DataRef, rules: Rules = RULES, **considered: int) -> Stored:
        return self.tables.store_units("t", units, rules, commit, considered=considered)

    def rows(self, as_of: datetime | None = None) -> dict[int, str]:
        frame = self.tables.read("t", as_of).select("k", "v").sort("k").collect()
        assert frame["k"].is_unique().all()
        return dict(frame.iter_rows())

    def delta(self) -> DeltaTable:
        return DeltaTable(str(self.root / "tables/t"))

    def counts(self, stored: Stored) -> tuple[int, int, int, int]:
        return tuple(stored.total(n) for n in ("inserted", "changed", "unchanged", "closed"))  # type: ignore[return-value]
