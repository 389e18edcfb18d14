"""What people are shown of rows: in the quarantine, in the log of conflicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from base_ops.worker.engine.plan import POINTER, Check
from base_ops.worker.lake.quarantine import Quarantine, read_quarantine
from base_ops.worker.lake.store import Store
from base_ops.worker.readable import as_json, as_text

BYTES: list[tuple[pl.DataType, Any, Any]] = [
    (pl.Binary(), b"\xff\0", "ff00"),
    (pl.List(pl.Binary), [b"a", None], ["61", None]),
    (pl.Array(pl.Binary, 1), [b"a"], ["61"]),
    (pl.Struct({"b": pl.Binary, "n": pl.Int8}), {"b": b"\1", "n": 1}, {"b": "01", "n": 1}),
    (pl.List(pl.Struct({"b": pl.Binary})), [{"b": b""}, None], [{"b": ""}, None]),
]


@pytest.mark.parametrize(("dtype", "value", "shown"), BYTES)
def test_bytes_are_shown_in_hexadecimal(dtype: pl.DataType, value: Any, shown: Any) -> None:
    values = pl.Series("v", [value, None], dtype=dtype)
    assert [json.loads(text) for text in as_json(values.alias("^x$").to_frame())] == [{"^x$": shown}, {"^x$": None}]
    expected = shown if dtype == pl.Binary else json.dumps({"value": shown}, separators=(",", ":"))
    assert as_text(values).to_list() == [expected, None]


@pytest.mark.parametrize("sensitive", [frozenset(), frozenset({"^x$"})])
def test_rows_with_bytes_can_be_quarantined(sensitive: frozenset[str], tmp_path: Path) -> None:
    store = Store(str(tmp_path / "lake"))
    quarantine = Quarantine(store, "quarantine/d/k/a", tmp_path, sensitive)
    columns = [pl.Series(POINTER, [7]), pl.Series("^x$", [b"\xff"]), pl.Series("l", [[b"a"]])]
    check = Check("odd", pl.lit(True), "it is odd", "l")
    quarantine.add_failed(0, "o", pl.DataFrame(columns), pl.DataFrame({"odd": [True]}), [check])
    quarantine.finish()
    (view,) = read_quarantine(store, "quarantine/d/k/a")["view"]
    assert json.loads(view) == {"^x$": "***" if sensitive else "ff", "l": ["61"]}
