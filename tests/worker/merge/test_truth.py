import datetime as dt
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.data_ingestion.options.truth import TruthSpec
from base_ops.worker.merge.truth import choose, learn, learn_frames
from base_ops.worker.merge.truth.claims import plain


def claims(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, ["key", "source", "value"], orient="row")


def texts(keys=400, seed=5) -> tuple[pl.DataFrame, dict[int, str]]:
    """Two careful sources and five careless ones that err in few ways, so that a majority is often wrong."""
    drawn = random.Random(seed)
    careful = {"good1": 0.95, "good2": 0.9}
    right = {key: f"value {key}" for key in range(keys)}
    rows = []
    for key, value in right.items():
        for source, accuracy in {**careful, **{f"poor{n}": 0.4 for n in range(5)}}.items():
            if drawn.random() < 0.8:
                said = value if drawn.random() < accuracy else f"wrong {drawn.randrange(2)} of {key}"
                rows.append((key, source, said))
    drawn.shuffle(rows)
    return claims(rows), right


def majority(frame: pl.DataFrame) -> dict:
    counted = frame.group_by("key", "value").len().sort("key", "len", "value", descending=[False, True, False])
    return dict(counted.unique("key", keep="first", maintain_order=True).select("key", "value").iter_rows())


def accuracy(said: dict, right: dict) -> float:
    return sum(said.get(key) == value for key, value in right.items()) / len(right)


def test_trust_is_learned_and_beats_the_majority():
    frame, right = texts()
    trust = learn({"v": frame})
    chosen = choose(frame, "v", trust)
    ours = accuracy(dict(chosen.select("key", "value").iter_rows()), right)
    theirs = accuracy(majority(frame), right)
    assert ours >= theirs + 0.05, (ours, theirs)
    learned = dict(trust.table().select("source", "trust").iter_rows())
    assert min(learned["good1"], learned["good2"]) > max(learned[f"poor{n}"] for n in range(5)) + 0.2
    assert trust.rounds < 100


def test_confidence_tells_how_often_it_is_right():
    frame, right = texts(1000)
    chosen = choose(frame, "v", learn({"v": frame}))
    sure = chosen.filter(pl.col("confidence") >= 0.9)
    held = accuracy(dict(sure.select("key", "value").iter_rows()), {k: right[k] for k in sure["key"]})
    assert sure.height > 300 and held >= 0.9


@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_the_order_of_claims_plays_no_part(drawn):
    frame, _ = texts(40)
    order = list(range(frame.height))
    drawn.shuffle(order)
    one, other = learn({"v": frame}), learn({"v": frame[order]})
    assert one.table().equals(other.table())
    columns = ["key", "value", "confidence"]
    assert choose(frame, "v", one).select(columns).equals(choose(frame[order], "v", other).select(columns))


def test_numbers_are_weighted_medians_that_somebody_said():
    drawn = np.random.default_rng(2)
    right = drawn.uniform(10, 1000, 300)
    noise = {"exact": 0.001, "good": 0.01, "poor1": 0.3, "poor2": 0.3, "biased": 0.1}
    rows = []
    for key, value in enumerate(right.tolist()):
        for source, spread in noise.items():
            rows.append((key, source, value * (1 + spread * drawn.standard_normal() + (source == "biased") * 0.5)))
    frame = claims(rows)
    trust = learn({"v": frame})
    chosen = choose(frame, "v", trust)
    errors = (chosen["value"].to_numpy() / right - 1).__abs__()
    medians = frame.group_by("key", maintain_order=True).agg(pl.col("value").median())["value"].to_numpy()
    assert errors.mean() < 0.2 * np.abs(medians / right - 1).mean()
    assert chosen.join(frame, on=["key", "source", "value"], how="anti").height == 0
    order = trust.table().sort("trust", descending=True)["source"].to_list()
    assert order[0] == "exact" and order[-1] in ("biased", "poor1", "poor2")


def test_times_and_whole_numbers_keep_their_types():
    day = [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
    for values in (
        day,
        [2**62 + 1, 5],
        [dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 2, tzinfo=dt.UTC)],
    ):
        frame = claims([(1, "a", values[0]), (1, "b", values[0]), (1, "c", values[1])])
        chosen = choose(frame, "v", learn({"v": frame}))
        assert chosen["value"].to_list() == [values[0]] and chosen["value"].dtype == frame["value"].dtype


PLAIN = [
    ("Knuth, Donald E.", "donald e knuth", True),
    ("O&#39;Reilly", "o'reilly", True),
    ("José Ñandú", "jose nandu", True),
    ("1:10", "10:1", False),
    ("1-10", "1:10", True),
    ("***", "---", False),
    ("a b", "a b c", False),
]


@pytest.mark.parametrize(("one", "other", "same"), PLAIN)
def test_what_counts_as_the_same_text(one, other, same):
    assert (plain(one) == plain(other)) is same


def test_an_incomplete_text_speaks_for_the_complete_one():
    rows = [(1, "a", "knuth"), (1, "b", "donald knuth"), (1, "c", "graham"), (1, "d", "graham")]
    rows += [(key, source, f"same {key}") for key in range(2, 40) for source in "abcd"]
    frame = claims(rows)
    assert choose(frame, "v", learn({"v": frame}, TruthSpec(support=0.0)))["value"][0] == "graham"
    more = claims(
        [
            *rows,
            (1, "e", "knuth"),
            (1, "f", "knuth, donald e."),
            *((k, s, f"same {k}") for k in range(2, 40) for s in "ef"),
        ]
    )
    assert choose(more, "v", learn({"v": more}))["value"][0] in ("donald knuth", "knuth, donald e.")


