"""Random contents against a model of bitemporal history that is too simple to be wrong."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tables_lake import TableLake

from base_ops.worker.lake.tables import Rules

CONTENT = st.dictionaries(st.integers(0, 4), st.sampled_from(["a", "b", None]), max_size=5)
CALL = st.dictionaries(st.sampled_from(["x", "y"]), CONTENT, min_size=1, max_size=2)


class Model:
    """Every version of every row, as a list of [slice, key, value, from, to]."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.rows: list[list[Any]] = []

    def store(self, slices: dict[str, dict[int, Any]], moment: datetime) -> None:
        for name, content in slices.items():
            open_rows = {row[1]: row for row in self.rows if row[0] == name and row[4] is None}
            for key, row in open_rows.items():
                gone = key not in content and self.rules.missing_rows == "close"
                if gone or (key in content and content[key] != row[2]):
                    row[4] = moment
            for key, value in content.items():
                if key not in open_rows or open_rows[key][4] is not None:
                    self.rows.append([name, key, value, moment, None])
        if self.rules.history == "latest":
            self.rows = [row for row in self.rows if row[4] is None]

    def at(self, moment: datetime) -> set[tuple[Any, ...]]:
        return {tuple(r[:4]) for r in self.rows if r[3] <= moment and (r[4] is None or r[4] > moment)}


@settings(max_examples=15)
@given(
    calls=st.lists(CALL, min_size=1, max_size=5),
    history=st.sampled_from(["full", "latest"]),
    missing=st.sampled_from(["close", "keep"]),
)
def test_random_contents_match_the_model(calls: list[dict[str, dict[int, Any]]], history: Any, missing: Any) -> None:
    rules = Rules(("k",), history=history, missing_rows=missing)
    model = Model(rules)
    moments = []
    with tempfile.TemporaryDirectory() as folder:
        lake = TableLake(Path(folder))
        for number, slices in enumerate(calls):
            units = [lake.unit(content, name) for name, content in slices.items()]
            stored = lake.store(f"c{number}", *units, rules=rules)
            model.store(slices, lake.now)
            moments.append(lake.now)
            assert stored.total("rows_in") == sum(map(len, slices.values()))
            assert stored.rows == len(model.at(lake.now))
        everything = pl.scan_delta(lake.delta()).select("_slice", "k", "v", "_known_from", "_known_to").collect().rows()
        assert sorted(everything, key=repr) == sorted(map(tuple, model.rows), key=repr)
        assert rows(lake, None) == model.at(moments[-1])
        if history == "full":
            for moment in moments:
                assert rows(lake, moment) == model.at(moment)


def rows(lake: TableLake, as_of: datetime | None) -> set[tuple[Any, ...]]:
    found = lake.tables.read("t", as_of).select("_slice", "k", "v", "_known_from").collect().rows()
    assert len(set(found)) == len(found)
    return set(found)
