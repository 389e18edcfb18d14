"""Which types a table holds, and how its schema may change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tables_lake import TableLake

from base_ops.core.errors import BadInput, ConfigError
from base_ops.worker.lake.tables import Rules

STRICT = Rules(("k",), evolution="none")
MOMENT = datetime(2026, 11, 20, 9, 30, 0, 123456)  # noqa: DTZ001


@pytest.fixture
def lake(tmp_path: Path) -> TableLake:
    return TableLake(tmp_path)


def frame(values: list[Any], dtype: Any = None) -> pl.DataFrame:
    return pl.DataFrame({"k": pl.Series(range(len(values)), dtype=pl.Int64), "v": pl.Series(values, dtype=dtype)})


@pytest.mark.parametrize(
    ("dtype", "values", "held", "read"),
    [
        (pl.Int8, [-128, None], pl.Int8, None),
        (pl.Int64, [2**63 - 1, -(2**63)], pl.Int64, None),
        (pl.UInt8, [255], pl.Int16, None),
        (pl.UInt16, [65535], pl.Int32, None),
        (pl.UInt32, [2**32 - 1], pl.Int64, None),
        (pl.UInt64, [2**64 - 1, None], pl.Decimal(20, 0), [Decimal(2**64 - 1), None]),
        (pl.Float16, [1.5], pl.Float32, None),
        (pl.Float64, [0.1, float("inf")], pl.Float64, None),
        (pl.Decimal(38, 10), [Decimal("1234567890123456789.0123456789")], pl.Decimal(38, 10), None),
        (pl.Boolean, [True, None], pl.Boolean, None),
        (pl.String, ["", "é\x00\n", None], pl.String, None),
        (pl.Binary, [b"\x00\xff", None], pl.Binary, None),
        (pl.Date, [date(1, 1, 1), date(9999, 12, 31)], pl.Date, None),
        (pl.Datetime("us"), [MOMENT, None], pl.Datetime("us"), None),
        (pl.Datetime("ms"), [MOMENT.replace(microsecond=123000)], pl.Datetime("us"), None),
        (pl.Datetime("ns"), [MOMENT], pl.Datetime("us"), None),
        (pl.Datetime("ns", "UTC"), [MOMENT.replace(tzinfo=UTC)], pl.Datetime("us", "UTC"), None),
        (pl.Categorical, ["a", "b"], pl.String, None),
        (pl.Enum(["a", "b"]), ["b", None], pl.String, None),
        (pl.Time, [time(9, 30), time(9, 30, 0, 500000)], pl.String, ["09:30:00", "09:30:00.5"]),
        (pl.List(pl.UInt8), [[1, 255], [], None], pl.List(pl.Int16), None),
        (pl.Struct({"a": pl.List(pl.Datetime("us"))}), [{"a": [MOMENT]}], None, None),
        (pl.Array(pl.Int32, 2), [[1, 2]], pl.List(pl.Int32), None),
        (pl.Struct({"a": pl.Int32, "b": pl.List(pl.String)}), [{"a": 1, "b": ["x"]}], None, None),
    ],
)
def test_types_are_held_exactly(
    lake: TableLake, dtype: Any, values: list[Any], held: Any, read: list[Any] | None
) -> None:
    data = frame(values, dtype)
    lake.store("c1", lake.unit(data))
    found = lake.tables.read("t").sort("k").collect()["v"]
    assert found.dtype == (held or dtype)
    assert found.to_list() == (read or values)
    assert lake.store("c2", lake.unit(data)).total("unchanged") == len(values)


def test_a_zoned_timestamp_is_the_same_instant_in_utc(lake: TableLake) -> None:
    berlin = pl.Series([MOMENT]).dt.replace_time_zone("Europe/Berlin")
    lake.store("c1", lake.unit(pl.DataFrame({"k": [1], "v": berlin})))
    found = lake.tables.read("t").collect()["v"]
    assert found.dtype == pl.Datetime("us", "UTC")
    assert found.item() == berlin.item()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.Duration("us"), [timedelta(seconds=1)]),
        (pl.Int128, [2**100]),
        (pl.List(pl.Datetime("ns")), [[MOMENT]]),
        (pl.Struct({"a": pl.Duration("us")}), [{"a": timedelta(1)}]),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(lake: TableLake, dtype: Any, values: list[Any]) -> None:
    with pytest.raises(BadInput, match="column v.*To do: ") as caught:
        lake.store("c1", lake.unit(frame(values, dtype)))
    assert caught.value.code == "unsupported_type"
    assert not (lake.root / "tables").exists()


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_nanoseconds_are_refused_where_they_are_not_whole_microseconds(lake: TableLake, zone: str | None) -> None:
    data = frame([1_000, 1_001, None], pl.Int64).with_columns(pl.col("v").cast(pl.Datetime("ns", zone)))
    with pytest.raises(BadInput, match="nanoseconds of column 'v'") as caught:
        lake.store("c1", lake.unit(data))
    assert caught.value.code == "unsupported_type"


def test_a_column_without_type_waits_for_its_first_value(lake: TableLake) -> None:
    empty = frame([None, None], pl.Null)
    lake.store("c1", lake.unit(empty))
    assert "v" not in lake.tables.read("t").collect_schema()
    lake.store("c2", lake.unit(frame(["a", None])))
    assert lake.rows() == {0: "a", 1: None}
    assert lake.store("c3", lake.unit(empty)).total("changed") == 1
    assert lake.rows() == {0: None, 1: None}
    assert lake.store("c4", lake.unit(frame([None, None], pl.String))).outcome == "unchanged"


def test_a_key_column_without_type_is_refused(lake: TableLake) -> None:
    with pytest.raises(ConfigError, match="'v' is not in the data, or has no value there"):
        lake.store("c1", lake.unit(frame([None], pl.Null)), rules=Rules(("v",)))


@pytest.mark.parametrize("name", ["_known_from", "_current", "_slice", "_commit"])
def test_the_names_of_our_own_columns_are_refused(lake: TableLake, name: str) -> None:
    with pytest.raises(BadInput, match=name) as caught:
        lake.store("c1", lake.unit(pl.DataFrame({"k": [1], name: [1]})))
    assert caught.value.code == "reserved_column"


def test_names_that_differ_only_in_case_are_refused(lake: TableLake) -> None:
    with pytest.raises(BadInput, match="'v' and 'V' differ only in case"):
        lake.store("c1", lake.unit(pl.DataFrame({"k": [1], "v": [1], "V": [2]})))
    lake.store("c1", lake.unit({1: "a"}))
    with pytest.raises(BadInput, match="'v' and 'V' differ only in case"):
        lake.store("c2", lake.unit(pl.DataFrame({"k": [1], "V": ["a"]})))


# -- evolution


def test_new_columns_are_added_and_old_rows_read_null(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}, "x"), lake.unit({1: "b"}, "y"))
    stored = lake.store("c2", lake.unit(pl.DataFrame({"k": [1, 2], "w": [MOMENT, None], "v": ["a", "c"]}), "x"))
    assert (stored.added, stored.version) == (("w",), 2)  # naive timestamps: the table feature is a version of its own
    frame = lake.tables.read("t").sort("_slice", "k").collect()
    assert frame.columns[:3] == ["k", "v", "w"]
    assert frame["w"].to_list() == [MOMENT, None, None]
    lake.delta().restore(0)
    assert "w" not in lake.tables.read("t").collect_schema()
    assert sorted(lake.tables.read("t").select("v").collect()["v"]) == ["a", "b"]


def test_naive_timestamps_inside_a_new_struct(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}))
    lake.store("c2", lake.unit(pl.DataFrame({"k": [1], "v": ["a"], "w": [{"a": [MOMENT]}]})))
    assert lake.tables.read("t").select("w").collect().item() == {"a": [MOMENT]}


def test_a_new_column_is_one_commit(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}))
    assert lake.store("c2", lake.unit(pl.DataFrame({"k": [1], "v": ["a"], "w": [1.5]}))).version == 1
    assert lake.delta().version() == 1
    assert lake.tables.read("t").select("v", "w").collect().rows() == [("a", 1.5)]


def test_a_new_column_with_nothing_else_new(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}))
    empty = pl.DataFrame({"k": [1], "v": ["a"], "w": pl.Series([None], dtype=pl.Int32)})
    stored = lake.store("c2", lake.unit(empty))
    assert (stored.outcome, stored.added, stored.total("unchanged")) == ("stored", ("w",), 1)
    assert lake.tables.read("t").select("k", "v", "w").collect().rows() == [(1, "a", None)]


def test_integers_widen_everywhere_and_the_past_stays_readable(lake: TableLake) -> None:
    def content(*values: int, dtype: Any = pl.Int32) -> pl.DataFrame:
        return frame(list(values), dtype)

    lake.store("c1", lake.unit(content(1, 2), "x"), lake.unit(content(7), "y"))
    lake.store("c2", lake.unit(content(1, 3), "x"))
    before = lake.now
    stored = lake.store("c3", lake.unit(content(1, 2**40, dtype=pl.Int64), "x"))
    assert (stored.widened, stored.rows, lake.counts(stored)) == (("v",), 3, (0, 1, 1, 0))
    assert sorted(lake.tables.read("t").select("v").collect()["v"]) == [1, 7, 2**40]
    assert sorted(lake.tables.read("t", before).select("v").collect()["v"]) == [1, 3, 7]
    assert lake.tables.history_of("t", {"k": 1, "_slice": "x"})["v"].to_list() == [2, 3, 2**40]
    files = [pl.read_parquet_schema(uri)["v"] for uri in lake.delta().file_uris()]
    assert set(files) == {pl.Int64()}
    lake.store("c4", lake.unit(content(1, 5), "x"))
    assert sorted(lake.tables.read("t").select("v").collect()["v"]) == [1, 5, 7]


@pytest.mark.parametrize("rules", [Rules(("k",)), STRICT])
@pytest.mark.parametrize(
    ("old", "new", "additive", "strict"),
    [
        (pl.Int32, pl.Int64, True, False),
        (pl.Int8, pl.Int16, True, False),
        (pl.Int64, pl.Int32, True, True),
        (pl.Float64, pl.Float32, True, True),
        (pl.Float32, pl.Float64, False, False),
        (pl.Int64, pl.Float64, False, False),
        (pl.Int64, pl.String, False, False),
        (pl.String, pl.Int64, False, False),
        (pl.Decimal(10, 2), pl.Decimal(10, 3), False, False),
        (pl.Datetime("us"), pl.Datetime("us", "UTC"), False, False),
        (pl.Date, pl.Datetime("us"), False, False),
        (pl.List(pl.Int32), pl.List(pl.Int64), False, False),
    ],
)
def test_the_evolution_matrix(lake: TableLake, rules: Rules, old: Any, new: Any, additive: bool, strict: bool) -> None:
    lake.store("c1", lake.unit(frame([None], old)))
    log = sorted(lake.root.rglob("*.json"))
    if strict if rules is STRICT else additive:
        lake.store("c2", lake.unit(frame([None], new)), rules=rules)
        return
    with pytest.raises(BadInput, match=r"v: table .*, new ") as caught:
        lake.store("c2", lake.unit(frame([None], new)), rules=rules)
    assert caught.value.code == "incompatible_schema"
    assert sorted(lake.root.rglob("*.json")) == log


def test_evolution_none_refuses_new_columns(lake: TableLake) -> None:
    lake.store("c1", lake.unit({1: "a"}), rules=STRICT)
    with pytest.raises(BadInput, match="w: not in the table, new Int64"):
        lake.store("c2", lake.unit(pl.DataFrame({"k": [1], "v": ["a"], "w": [1]})), rules=STRICT)
    assert lake.rows() == {1: "a"}


def test_a_slice_may_lack_columns_it_never_had(lake: TableLake) -> None:
    with_volume = pl.DataFrame({"k": [1], "v": ["a"], "volume": [5]})
    lake.store("c1", lake.unit(with_volume, "x"), lake.unit({1: "b"}, "y"))
    stored = lake.store("c2", lake.unit({1: "b", 2: "c"}, "y"))
    assert lake.counts(stored) == (1, 0, 1, 0)
    with pytest.raises(BadInput, match="volume: table Int64, new none") as caught:
        lake.store("c3", lake.unit({1: "a"}, "x"))
    assert caught.value.code == "incompatible_schema"
