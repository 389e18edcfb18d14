"""Rules by kind, moments that nearly agree, names and types that do not, shards, checks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import MergeFrames
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.presets import PRESETS
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.merge.kinds import kind_of_field
from base_ops.worker.merge.moments import first_rows
from base_ops.worker.merge.prepare import plain

T = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


# -- rules


def test_each_kind_has_its_rule(merge_frames: MergeFrames) -> None:
    """The table of the sheet: currency by confidence, percentage averaged, count summed, and so on."""
    rows = {
        "a": (10.0, 0.10, 5, "open", "equity", False, at(0.25), date(2026, 1, 2), "x", 0.9, at(1)),
        "b": (11.0, 0.20, 7, "closed", "bond", True, at(0), date(2026, 1, 3), "y", 0.1, at(2)),
    }
    names = ["price", "yield_pct", "trade_count", "status", "asset_class", "active", "seen_at", "settles", "note"]
    names += ["confidence", "updated_at"]
    frames = {source: pl.DataFrame([{"k": 1, **dict(zip(names, row, strict=True))}]) for source, row in rows.items()}
    merged, log, done = merge_frames(frames, kinds="found", priority=["b", "a"])
    (row,) = merged.rows(named=True)
    assert {name: row[name] for name in names[:9]} == {
        "price": 10.0,  # the more confident
        "yield_pct": pytest.approx((0.10 * 0.9 + 0.20 * 0.1) / 1.0),
        "trade_count": 12,
        "status": "closed",  # the later
        "asset_class": "bond",  # the better source
        "active": True,
        "seen_at": at(0.25),  # the more precise
        "settles": date(2026, 1, 3),
        "note": "y",  # the later arrival
    }
    rules = dict(log.select("field", "rule").unique().rows())
    assert rules["price"] == "highest_confidence" and rules["seen_at"] == "most_precise"
    assert {c.name: c.rule for c in done.conflicts}["trade_count"] == "sum"


@pytest.mark.parametrize(
    ("name", "dtype", "kind"),
    [
        ("closePrice", pl.Float64(), "currency"),
        ("Total Amount", pl.Decimal(18, 2), "currency"),
        ("fx_rate", pl.Float64(), "percentage"),
        ("volume", pl.Int64(), "count"),
        ("priceless", pl.Float64(), "measure"),
        ("status", pl.Int64(), "measure"),
        ("order_status", pl.String(), "status"),
        ("type", pl.String(), "category"),
        ("name", pl.String(), "text"),
        ("tags", pl.List(pl.String()), "text"),
        ("status", pl.Boolean(), "flag"),
    ],
)
def test_kinds_are_told_by_name_and_type(name: str, dtype: pl.DataType, kind: str) -> None:
    assert kind_of_field(name, dtype) == kind


def test_named_kinds_and_numbers_give_way_to_fields(merge_frames: MergeFrames) -> None:
    frames = {s: pl.DataFrame({"k": [1], "p": [v], "n": [v], "x": [v], "t": [s]}) for s, v in (("a", 1), ("b", 3))}
    merged, _, _ = merge_frames(
        frames, kinds={"n": "count"}, numbers="weighted_average", fields=[{"fields": ["p"], "rule": "min"}]
    )
    assert merged.select("p", "n", "x", "t").row(0) == (1, 4, 2.0, "b")


def test_flagged_rows_name_their_conflicts(merge_frames: MergeFrames) -> None:
    frames = {
        "a": pl.DataFrame({"k": [1, 2, 3], "p": [1, 5, 9], "q": ["x", "y", "z"]}),
        "b": pl.DataFrame({"k": [1, 2], "p": [2, 5], "q": ["w", "y"]}),
    }
    merged, _, _ = merge_frames(frames, flag_conflicts=True)
    assert merged["_conflicts"].to_list() == ["p,q", None, None]
    merged, _, _ = merge_frames(frames, fields=[{"fields": ["q"], "rule": "merge_and_flag"}], priority=["a"])
    assert merged.select("p", "q", "_conflicts").row(0) == (2, "x", "q")


def test_confidence_is_the_share_that_agrees(merge_frames: MergeFrames) -> None:
    frames = {s: pl.DataFrame({"k": [1], "v": [v]}) for s, v in (("a", 1), ("b", 1), ("c", 2), ("d", None))}
    _, log, _ = merge_frames(frames, priority=["a"], fields=[{"fields": ["v"], "rule": "priority"}])
    (row,) = log.rows(named=True)
    assert (row["winner_value"], row["loser_value"]) == ("1", "2")
    assert row["winner_confidence"] == pytest.approx(2 / 3)


# -- trust


def _claims(merge_frames: MergeFrames, **rule: Any) -> tuple[pl.DataFrame, pl.DataFrame, Any]:
    """Two good sources that differ where they err, and three that copy one bad one."""
    keys = list(range(200))
    right = [f"right {k}" for k in keys]
    frames = {
        "good": pl.DataFrame({"k": keys, "v": [f"odd {k}" if k % 17 == 0 else right[k] for k in keys]}),
        "fine": pl.DataFrame({"k": keys, "v": [f"even {k}" if k % 13 == 1 else right[k] for k in keys]}),
    }
    wrong = [f"wrong {k}" if k % 3 == 0 else right[k] for k in keys]
    for name in ("copy1", "copy2", "copy3"):
        frames[name] = pl.DataFrame({"k": keys, "v": wrong})
    return merge_frames(frames, fields=[{"fields": ["v"], **rule}], priority=["copy1"])


def test_trust_is_learned_and_said(merge_frames: MergeFrames) -> None:
    frames = {
        "a": pl.DataFrame({"k": range(50), "v": [f"x{k}" for k in range(50)]}),
        "b": pl.DataFrame({"k": range(50), "v": [f"x{k}" if k % 10 else f"b{k}" for k in range(50)]}),
        "c": pl.DataFrame({"k": range(50), "v": [f"c{k}" if k % 2 else f"x{k}" for k in range(50)]}),
        "d": pl.DataFrame({"k": range(50), "v": [f"d{k}" if k % 3 else f"x{k}" for k in range(50)]}),
    }
    rules = [{"fields": ["v"], "rule": "truth_discovery"}]
    merged, log, done = merge_frames(frames, fields=rules, priority=["d"])
    assert merged["v"].to_list() == [f"x{k}" for k in range(50)]
    (said,) = [f for f in done.findings if f.code == "source_trust"]
    trust = said.data["trust"]
    assert isinstance(trust, dict) and list(trust)[:2] == ["a", "b"] and trust["a"] > trust["c"]
    assert set(log["rule"]) == {"truth_discovery"} and log["winner_confidence"].is_between(0, 1).all()
    shards = [merge_frames(frames, fields=rules, priority=["d"], shard={"index": i, "count": 2})[0] for i in (0, 1)]
    assert pl.concat(shards).sort("k").equals(merged)


def test_what_is_not_sure_enough_is_left_to_the_better_source(merge_frames: MergeFrames) -> None:
    merged, _, _ = _claims(merge_frames, rule="truth_discovery", min_confidence=1.0)
    assert merged["v"][3] == "wrong 3" and merged["v"][1] != "wrong 1"
    with pytest.raises(ValidationError, match="goes with truth_discovery"):
        MergerSpec.model_validate(
            {"dataset": "d", "key": ["k"], "fields": [{"fields": ["v"], "rule": "sum", "min_confidence": 0.5}]}
        )


def test_trust_as_the_default_decides_each_field_for_itself(merge_frames: MergeFrames) -> None:
    frames = {
        s: pl.DataFrame({"k": range(20), "p": range(20), "q": [s] * 20 if s == "c" else ["x"] * 20}) for s in "abc"
    }
    merged, _, _ = merge_frames(frames, default={"rule": "truth_discovery"}, priority=["c"])
    assert set(merged["q"]) == {"x"} and {"_src_p", "_src_q"} <= set(merged.columns)


# -- duplicates


@pytest.mark.parametrize(("action", "rows"), [("delete", 2), ("merge_and_mark", 3), ("keep_all", 3)])
def test_duplicates_among_the_merged_rows(action: str, rows: int, merge_frames: MergeFrames, tmp_path: Path) -> None:
    frames = {
        "crm": pl.DataFrame({"k": [1, 2], "email": ["A@x.org", "b@x.org"], "name": ["Ann", "Bob"]}),
        "web": pl.DataFrame({"k": [3], "email": ["a@x.org "], "name": ["Ann"]}),
    }
    merged, _, done = merge_frames(frames, duplicates={"exact": [{"columns": ["email"]}], "action": action})
    assert merged.height == done.rows_out == rows and done.merged_away == 3 - rows
    assert ("_dup_of" in merged.columns) == (action == "merge_and_mark") and done.schema == merged.schema
    listed = pl.read_parquet(tmp_path / "duplicates.parquet", memory_map=False)
    assert listed.columns == ["k", "of_k", "probability", "rule"]
    assert {*listed["k"], *listed["of_k"]} == {1, 3} and listed["rule"].to_list() == ["exact_1"]
    (said,) = [f for f in done.findings if f.code == "duplicates"]
    assert said.data["duplicates"] == 1


# -- append


def test_append_keeps_every_record_in_order_of_key(merge_frames: MergeFrames) -> None:
    frames = {"a": pl.DataFrame({"k": [2, 1, 1], "v": [1, 2, 2]}), "b": pl.DataFrame({"k": [1, 3], "v": [2, 5]})}
    merged, log, done = merge_frames(frames, strategy="append")
    assert merged.select("k", "v").rows() == [(1, 2), (1, 2), (1, 2), (2, 1), (3, 5)]
    assert (done.rows_out, done.merged_away, log.height) == (5, 0, 0)
    assert merged["_src_v"].to_list() == [0, 0, 1, 0, 1]


# -- time


def test_records_within_the_tolerance_are_one(merge_frames: MergeFrames) -> None:
    frames = {
        "a": pl.DataFrame({"s": ["X"] * 3, "t": [at(0.4), at(5), at(5.3)], "p": [1.0, 2.0, 3.0]}),
        "b": pl.DataFrame({"s": ["X"] * 2 + ["Y"], "t": [at(0), at(5.2), at(0)], "p": [1.5, 2.5, 9.0]}),
    }
    merged, log, done = merge_frames(
        frames, key=["t", "s"], time={"column": "t", "tolerance_s": 1.0}, priority=["a"], default={"rule": "priority"}
    )
    # a's own two ticks stay two; the moment is the one of the source whose values are taken
    assert merged.select("s", "t", "p").rows() == [
        ("X", at(0.4), 1.0),
        ("X", at(5), 2.0),
        ("X", at(5.3), 3.0),
        ("Y", at(0), 9.0),
    ]
    assert done.merged_away == 2
    assert set(log["t"]) <= set(merged["t"]), "a conflict is found by the key of the merged row"


@settings(max_examples=25)
@given(data=st.data())
def test_within_a_tolerance_the_rule_decides_in_whatever_order_the_rows_come(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from conftest import merging

    moments = st.tuples(st.integers(0, 3), st.integers(0, 12))
    ordered, shuffled = {}, {}
    for number, source in enumerate(("a", "b", "c")):
        drawn = data.draw(st.lists(moments, max_size=12, unique=True))
        rows = [(n, at(t), 100 * number + place, 7 * n % 5) for place, (n, t) in enumerate(drawn)]
        schema = {"n": pl.Int64, "t": pl.Datetime("us", "UTC"), "v": pl.Int64, "o": pl.Int64}
        shuffled[source] = pl.DataFrame(rows, schema=schema, orient="row")
        ordered[source] = shuffled[source].sort("n", "t")
    rule = data.draw(
        st.sampled_from(
            [{"rule": "last_write_wins"}, {"rule": "first_write_wins"}, {"rule": "priority"},
             {"rule": "most_recent", "by": "t"}, {"rule": "highest_confidence", "by": "o"}]
        )
    )  # fmt: skip
    run = merging(tmp_path_factory.mktemp("near"))
    spec = {"key": ["n", "t"], "time": {"column": "t", "tolerance_s": 1.0}, "default": rule}
    (left, left_log, _), (right, right_log, _) = run(ordered, **spec), run(shuffled, **spec)
    assert left.sort("n", "t").equals(right.sort("n", "t"))
    told = ["n", "t", "field", "winner_source", "winner_value", "loser_source", "loser_value"]
    assert left_log.select(told).sort(told).equals(right_log.select(told).sort(told))


def _by_hand(starts: list[bool], moments: list[int], sources: list[int], tolerance: int) -> list[bool]:
    first: list[bool] = []
    begin, seen = 0, dict[int, set[int]]()
    for row, moment in enumerate(moments):
        same = [
            other
            for other in range(row, len(moments))
            if moments[other] == moment and not any(starts[row + 1 : other + 1])
        ]
        again = any(seen.get(sources[other], set()) - {moment} for other in same)
        new = starts[row] or moment - moments[begin] > tolerance or again
        if new:
            begin, seen = row, {}
        first.append(new)
        seen.setdefault(sources[row], set()).add(moment)
    return first


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60),
    tolerance=st.integers(1, 12),
)
def test_groups_in_time_are_those_found_by_hand(rows: list[tuple[bool, int, int]], tolerance: int) -> None:
    starts = [number == 0 or (start and step == 4) for number, (start, step, _) in enumerate(rows)]
    moments = np.cumsum([step for _, step, _ in rows])
    sources = [source for _, _, source in rows]
    found = first_rows(np.array(starts), moments, np.array(sources, np.uint8), tolerance)
    assert found.tolist() == _by_hand(starts, moments.tolist(), sources, tolerance)


def test_groups_that_span_batches(merge_frames: MergeFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("base_ops.worker.merge.streams._BATCH_ROWS", 3)
    moments = [at(number * 0.4) for number in range(60)]
    frames = {"a": pl.DataFrame({"t": moments[::2], "p": range(30)}), "b": pl.DataFrame({"t": moments[1::2], "p": 1})}
    merged, _, _ = merge_frames(frames, key=["t"], time={"column": "t", "tolerance_s": 0.5}, priority=["a"])
    assert merged["t"].to_list() == moments[::2]


@pytest.mark.parametrize(("align", "expected"), [("start", 0), ("center", 1800), ("end", 3600)])
def test_windows(align: str, expected: int, merge_frames: MergeFrames) -> None:
    hour = datetime(2026, 11, 20, 9, tzinfo=UTC)
    early = datetime(1969, 12, 31, 23, 30, tzinfo=UTC)
    frames = {
        "a": pl.DataFrame({"t": [early, T, at(60)], "p": [0.0, 1.0, 2.0]}),
        "b": pl.DataFrame({"t": [at(1799.999)], "p": [3.0]}),
    }
    merged, _, _ = merge_frames(
        frames,
        key=["t"],
        time={"column": "t", "window_s": 3600, "align": align},
        fields=[{"fields": ["p"], "rule": "weighted_average"}],
    )
    first = datetime(1969, 12, 31, 23, tzinfo=UTC)
    shift = timedelta(seconds=expected)
    assert merged.select("t", "p").rows() == [(first + shift, 0.0), (hour + shift, 2.0)]


def test_time_needs_timestamps_of_the_key(merge_frames: MergeFrames) -> None:
    with pytest.raises(ValidationError, match="not one of key"):
        MergerSpec(dataset="d", key=("k",), time={"column": "t", "window_s": 1})  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        merge_frames({"a": pl.DataFrame({"k": [1]})}, time={"column": "k", "tolerance_s": 1})
    assert caught.value.code == "not_a_timestamp"


# -- names and types


def test_names_that_mean_the_same(merge_frames: MergeFrames) -> None:
    frames = {
        "a": pl.DataFrame({"k": [1], "close_price": [1.0], "volume": [5]}),
        "b": pl.DataFrame({"K": [2], "Close Price": [2.0], "volumes": [6]}),
    }
    merged, _, done = merge_frames(frames)
    assert merged.columns[:4] == ["k", "close_price", "volume", "volumes"]
    assert [f.data["to"] for f in done.findings if f.code == "matched_column"] == ["k", "close_price"]
    merged, _, done = merge_frames(frames, align={"names": "similar"})
    assert merged.select("k", "close_price", "volume").rows() == [(1, 1.0, 5), (2, 2.0, 6)]
    with pytest.raises(BadInput) as caught:
        merge_frames(frames, align={"names": "exact"})
    assert caught.value.code == "missing_key_column"


def test_similar_names_of_one_source_stay_two_columns(merge_frames: MergeFrames) -> None:
    frames = {
        "a": pl.DataFrame({"k": [1], "high_52w": [1.0], "high_52d": [2.0]}),
        "b": pl.DataFrame({"k": [2], "high_52w": [3.0], "high_52d": [4.0]}),
    }
    merged, _, done = merge_frames(frames, align={"names": "similar", "similarity": 0.5})
    assert merged.select("high_52w", "high_52d").rows() == [(1.0, 2.0), (3.0, 4.0)] and not done.findings


@given(st.text())
@example("ı")
def test_plain_names_are_plain(name: str) -> None:
    assert plain(plain(name)) == plain(name) == plain(f" {name.swapcase().swapcase()}_")


def test_texts_are_coerced_exactly_or_refused(merge_frames: MergeFrames) -> None:
    frames = {"a": pl.DataFrame({"k": [1], "v": [1.5]}), "b": pl.DataFrame({"k": [2, 3], "v": ["2.25", None]})}
    merged, _, done = merge_frames(frames, align={"coerce": True})
    assert merged["v"].to_list() == [1.5, 2.25, None] and done.findings[0].code == "coerced_column"
    frames["b"] = pl.DataFrame({"_line": [7, 8], "k": [2, 3], "v": ["2.25", "n.a."]})
    with pytest.raises(BadInput) as caught:
        merge_frames(frames, align={"coerce": True})
    assert caught.value.where.endswith("line 8") and "n.a." in caught.value.found


@pytest.mark.parametrize("text", ["9007199254740993", "1234567890.12345678", "1e-400"])
def test_texts_that_would_be_rounded_are_refused(text: str, merge_frames: MergeFrames) -> None:
    """Rounded, two keys of one source could become one."""
    frames = {"x": pl.DataFrame({"k": [0.5]}), "y": pl.DataFrame({"k": ["1.5", text]})}
    with pytest.raises(BadInput, match="line 2") as raised:
        merge_frames(frames, key=["k"], align={"coerce": True})
    assert raised.value.code == "incompatible_types" and text in raised.value.found


def test_fields_that_a_source_lacks(merge_frames: MergeFrames) -> None:
    frames = {"a": pl.DataFrame({"k": [1], "v": [1], "u": ["x"]}), "b": pl.DataFrame({"k": [1, 2], "v": [2, 3]})}
    merged, _, _ = merge_frames(frames)
    assert merged["u"].to_list() == ["x", None]
    merged, _, done = merge_frames(frames, align={"missing": "skip"})
    assert "u" not in merged.columns and done.findings[0].data == {"fields": ["u"]}
    merged, _, _ = merge_frames(frames, align={"missing": "default", "defaults": {"u": "none"}})
    assert merged["u"].to_list() == ["none", "none"]  # b arrived last, and says so


# -- shards


@pytest.mark.parametrize("time", [None, {"column": "t", "tolerance_s": 1.0}, {"column": "t", "window_s": 60}])
@settings(max_examples=10)
@given(data=st.data())
def test_shards_together_are_the_whole(
    time: Any, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from conftest import merging

    rows = st.tuples(st.sampled_from(["p", "q", None, ""]), st.integers(0, 30), st.integers(0, 3), st.integers(0, 9))
    frames = {}
    for source in ("a", "b"):
        drawn = data.draw(st.lists(rows, max_size=25))
        schema = {
            "s": pl.String,
            "n": pl.Int32 if source == "a" else pl.Int64,
            "t": pl.Datetime("us", "UTC"),
            "v": pl.Int64,
        }
        values = [(s, n, at(t), v) for s, n, t, v in drawn]
        frames[source] = pl.DataFrame(values, schema=schema, orient="row")
    run = merging(tmp_path_factory.mktemp("shards"))
    spec = {"key": ["s", "n", "t"], "time": time}
    whole, log, done = run(frames, **spec)
    count = data.draw(st.integers(1, 4))
    parts = [run(frames, **spec, shard={"index": index, "count": count}) for index in range(count)]
    keys = ["s", "n", "t"]
    assert pl.concat([part for part, _, _ in parts]).sort(keys).equals(whole.sort(keys))
    assert pl.concat([p for _, p, _ in parts]).sort(pl.all()).equals(log.sort(pl.all()))
    for count_of in ("rows_in", "rows_out", "quarantined", "merged_away"):
        assert sum(getattr(d, count_of) for _, _, d in parts) == getattr(done, count_of)


KEYS = {
    "binary": (pl.Series([b"\xff", b"", b"a\0"]), pl.Series([b"\xff", b"a", b"a\0"])),
    "boolean": (pl.Series([True, False]), pl.Series([False, True])),
    "float": (pl.Series([0.0, float("nan"), 1.5]), pl.Series([-0.0, float("nan"), 2.0])),
    "integer, float": (pl.Series([0, 1, 2**53]), pl.Series([-0.0, 1.0, 2.0**53])),
    "decimals": (pl.Series([Decimal("1.10"), Decimal("2.20")]), pl.Series([Decimal("1.1000"), Decimal("2.2001")])),
    "integer, decimal": (pl.Series([1, 2]), pl.Series([Decimal("1.00"), Decimal("2.50")])),
    "date": (pl.Series([date(1, 1, 1), date(9999, 12, 31)]), pl.Series([date(1, 1, 1), date(1970, 1, 1)])),
    "moments": (
        pl.Series([-1_000, 0, 1]).cast(pl.Datetime("ms")),
        pl.Series([-1_000_000_000, 1]).cast(pl.Datetime("ns")),
    ),
    "time": (pl.Series([0, 1]).cast(pl.Time), pl.Series([1, 86_399_999_999_999]).cast(pl.Time)),
    "duration": (pl.Series([-1, 1]).cast(pl.Duration("us")), pl.Series([-1, 0]).cast(pl.Duration("us"))),
    "categories": (pl.Series(["a", "b"], dtype=pl.Categorical), pl.Series(["b", "c"])),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_any_type_fall_into_one_shard(kind: str, merge_frames: MergeFrames) -> None:
    """Also where two sources hold the same key in different types."""
    frames = {
        source: pl.DataFrame({"k": keys, "v": [number] * len(keys)})
        for number, (source, keys) in enumerate(zip("ab", KEYS[kind], strict=True))
    }
    whole, _, _ = merge_frames(frames)
    parts = [merge_frames(frames, shard={"index": index, "count": 3})[0] for index in range(3)]
    assert pl.concat(part for part in parts if part.height).sort("k").equals(whole.sort("k"))
    assert whole.height < sum(frame.height for frame in frames.values()), "no key is in both"


# -- checks and presets


def test_checks_are_findings_or_refuse(merge_frames: MergeFrames) -> None:
    frames = {"a": pl.DataFrame({"k": [1, 2], "v": [1, None]}), "b": pl.DataFrame({"k": [1, 2], "v": [2, None]})}
    _, _, done = merge_frames(frames)
    assert [f.code for f in done.findings] == ["incomplete", "incomplete", "incomplete", "inconsistent"]
    with pytest.raises(BadInput) as caught:
        merge_frames(frames, checks={"on_failure": "refuse"})
    assert caught.value.code == "merge_checks_failed" and "50.0%" in caught.value.text()
    _, _, done = merge_frames(frames, checks={"min_completeness": 0.5, "max_inconsistency": 0.5})
    assert not done.findings


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_specs_and_give_way(preset: str) -> None:
    spec = MergerSpec.model_validate({"dataset": "d", "preset": preset})
    assert spec.key == tuple(PRESETS[preset]["key"])
    again = MergerSpec.model_validate(spec.model_dump(mode="json", exclude_unset=True))
    assert again == spec, "a spec that travels as JSON means the same"
    own = MergerSpec.model_validate({"dataset": "d", "preset": preset, "key": ["x"], "time": None})
    assert own.key == ("x",) and own.time is None and own.priority == spec.priority


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValidationError, match="equity_prices"):
        MergerSpec.model_validate({"dataset": "d", "preset": "equities", "key": ["k"]})


def test_scores_are_an_order() -> None:
    spec = MergerSpec.model_validate({"dataset": "d", "key": ["k"], "priority": {"m": 60, "b": 100, "a": 60}})
    assert spec.priority == ("b", "a", "m")


def test_the_tick_preset(merge_frames: MergeFrames, tmp_path: Path) -> None:
    frames = {
        name: pl.DataFrame({"symbol": ["A"], "exchange": ["X"], "timestamp": [at(shift)], "price": [price]})
        for name, shift, price in (("exchange_primary", 0.3, 10.0), ("external", 0.0, 10.1))
    }
    merged, log, done = merge_frames(frames, preset="equity_prices", key=["symbol", "exchange", "timestamp"])
    assert merged.select("timestamp", "price").rows() == [(at(0.3), 10.0)]
    assert log["loser_source"].to_list() == ["external"] and done.findings[0].code == "inconsistent"
