"""Great Expectations suites: translated right, and never left out in silence."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from base_ops.core.errors import ConfigError
from base_ops.data_quality.jobs import validator
from base_ops.data_quality.jobs.validator.unique import Offenders, find_duplicates, spill_keys, unique_check
from base_ops.data_quality.specs.validator import RangeRule, UniqueRule, ValidatorSpec
from base_ops.data_quality.suites import rules_of_suite
from base_ops.worker.engine.plan import POINTER, Batch

NAN = float("nan")


def expectation(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs}


def suite(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "s", "expectations": list(expectations), "meta": {"great_expectations_version": "1.24.1"}}


ROWS = {
    "n": [1, 5, 10, None, -3, 1],
    "m": [1, 4, None, None, 7, 1],
    "f": [0.5, 1.5, 2.5, None, -0.5, 1.0],
    "s": ["abc", "xabcx", "", None, "ABC", "ab"],
    "t": ["x", "y", "x", None, "zz", "y"],
    "d": ["2024-01-01", "2024-06-30", "2025-01-01", None, "2023-12-31", "2024-01-01"],
}
FRAME = pl.DataFrame(ROWS).with_columns(pl.col("d").str.to_date())

# expectation → rows (0-based) that break it
CASES: list[tuple[dict[str, Any], list[int]]] = [
    (expectation("expect_column_values_to_not_be_null", column="n"), [3]),
    (expectation("expect_column_values_to_not_be_null", column="s"), [3]),
    (expectation("expect_column_values_to_be_null", column="m"), [0, 1, 4, 5]),
    (expectation("expect_column_to_exist", column="n"), []),
    (expectation("expect_column_values_to_be_between", column="n", min_value=1, max_value=5), [2, 4]),
    (expectation("expect_column_values_to_be_between", column="n", min_value=1), [4]),
    (expectation("expect_column_values_to_be_between", column="n", max_value=5, strict_max=True), [1, 2]),
    (expectation("expect_column_values_to_be_between", column="f", min_value=0.5, max_value=2.5, strict_min=True), [0, 4]),
    (expectation("expect_column_values_to_be_between", column="f", min_value=0.5, max_value=2.5, strict_min=True, strict_max=True), [0, 2, 4]),
    (expectation("expect_column_values_to_be_in_set", column="t", value_set=["x", "y", None]), [4]),
    (expectation("expect_column_values_to_be_in_set", column="n", value_set=[1, 5]), [2, 4]),
    (expectation("expect_column_values_to_not_be_in_set", column="t", value_set=["x", "it's"]), [0, 2]),
    (expectation("expect_column_values_to_match_regex", column="s", regex="abc"), [2, 4, 5]),
    (expectation("expect_column_values_to_match_regex", column="s", regex="^abc$"), [1, 2, 4, 5]),
    (expectation("expect_column_values_to_match_regex", column="s", regex="b"), [2, 4]),
    (expectation("expect_column_values_to_not_match_regex", column="s", regex="^a"), [0, 5]),
    (expectation("expect_column_value_lengths_to_be_between", column="s", min_value=1, max_value=3), [1, 2]),
    (expectation("expect_column_value_lengths_to_be_between", column="s", min_value=2, strict_min=True), [2, 5]),
    (expectation("expect_column_value_lengths_to_equal", column="s", value=3), [1, 2, 5]),
    (expectation("expect_column_values_to_be_of_type", column="s", type_="str"), []),
    (expectation("expect_column_values_to_be_unique", column="n"), [0, 5]),
    (expectation("expect_column_values_to_be_unique", column="t"), [0, 1, 2, 5]),
    (expectation("expect_compound_columns_to_be_unique", column_list=["n", "m"]), [0, 5]),
    (expectation("expect_compound_columns_to_be_unique", column_list=["n", "t"]), []),
    (expectation("expect_select_column_values_to_be_unique_within_record", column_list=["n", "m"]), [0, 5]),
    (expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="n", column_B="m"), [0, 2, 4, 5]),
    (expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="n", column_B="m", or_equal=True), [2, 4]),
    (expectation("expect_column_pair_values_to_be_equal", column_A="n", column_B="m"), [1, 2, 4]),
    (expectation("expect_column_pair_values_to_be_equal", column_A="n", column_B="m", ignore_row_if="either_value_is_missing"), [1, 4]),
    (expectation("expect_column_pair_values_to_be_equal", column_A="n", column_B="m", ignore_row_if="neither"), [1, 2, 3, 4]),
]  # fmt: skip


class Rows:
    """A reader of one frame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.schema, self.findings = frame.schema, []
        self.frame = frame.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(POINTER))

    def batches(self):
        yield Batch(self.frame)


