"""DB2's DEL files: its forms of numbers and times, read by the reader of delimited files."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from delimited_kit import source_of
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts_kit import read_as, refusal

from base_ops.worker.formats.db2 import FORMAT
from base_ops.worker.formats.delimited.sniff import likelihood
from base_ops.worker.formats.detect import detect

D = Decimal
DEL = b"""1,"Anna",+0000012.50,19991231,"2024-01-02-03.04.05.123456","03.04.05","007",+1.5E+002
2,"",-0000000.01,20000101,"2024-01-02-03.04.06.000000","23.59.59","008",-2.5E-001
3,,,,,,,
4,"a ""q"",
b",+9999999.99,20000229,"2024-01-02-03.04.06.000001","23.59.59","NULL",
"""
ROWS = [
    (1, "Anna", D("12.50"), date(1999, 12, 31), "05.123456", time(3, 4, 5), "007", 150.0),
    (2, "", D("-0.01"), date(2000, 1, 1), "06.000000", time(23, 59, 59), "008", -0.25),
    (3, None, None, None, None, None, None, None),
    (4, 'a "q",\nb', D("9999999.99"), date(2000, 2, 29), "06.000001", time(23, 59, 59), "NULL", None),
]


def stamp(text: str | None, form: str = "%Y-%m-%d %H:%M:%S.%f") -> datetime | None:
    return None if text is None else datetime.strptime(f"2024-01-02 03:04:{text}", form)  # noqa: DTZ007


def test_its_forms():
    outcome = read_as("db2", DEL)
    assert outcome.rows == [(*row[:4], stamp(row[4]), *row[5:]) for row in ROWS]  # type: ignore[arg-type]
    assert (outcome.lines, outcome.faults) == ([1, 2, 3, 4], [])
    assert list(outcome.schema.values()) == [
        pl.Int64(), pl.String(), pl.Decimal(38, 2), pl.Date(), pl.Datetime("us"), pl.Time(), pl.String(), pl.Float64()
    ]  # fmt: skip
    assert [f.data["column"] for f in outcome.findings if f.code == "assumed_date"] == ["column_4"]


CELLS: list[tuple[list[str], list[Any]]] = [
    (["20240131", "20240230"], [20240131, 20240230]),
    (["18991231"], [18991231]),
    (['"20240131"'], ["20240131"]),
    (["+00000001.", "-00000002."], [D("1"), D("-2")]),
    (["+.5", "12"], [D("0.5"), D("12")]),
    (["99999999999999999999"], [D("99999999999999999999")]),
    (['"2024-01-02 03:04:05.123456"'], [stamp("05.123456")]),
    (["2024-01-02-03.04.05.123456"], [stamp("05.123456")]),
    (['"1"', "2"], ["1", "2"]),
    (["NULL", "N/A"], ["NULL", "N/A"]),
    (["abc", "12"], ["abc", "12"]),
]


@pytest.mark.parametrize(("cells", "values"), CELLS)
def test_cells(cells, values):
    data = "".join(f"{number},{cell},x\n" for number, cell in enumerate(cells, 1)).encode()
    outcome = read_as("db2", data)
    assert ([row[1] for row in outcome.rows], outcome.faults) == (values, [])


def test_declared_columns():
    columns = [{"name": "d", "type": "date"}, {"name": "t", "type": "timestamp"}, {"name": "n", "type": "decimal(5,1)"}]
    data = b'20240131,"2024-01-02-03.04.05.123456",+001.5\n20240230,"2024-01-02-03.04.05.123456",+001.5\n'
    outcome = read_as("db2", data, columns=columns)
    assert outcome.rows == [(date(2024, 1, 31), stamp("05.123456"), D("1.5"))]
    assert [(r.line, r.rule, r.column) for r in outcome.rejected] == [(2, "type", "d")]
    assert read_as("db2", data, columns=columns[:2]).faults == [(1, "ragged_long"), (2, "ragged_long")]


def test_settings():
    data = b"d;n\n20240131;+1,5\n20240201;-2,5\n"
    outcome = read_as("db2", data, delimiter=";", decimal=",", header=True, columns=[{"name": "n", "type": "float64"}])
    assert outcome.rows == [(date(2024, 1, 31), 1.5), (date(2024, 2, 1), -2.5)]
    outcome = read_as("db2", b"1,-\n2,3\n", null_values=("-",))
    assert outcome.rows == [(1, None), (2, 3)]


@pytest.mark.parametrize("name", ["x.del", "object", "x.csv"])
def test_found_by_its_forms(name):
    assert detect(source_of(DEL, name)).format == "db2"


def test_other_delimited_files_are_not_taken():
    for data in (b"a,b\n1,2\n3,4\n", b"1,2024-01-02\n2,2024-01-03\n", b"name\nAnna\nBen\n"):
        assert detect(source_of(data, "object")).format == "csv"
    plain = b"1,a\n2,b\n"
    assert likelihood(plain, "x.del") < FORMAT.sniff(plain, "x.del") < 0.9
    assert FORMAT.sniff(plain, "object") < 0.15


def test_ixf():
    error = refusal("db2", b"000204HIXF0002" + bytes(100))
    assert error is not None and error.code == "ixf_not_supported"
    assert detect(source_of(b"000204HIXF0002" + bytes(100), "x.ixf")).format == "db2"


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(-(10**9), 10**9),
            st.none() | TEXTS,
            st.decimals(-(10**7), 10**7, places=2),
            st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001
        ),
        min_size=2,
        max_size=12,
    )
)
def test_what_is_exported_is_read(rows):
    lines = []
    for number, text, amount, moment in rows:
        quoted = "" if text is None else '"' + text.replace('"', '""') + '"'
        sign = "-" if amount < 0 else "+"
        clock = moment.strftime(f"{moment.year:04}-%m-%d-%H.%M.%S.%f")
        lines.append(f'{number},{quoted},{sign}{abs(amount):011.2f},"{clock}"\n')
    columns = [{"name": "n", "type": "int64"}, {"name": "t", "type": "string"}, {"name": "a"}, {"name": "m"}]
    outcome = read_as("db2", "".join(lines).encode(), encoding="utf-8", columns=columns)
    assert (outcome.rows, outcome.faults) == (rows, [])


@settings(max_examples=60)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(data, header):
    refusal("db2", data, header=header)
    refusal("db2", DEL[: len(data)] + data, header=header)
