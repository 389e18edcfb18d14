import random
import subprocess
import sys

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worker.merge.people import clusters_of, people, scores

from base_ops.core.errors import ConfigError
from base_ops.core.spec import check
from base_ops.data_ingestion.options.duplicates import DuplicatesSpec
from base_ops.worker.merge.duplicates import act, find


def spec(**options) -> DuplicatesSpec:
    return check(DuplicatesSpec, options, "test")


@pytest.fixture
def groups(tmp_path):
    """Find duplicates among rows; the groups of row numbers."""

    def run(rows, **options):
        frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, orient="row")
        found = find(frame, spec(**options), tmp_path, threads=1)
        return sorted(sorted(g) for g in found.records.group_by("cluster").agg("row")["row"].to_list())

    return run


EXACT = [
    ("case and spaces aside", ["A1", "a1 ", " A1", "b"], {}, [[0, 1, 2]]),
    ("as it is", ["A1", "a1", "A1"], {"ignore_case": False}, [[0, 2]]),
    ("empty is no value", ["", None, "", None, "x"], {}, []),
    ("spaces are no value", [" ", "  ", "x"], {}, []),
    ("quotes", ["o'b\"", "O'B\"", "x"], {}, [[0, 1]]),
]


@pytest.mark.parametrize(("values", "options", "expected"), [c[1:] for c in EXACT], ids=[c[0] for c in EXACT])
def test_exact(groups, values, options, expected):
    frame = pl.DataFrame({"^id$": values})
    assert groups(frame, exact=[{"columns": ["^id$"], **options}]) == expected


def test_exact_needs_all_columns_and_any_rule_is_enough(groups):
    rows = {"a": [1, 1, 1, 2], "b": ["x", "x", "y", "z"], "c": [None, None, "q", "q"]}
    assert groups(pl.DataFrame(rows), exact=[{"columns": ["a", "b"]}, {"columns": ["c"]}]) == [[0, 1], [2, 3]]


def test_names_that_differ_in_case_only(groups, tmp_path):
    frame = pl.DataFrame({"Name": ["a", "b", "c"], "name": ["x", "y", "x"]})
    rule = [{"columns": ["name"]}]
    assert groups(frame, exact=rule) == [[0, 2]]
    frame.write_parquet(tmp_path / "in.parquet")
    (tmp_path / "two").mkdir()
    assert find(tmp_path / "in.parquet", spec(exact=rule), tmp_path / "two").records["row"].to_list() == [0, 2]


FUZZY = [
    ("levenshtein", 0.85, "Jonathan Smith", "jonathon smith", True),
    ("levenshtein", 0.85, "Jonathan Smith", "Jonathan Schmidt", False),
    ("levenshtein", 0.5, "Jonathan Smith", "Jonathan Schmidt", True),
    ("jaro_winkler", 0.9, "Martha Jones", "Marhta Jones", True),
    ("jaro_winkler", 0.9, "Martha", "Marge", False),
    ("soundex", 0.85, "Robert Tymczak", "Rupert Tymchak", True),
    ("soundex", 0.85, "Robert", "Richard", False),
    ("metaphone", 0.85, "Katherine Smyth", "Catherine Smith", True),
    ("metaphone", 0.85, "Katherine", "Patricia", False),
    ("exact", 0.85, "Müller-Lüdenscheidt", "muller ludenscheidt", True),
    ("exact", 0.85, "Muller", "Mullers", False),
    ("levenshtein", 0.85, None, None, False),
]


@pytest.mark.parametrize(("method", "threshold", "one", "other", "same"), FUZZY)
def test_fuzzy(groups, method, threshold, one, other, same):
    frame = pl.DataFrame({"na'me": [one, "somebody else", other]}, {"na'me": pl.String})
    rule = {"columns": [{"column": "na'me", "method": method, "threshold": threshold}]}
    assert groups(frame, fuzzy=[rule]) == ([[0, 2]] if same else [])


def test_fuzzy_compares_only_within_blocks(groups):
    frame = pl.DataFrame({"n": ["Anna Berg", "Anna Burg", "Anna Berg"], "city": ["x", "x", "y"]})
    columns = [{"column": "n", "threshold": 0.8}]
    assert groups(frame, fuzzy=[{"columns": columns}]) == [[0, 1, 2]]
    assert groups(frame, fuzzy=[{"columns": columns, "block": [["city"]]}]) == [[0, 1]]


