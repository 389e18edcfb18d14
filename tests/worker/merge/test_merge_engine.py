"""Types, names, pointers, limits and faults of the merge engine."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from conftest import MergeFrames

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.lake.quarantine import Quarantine, read_quarantine
from base_ops.worker.lake.store import Store
from base_ops.worker.merge import SourceFile, files, merge, streams
from base_ops.worker.merge.arrival import Arrival
from base_ops.worker.merge.decisions import Order
from base_ops.worker.merge.rows import session

# -- types

MOMENT = datetime(2026, 11, 20, 12, 0, 0, 123456, UTC)
VALUES = {
    "int8": pl.Series([-1, None], dtype=pl.Int8),
    "uint64": pl.Series([2**64 - 1, None], dtype=pl.UInt64),
    "float32": pl.Series([0.1, None], dtype=pl.Float32),
    "float64": pl.Series([0.1, float("nan")]),
    "decimal": pl.Series([Decimal("1.25"), None], dtype=pl.Decimal(38, 2)),
    "boolean": pl.Series([True, None]),
    "string": pl.Series(["a'b\"c\x00", ""]),
    "binary": pl.Series([b"\x00\xff", None]),
    "date": pl.Series([date(1900, 1, 1), None]),
    "time": pl.Series([time(1, 2, 3, 4), None]),
    "duration": pl.Series([timedelta(microseconds=5), None]),
    "naive_ms": pl.Series([MOMENT, None]).dt.replace_time_zone(None).cast(pl.Datetime("ms")),
    "naive_us": pl.Series([MOMENT, None]).dt.replace_time_zone(None),
    "naive_ns": pl.Series([1_700_000_000_123_456_789, None]).cast(pl.Datetime("ns")),
    "utc_ns": pl.Series([1_700_000_000_123_456_789, None]).cast(pl.Datetime("ns", "UTC")),
    "zurich": pl.Series([MOMENT, None]).cast(pl.Datetime("us", "Europe/Zurich")),
    "list": pl.Series([[1, None], None]),
    "struct": pl.Series([{"a": 1, 'b"x': "q"}, {"a": None, 'b"x': None}]),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_out_as_they_went_in(name: str, merge_frames: MergeFrames) -> None:
    frame = pl.DataFrame({"k": [1, 2], "v": VALUES[name]})
    other = pl.DataFrame({"k": [3], "w": [1]})
    rows, _, _ = merge_frames({"x": frame, "y": other})
    assert rows.head(2).select("k", "v").equals(frame) and rows.schema["v"] == frame.schema["v"]
    assert rows["v"][2] is None and rows["_src_v"].to_list() == [0, 0, None]


def test_text_by_code_and_empty_columns_become_text(merge_frames: MergeFrames) -> None:
    frame = pl.DataFrame({"k": [1], "c": pl.Series(["a"], dtype=pl.Categorical), "n": pl.Series([None])})
    rows, _, _ = merge_frames({"x": frame})
    assert rows.select("c", "n").schema == {"c": pl.String, "n": pl.String} and rows["c"][0] == "a"


WIDER = [
    (pl.Int8(), pl.Int32(), pl.Int32()),
    (pl.UInt8(), pl.Int8(), pl.Int16()),
    (pl.UInt32(), pl.Int32(), pl.Int64()),
    (pl.UInt64(), pl.Int64(), pl.Decimal(20, 0)),
    (pl.Int32(), pl.Float64(), pl.Float64()),
    (pl.Int64(), pl.Float32(), pl.Float64()),
    (pl.Float32(), pl.Float64(), pl.Float64()),
    (pl.Int64(), pl.Decimal(10, 2), pl.Decimal(21, 2)),
    (pl.Decimal(10, 4), pl.Decimal(12, 2), pl.Decimal(14, 4)),
    (pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("ns")),
    (pl.Datetime("us", "UTC"), pl.Datetime("us", "Asia/Tokyo"), pl.Datetime("us", "UTC")),
    (pl.Null(), pl.Date(), pl.Date()),
    (pl.Decimal(38, 2), pl.Decimal(38, 4), pl.Decimal(38, 4)),
    (pl.Float64(), pl.Decimal(10, 2), pl.Float64()),
    (pl.Decimal(38, 2), pl.Float32(), pl.Float64()),
    (pl.Datetime("us"), pl.Datetime("us", "UTC"), None),
    (pl.Date(), pl.Datetime("us"), None),
    (pl.String(), pl.Int64(), None),
    (pl.Boolean(), pl.Int8(), None),
]


@pytest.mark.parametrize(("left", "right", "common"), WIDER)
def test_widening(left: pl.DataType, right: pl.DataType, common: pl.DataType | None) -> None:
    assert files.widen(left, right) == files.widen(right, left) == common


def test_widened_values_are_exact(merge_frames: MergeFrames) -> None:
    frames = {
        "x": pl.DataFrame(
            {"k": pl.Series([1], dtype=pl.Int32), "v": [2**53], "u": pl.Series([2**64 - 1], dtype=pl.UInt64)}
        ),
        "y": pl.DataFrame({"k": pl.Series([2], dtype=pl.Int64), "v": [0.5], "u": [-1]}),
    }
    rows, _, _ = merge_frames(frames)
    assert rows.select("k", "v", "u").rows() == [(1, 2.0**53, Decimal(2**64 - 1)), (2, 0.5, Decimal(-1))]


@pytest.mark.parametrize("step", [1, -1])
def test_decimals_that_a_float64_stands_for_go_together_with_floats(step: int, merge_frames: MergeFrames) -> None:
    """One object of a source had a number that made its column decimal, the next has none."""
    texts = ["0.1", "2.675", "1234567890.12345", "-9007199254.740992", "0.000001"]
    decimals = pl.Series(list(map(Decimal, texts)), dtype=pl.Decimal(38, 6))
    frames = {
        "a": pl.DataFrame({"k": range(5), "v": decimals})[::step],
        "b": pl.DataFrame({"k": [0, 9], "v": [0.1, 0.5]}),
    }
    rows, log, _ = merge_frames(frames)
    assert rows.sort("k")["v"].to_list() == [*map(float, texts), 0.5] and log.is_empty()


@pytest.mark.parametrize(
    "wrong", [pl.Series(["1"]), pl.Series([2**53 + 1]), pl.Series([Decimal("0.90071992547409931")])]
)
def test_what_cannot_have_one_type_is_refused_naming_both(wrong: pl.Series, merge_frames: MergeFrames) -> None:
    with pytest.raises(BadInput) as caught:
        merge_frames({"oanda": pl.DataFrame({"k": [1], "v": [0.5]}), "fxcm": pl.DataFrame({"k": [1], "v": wrong})})
    assert caught.value.code == "incompatible_types"
    assert wrong.dtype.is_integer() or "read.columns" in caught.value.text()
    assert (
        "fxcm" in caught.value.text() and "Float64" in caught.value.text() and str(wrong.dtype) in caught.value.text()
    )


# -- names and pointers


def test_names_of_vendors_are_only_names(merge_frames: MergeFrames) -> None:
    odd = ['a"; DROP TABLE x; --', "it's", "_s", "c0", "select", "käse", "rule"]
    frame = pl.DataFrame({"k": [1, 1], **{name: [number, number + 1] for number, name in enumerate(odd)}})
    rows, log, _ = merge_frames({'s"o': frame}, default={"rule": "priority"}, lineage=False)
    assert rows.rows(named=True) == [{"k": 1, **{name: number + 1 for number, name in enumerate(odd)}}]
    assert sorted(log["field"]) == sorted(odd) and set(log["loser_source"]) == {'s"o'}


def test_key_columns_keep_their_place_beside_the_log(merge_frames: MergeFrames) -> None:
    frame = pl.DataFrame({"field": ["p", "p"], "v": [1, 2], "_line": [7, 9]})
    _, log, _ = merge_frames({"x": frame}, key=["field"])
    assert log.rows(named=True) == [
        {
            "field_key": "p",
            "field": "v",
            "rule": "last_write_wins",
            "winner_source": "x",
            "winner_value": "2",
            "winner_confidence": 0.5,
            "loser_source": "x",
            "loser_value": "1",
            "loser_object": "object-x",
            "loser_line": 7,
        }
    ]


@pytest.mark.parametrize("columns", [["k", "Price", "price"], ["k", "file_row_number"], ["k", "//arrival"]])
def test_columns_that_cannot_be_told_apart_are_refused(columns: list[str], merge_frames: MergeFrames) -> None:
    with pytest.raises(BadInput, match="told apart"):
        merge_frames({"x": pl.DataFrame({name: [1] for name in columns})})


def test_rename_per_source(merge_frames: MergeFrames) -> None:
    frames = {"x": pl.DataFrame({"id": [1], "px": [1.5]}), "y": pl.DataFrame({"k": [1], "price": [2.5]})}
    rows, log, done = merge_frames(
        frames, rename={"x": {"id": "k", "px": "price"}}, fields=[{"fields": ["price"], "rule": "min"}]
    )
    assert rows.rows(named=True) == [{"k": 1, "price": 1.5, "_src_price": 0}]
    assert log.select("winner_source", "loser_source", "loser_value").rows() == [("x", "y", "2.5")]
    lineage = {c.column: (c.inputs, c.transformation) for c in done.columns}
    assert lineage["price"] == ([("x", "px"), ("y", "price")], "min")
    assert lineage["k"] == ([("x", "id"), ("y", "k")], "identity")


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"rename": {"x": {"v": "w"}}}, "rename_clash"),
        ({"key": ["missing"]}, "missing_key_column"),
        ({"fields": [{"fields": ["s"], "rule": "sum"}]}, "not_numeric"),
        ({"fields": [{"fields": ["v"], "rule": "weighted_average", "by": "s"}]}, "not_numeric"),
        ({"fields": [{"fields": ["v"], "rule": "expression", "expression": "coalesce(x, nosuch)"}]}, "unknown_column"),
        ({"fields": [{"fields": ["v"], "rule": "expression", "expression": "(select 1)"}]}, "unknown_token"),
        (
            {"fields": [{"fields": ["v"], "rule": "expression", "expression": "read_text('/etc/passwd')"}]},
            "unknown_token",
        ),
        ({"rename": {"x": {"s": "_src_v"}}, "fields": [{"fields": ["v"], "rule": "max"}]}, "reserved_column"),
    ],
)
def test_specs_that_do_not_fit(spec: dict[str, Any], code: str, merge_frames: MergeFrames) -> None:
    with pytest.raises((ConfigError, BadInput)) as caught:
        merge_frames({"x": pl.DataFrame({"k": [1], "v": [1], "w": [2], "s": ["t"]})}, **spec)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"default": {"rule": "sum"}}, "default"),
        ({"default": {"rule": "priority", "fields": ["a"]}}, "default"),
        ({"fields": [{"rule": "max"}]}, "names its fields"),
        ({"fields": [{"fields": ["a"], "rule": "max"}, {"fields": ["a", "b"], "rule": "priority"}]}, "named twice"),
        ({"fields": [{"fields": ["k"], "rule": "max"}]}, "named twice"),
        ({"priority": ["x", "x"]}, "named twice"),
        ({"fields": [{"fields": ["a"], "rule": "max", "by": "t"}]}, "by has no meaning"),
        ({"fields": [{"fields": ["a"], "rule": "most_recent"}]}, "needs by"),
        ({"fields": [{"fields": ["a"], "rule": "expression"}]}, "go together"),
        ({"fields": [{"fields": ["a"], "rule": "max", "expression": "x"}]}, "go together"),
        ({"fields": [{"fields": ["a", "b"], "rule": "expression", "expression": "x"}]}, "one field"),
        ({"weights": {"x": 0.0}}, "above 0"),
        ({"target": "out"}, "go together"),
    ],
)
def test_specs_that_contradict_themselves(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MergerSpec.model_validate({"dataset": "d", "key": ["k"], **given})


# -- what decides


def test_fields_stay_together_and_complementary_sources_are_joined(merge_frames: MergeFrames) -> None:
    """bid/ask come whole from one vendor, nulls included; what only the other vendor knows is not lost."""
    frames = {
        "a": pl.DataFrame({"k": [1, 2], "bid": [1.0, 1.1], "ask": [1.2, 1.3], "sector": ["x", None]}),
        "b": pl.DataFrame({"k": [1], "bid": [2.0], "ask": pl.Series([None], dtype=pl.Float64)}),
    }
    rows, _, done = merge_frames(frames)
    assert rows.select("k", "bid", "ask", "sector").rows() == [(1, 2.0, None, "x"), (2, 1.1, 1.3, None)]
    assert done.lineage == {"bid": "_src_bid", "ask": "_src_bid", "sector": "_src_sector"}
    assert rows.select("_src_bid", "_src_sector").rows() == [(1, 0), (0, 0)]


def test_a_named_group_is_taken_from_a_source_that_has_all_of_it(merge_frames: MergeFrames) -> None:
    frames = {
        "a": pl.DataFrame({"k": [1], "bid": [1.0], "ask": [1.2]}),
        "b": pl.DataFrame({"k": [1, 2], "bid": [2.0, 3.0]}),
    }
    rows, log, _ = merge_frames(frames, fields=[{"fields": ["bid", "ask"], "rule": "last_write_wins"}])
    assert rows.select("k", "bid", "ask").rows() == [(1, 1.0, 1.2), (2, 3.0, None)]
    assert log.select("field", "loser_source", "loser_value").rows() == [("bid", "b", "2.0")]


def test_not_a_number_and_signed_zero(merge_frames: MergeFrames) -> None:
    nan = float("nan")
    frames = {
        "a": pl.DataFrame({"k": [0.0, nan, 1.0], "v": [nan, nan, -0.0]}),
        "b": pl.DataFrame({"k": [-0.0, nan, 1.0], "v": [3.0, nan, 0.0]}),
    }
    rows, log, done = merge_frames(frames, fields=[{"fields": ["v"], "rule": "max"}])
    assert rows["v"].fill_nan(None).to_list() == [3.0, 0.0, None] and done.merged_away == 3
    assert log["loser_value"].to_list() == ["NaN"]


def test_an_average_never_leaves_the_range_of_its_values(merge_frames: MergeFrames) -> None:
    frames = {name: pl.DataFrame({"k": [1], "v": [0.1]}) for name in "abc"}
    rows, log, _ = merge_frames(
        frames, weights={"a": 0.1, "b": 0.7, "c": 0.3}, fields=[{"fields": ["v"], "rule": "weighted_average"}]
    )
    assert rows["v"][0] == 0.1 and rows["_src_v"][0] == 255 and log.height == 0


@pytest.mark.parametrize("value", [2**53 + 1, -(2**60) - 1, Decimal("12345678901234567.89")])
def test_an_average_that_float64_cannot_hold_is_refused(value: int | Decimal, merge_frames: MergeFrames) -> None:
    """All sources agree, and the value would still come out as another one."""
    frames = {name: pl.DataFrame({"k": [1], "v": [value]}) for name in "ab"}
    with pytest.raises(BadInput) as caught:
        merge_frames(frames, fields=[{"fields": ["v"], "rule": "weighted_average"}])
    assert (caught.value.code, "weighted_average" in str(caught.value.expected)) == ("incompatible_types", True)


def test_decimals_that_float64_holds_are_averaged(merge_frames: MergeFrames) -> None:
    frames = {name: pl.DataFrame({"k": [1], "v": [Decimal(value)]}) for name, value in (("a", "1.10"), ("b", "1.21"))}
    rows, _, _ = merge_frames(frames, fields=[{"fields": ["v"], "rule": "weighted_average"}])
    assert rows["v"].to_list() == [1.155]


def test_decimals_of_different_scales_meet_in_the_finer_one(merge_frames: MergeFrames) -> None:
    """What the converter infers has 38 digits each, so that no type holds all that both could hold."""
    a = pl.DataFrame({"k": [1, 2], "v": pl.Series([Decimal("1.10"), Decimal("5.55")], dtype=pl.Decimal(38, 2))})
    b = pl.DataFrame({"k": [1, 2], "v": pl.Series([Decimal("1.1000"), Decimal("5.5501")], dtype=pl.Decimal(38, 4))})
    rows, log, _ = merge_frames({"a": a, "b": b}, default={"rule": "priority"}, priority=["a"])
    assert rows["v"].to_list() == [Decimal("1.1000"), Decimal("5.5500")]
    assert log.select("k", "loser_value").rows() == [(2, "5.5501")]
    wide = a.with_columns(v=pl.Series([Decimal("1" * 35 + ".12")] * 2, dtype=pl.Decimal(38, 2)))
    for source in (wide, wide[::-1].with_columns(k=pl.Series([2, 1]))):  # in order of key, and not
        with pytest.raises(BadInput) as caught:
            merge_frames({"a": source, "b": b})
        assert (caught.value.code, "1111" in caught.value.text()) == ("value_out_of_range", False)


def test_sums_are_exact_or_refused(merge_frames: MergeFrames) -> None:
    big = pl.DataFrame({"k": [1], "v": [2**62], "d": pl.Series([Decimal("0.10")], dtype=pl.Decimal(10, 2))})
    rows, _, _ = merge_frames({"a": big, "b": big.with_columns(v=-2)}, fields=[{"fields": ["v", "d"], "rule": "sum"}])
    assert rows.select("v", "d").rows() == [(2**62 - 2, Decimal("0.20"))]
    with pytest.raises(BadInput) as caught:
        merge_frames({"a": big, "b": big}, fields=[{"fields": ["v"], "rule": "sum"}])
    assert caught.value.code == "sum_overflow"


def test_an_expression_may_name_a_source_that_sent_nothing(merge_frames: MergeFrames) -> None:
    rows, log, _ = merge_frames(
        {"a": pl.DataFrame({"k": [1], "v": [4]}), "b": pl.DataFrame({"k": [1], "v": [7]})},
        priority=["away"],
        fields=[
            {"fields": ["v"], "rule": "expression", "expression": 'case when a > 3 then coalesce("away", b * 2) end'}
        ],
    )
    assert rows["v"].to_list() == [14]
    assert log.select("winner_source", "winner_value", "loser_value").rows() == [(None, "14", "4"), (None, "14", "7")]


def test_conflicts_show_what_a_person_can_read_and_no_secret(merge_frames: MergeFrames) -> None:
    frames = {
        "a": pl.DataFrame(
            {"k": [1], "mail": ["old@x"], "raw": [b"\x01"], "tags": [["p"]], "n": pl.Series([None], dtype=pl.Int64)}
        ),
        "b": pl.DataFrame({"k": [1], "mail": ["new@x"], "raw": [b"\x02"], "tags": [["q"]], "n": [5]}),
    }
    _, log, _ = merge_frames(frames, sensitive=("mail",), priority=["a"], default={"rule": "priority"})
    shown = {r["field"]: (r["winner_value"], r["loser_value"]) for r in log.iter_rows(named=True)}
    assert shown == {
        "mail": ("***", "***"),
        "raw": ("01", "02"),
        "tags": ('{"value":["p"]}', '{"value":["q"]}'),
        "n": (None, "5"),
    }


def test_records_without_a_key_go_to_quarantine(merge_frames: MergeFrames, tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1, None, None], "j": ["p", None, "r"], "mail": ["m", "n", "o"], "_line": [2, 5, 9]})
    rows, _, done = merge_frames(
        {"x": frame}, sensitive=("mail",), key=["k", "j"], rename={"x": {"id": "k", "mail": "contact"}}
    )
    assert rows.height == 1 and (done.rows_in, done.quarantined, done.merged_away) == (3, 2, 0)
    kept = read_quarantine(Store(str(tmp_path)), "quarantine")
    assert kept.select("object", "line", "rule", "column").rows() == [
        ("object-x", 5, "null_key", "k"),
        ("object-x", 9, "null_key", "k"),
    ]
    assert '"contact":"***"' in kept["view"][0] and "null: the record names nothing" in kept["reason"][0]


def test_no_rows_at_all(merge_frames: MergeFrames) -> None:
    rows, log, done = merge_frames({"x": pl.DataFrame(schema={"k": pl.Int64, "v": pl.Float64})})
    assert rows.schema == {"k": pl.Int64, "v": pl.Float64, "_src_v": pl.UInt8} and (rows.height, log.height) == (0, 0)
    assert (done.rows_in, done.rows_out) == (0, 0)


# -- arrival


@pytest.mark.parametrize("rows", [4, 1 << 40])
def test_arrival_orders_by_entry_line_file_row(rows: int, tmp_path: Path) -> None:
    """Also where it takes more than 63 bits."""
    frame = pl.DataFrame({"k": [1, 1, 1], "_line": [rows - 1, 2, 2], "v": [1, 2, 3]})
    made = []
    for number, (name, sequence) in enumerate((("b", 9), ("a", 9), ("c", 2))):
        path = tmp_path / f"{name}.parquet"
        frame.with_columns(pl.col("v") + number * 10).write_parquet(path)
        made.append(SourceFile("x", path, uri=name, id=name, sequence=sequence))
    inputs = files.inspect(made, ["k"], [], {})
    arrival = Arrival.of(inputs)
    if rows > 4:
        arrival = Arrival(inputs, line_bits=41, file_bits=10, row_bits=30, entry_bits=12, source_bits=3)
        assert arrival.wide
    plan = streams.Plan(inputs, ("k",), arrival, Order())
    for pieces in (streams.sorted_pieces, streams.merged_pieces):
        with session(inputs, tmp_path, 1400, 1) as connection:
            (batch,) = streams.batches(pieces(connection, plan), plan, None)
        preference = batch.preference(earliest=False)
        assert preference is not None
        ranked = batch.frame[np.argsort(-preference)]
        assert ranked["v"].to_list() == [1, 11, 3, 2, 13, 12, 21, 23, 22]
        packed = ranked["//arrival"]
        assert arrival.entries(packed).tolist() == [1] * 6 + [0] * 3
        assert arrival.lines(packed).to_list() == [rows - 1, rows - 1, 2, 2, 2, 2, rows - 1, 2, 2]
        assert arrival.objects(packed, pl.String()).to_list() == list("babbaaccc")


# -- limits


def test_the_engine_reaches_nothing_but_its_inputs(tmp_path: Path) -> None:
    pl.DataFrame({"k": [1]}).write_parquet(tmp_path / "in.parquet")
    pl.DataFrame({"k": [1]}).write_parquet(tmp_path / "other.parquet")
    inputs = files.inspect([SourceFile("x", tmp_path / "in.parquet")], ["k"], [], {})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    forbidden = [
        f"SELECT * FROM read_parquet('{tmp_path}/other.parquet')",
        "SELECT * FROM read_text('/etc/passwd')",
        f"COPY (SELECT 1) TO '{tmp_path}/stolen.csv'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        f"ATTACH '{tmp_path}/x.db'",
    ]
    with session(inputs, scratch, 1400, 1) as connection:
        assert connection.execute(f"SELECT count(*) FROM read_parquet('{tmp_path}/in.parquet')").fetchone() == (1,)
        for statement in forbidden:
            with pytest.raises(duckdb.Error):
                connection.execute(statement)
    assert not (tmp_path / "stolen.csv").exists()


@pytest.mark.parametrize("damage", ["cut", "page", "text"])
def test_damaged_files_are_bad_input(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pl.DataFrame({"k": range(50_000), "v": [i * 0.37 for i in range(50_000)]}).write_parquet(path)
    raw = path.read_bytes()
    harmed = {"cut": raw[:-40], "page": raw[:4] + b"\xff" * 200 + raw[204:], "text": b"k,v\n1,2\n"}
    path.write_bytes(harmed[damage])
    spec = MergerSpec(dataset="d", key=("k",))
    with pytest.raises(BaseOpsError) as caught:
        merge([SourceFile("x", path, "in")], spec, tmp_path, Quarantine(Store(str(tmp_path)), "q", tmp_path, []))
    assert caught.value.code == "bad_parquet"
