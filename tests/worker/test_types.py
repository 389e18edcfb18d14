# ruff: noqa: DTZ001 (naive timestamps are among what is tested)
"""The type vocabulary: a text becomes exactly what it says, or null."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import ConfigError
from base_ops.worker.types import TYPE_NAMES, bad_cells, dtype_of, parse_expr, type_name, unit_of

NAMES = [name.replace("p,s", "18,4") for name in TYPE_NAMES]


def parse(texts: list[str | None], type: str, **options: Any) -> list[Any]:
    return pl.DataFrame({"c": texts}, schema={"c": pl.String}).select(parse_expr("c", type, **options))["c"].to_list()


@pytest.mark.parametrize("name", NAMES)
def test_names_and_types_are_one_to_one(name):
    assert type_name(dtype_of(name)) == name
    assert pl.DataFrame({"c": [None]}, schema={"c": pl.String}).select(parse_expr("c", name)).schema["c"] == dtype_of(
        name
    )


@pytest.mark.parametrize("name", ["integer", "decimal", "decimal(39,2)", "decimal(3,4)", "timestamp[us]", ""])
def test_unknown_names(name):
    with pytest.raises(ConfigError) as error:
        dtype_of(name)
    assert error.value.code == "unknown_type"


def test_the_nearest_name_is_offered():
    with pytest.raises(ConfigError, match="Did you mean 'int64'"):
        dtype_of("int46")


def test_types_outside_the_vocabulary_keep_their_name():
    assert type_name(pl.List(pl.Int8)) == "list(int8)"
    assert type_name(pl.UInt8()) == "uint8"


CASES: list[tuple[str, dict[str, Any], dict[str | None, Any]]] = [
    ("int64", {}, {"7": 7, "007": 7, "+5": 5, " 12 ": 12, "1_000": None, "0x10": None, "1e3": None, "1.0": None,
                   "9223372036854775807": 2**63 - 1, "9223372036854775808": None, "": None, "٣": None, None: None}),
    ("int32", {}, {"2147483647": 2147483647, "2147483648": None}),
    ("float64", {}, {"1.5": 1.5, "-.5": -0.5, "1e3": 1000.0, "1e999": None, "inf": float("inf"), "-Infinity": float("-inf"),
                     "1,5": None, "1_0.5": None, "1e400": None, "abc": None}),
    ("float64", {"decimal": ","}, {"1,5": 1.5, "1.234,5": None, "3": 3.0, "1.5": None}),
    ("decimal(10,2)", {}, {"1.50": Decimal("1.50"), "1.500": Decimal("1.50"), "1.555": None, "1e1": None, "123456789.00": None,
                           "-0.1": Decimal("-0.10"), ".5": Decimal("0.50"), ".": None}),
    ("decimal(10,0)", {}, {"15": Decimal(15), "15.0": Decimal(15), "15.5": None}),
    ("decimal(10,2)", {"decimal": ","}, {"1,5": Decimal("1.50"), "1.5": None}),
    ("string", {}, {" as it is ": " as it is ", "": "", None: None}),
    ("boolean", {}, {"true": True, "F": False, "Yes": True, "n": False, "1": True, "0": False, "2": None, "": None}),
    ("date", {}, {"2024-02-29": date(2024, 2, 29), "2023-02-29": None, "24-01-02": None, "0001-01-01": date(1, 1, 1),
                  "2024-01-02T00:00:00": None}),
    ("date", {"format": "%d/%m/%Y"}, {"02/03/2024": date(2024, 3, 2), "02/03/24": None}),
    ("date", {"format": "%d/%m/%y"}, {"02/03/24": date(2024, 3, 2)}),
    ("time", {}, {"12:30": time(12, 30), "12:30:01.5": time(12, 30, 1, 500000), "24:00": None, "12:30:60": None}),
    ("timestamp", {}, {
        "2024-01-02T03:04:05.05": datetime(2024, 1, 2, 3, 4, 5, 50000), "2024-01-02 03:04": datetime(2024, 1, 2, 3, 4),
        "2024-01-02": datetime(2024, 1, 2), "2024-01-02T03:04:05.123456789": None,
        "2024-01-02T03:04:05.1234560": datetime(2024, 1, 2, 3, 4, 5, 123456), "2024-01-02T03:04:05Z": None,
        "2024-01-02T03:04:05+02:00": None, "2024-01-02T24:00:00": None, "2024-01-02T03:04:60": None,
        "24-01-02T03:04:05.1234": None, "9999-12-31T23:59:59": datetime(9999, 12, 31, 23, 59, 59)}),
    ("timestamp", {"format": "%Y%m%d %H%M%S"}, {"20240102 030405": datetime(2024, 1, 2, 3, 4, 5), "20240102 030460": None,
                                               "20240102 036000": None, "20240102 036005": None,
                                               "20240160 030405": None}),
    ("timestamp", {"unit": "ns"}, {"9999-12-31T23:59:59": None, "0001-01-01T00:00:00": None,
                                   "2024-01-02T03:04:05": datetime(2024, 1, 2, 3, 4, 5)}),
    ("timestamp_utc", {}, {
        "2024-01-02T03:04:05Z": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "2024-01-02 05:04:05.5+02:00": datetime(2024, 1, 2, 3, 4, 5, 500000, tzinfo=UTC),
        "2024-01-02T05:04:05+0200": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "2024-01-02T05:04:05+02": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "2024-01-02T03:04:05": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)}),
    ("timestamp_utc", {"format": "%Y%m%d %H%M%z"}, {"20240102 0304+0100": datetime(2024, 1, 2, 2, 4, tzinfo=UTC)}),
    ("timestamp", {"format": "%Y%m%d %H%M%z"}, {"20240102 0304+0100": None}),
]  # fmt: skip


@pytest.mark.parametrize(("type", "options", "cells"), CASES, ids=[f"{c[0]} {c[1] or ''}" for c in CASES])
def test_texts_become_values_or_null(type, options, cells):
    assert dict(zip(cells, parse(list(cells), type, **options), strict=True)) == cells


def test_nanoseconds():
    frame = pl.DataFrame({"c": ["2024-01-02T03:04:05.123456789"]})
    assert frame.select(parse_expr("c", "timestamp", unit="ns").dt.nanosecond()).item() == 123456789
    assert unit_of(frame["c"]) == "ns"
    assert unit_of(pl.Series(["2024-01-02T03:04:05.123456", None])) == "us"


def test_bad_cells_are_texts_that_gave_no_value():
    text = pl.Series(["1", "x", None, "", "NULL", " "])
    value = pl.Series([1, None, None, None, None, None])
    assert bad_cells("c", text, value, ["NULL"]).to_list() == [False, True, False, False, False, False]


@given(st.lists(st.integers(-(2**70), 2**70)))
def test_integers_are_exact(numbers):
    wanted = [n if -(2**63) <= n < 2**63 else None for n in numbers]
    assert parse([str(n) for n in numbers], "int64") == wanted


@given(st.lists(st.floats(allow_nan=False)))
def test_floats_survive_their_shortest_text(numbers):
    assert parse([repr(n) for n in numbers], "float64") == numbers


@given(st.lists(st.decimals(-(10**20), 10**20, places=6, allow_nan=False)))
def test_decimals_are_exact(numbers):
    assert parse([f"{n:f}" for n in numbers], "decimal(38,6)") == numbers


@given(st.lists(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))))
def test_timestamps_are_exact(moments):
    assert parse([m.isoformat() for m in moments], "timestamp") == moments
    zoned = [m.replace(tzinfo=UTC) for m in moments]
    assert parse([m.isoformat() for m in zoned], "timestamp_utc") == zoned