def test_fuzzy_finds_what_was_planted(tmp_path):
    frame, entity = people(800, 200, errors=(1, 2))
    rule = {
        "columns": [
            {"column": 'given "name"', "method": "jaro_winkler", "threshold": 0.8},
            {"column": "^sur.name$", "threshold": 0.75},
        ],
        "block": [["phone"], ["e-mail"], ["born"], ["post code"], ["addr's line"]],
    }
    complete = frame.with_row_index().drop_nulls(['given "name"', "^sur.name$"])
    kept = complete["index"].to_list()
    found = find(complete.drop("index"), spec(fuzzy=[rule]), tmp_path)
    precision, recall = scores(clusters_of(found, len(kept)), [entity[i] for i in kept])
    assert precision >= 0.95 and recall >= 0.90, (precision, recall)


def test_probabilistic_finds_what_was_planted_with_default_settings(tmp_path):
    frame, entity = people(800, 160)
    found = find(frame, spec(), tmp_path)
    precision, recall = scores(clusters_of(found, frame.height), entity)
    assert precision >= 0.98 and recall >= 0.98, (precision, recall)
    assert set(found.records["rule"]) == {"probabilistic"}
    assert found.model["same"]["comparisons"]


def test_the_order_of_rows_plays_no_part(tmp_path):
    frame, _ = people(200, 50)
    order = list(range(frame.height))
    random.Random(1).shuffle(order)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = find(frame, spec(), tmp_path / "one"), find(frame[order], spec(), tmp_path / "two", threads=1)
    places = pl.DataFrame({"row": range(len(order)), "was": order}, {"row": pl.Int64, "was": pl.Int64})
    back = two.records.join(places, on="row").select(pl.col("was").alias("row"), "cluster", "probability").sort("row")
    assert back.equals(one.records.select("row", "cluster", "probability"))
    assert one.records.height >= 80
    assert one.model == two.model


def test_a_parquet_file_gives_what_its_frame_gives(tmp_path):
    frame, _ = people(100, 20)
    frame.write_parquet(tmp_path / "it's.parquet")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = find(frame, spec(), tmp_path / "a")
    other = find(tmp_path / "it's.parquet", spec(), tmp_path / "b")
    assert one.records.equals(other.records) and one.pairs.equals(other.pairs)


def test_where_there_are_no_duplicates_none_are_found(tmp_path):
    frame, _ = people(250, 0)
    assert find(frame, spec(), tmp_path).observations["duplicates"] == 0


def test_a_file_delivered_twice(tmp_path):
    frame, _ = people(100, 0)
    found = find(pl.concat([frame, frame]), spec(), tmp_path)
    assert clusters_of(found, 200)[:100] == clusters_of(found, 200)[100:]
    assert found.observations["clusters"] == 100