def broken_rows(content: dict[str, Any], tmp_path: Any) -> list[int]:
    """Indices of FRAME's rows that break some rule of a suite."""
    bound = validator.step(ValidatorSpec(suite=content), None)
    reader = Rows(FRAME)
    checks = []
    for rule in bound.rules:
        if isinstance(rule, UniqueRule):
            keys = tmp_path / "keys"
            keys.mkdir()
            spill_keys(reader, bound, [rule], 0, keys)
            find_duplicates(sorted(keys.iterdir()), rule.columns, rule.keep, tmp_path / "o.parquet", temp_dir=tmp_path)
            checks.append(unique_check(rule, Offenders(tmp_path / "o.parquet", ("frame",)), 0))
        else:
            checks += validator.Validator("x", (rule,), bound.moment).plan(reader.schema).checks
    flags = reader.frame.select(
        pl.lit(False), *(c.violated.fill_null(False).alias(f"r{i}") for i, c in enumerate(checks))
    )
    return [i for i, row in enumerate(flags.rows()) if any(row)]


@pytest.mark.parametrize(("one", "expected"), CASES, ids=[f"{e['type'][7:]}-{i}" for i, (e, _) in enumerate(CASES)])
def test_expectation(one: dict[str, Any], expected: list[int], tmp_path: Any) -> None:
    assert broken_rows(suite(one), tmp_path) == expected


def test_dates_and_legacy_keys(tmp_path: Any) -> None:
    legacy = {
        "expectation_suite_name": "s",
        "ge_cloud_id": None,
        "expectations": [
            {
                "expectation_type": "expect_column_values_to_be_between",
                "kwargs": {
                    "column": "d",
                    "min_value": "2024-01-01",
                    "max_value": "2024-12-31",
                    "result_format": "BASIC",
                },
                "meta": {"note": "x"},
            }
        ],
    }
    assert broken_rows(legacy, tmp_path) == [2, 4]


def test_mostly_flags_and_limits_the_share() -> None:
    rules, findings = rules_of_suite(
        suite(expectation("expect_column_values_to_be_between", column="n", min_value=0, mostly=0.9))
    )
    assert rules == (RangeRule(column="n", min=0, on_failure="flag", max_failure_share=0.1),)
    assert [(f.code, f.data["share"]) for f in findings] == [("tolerated_failures", "0.1")]
    rules, _ = rules_of_suite(
        suite(expectation("expect_column_values_to_be_between", column="n", min_value=0, mostly=0))
    )
    assert (rules[0].on_failure, rules[0].max_failure_share) == ("flag", None)


def test_severity() -> None:
    given = [
        {**expectation("expect_column_values_to_not_be_null", column="n"), "severity": s}
        for s in ("critical", "warning", "info")
    ]
    assert [r.severity for r in rules_of_suite(suite(*given))[0]] == ["critical", "medium", "low"]


def test_rules_of_a_suite_get_names_of_their_own(tmp_path: Any) -> None:
    low = expectation("expect_column_values_to_be_between", column="n", min_value=0)
    high = expectation("expect_column_values_to_be_between", column="n", max_value=9)
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(suite(low, high)))
    spec = ValidatorSpec(rules=[{"check": "range", "column": "n", "min": -9}], suite=str(path))
    bound = validator.step(spec, None)
    assert [r.id or "" for r in bound.rules] == ["", "range_n_2", "range_n_3"]
    assert len(bound.key_parts["rules"]) == 3  # the file's content is part of the commit key


