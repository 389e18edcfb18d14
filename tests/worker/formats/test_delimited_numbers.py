"""Numbers as people write them: exact where beyond doubt, text with a finding where not, as declared where declared."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from delimited_kit import Outcome, read
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import ConfigError
from base_ops.worker.formats.delimited.numbers import NumberForm, declared_form
from base_ops.worker.types import type_name


def column(cells: list[str], name: str = "v", **spec: Any) -> Outcome:
    lines = [f"{name};k", *(f"{cell};x" for cell in cells)]
    return read("\n".join(lines).encode() + b"\n", delimiter=";", header=True, **spec)


def declared(type: str, format: str) -> dict[str, Any]:
    return {"columns": [{"name": "v", "type": type, "format": format}, {"name": "k"}]}


INFERRED: list[tuple[list[str], str, list[Any], str]] = [
    (["1,234.56", "2,345,678.9", "12", "-1,000"], "float64", [1234.56, 2345678.9, 12.0, -1000.0], "thousands"),
    (["1.234,56", "2.345.678,9", "12"], "float64", [1234.56, 2345678.9, 12.0], "thousands"),
    (["1'234.56", "5.10"], "float64", [1234.56, 5.1], "thousands"),
    (["1 234,56", "5,10"], "float64", [1234.56, 5.1], "thousands"),
    (["1\u00a0234,56", "5,10"], "float64", [1234.56, 5.1], "thousands"),
    (["1,234", "5,678,901", "5"], "int64", [1234, 5678901, 5], "thousands"),
    (["1,234,567,890,123,456,789,012.5", "1.0"], "decimal(38,1)",
     [Decimal("1234567890123456789012.5"), Decimal("1.0")], "thousands"),
    (["1,234", "5,678"], "string", ["1,234", "5,678"], "ambiguous_number"),
    (["1,234.56", "1.234,56"], "string", ["1,234.56", "1.234,56"], "ambiguous_number"),
    (["(1,234.56)", "5.10"], "string", ["(1,234.56)", "5.10"], "ambiguous_number"),
    (["$1,234.56", "$5"], "string", ["$1,234.56", "$5"], "currency"),
    (["1,00 €", "5 €"], "string", ["1,00 €", "5 €"], "currency"),
    (["USD 12.50", "EUR 3.10"], "string", ["USD 12.50", "EUR 3.10"], "currency"),
    (["12.5%", "-3 %"], "string", ["12.5%", "-3 %"], "percentage"),
    (["192.168.1.1", "192.168.100.100"], "string", ["192.168.1.1", "192.168.100.100"], ""),
    (["100.200.300", "100.200.301"], "string", ["100.200.300", "100.200.301"], "ambiguous_number"),
    (["0,123.5", "1,000.5"], "string", ["0,123.5", "1,000.5"], "ambiguous_number"),
    (["555 123 456", "555 987 654"], "string", ["555 123 456", "555 987 654"], "ambiguous_number"),
    (["1700000000000", "1700000000001"], "int64", [1700000000000, 1700000000001], "epoch"),
    (["1700000000000000", "1700000000000001"], "int64", [1700000000000000, 1700000000000001], "epoch"),
    (["1700000000", "1700000001"], "int64", [1700000000, 1700000001], ""),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "kind", "values", "code"), INFERRED, ids=[c[0][0] for c in INFERRED])
def test_inferred(cells, kind, values, code):
    found = column(cells)
    assert (type_name(found.schema["v"]), found.frame["v"].to_list(), found.faults) == (kind, values, [])
    assert found.codes - {"dialect"} == ({code} if code else set())


def test_names_of_time_tell_epochs_and_compact_dates():
    assert "epoch" in column(["1700000000", "1700000001"], name="created_at").codes
    found = column(["20240131", "20240201"], name="trade_date")
    assert (found.schema["trade_date"], "compact_date" in found.codes) == (pl.Int64, True)


def test_what_comes_after_the_sample_is_of_the_form_or_refused():
    cells = [*["1,234.50", "12.25"] * 10, "1,23", "1.234,50", "$5", "12345.5", "", "NULL"]
    found = column(cells, sample_rows=20)
    assert found.faults == [(22, "type"), (23, "type"), (24, "type")]
    assert found.frame["v"].to_list()[-3:] == [12345.5, None, None]
    assert "written like 1,234.5" in found.rejected[0].reason


DECLARED: list[tuple[str, str, dict[str, Any]]] = [
    ("decimal(18,2)", "$1,234.56", {
        "$1,234.56": Decimal("1234.56"), "$5": Decimal("5.00"), "$ 7.1": Decimal("7.10"), "-$4": Decimal("-4.00"),
        "$-4": Decimal("-4.00"), "($1,234.50)": Decimal("-1234.50"), "$3-": Decimal("-3.00"),
        "€7": None, "5": None, "-$-4": None, "(-$4)": None, "($4": None, "$1,23": None, "$1.555": None,
    }),
    ("float64", "12.5%", {"12.5%": 12.5, "-3 %": -3.0, "4": None, "1,5%": None}),
    ("float64", "1.234,56 €", {"1.234,5 €": 1234.5, "3€": 3.0, "1,234.5 €": None}),
    ("int64", "1,234", {"1,234": 1234, "12": 12, "1,234.5": None, "12,34": None, "9,223,372,036,854,775,808": None}),
    ("float64", "1234,56", {"1234,5": 1234.5, "1.234,5": None}),
    ("int32", "USD 1 234", {"USD 1 234": 1234, "USD 2": 2, "EUR 2": None}),
]  # fmt: skip


@pytest.mark.parametrize(("type", "format", "cells"), DECLARED, ids=[c[1] for c in DECLARED])
def test_declared(type, format, cells):
    found = column(list(cells), **declared(type, format))
    assert found.frame["v"].to_list() == [value for value in cells.values() if value is not None]
    assert found.faults == [(line, "type") for line, value in enumerate(cells.values(), 2) if value is None]


@pytest.mark.parametrize("example", ["", "price", "%Y", "1,234,56", "1.2.3"])
def test_a_format_that_is_no_number(example):
    with pytest.raises(ConfigError) as error:
        declared_form("v", example)
    assert error.value.code == "bad_number_format"


@given(st.integers(-(10**15), 10**15), st.integers(0, 99), st.sampled_from([",.", ".,", "'.", " ,"]))
def test_written_numbers_are_kept_exactly(whole, cents, marks):
    form = NumberForm(marks[0], marks[1])
    text = f"{whole:,}.{cents:02}".translate(str.maketrans(",.", marks))
    assert form.plain(pl.Series([text])).to_list() == [f"{whole}.{cents:02}"]


def test_a_decimal_comma_that_was_found_is_reported():
    assert "decimal_comma" in column(["1,5", "2,25"]).codes
    assert "decimal_comma" not in column(["1,5", "2,25"], decimal=",").codes


@pytest.mark.parametrize("cells", ["١٢٣ ٤٥٦", "१२,५ १३,५", "１９７０-01-01 １９７０-01-02", "१२:३० १२:३१"])
def test_digits_of_other_scripts_stay_text(cells):
    """They match the \\d of polars and of re, and are then no number: the whole file would be refused."""
    first, second = cells.split()
    found = read(f"id;v\n1;{first}\n2;{second}\n".encode())
    assert (found.frame["v"].to_list(), found.faults) == ([first, second], [])