ODD = {
    "no rows": pl.DataFrame(schema={"a": pl.String}),
    "no columns": pl.DataFrame(),
    "one row": pl.DataFrame({"a": ["x"]}),
    "nothing but nulls": pl.DataFrame({"a": [None, None], "b": ["", " "]}, {"a": pl.Null, "b": pl.String}),
    "nested and binary": pl.DataFrame({"a": [[1], [1]], "b": [{"c": 1}, {"c": 1}], "d": [b"x", b"x"]}),
    "numbers of rows": pl.DataFrame({"id": range(50), "key": [f"k-{i}" for i in range(50)]}),
    "not numbers": pl.DataFrame({"x": [float("nan"), float("inf"), 1.5, 2.5], "y": [True, False, True, None]}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_data_have_no_duplicates(name, tmp_path):
    assert find(ODD[name], spec(), tmp_path).records.height == 0


@settings(max_examples=5)
@given(
    rows=st.lists(
        st.tuples(
            st.one_of(st.none(), st.text(max_size=12)),
            st.one_of(st.none(), st.sampled_from(["2020-01-01", "20200101", "x@y.z", "'", "1.5 %", "", "\x00", "0"])),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        ),
        max_size=8,
    )
)
def test_any_texts_can_be_matched(rows, tmp_path_factory):
    frame = pl.DataFrame(rows, {'"': pl.String, "'; --": pl.String, "%s": pl.Int64}, orient="row")
    found = find(frame, spec(), tmp_path_factory.mktemp("x"), threads=1)
    assert found.records["row"].n_unique() == found.records.height
    assert found.records["of"].is_in(found.records["row"].to_list()).all()


def test_frequent_values_do_not_make_pairs_explode(tmp_path):
    frame = pl.DataFrame({"a": ["same"] * 2500 + ["other"] * 2500, "b": [f"w{i % 1250}x" for i in range(5000)]})
    rule = {"max_pairs": 10_000}
    found = find(frame, spec(probabilistic=rule), tmp_path)
    assert 0 < found.observations["pairs_compared"] <= 10_000


def test_between_allows_one_record_of_each_source(groups):
    rows = {"id": ["k"] * 4 + ["z"] * 2, "feed": ["a", "a", "b", "c", "a", "a"]}
    found = groups(pl.DataFrame(rows), exact=[{"columns": ["id"]}], between="feed")
    assert len(found) == 1 and len(found[0]) == 3
    assert {rows["feed"][i] for i in found[0]} == {"a", "b", "c"}


WRONG = [
    {"exact": [{"columns": ["nam"]}]},
    {"fuzzy": [{"columns": [{"column": "nam"}]}]},
    {"probabilistic": {"columns": {"nam": "name"}}},
    {"probabilistic": {"block": [["nam"]]}},
    {"between": "nam"},
    {"exact": [{"columns": ["name"]}], "survivor": {"recency": "nam"}},
]


@pytest.mark.parametrize("options", WRONG)
def test_an_unknown_column_is_refused(options, tmp_path):
    with pytest.raises(ConfigError, match=r"'nam'.*Did you mean 'name'") as caught:
        find(pl.DataFrame({"name": ["a", "b"], "x": ["c", "d"]}), spec(**options), tmp_path)
    assert caught.value.code == "unknown_column"


def test_priority_and_source_go_together():
    with pytest.raises(ConfigError, match="source .* and priority .* go together"):
        spec(survivor={"priority": ["a"]})


def test_kinds_and_blocks_can_be_given(tmp_path):
    frame, entity = people(200, 40)
    rule = {"columns": {"phone": "ignore", "born": "code"}, "block": [["post code"], ["e-mail"]], "threshold": 0.95}
    found = find(frame, spec(probabilistic=rule), tmp_path)
    names = {c["output_column_name"] for c in found.model["same"]["comparisons"]}
    assert names == {"c0", "c1", "c2", "c3", "c4", "c6"}
    assert scores(clusters_of(found, frame.height), entity)[0] >= 0.98


# -- what is done about them

FEEDS = pl.DataFrame(
    {
        "id": ["k", "K", "k", "solo", "m", "m"],
        "feed": ["web", "crm", "web", "web", "crm", "crm"],
        "note": [None, None, "x", None, "1", "2"],
        "seen": [3, 1, 2, 1, 1, 9],
    }
)
SURVIVORS = [
    ({}, [2, 3]),
    ({"source": "feed", "priority": ["crm"]}, [1, 3]),
    ({"recency": "seen"}, [0, 3, 5]),
    ({"order": ["completeness", "recency"], "recency": "seen"}, [2, 3, 5]),
]


@pytest.mark.parametrize(("survivor", "kept"), SURVIVORS)
def test_delete_keeps_the_best_record(survivor, kept, tmp_path):
    options = spec(exact=[{"columns": ["id"]}], action="delete", survivor=survivor)
    found = find(FEEDS, options, tmp_path)
    left = act(FEEDS.lazy(), found, options).collect()
    assert left.height == FEEDS.height - found.observations["duplicates"] == 3
    rows = FEEDS.with_row_index().join(left, on=FEEDS.columns, how="semi", nulls_equal=True)["index"].to_list()
    assert set(kept) <= set(rows) and rows == sorted(rows)


def test_merge_and_mark_keeps_every_row_and_says_whose_duplicate_it_is(tmp_path):
    options = spec(exact=[{"columns": ["id"]}])
    marked = act(FEEDS.lazy(), find(FEEDS, options, tmp_path), options).collect()
    assert marked.select(FEEDS.columns).equals(FEEDS)
    assert marked["_dup_of"].to_list()[:4] == [2, 2, None, None]
    assert marked["_dup_probability"].to_list() == [1.0, 1.0, 1.0, None, 1.0, 1.0]
    assert marked["_dup_rule"].to_list() == ["exact_1"] * 3 + [None] + ["exact_1"] * 2
    clusters = marked["_dup_cluster"].to_list()
    assert clusters[0] == clusters[1] == clusters[2] != clusters[4] == clusters[5]
    assert clusters[3] is None


def test_keep_all_changes_nothing(tmp_path):
    options = spec(exact=[{"columns": ["id"]}], action="keep_all")
    assert act(FEEDS.lazy(), find(FEEDS, options, tmp_path), options).collect().equals(FEEDS)


def test_a_mark_does_not_overwrite_a_column(tmp_path):
    frame = FEEDS.rename({"note": "_dup_of"})
    options = spec(exact=[{"columns": ["id"]}])
    with pytest.raises(ConfigError, match="_dup_of") as caught:
        act(frame.lazy(), find(frame, options, tmp_path), options)
    assert caught.value.code == "reserved_column"


def test_splink_is_imported_only_when_used():
    code = "import sys, base_ops.worker.merge.duplicates; print('splink' in sys.modules, 'jellyfish' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]
