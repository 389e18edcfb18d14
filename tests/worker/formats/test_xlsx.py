"""XLSX: every stored value as it is, or its row refused; what is hostile is named before it does harm."""

from __future__ import annotations

import io
import math
import os
import re
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
import xlsxwriter
from fakes.office import encrypted_package
from hypothesis import given, settings
from hypothesis import strategies as st
from office_kit import codes, mutated, mutated_parts, open_bytes, refusal, repacked, rows_of, survives
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import Reader, Rejected
from base_ops.worker.formats.detect import choose_format
from base_ops.worker.formats.office.cells import Kind
from base_ops.worker.formats.wrappers import open_object
from base_ops.worker.formats.xlsx import FORMAT, rows, scan, stream
from base_ops.worker.formats.xlsx.styles import kind_of_code, kind_of_format

SHEET = "xl/worksheets/sheet1.xml"


def book(*rows: list[Any], change: Callable[[openpyxl.Workbook], None] | None = None) -> bytes:
    workbook = openpyxl.Workbook()
    sheet = workbook.worksheets[0]
    sheet.title = "Data"
    for row in rows:
        sheet.append(row)
    if change is not None:
        change(workbook)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def sheet_of(rows: str, *, strings: list[str] | None = None, head: str = "", tail: str = "") -> bytes:
    """A workbook whose only sheet has these rows, as XML."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as workbook:
        workbook.add_worksheet().write(0, 0, "x")

    def change(name: str, content: bytes) -> bytes | None:
        if name == "xl/sharedStrings.xml":
            items = "".join(f"<si>{text}</si>" for text in strings or [])
            return f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{items}</sst>'.encode()
        if name != SHEET:
            return content
        body = f"{head}<sheetData>{rows}</sheetData>{tail}"
        return (
            f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">{body}</worksheet>'.encode()
        )

    return repacked(file.getvalue(), change)


def column(*cells: str, **options: Any) -> tuple[pl.Series, list[Rejected]]:
    """A column `v` of cells as XML, e.g. `<c r="A2"><v>1</v></c>` with `@` for the reference; below it ten more."""
    rows = '<row r="1"><c r="A1" t="inlineStr"><is><t>v</t></is></c></row>'
    for number, cell in enumerate(cells, start=2):
        rows += f'<row r="{number}">{cell.replace("@", f"A{number}")}</row>'
    frame, rejected = read(sheet_of(rows, strings=options.pop("strings", None)), header=True, **options)
    return frame["v"], rejected


def opened(data: bytes, **spec: Any) -> Reader:
    return open_bytes(FORMAT, data, "book.xlsx", **spec)


def read(data: bytes, **spec: Any) -> tuple[pl.DataFrame, list[Rejected]]:
    return rows_of(opened(data, **spec))


# -- values


VALUES: list[tuple[list[Any], Any]] = [
    ([1, 2, -3], pl.Int64),
    ([0.1, 1e300, 5e-324, -0.5], pl.Float64),
    ([1, 2.5], pl.Float64),
    ([True, False, None], pl.Boolean),
    (["a", "007", "é😀\n<&>", " b "], pl.String),
    ([date(2024, 2, 29), date(1900, 1, 1), date(1900, 2, 28), date(1900, 3, 1), date(9999, 12, 31)], pl.Date),
    ([datetime(2024, 1, 2, 3, 4, 5, 678000), datetime(1999, 12, 31, 23, 59, 59)], pl.Datetime("us")),  # noqa: DTZ001
    ([time(0, 0), time(23, 59, 59, 999000), time(12, 30)], pl.Time),
    ([timedelta(hours=30, minutes=1), timedelta(seconds=1.5)], pl.Duration("us")),
    ([None, None], pl.String),
]


@pytest.mark.parametrize(("values", "dtype"), VALUES)
def test_values_are_kept_with_their_types(values: list[Any], dtype: Any) -> None:
    frame, rejected = read(book(["v", "w"], *([value, 1] for value in values)))
    assert rejected == []
    assert frame["v"].dtype == dtype
    assert frame["v"].to_list() == values
    assert frame["_line"].to_list() == list(range(2, len(values) + 2))


@pytest.mark.parametrize(
    ("cell", "dtype", "expected"),
    [
        ('<c r="@"><v>9007199254740993</v></c>', pl.Int64, 9007199254740993),
        ('<c r="@"><v>-9223372036854775808</v></c>', pl.Int64, -(2**63)),
        ('<c r="@"><v>18446744073709551615</v></c>', pl.Decimal(38, 0), Decimal(2**64 - 1)),
        ('<c r="@"><v>5.0</v></c>', pl.Int64, 5),
        ('<c r="@"><v>1E3</v></c>', pl.Int64, 1000),
        ('<c r="@"><v>0.10000000000000001</v></c>', pl.Float64, 0.1),
        ('<c r="@" t="n"><f>1+1</f><v>2</v></c>', pl.Int64, 2),
        ('<c r="@" t="str"><f>"a"&amp;"b"</f><v>ab</v></c>', pl.String, "ab"),
        ('<c r="@" t="str"><f t="shared" si="0"/><v>x &lt; &#233;&#x41;</v></c>', pl.String, "x < éA"),
        ('<c r="@" t="b"><v>1</v></c>', pl.Boolean, True),
        ('<c r="@" t="s"><v>0</v></c>', pl.String, "shared & plain"),
        ('<c r="@" t="s"><v>1</v></c>', pl.String, "rich text"),
        ('<c r="@" t="s"><v>2</v></c>', pl.String, "a\rb _x0041_"),
        ('<c r="@" t="inlineStr"><is><t xml:space="preserve"> in </t></is></c>', pl.String, " in "),
        ('<c r="@" t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r></is></c>', pl.String, "ab"),
        ('<c r="@" t="d"><v>2024-05-06</v></c>', pl.Date, date(2024, 5, 6)),
        ('<c r="@" t="d"><v>2024-05-06T07:08:09.5</v></c>', pl.Datetime("us"), datetime(2024, 5, 6, 7, 8, 9, 500000)),  # noqa: DTZ001
        ('<c r="@" t="e"><v>#N/A</v></c>', pl.String, None),
        ('<c r="@" t="s" cm="1"><v>0</v></c>', pl.String, "shared & plain"),
        ('<c t="s"><v>0</v></c>', pl.String, "shared & plain"),
        ('<c r="@" t="str"><v><![CDATA[a<b]]></v></c>', pl.String, "a<b"),
        ("<c r='@' t='str'><v>single</v></c>", pl.String, "single"),
        ('<c r="@" t="str"><v>a>b</v></c>', pl.String, "a>b"),
        ('<c r="@" t="inlineStr"><is><t>Null</t></is></c>', pl.String, "Null"),
        ('<c r="@" t="inlineStr"><is><t>N/A</t></is></c>', pl.String, None),
    ],
)
def test_cells_as_writers_write_them(cell: str, dtype: Any, expected: Any) -> None:
    strings = ["<t>shared &amp; plain</t>", "<r><t>rich</t></r><r><rPr><b/></rPr><t> text</t></r><rPh><t>x</t></rPh>"]
    strings.append("<t>a_x000D_b _x005F_x0041_</t>")
    values, rejected = column(cell, *['<c r="@"/>'] * 3, strings=strings)
    assert rejected == []
    assert values.dtype == dtype
    assert values.to_list() == ([expected] if expected is not None else values.to_list())
    assert expected is not None or values.null_count() == len(values)


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ('<c r="@" t="e"><v>#DIV/0!</v></c>', "error_value"),
        ('<c r="@"><f>1+1</f></c>', "not_calculated"),
        ('<c r="@"><f>1+1</f><v></v></c>', "not_calculated"),
        ('<c r="@"><f>1+1</f><v/></c>', "not_calculated"),
        ('<c r="@" t="str"><v>abc</v></c>', "type"),
        ('<c r="@" t="b"><v>1</v></c>', "type"),
        ('<c r="@"><v>1.5</v></c>', "type"),
        ('<c r="@"><v>9223372036854775808</v></c>', "type"),
        ('<c r="@"><v>1x</v></c>', "type"),
        ('<c r="@" t="s"><v>99</v></c>', "type"),
        ('<c r="@" t="strange"><v>1</v></c>', "type"),
    ],
)
def test_a_bad_cell_refuses_its_row_and_no_other(cell: str, rule: str) -> None:
    good = [f'<c r="@"><v>{n}</v></c>' for n in range(40)]
    values, rejected = column(*good[:20], cell, *good[20:], sample_rows=20)
    assert values.to_list() == list(range(40))
    assert [(r.line, r.rule, r.column) for r in rejected] == [(22, rule, "v")]
    assert "A22" in rejected[0].reason
    assert rejected[0].raw.startswith(b"[")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('<c r="@" t="b"><v>1</v></c>', ['<c r="@" t="b"><v>TRUE</v></c>', '<c r="@" t="b"><v>2</v></c>']),
        (
            '<c r="@"><v>1.5</v></c>',
            ['<c r="@"><v>NaN</v></c>', '<c r="@"><v>INF</v></c>', '<c r="@"><v>1E999</v></c>'],
        ),
    ],
)
def test_what_is_no_value_of_its_kind_is_refused_and_not_taken_for_another(good: str, bad: list[str]) -> None:
    values, rejected = column(*[good] * 20, *bad)
    assert values.to_list() == [values[0]] * 20
    assert [(r.line, r.rule) for r in rejected] == [(22 + n, "type") for n in range(len(bad))]


def test_an_integer_a_float_cannot_keep_is_refused() -> None:
    good = [f'<c r="@"><v>{n}.5</v></c>' for n in range(40)]
    values, rejected = column(*good, '<c r="@"><v>9007199254740993</v></c>', '<c r="@"><v>9007199254740992</v></c>')
    assert values[-1] == 2.0**53
    assert [r.line for r in rejected] == [42]


def test_the_day_that_never_was_is_refused() -> None:
    def change(workbook: openpyxl.Workbook) -> None:
        for row in workbook["Data"].iter_rows(min_row=2, max_col=1):
            row[0].number_format = "yyyy-mm-dd"

    frame, rejected = read(book(["v"], *([n] for n in range(50, 90)), change=change))
    assert frame["v"][9] == date(1900, 2, 28)
    assert frame["v"][10] == date(1900, 3, 1)
    assert [(r.line, r.rule) for r in rejected] == [(12, "type")]


@pytest.mark.parametrize("serial", [-1, 2958466, 1e300])
def test_what_is_no_day_is_refused(serial: float) -> None:
    def change(workbook: openpyxl.Workbook) -> None:
        for row in workbook["Data"].iter_rows(min_row=2, max_col=1):
            row[0].number_format = "yyyy-mm-dd hh:mm"

    frame, rejected = read(book(["v"], *([45000.25 + n] for n in range(30)), [serial], change=change))
    assert frame.height == 30
    assert [(r.line, r.rule) for r in rejected] == [(32, "type")]


def test_the_1904_system() -> None:
    stamps = [datetime(1904, 1, 1), datetime(2024, 2, 29, 12, 30, 1, 5000)]  # noqa: DTZ001
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"date_1904": True}) as workbook:
        sheet = workbook.add_worksheet()
        sheet.write_row(0, 0, ["v", "n"])
        for row, value in enumerate(stamps, start=1):
            sheet.write_datetime(row, 0, value, workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"}))
            sheet.write_number(row, 1, row)
    frame, rejected = read(file.getvalue())
    assert (frame["v"].to_list(), rejected) == (stamps, [])


def test_text_among_numbers_is_refused_where_it_is_rare_and_kept_where_it_is_not() -> None:
    numbers = [[n] for n in range(100)]
    frame, rejected = read(book(["v"], *numbers, ["abc"]))
    assert (frame.height, [r.line for r in rejected]) == (100, [102])
    reader = opened(book(["v"], *numbers, *[["abc"]] * 20, [1.5], [True], [date(2024, 1, 2)]))
    assert codes(reader) >= {"mixed_columns"}
    frame, rejected = rows_of(reader)
    assert rejected == []
    assert frame["v"].to_list() == [*map(str, range(100)), *["abc"] * 20, "1.5", "true", "2024-01-02"]


@pytest.mark.parametrize(("result", "is_told"), [(0, True), (7, False)])
def test_results_that_may_be_none_are_told(result: int, is_told: bool) -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as workbook:  # which calculates nothing, and asks whoever opens it to do so
        sheet = workbook.add_worksheet()
        sheet.write_column(0, 0, ["v", 1, 2])
        sheet.write_formula(3, 0, "=A2+A3", None, result)
    reader = opened(file.getvalue())
    assert rows_of(reader)[0]["v"].to_list() == [1, 2, result]
    assert ("not_calculated" in codes(reader)) == is_told


@pytest.mark.parametrize(("style", "is_told"), [("", False), (' s="0"', False), (' s="99"', True)])
def test_numbers_whose_style_is_not_there_are_told(style: str, is_told: bool) -> None:
    data = sheet_of(f'<row r="1"><c r="A1"{style}><v>45000</v></c></row>')
    for packed in (data, repacked(data, lambda name, content: None if name == "xl/styles.xml" else content)):
        reader = opened(packed)
        assert rows_of(reader)[0].rows() == [(45000, 1)]
        assert ("unknown_styles" in codes(reader)) == is_told


def test_rich_text_and_texts_that_look_like_numbers() -> None:
    rich = CellRichText(["plain ", TextBlock(InlineFont(b=True), "bold")])
    frame, _ = read(book(["a", "b"], [rich, "00123"], ["x", "2024-01-02"]))
    assert frame.rows() == [("plain bold", "00123", 2), ("x", "2024-01-02", 3)]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", Kind.NUMBER),
        ("0", Kind.NUMBER),
        ("#,##0", Kind.NUMBER),
        ("@", Kind.NUMBER),
        ("0.00", Kind.FRACTION),
        ("0%", Kind.FRACTION),
        ("0.00E+00", Kind.FRACTION),
        ("# ?/?", Kind.FRACTION),
        ('0.00" days"', Kind.FRACTION),
        ("[Red]0.0;[Blue]0", Kind.FRACTION),
        ("yyyy-mm-dd", Kind.DATE),
        ("mmm yy", Kind.DATE),
        ("mmmm", Kind.DATE),
        ("[$-409]d\\-mmm;@", Kind.DATE),
        ("dd/mm/yyyy hh:mm:ss.000", Kind.STAMP),
        ("m/d/yy h:mm AM/PM", Kind.STAMP),
        ("h:mm AM/PM", Kind.TIME),
        ("mm:ss.0", Kind.TIME),
        ("[h]:mm:ss", Kind.SPAN),
        ("[mm]:ss", Kind.SPAN),
        ("[$€-407]#,##0", Kind.NUMBER),
        ('"Day "0', Kind.NUMBER),
        ('[=0]"";dd/mm/yyyy', Kind.DATE),
        ("dd/mm/yyyy;;", Kind.DATE),
        (";;;", Kind.NUMBER),
        ("[$-804]aaaa;@", Kind.DATE),
        ("", Kind.NUMBER),
    ],
)
def test_what_a_number_format_means(code: str, kind: Kind) -> None:
    assert kind_of_code(code) == kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (0, Kind.NUMBER), (2, Kind.FRACTION), (14, Kind.DATE), (22, Kind.STAMP), (45, Kind.TIME), (46, Kind.SPAN),
        (59, Kind.NUMBER), (62, Kind.FRACTION), (71, Kind.DATE), (76, Kind.TIME), (77, Kind.STAMP), (79, Kind.SPAN),
    ],
)  # fmt: skip
def test_what_the_number_of_a_format_means(number: int, kind: Kind) -> None:
    assert kind_of_format(number, None) == kind


# -- the table


def test_title_rows_header_and_units() -> None:
    data = book(
        ["Monthly report"], [], ["created", "2024-01-01"], ["id", "price", "size"], [None, "USD", "kg"],
        *([n, n + 0.5, n] for n in range(10)),
    )  # fmt: skip
    reader = opened(data)
    frame, rejected = rows_of(reader)
    assert frame.columns == ["id", "price", "size", "_line"]
    assert (frame.height, frame["_line"][0], rejected) == (10, 6, [])
    assert codes(reader) >= {"header", "preamble", "units"}
    units = next(f for f in reader.findings if f.code == "units")
    assert units.data["units"] == {"price": "USD", "size": "kg"}


HEADERS: list[tuple[list[list[Any]], list[str], int]] = [
    ([["a", "b"], [1, 2], [3, 4]], ["a", "b"], 2),
    ([[1, 2], [3, 4]], ["column_1", "column_2"], 2),
    ([["a", "b"]], ["a", "b"], 0),
    ([["x", "y"], ["p", "q"], ["r", "s"]], ["x", "y"], 2),
    ([["USD", "x"], ["USD", "y"], ["USD", "x"], ["USD", "x"]], ["column_1", "column_2"], 4),
    ([["a", "a", None, "b"], [1, 2, 3, 4]], ["a", "a_2", "column_3", "b"], 1),
    ([["a", None, "b"], [1, None, 4]], ["a", "b"], 1),
    ([["country", 2019, 2020], ["FR", 1, 2], ["DE", 3, 4]], ["country", "2019", "2020"], 2),
    ([[2019, 2020], [1, 2]], ["column_1", "column_2"], 2),
    ([["only"], ["x"], ["y"]], ["only"], 2),
]


@pytest.mark.parametrize(("rows", "names", "height"), HEADERS)
def test_header_detection(rows: list[list[Any]], names: list[str], height: int) -> None:
    frame, rejected = read(book(*rows))
    assert (frame.columns[:-1], frame.height, rejected) == (names, height, [])


def test_header_and_range_by_option() -> None:
    data = book(["t"], ["a", "b", "c"], [1, 2, 3], [4, 5, 6], ["x", "y", "z"])
    assert read(data, header=False)[0].height == 5
    assert read(data, workbook={"header_row": 3})[0].columns == ["1", "2", "3", "_line"]
    frame, _ = read(data, workbook={"range": "B2:C4"})
    assert frame.rows() == [(2, 3, 3), (5, 6, 4)]
    assert read(data, skip_lines=2, header=False, workbook={"range": "$A$1:$B$4"})[0].rows() == [(1, 2, 3), (4, 5, 4)]
    with pytest.raises(ConfigError, match="B3:F100"):
        opened(data, workbook={"range": "all of it"})


def test_empty_rows_and_columns_are_no_records() -> None:
    data = book([], ["a", None, "b"], [], [1, None, 2], ["", None, "  "], [None], [3, None, 4])
    frame, rejected = read(data)
    assert (frame.rows(), rejected) == ([(1, 2, 4), (3, 4, 7)], [])
    frame, rejected = read(book(["a", "b"], ["x", "y"], [" ", None], ["\n", "\u00a0"], ["z", " "]))
    assert (frame.rows(), rejected) == ([("x", "y", 2), ("z", " ", 5)], [])


def test_a_cell_beyond_the_columns_of_the_sample_refuses_its_row() -> None:
    data = book(["a"], *([n] for n in range(20)), [20, "stray"], [21])
    frame, rejected = read(data, sample_rows=5)
    assert frame["a"].to_list() == [*range(20), 21]
    assert [(r.line, r.rule) for r in rejected] == [(22, "unexpected_cell")]
    assert read(data, sample_rows=5, columns=[ColumnSpec(name="a")])[1] == []


def test_declared_columns() -> None:
    def change(workbook: openpyxl.Workbook) -> None:
        workbook["Data"]["C2"].number_format = "yyyy-mm-dd"

    data = book(["id", "when", "day", "amount"], ["007", 45000.5, 45000, 0.1], ["x", "soon", "2023-03-16", "1.5"],
                ["8", None, 20230317, 2], change=change)  # fmt: skip
    columns = [
        ColumnSpec(name="number", source_name="id", type="int64"),
        ColumnSpec(name="when", type="timestamp_utc"),
        ColumnSpec(name="amount", type="decimal(10,4)"),
    ]
    reader = opened(data, columns=columns)
    frame, rejected = rows_of(reader)
    assert frame.columns == ["number", "when", "amount", "_line"]
    assert frame["amount"].to_list() == [Decimal("0.1000"), Decimal("2.0000")]
    assert str(frame["when"][0]) == "2023-03-15 12:00:00+00:00"
    assert [(r.line, r.column) for r in rejected] == [(3, "number")]
    assert "undeclared_fields" in codes(reader)
    frame, rejected = read(data, columns=[ColumnSpec(name="day", type="date")])
    assert frame["day"].to_list() == [date(2023, 3, 15), date(2023, 3, 16)]
    assert [r.line for r in rejected] == [4]
    assert read(data, columns=[ColumnSpec(name="amount", type="string")])[0]["amount"].to_list() == ["0.1", "1.5", "2"]
    frame, rejected = read(data, columns=[ColumnSpec(name="when", required=True)])
    assert [(r.line, r.rule) for r in rejected] == [(4, "required")]
    assert refusal(FORMAT, data, columns=[ColumnSpec(name="nope")]) == "missing_column"


# -- sheets


def several(workbook: openpyxl.Workbook, *, same: bool) -> None:
    workbook.create_sheet("Empty")
    more = workbook.create_sheet("More")
    more.append(["b", "a"] if same else ["other"])
    more.append([20, 10] if same else [1])
    hidden = workbook.create_sheet("Hidden")
    hidden.append(["secret"])
    hidden.append([1])
    hidden.sheet_state = "veryHidden"


def test_sheets_with_the_same_columns_are_one() -> None:
    reader = opened(book(["a", "b"], [1, 2], change=lambda w: several(w, same=True)))
    frame, rejected = rows_of(reader)
    assert frame.rows() == [(1, 2, "Data", 2), (10, 20, "More", 2)]
    assert frame.columns == ["a", "b", "_sheet", "_line"]
    assert rejected == []
    assert "hidden_sheets" in codes(reader)


def test_sheets_with_different_columns_need_a_choice() -> None:
    data = book(["a", "b"], [1, 2], change=lambda w: several(w, same=False))
    with pytest.raises(BadInput, match=r"'Data' \(a, b\); 'More' \(other\)") as error:
        opened(data)
    assert error.value.code == "several_sheets"
    assert read(data, workbook={"sheet": "More"})[0].rows() == [(1, 2)]
    assert read(data, workbook={"sheet": "Hidden"})[0].rows() == [(1, 2)]
    assert refusal(FORMAT, data, workbook={"sheet": "Nope"}) == "missing_sheet"
    assert refusal(FORMAT, data, workbook={"sheet": "Empty"}) == "empty_object"


def test_merged_and_hidden_cells_are_findings() -> None:
    def change(workbook: openpyxl.Workbook) -> None:
        sheet = workbook["Data"]
        sheet.merge_cells("A2:B2")
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["B"].hidden = True

    reader = opened(book(["a", "b"], [1, None], [2, 3], change=change))
    assert rows_of(reader)[0].rows() == [(1, None, 2), (2, 3, 3)]
    assert codes(reader) >= {"merged_cells", "hidden_rows", "hidden_columns"}
    assert next(f for f in reader.findings if f.code == "merged_cells").data["cells"] == ["A2:B2"]


def test_limits_of_the_format() -> None:
    many = book(["a"], change=lambda w: [w.create_sheet(f"S{n}") for n in range(50)] and None)  # type: ignore[func-returns-value]
    assert refusal(FORMAT, many) == "too_many_sheets"
    assert refusal(FORMAT, book(["a"], [1]), workbook={"max_bytes": 100}) == "too_large"
    assert refusal(FORMAT, sheet_of('<row r="1048577"><c r="A1048577"><v>1</v></c></row>')) == "damaged"
    assert refusal(FORMAT, sheet_of('<row r="1"><c r="XFE1"><v>1</v></c></row>')) == "damaged"
    corner = sheet_of('<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>')
    assert read(corner)[0].rows() == [(1, None, 1), (None, 2, 1048576)]


# -- XML


def test_prefixes_other_encodings_and_white_space() -> None:
    data = book(["a", "b"], [1, "x"], [2, "y"])
    expected = read(data)[0].rows()

    def prefixed(name: str, content: bytes) -> bytes:
        if not name.startswith("xl/") or "rels" in name or "theme" in name:
            return content
        text = re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", content)
        return text.replace(b'xmlns="http://schemas.openxmlformats.org/spreadsheetml', b'xmlns:x="http://schemas.openxmlformats.org/spreadsheetml')  # fmt: skip

    def utf16(name: str, content: bytes) -> bytes:
        if name not in (SHEET, "xl/sharedStrings.xml"):
            return content
        text = re.sub(r"<\?xml.*?\?>", "", content.decode())
        return ('<?xml version="1.0" encoding="UTF-16"?>' + text).encode("utf-16")

    def pretty(name: str, content: bytes) -> bytes:
        return re.sub(rb">\s*<(?!/t|/v)", rb">\r\n  <", content) if name == SHEET else content

    for change in (prefixed, utf16, pretty):
        assert read(repacked(data, change))[0].rows() == expected


def test_rows_and_cells_without_references() -> None:
    cell = '<c t="inlineStr"><is><t>{}</t></is></c>'
    rows = f"<row>{cell.format('a')}{cell.format('b')}</row>" + "<row><c><v>1</v></c><c><v>2</v></c></row><row/>" * 3
    assert read(sheet_of(rows))[0].rows() == [(1, 2, 2), (1, 2, 4), (1, 2, 6)]


ODD_ROWS = [
    '<row r="2"><c r="A2"><v>1</v></c></row><row r="1"><c r="A1"><v>1</v></c></row>',
    '<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>',
    '<row r="1"><c r="A1"><v>1</v></row>',
    '<row r="x"><c r="A1"><v>1</v></c></row>',
    '<row r="1"><c r="1A"><v>1</v></c></row>',
    '<row r="1"><c r="A1"><v>&undefined;</v></c></row>',
    '<row r="1"><c r="A2"><v>1</v></c></row>',
    '<row r="1"><c r="A1"><v>1</v></c><c r="B1"/></row><row r="12"><c r="A13"><v>2</v></c></row>',
]


@pytest.mark.parametrize("rows", ODD_ROWS)
def test_damaged_rows_refuse_the_workbook(rows: str) -> None:
    assert refusal(FORMAT, sheet_of(rows)) == "damaged"


def test_blocks_give_the_same_rows_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = book(["i", "s", "f"], *([n, f"t{n % 7}", n / 4] for n in range(2000)))
    whole = read(data)[0]
    monkeypatch.setattr(stream, "_BLOCK_BYTES", 3000)
    assert read(data)[0].equals(whole)
    assert whole.height == 2000


def test_rows_that_do_not_say_where_they_are_are_counted_through_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "".join(f"<row><c><v>{n}</v></c></row>" if n % 3 else "<row/>" for n in range(2, 400))
    monkeypatch.setattr(stream, "_BLOCK_BYTES", 300)
    frame, _ = read(sheet_of('<row><c t="str"><v>v</v></c></row>' + body))
    assert frame["v"].to_list() == frame["_line"].to_list() == [n for n in range(2, 400) if n % 3]


_cells = st.one_of(
    st.none(), st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False), st.booleans(),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=9),
)  # fmt: skip


@settings(max_examples=40)
@given(st.lists(st.lists(_cells, min_size=3, max_size=3), min_size=1, max_size=12))
def test_fast_and_exact_ways_agree(rows: list[list[Any]]) -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"strings_to_urls": False, "strings_to_formulas": False}) as workbook:
        sheet = workbook.add_worksheet()
        for number, row in enumerate([["a", "b", "c"], *rows]):
            for place, value in enumerate(row):
                sheet.write(number, place, value)
    fast = read(file.getvalue(), header=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "scan", lambda *_: None)
        patch.setattr(stream, "_plain_texts", lambda *_: None)
        exact = read(file.getvalue(), header=True)
    assert fast[0].equals(exact[0])
    assert fast[1] == exact[1]


_ROWS = (
    b'<row r="1" spans="1:3"><c r="A1" t="s"><v>0</v></c><c r="B1" s="1"><v>4.5</v></c><c r="C1" t="b"><v>1</v></c></row>'
    b'<row r="2"><c r="A2" t="s"><v>1</v></c><c r="B2" s="1"><v>5</v></c><c r="C2" t="b"><v>0</v></c></row>'
)
_ODD_ROW = (
    b'<row r="7" hidden="1"><c r="A7"/><c r="B7" s="2"></c><c r="AB7" t="str"><f>A1&amp;"x"</f><v>a &lt; b</v></c>'
    b'<c r="AC7"><f t="shared" si="0"/><v/></c><c r="AD7" t="inlineStr"><is><t xml:space="preserve"> in </t></is></c></row>'
)


@settings(max_examples=400)
@given(
    st.sampled_from([_ROWS, _ROWS + _ODD_ROW, _ODD_ROW]),
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from(list(b'<>/"= cvftrs0159AZ&;'))), max_size=3),
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 30)), max_size=1),
)
def test_the_fast_way_reads_nothing_else_than_the_exact_one(
    block: bytes, places: list[tuple[int, int]], cuts: list[tuple[int, int]]
) -> None:
    changed = mutated(block, places) if places else block
    for start, length in cuts:
        changed = changed[: start % len(changed)] + changed[start % len(changed) + length :]

    def kind_of(type: str, style: int) -> Kind:
        return {"n": Kind.NUMBER, "s": Kind.SHARED, "str": Kind.TEXT, "inlineStr": Kind.TEXT}.get(type, Kind.BOOLEAN)

    fast = scan.scan(changed, kind_of)
    try:
        exact, _ = rows.parse(changed, b"", kind_of, name="x", after=0)
    except BadInput:
        return
    assert fast is not None or changed != block
    if fast is not None:
        for place in range(len(exact.numbers)):
            assert fast.numbers[place] == exact.numbers[place]
            assert fast.row(place) == exact.row(place)
        assert len(fast.numbers) == len(exact.numbers)


_typed: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False).map(lambda x: float(f"{x:.15g}")).filter(math.isfinite),
    str: st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20).filter(
        lambda text: not text.startswith("=")  # which openpyxl writes as a formula
    ),
    bool: st.booleans(),
    date: st.dates(date(1900, 3, 1), date(9999, 12, 31)),
    datetime: st.datetimes(datetime(1900, 3, 1), datetime(9999, 12, 30)).map(lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000)),  # noqa: DTZ001
    time: st.times().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
}  # fmt: skip


@settings(max_examples=40)
@given(st.data())
def test_what_was_written_is_read(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(_typed)), min_size=1, max_size=4))
    rows = data.draw(st.lists(st.tuples(*(st.none() | _typed[kind] for kind in kinds)), min_size=1, max_size=15))
    names = [f"name {n}" for n in range(len(kinds))]
    try:
        packed = book(names, *map(list, rows))
    except openpyxl.utils.exceptions.IllegalCharacterError:
        return
    frame, rejected = read(packed, header=True, null_values=())
    assert rejected == []
    found = {line: row for *row, line in frame.rows()}
    for number, row in enumerate(rows, start=2):
        expected = [None if value == "" else value for value in row]
        if all(value is None or (isinstance(value, str) and not value.strip()) for value in row):
            continue
        for value, read_value, kind in zip(expected, found[number], kinds, strict=True):
            if kind is str and isinstance(value, str):
                assert re.sub(r"_x([0-9a-fA-F]{4})_", "", value) == re.sub(r"_x([0-9a-fA-F]{4})_", "", str(read_value))
            else:
                assert read_value == value or value is None


# -- hostile


def with_part(name: str, content: bytes = b"<x/>") -> bytes:
    return repacked(book(["a"], [1]), lambda _, data: data, **{name: content})


HOSTILE: list[tuple[bytes, str]] = [
    (with_part("xl/vbaProject.bin"), "macros"),
    (with_part("xl/macrosheets/sheet1.xml"), "macros"),
    (with_part("xl/externalLinks/externalLink1.xml"), "external_links"),
    (with_part("xl/any.xml", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'), "dtd"),
    (with_part("xl/any.xml", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>'.encode("utf-16")), "dtd"),
    (with_part("../evil.xml"), "path_escape"),
    (with_part("XL/WORKBOOK.XML"), "damaged"),
    (repacked(book(["a"]), lambda n, d: None if n == "xl/workbook.xml" else d), "not_this_format"),
    (repacked(book(["a"]), lambda n, d: None if n == SHEET else d), "damaged"),
    (repacked(book(["a"]), lambda n, d: d[:-20] if n == SHEET else d), "truncated"),
    (repacked(book(["a"]), lambda n, d: b"<nothing/>" if n == SHEET else d), "damaged"),
    (book(["a"], [1])[:-50], "truncated"),
    (sheet_of("<row r='1'>" + "<c r='A1' t='str'><v>" + "x" * (21 << 20) + "</v></c></row>"), "zip_bomb"),
    (b"PK\x03\x04", "truncated"),
]


@pytest.mark.parametrize(("data", "code"), HOSTILE, ids=[f"{n}-{code}" for n, (_, code) in enumerate(HOSTILE)])
def test_hostile_workbooks_are_refused_by_name(data: bytes, code: str) -> None:
    tracemalloc.start()
    assert refusal(FORMAT, data) == code
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_macros_and_links_by_option() -> None:
    data = repacked(with_part("xl/vbaProject.bin"), lambda _, d: d, **{"xl/externalLinks/externalLink1.xml": b"<x/>"})
    reader = opened(data, workbook={"allow_macros": True, "allow_external_links": True})
    assert rows_of(reader)[0].rows() == [(1, 2)]
    assert codes(reader) >= {"macros", "external_links"}


def test_a_sheet_outside_the_package_is_never_fetched() -> None:
    def change(name: str, content: bytes) -> bytes:
        if name != "xl/_rels/workbook.xml.rels":
            return content
        return content.replace(
            b'Target="/xl/worksheets/sheet1.xml"', b'TargetMode="External" Target="http://x.invalid/"'
        )

    data = repacked(book(["a"], [1]), change)
    assert refusal(FORMAT, data) == "damaged"


def test_the_workbook_is_wherever_the_package_says() -> None:
    parts = {}

    def change(name: str, content: bytes) -> bytes | None:
        parts[name] = content
        if name in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels"):
            return None
        return content.replace(b"xl/workbook.xml", b"book.xml") if name == "_rels/.rels" else content

    moved = repacked(book(["a"], [1]), change)
    more = {"book.xml": parts["xl/workbook.xml"], "_rels/book.xml.rels": parts["xl/_rels/workbook.xml.rels"]}
    assert read(repacked(moved, lambda _, data: data, **more))[0].rows() == [(1, 2)]
    more["book.xml"] = b"<document/>"
    assert refusal(FORMAT, repacked(moved, lambda _, data: data, **more)) == "not_this_format"


def test_old_modules_are_no_sheets_and_a_sheet_without_a_part_is_damage() -> None:
    def change(sheet: bytes) -> bytes:
        return repacked(book(["a"], [1]), lambda n, d: d.replace(b"</sheets>", sheet + b"</sheets>"))

    relation = b'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" r:id'
    assert read(change(b'<sheet name="Module1" sheetId="2" state="veryHidden" %s=""/>' % relation))[0].rows() == [
        (1, 2)
    ]
    assert refusal(FORMAT, change(b'<sheet name="Lost" sheetId="2" %s="rId99"/>' % relation)) == "damaged"
    assert refusal(FORMAT, change(b'<sheet name="Lost" sheetId="2"/>')) == "damaged"


def test_a_password_is_told_whatever_the_name(tmp_path: Path) -> None:
    data = encrypted_package()
    assert refusal(FORMAT, data) == "password_protected"
    for name, declared in (("book.xlsx", None), ("book.xls", None), ("any", None), ("book.xlsx", "xlsx")):
        path = tmp_path / name
        path.write_bytes(data)
        spec = ReadSpec(format=declared)
        (source,) = open_object(path, name, spec)
        format, _ = choose_format(source, spec)
        with pytest.raises(BadInput) as error:
            format.read(source, spec)
        assert error.value.code == "password_protected"


def test_a_workbook_is_no_archive(tmp_path: Path) -> None:
    for name in ("book.xlsx", "book.zip", "book"):
        path = tmp_path / name
        path.write_bytes(book(["a", "b"], [1, "x"]))
        (source,) = open_object(path, name, ReadSpec())
        assert choose_format(source, ReadSpec())[0].name == "xlsx"
    archive = tmp_path / "books.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("in.xlsx", book(["a"], [7]))
    (source,) = open_object(archive, "books.zip", ReadSpec())
    assert rows_of(choose_format(source, ReadSpec())[0].read(source, ReadSpec()))[0].rows() == [(7, 2)]


def with_shared_texts() -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as workbook:
        sheet = workbook.add_worksheet()
        for number, row in enumerate([["a", "b", "c"], *([n, f"text {n}", n / 3] for n in range(20))]):
            sheet.write_row(number, 0, row)
    return file.getvalue()


SAMPLE = with_shared_texts()
_places = st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), min_size=1, max_size=6)


@settings(max_examples=60)
@given(_places)
def test_mutated_files_are_read_or_refused(places: list[tuple[int, int]]) -> None:
    survives(FORMAT, mutated(SAMPLE, places))


@settings(max_examples=150)
@given(_places, st.sampled_from([SHEET, SHEET, "xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/_rels/workbook.xml.rels"]))  # fmt: skip
def test_mutated_parts_are_read_or_refused(places: list[tuple[int, int]], part: str) -> None:
    survives(FORMAT, mutated_parts(SAMPLE, part, places))


@given(st.binary(max_size=400))
def test_any_bytes_as_rows(block: bytes) -> None:
    cells = None
    try:
        cells = scan.scan(block, lambda *_: Kind.NUMBER)
    except UnicodeDecodeError:
        return
    assert cells is None or len(cells.numbers) >= 0


@given(st.binary(max_size=200))
def test_any_bytes_as_a_workbook(data: bytes) -> None:
    survives(FORMAT, data)
    survives(FORMAT, b"PK\x03\x04" + data)
    assert 0 <= FORMAT.sniff(data, "x.xlsx") <= 1


# -- other people's files


@pytest.mark.corpora
def test_other_peoples_workbooks_are_read_as_openpyxl_reads_them() -> None:
    folder = Path(os.environ["BASE_CORPORA"]) / "docling" / "xlsx" / "sources"
    compared = 0
    for path in sorted(folder.iterdir()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            workbook = openpyxl.load_workbook(path, data_only=True)
        for sheet in workbook.worksheets:
            filled = {
                r: row
                for r, row in enumerate(sheet.iter_rows(values_only=True, max_row=1000), start=1)
                if any(v is not None for v in row)
            }
            (source,) = open_object(path, path.name, ReadSpec())
            spec = ReadSpec(workbook={"sheet": sheet.title}, null_values=())  # type: ignore[arg-type]
            if not filled:
                with pytest.raises(BadInput, match="no cell"):
                    FORMAT.read(source, spec)
                continue
            reader = FORMAT.read(source, spec)
            frame, rejected = rows_of(reader)
            assert rejected == []
            above = next((f.data["row"] for f in reader.findings if f.code == "header"), 0)
            assert frame["_line"].to_list() == [n for n in filled if n > above]
            for *row, line in frame.rows():
                assert [as_text(v) for v in row if v is not None] == [as_text(v) for v in filled[line] if v is not None]
                compared += 1
    assert compared > 100


def as_text(value: Any) -> str:
    return (
        repr(float(value)) if isinstance(value, int | float) or str(value).replace(".", "", 1).isdigit() else str(value)
    )