@pytest.mark.parametrize(
    ("names", "type_"),
    [
        (["int64"], "int64"),
        (["INTEGER", "BIGINT", "int32"], "int64"),
        (["VARCHAR", "str"], "string"),
        (["datetime64[ns]"], "timestamp"),
    ],
)
def test_type_lists(names: list[str], type_: str) -> None:
    (rule,), _ = rules_of_suite(
        suite(expectation("expect_column_values_to_be_in_type_list", column="n", type_list=names))
    )
    assert rule.type == type_


REFUSED = [
    ({"name": "no list"}, "bad_suite"),
    (suite({"kwargs": {}}), "bad_suite"),
    (suite(expectation("expect_column_values_to_be_between", column="n")), "bad_suite"),
    (suite(expectation("expect_column_values_to_be_between", min_value=1)), "bad_suite"),
    (suite(expectation("expect_column_values_to_be_between", column="n", min_value=1, mostly=1.5)), "bad_suite"),
    (
        suite(expectation("expect_column_values_to_be_between", column="n", min_value={"$PARAMETER": "low"})),
        "unknown_argument",
    ),
    (
        suite(expectation("expect_column_values_to_be_between", column="n", min_value=1, row_condition="n > 1")),
        "unknown_argument",
    ),
    (suite(expectation("expect_column_to_exist", column="n", column_index=0)), "unknown_argument"),
    (suite(expectation("expect_column_values_to_be_in_set", column="n", value_set=[])), "bad_suite"),
    (suite(expectation("expect_column_values_to_be_in_type_list", column="n", type_list=["int", "str"])), "bad_suite"),
    (suite(expectation("expect_column_values_to_be_of_type", column="n", type_="geometry")), "bad_suite"),
    (suite(expectation("expect_column_value_lengths_to_equal", column="n", value=1.5)), "bad_suite"),
    (
        suite(expectation("expect_column_pair_values_to_be_equal", column_A="n", column_B="m", ignore_row_if="x")),
        "bad_suite",
    ),
    (suite({**expectation("expect_column_values_to_not_be_null", column="n"), "severity": "urgent"}), "bad_suite"),
]


@pytest.mark.parametrize(("content", "code"), REFUSED, ids=range(len(REFUSED)))
def test_refused(content: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rules_of_suite(content)
    assert caught.value.code == code


def test_all_uncovered_expectations_are_listed() -> None:
    with pytest.raises(
        ConfigError, match="expect_column_mean_to_be_between, expect_table_row_count_to_equal"
    ) as caught:
        rules_of_suite(
            suite(
                expectation("expect_table_row_count_to_equal", value=3),
                expectation("expect_column_values_to_not_be_null", column="n"),
                expectation("expect_column_mean_to_be_between", column="n", min_value=1),
            )
        )
    assert caught.value.code == "unknown_expectation"
    assert "expect_column_values_to_be_unique" in caught.value.expected


def test_unreadable_file(tmp_path: Any) -> None:
    for path, content in ((tmp_path / "none.json", None), (tmp_path / "bad.json", "{"), (tmp_path / "list.json", "[]")):
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigError) as caught:
            validator.step(ValidatorSpec(suite=str(path)), None)
        assert caught.value.code == "bad_suite"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_verdicts_equal_great_expectations(tmp_path: Any) -> None:
    """The library itself, on a pandas frame of the same rows."""
    import great_expectations as gx
    import pandas as pd
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    frame = pd.DataFrame({c: pd.Series(v, dtype="str" if c in "std" else "float64") for c, v in ROWS.items()})
    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    batch = batch.get_batch({"dataframe": frame})
    compared = 0
    for one, expected in CASES:
        if one["type"] in ("expect_column_to_exist", "expect_column_values_to_be_of_type"):
            continue
        config = ExpectationConfiguration(type=one["type"], kwargs=one["kwargs"]).to_domain_obj()
        found = batch.validate(config, result_format={"result_format": "COMPLETE"})
        assert not found.exception_info.get("raised_exception", False), (one, found.exception_info)
        assert sorted(found.result["unexpected_index_list"]) == expected, one
        compared += 1
    assert compared == len(CASES) - 2