def test_the_spelling_is_that_of_trusted_sources():
    rows = [(key, source, f"right {key}") for key in range(30) for source in ("a", "b")]
    rows += [(key, source, f"wrong {key} {source}") for key in range(30) for source in ("c", "d", "e")]
    frame = claims([*rows, (99, "a", "Ann Lee"), (99, "c", "lee; ann"), (99, "d", "lee; ann"), (99, "e", "lee; ann")])
    won = choose(frame, "v", learn({"v": frame})).filter(pl.col("key") == 99)
    assert won.select("value", "source").rows() == [("Ann Lee", "a")]
    assert won["losers"].to_list() == [[{"source": s, "value": "lee; ann"} for s in "cde"]]


def test_batches_may_be_cut_anywhere_between_groups():
    frame, _ = texts(60)
    frame = frame.sort("key", maintain_order=True)
    trust = learn({"v": frame})
    number = frame["source"].replace_strict(list(trust.sources), list(range(len(trust.sources))), return_dtype=pl.Int64)
    whole = trust.winners("v", frame["value"], number.to_numpy(), frame["key"].to_numpy())
    cut = int((frame["key"] < 25).sum())
    first = trust.winners("v", frame["value"][:cut], number[:cut].to_numpy(), frame["key"][:cut].to_numpy())
    rest = trust.winners("v", frame["value"][cut:], number[cut:].to_numpy(), frame["key"][cut:].to_numpy() - 25)
    assert np.concatenate([first.row, rest.row + cut]).tolist() == whole.row.tolist()
    assert np.concatenate([first.confidence, rest.confidence]) == pytest.approx(whole.confidence, abs=1e-12)


def test_who_says_nothing_has_no_say():
    frame = claims([(1, "a", "x"), (1, "b", "x"), (2, "a", "y"), (2, "b", "z"), (3, "a", None), (3, "b", None)])
    trust = learn({"v": frame})
    won = trust.winners("v", frame["value"], np.array([0, 1] * 3), frame["key"].to_numpy() - 1, groups=5)
    assert won.row[[0, 2, 3, 4]].tolist() == [0, -1, -1, -1]
    assert won.confidence[2:].tolist() == [0, 0, 0]
    assert choose(frame, "v", trust)["key"].to_list() == [1, 2]
    nan = claims([(1, "a", 1.0), (1, "b", float("nan")), (1, "c", 1.0)])
    assert choose(nan, "v", learn({"v": nan}))["value"].to_list() == [1.0]


def test_a_lone_claim_is_as_sure_as_its_source():
    frame, _ = texts()
    trust = learn({"v": frame})
    lone = choose(claims([("new", "good1", "something")]), "v", trust)
    known = trust.table().filter(pl.col("source") == "good1")["trust"][0]
    assert lone["confidence"][0] == pytest.approx(known, abs=0.01)


def test_flags_and_nested_values():
    for yes, no in ((True, False), ([1, 2], [3]), ({"a": 1}, {"a": 2}), (b"x", b"y")):
        rows = [(key, source, yes) for key in range(20) for source in "ab"] + [(key, "c", no) for key in range(20)]
        frame = claims(rows)
        assert choose(frame, "v", learn({"v": frame}))["value"].to_list() == [yes] * 20


def test_trust_in_a_field_leans_on_the_whole():
    many, _ = texts()
    few = claims([(1, "good1", "a"), (1, "poor0", "b"), (2, "good1", "c"), (2, "poor1", "d")])
    both = learn({"many": many, "few": few})
    table = {(f, s): t for f, s, t, _ in both.table().rows()}
    assert table["few", "good1"] > table["few", "poor0"]
    one = learn({"many": many, "few": few}, TruthSpec(per_field=False)).table()
    assert one.group_by("source").agg(pl.col("trust").n_unique())["trust"].to_list() == [1] * 7


def test_learning_from_the_sources_records():
    frame, _ = texts(300)
    sources = {s: f.drop("source") for (s,), f in frame.group_by("source", maintain_order=True)}
    records = {s: f.with_columns(pl.lit("u").alias("unit"), other=pl.lit(None)).lazy() for s, f in sources.items()}
    records["good1"] = records["good1"].drop("other", "unit")
    records["good2"] = pl.concat(
        [records["good2"], pl.LazyFrame({"key": [None], "value": ["no key"]})], how="diagonal_relaxed"
    )
    trust = learn_frames(records, ["key"], ["value", "other", "unit"])
    whole = dict(learn({"value": frame}).table().select("source", "trust").iter_rows())
    made = {s: t for f, s, t, _ in trust.table().rows() if f == "value"}
    assert max(abs(made[s] - whole[s]) for s in whole) < 0.1
    part = learn_frames(records, ["key"], ["value"], TruthSpec(max_claims=1000))
    everything = learn_frames(records, ["key"], ["value"]).table()["claims"].sum()
    assert 0.3 * everything < part.table()["claims"].sum() < 0.8 * everything
    assert learn_frames(records, ["key"], ["value"], TruthSpec(max_claims=1000)).table().equals(part.table())


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from("abc"), st.one_of(st.none(), st.text(max_size=5))),
        min_size=1,
        max_size=20,
    )
)
def test_every_key_gets_a_value_that_was_claimed(rows):
    frame = pl.DataFrame(rows, {"key": pl.Int64, "source": pl.String, "value": pl.String}, orient="row")
    chosen = choose(frame, "v", learn({"v": frame}))
    assert chosen["key"].to_list() == sorted({key for key, _, value in rows if value is not None})
    assert chosen.join(frame, on=["key", "source", "value"], how="anti").height == 0
    assert chosen["confidence"].is_between(0, 1).all()
