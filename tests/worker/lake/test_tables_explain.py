"""Why a row is as it is, and what it was before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tables_lake import NOON, TableLake

from base_ops.core.errors import ConfigError
from base_ops.worker.lake.tables import Rules

RULES = Rules(("symbol", "ts"))
TS = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> TableLake:
    return TableLake(tmp_path)


def merged(lake: TableLake, bid: float, name: str = "EURUSD"):
    conflicts = lake.root / f"staging/conflicts-{bid}.parquet"
    conflicts.parent.mkdir(exist_ok=True)
    pl.DataFrame(
        {
            "symbol": ["EURUSD", "EURUSD"],
            "ts": [TS, TS + timedelta(minutes=1)],
            "field": ["bid", "bid"],
            "rule": ["priority", "priority"],
            "winner_source": ["oanda", "fxcm"],
            "loser_value": ["1.2", "9"],
        }
    ).write_parquet(conflicts)
    rows = pl.DataFrame(
        {
            "symbol": ["EURUSD"],
            "ts": [TS],
            "bid": [bid],
            "ask": [1.1],
            "n": [5],
            "_src_bid": [1],
            "_src_ask": [None],
            "_src_n": [9],
        },
        schema_overrides={"_src_bid": pl.UInt8, "_src_ask": pl.UInt8},
    )
    labels = {"sources": json.dumps(["fxcm", "oanda"]), "conflicts": str(conflicts)}
    return lake.unit(rows, name, labels=labels)


def test_why_names_sources_commit_inputs_and_conflicts(lake: TableLake) -> None:
    unit = merged(lake, 1.0)
    lake.store("c1", unit, lake.unit(pl.DataFrame({"symbol": ["X"], "ts": [TS]}), "X"), rules=RULES)
    why = lake.tables.why("t", {"symbol": "EURUSD", "ts": TS})
    assert why is not None
    assert why.values == {"bid": 1.0, "ask": 1.1, "n": 5}
    assert why.sources == {"bid": "oanda", "ask": None, "n": None}
    assert (why.slice, why.commit, why.known_from) == ("EURUSD", "c1", lake.now)
    assert why.inputs == [unit]
    assert why.conflicts == [{"field": "bid", "rule": "priority", "winner_source": "oanda", "loser_value": "1.2"}]


def test_fields_decided_together_share_a_column(lake: TableLake) -> None:
    rows = pl.DataFrame({"k": [1], "bid": [1.0], "ask": [1.1], "n": [5], "_src_bid": [1], "_src_n": [255]})
    labels = {"sources": '["fxcm", "oanda"]', "lineage": '{"bid": "_src_bid", "ask": "_src_bid", "n": "_src_n"}'}
    lake.store("c1", lake.unit(rows, labels=labels))
    why = lake.tables.why("t", {"k": 1})
    assert why is not None
    assert why.sources == {"bid": "oanda", "ask": "oanda", "n": "several"}


def test_why_speaks_of_the_commit_that_brought_the_row(lake: TableLake) -> None:
    lake.store("c1", merged(lake, 1.0), rules=RULES)
    same = lake.unit(
        pl.read_parquet(lake.root / "staging/0.parquet").with_columns(_src_bid=pl.lit(0, pl.UInt8)), "EURUSD"
    )
    lake.store("c2", same, lake.unit(pl.DataFrame({"symbol": ["X"], "ts": [TS]}), "X"), rules=RULES)
    why = lake.tables.why("t", {"symbol": "EURUSD", "ts": TS})
    assert why is not None
    assert (why.commit, why.sources["bid"]) == ("c1", "oanda")


def test_keys_may_be_given_as_text(lake: TableLake) -> None:
    lake.store("c1", merged(lake, 1.0), rules=RULES)
    assert lake.tables.why("t", {"symbol": "EURUSD", "ts": "2026-11-20T10:30:00+01:00"}) is not None
    assert lake.tables.why("t", {"symbol": "EURUSD", "ts": "2026-11-20T10:30:00Z"}) is None
    with pytest.raises(ConfigError, match="timestamp_utc"):
        lake.tables.why("t", {"symbol": "EURUSD", "ts": "noon"})
    with pytest.raises(ConfigError, match="Expected: symbol, ts"):
        lake.tables.why("t", {"symbol": "EURUSD"})


def test_data_of_one_source_needs_no_lineage_columns(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}, source="ecb"))
    why = lake.tables.why("t", {"k": 1})
    assert why is not None
    assert (why.sources, why.conflicts) == ({"v": "ecb"}, None)


def test_a_lost_record_costs_the_inputs_and_no_more(lake: TableLake) -> None:
    lake.store("c1", merged(lake, 1.0), rules=RULES)
    (lake.root / "tables/t/_base/commits/c1.json").unlink()
    why = lake.tables.why("t", {"symbol": "EURUSD", "ts": TS})
    assert why is not None
    assert (why.inputs, why.conflicts, why.sources["bid"]) == ([], None, None)


def test_a_key_in_two_slices_has_to_be_narrowed(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}, "x"), lake.unit({1: "b"}, "y"))
    with pytest.raises(ConfigError, match="x, y"):
        lake.tables.why("t", {"k": 1})
    why = lake.tables.why("t", {"k": 1, "_slice": "y"})
    assert why is not None
    assert why.values == {"v": "b"}


def test_the_history_of_a_row_is_in_order(lake: TableLake) -> None:
    for n, content in enumerate([{1: "a"}, {1: "b"}, {}, {1: "c"}]):
        lake.store(f"c{n}", lake.unit(content))
    history = lake.tables.history_of("t", {"k": "1"})
    moments = [NOON + timedelta(seconds=n) for n in range(1, 5)]
    assert history.select("v", "_known_from", "_known_to", "_commit").rows() == [
        ("a", moments[0], moments[1], "c0"),
        ("b", moments[1], moments[2], "c1"),
        ("c", moments[3], None, "c3"),
    ]
