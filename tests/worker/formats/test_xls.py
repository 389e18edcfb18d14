"""XLS: stored values as they are, as of XLSX; whatever xlrd stumbles over is a refusal."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import Any

import polars as pl
import pytest
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st
from office_kit import codes, mutated, open_bytes, refusal, rows_of, survives

from base_ops.worker.engine.plan import Reader, Rejected
from base_ops.worker.formats.xls import FORMAT


def book(*rows: list[Any], change: Callable[[xlwt.Workbook, Any], None] | None = None, **styles: str) -> bytes:
    """A workbook; `styles` are number formats of columns by letter."""
    workbook = xlwt.Workbook(encoding="utf-8")
    sheet = workbook.add_sheet("Data")
    for number, row in enumerate(rows):
        for place, value in enumerate(row):
            code = styles.get(chr(65 + place)) if number else None
            style = xlwt.easyxf(num_format_str=code) if code else xlwt.Style.default_style
            if value is not None:
                sheet.write(number, place, value, style)
    if change is not None:
        change(workbook, sheet)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


_FORMAT, _STYLE, _SHEET, _NOTHING = 0x041E, 0x00E0, 0x0085, 0x3FFF


def places(data: bytes | bytearray, kind: int) -> Iterator[int]:
    """Where the records of a kind begin in a workbook."""
    place = data.find(b"\x09\x08\x10\x00")
    while (found := struct.unpack_from("<HH", data, place)) != (0, 0):
        if found[0] == kind:
            yield place
        place += 4 + found[1]


def opened(data: bytes, **spec: Any) -> Reader:
    return open_bytes(FORMAT, data, "book.xls", **spec)


def read(data: bytes, **spec: Any) -> tuple[pl.DataFrame, list[Rejected]]:
    return rows_of(opened(data, **spec))


@pytest.mark.parametrize(
    ("values", "code", "dtype"),
    [
        ([1, 2, -3], None, pl.Int64),
        ([1.5, 1e300, -0.25, 5], None, pl.Float64),
        ([1, 2], "0.00", pl.Float64),
        ([True, False], None, pl.Boolean),
        (["a", "007", "é😀"], None, pl.String),
        ([date(2024, 2, 29), date(1900, 1, 1)], "YYYY-MM-DD", pl.Date),
        ([datetime(2024, 1, 2, 3, 4, 5)], "YYYY-MM-DD HH:MM:SS", pl.Datetime("us")),  # noqa: DTZ001
        ([time(1, 2, 3), time(0, 0)], "h:mm:ss", pl.Time),
    ],
)
def test_values_are_kept_with_their_types(values: list[Any], code: str | None, dtype: Any) -> None:
    styles = {} if code is None else {"A": code}
    frame, rejected = read(book(["v", "w"], *([value, 1] for value in values), **styles))
    assert rejected == []
    assert frame["v"].dtype == dtype
    assert frame["v"].to_list() == values


def test_errors_sheets_merged_and_hidden_cells() -> None:
    def change(workbook: xlwt.Workbook, sheet: Any) -> None:
        sheet.write_merge(22, 22, 0, 1, 99)
        sheet.row(3).hidden = True
        sheet.row(5).set_cell_error(1, "#DIV/0!")
        sheet.row(6).set_cell_error(1, "#N/A!")
        workbook.add_sheet("Empty")
        secret = workbook.add_sheet("Secret")
        secret.write(0, 0, "x")
        secret.visibility = 1

    reader = opened(
        book(["a", "b"], *([n, n] for n in range(4)), [4], [5], *([n, n] for n in range(6, 20)), change=change)
    )
    frame, rejected = rows_of(reader)
    assert [(r.line, r.rule) for r in rejected] == [(6, "error_value")]
    assert frame["a"].to_list() == [*range(4), *range(5, 20), 99]
    assert frame["b"][4] is None
    assert frame["_line"].to_list()[-1] == 23
    assert codes(reader) >= {"merged_cells", "hidden_rows", "hidden_sheets"}


@pytest.mark.parametrize(("number", "expected"), [(31, date(2023, 3, 15)), (58, date(2023, 3, 15)), (23, 45000)])
def test_formats_that_have_a_number_and_no_code(number: int, expected: Any) -> None:
    data = bytearray(book(["v"], [45000], A="YYYY-MM-DD"))
    (format,) = (place for place in places(data, _FORMAT) if b"YYYY-MM-DD" in data[place : place + 19])
    (code,) = struct.unpack_from("<H", data, format + 4)
    (style,) = (place for place in places(data, _STYLE) if struct.unpack_from("<H", data, place + 6)[0] == code)
    struct.pack_into("<H", data, format, _NOTHING)
    struct.pack_into("<H", data, style + 6, number)
    frame, rejected = read(bytes(data))
    assert (frame["v"].to_list(), rejected) == ([expected], [])


def formulas(*, flags: int = 0, result: bytes | None = None, trace: bytes = b"") -> bytes:
    """A workbook with formulas in column B, as xlwt leaves them: without a result; or with other bytes in their place.

    Args:
        result: of the first formula.
        trace: a record to put in the place of one that says nothing here.
    """
    data = bytearray(book(["a", "b"], *([n, xlwt.Formula(f"A{n + 2}*2")] for n in range(20))))
    empty = struct.pack("<QH", 0xFFFF000000000003, 0)
    assert data.count(empty) == 20
    data = data.replace(empty, struct.pack("<QH", 0xFFFF000000000003, flags))
    if result is not None:
        data = data.replace(struct.pack("<Q", 0xFFFF000000000003), result, 1)
    code_page = struct.pack("<HH", 0x42, 2)
    assert data.count(code_page) == 1
    return bytes(data.replace(code_page, trace)) if trace else bytes(data)


def test_formulas_that_were_never_calculated_refuse_their_rows() -> None:
    frame, rejected = read(formulas())
    assert frame.height == 0
    assert [(r.line, r.rule, r.column) for r in rejected] == [(n, "not_calculated", "b") for n in range(2, 22)]
    assert "B2" in rejected[0].reason


@pytest.mark.parametrize(
    ("data", "first", "is_told"),
    [
        (formulas(result=struct.pack("<d", 7)), 7, False),
        (formulas(trace=struct.pack("<HH", 0x01C1, 2)), None, False),
        (formulas(flags=2), None, True),
        (formulas(flags=2, result=bytes(8)), 0, True),
        (formulas(flags=2, result=struct.pack("<d", 7)), 7, False),
    ],
)
def test_results_of_formulas_are_read_where_somebody_calculated(data: bytes, first: Any, is_told: bool) -> None:
    reader = opened(data)
    frame, rejected = rows_of(reader)
    assert (frame.height, rejected) == (20, [])
    assert frame["b"].to_list() == [first, *[None] * 19]
    assert ("not_calculated" in codes(reader)) == is_told


def test_the_1904_system() -> None:
    def change(workbook: xlwt.Workbook, sheet: Any) -> None:
        workbook.dates_1904 = True

    frame, _ = read(book(["v"], [45000 - 1462], change=change, A="YYYY-MM-DD"))
    assert frame["v"].to_list() == [date(2023, 3, 15)]


def test_limits_and_refusals() -> None:
    good = book(["a"], [1])
    assert refusal(FORMAT, good, workbook={"max_bytes": 1000}) == "too_large"
    assert refusal(FORMAT, good[:600]) == "damaged"
    assert refusal(FORMAT, book()) == "empty_object"
    wide = "_VBA_PROJECT_CUR".encode("utf-16-le") + b"\0\0"
    entry = "SummaryInformation".encode("utf-16-le")
    place = good.find("Workbook".encode("utf-16-le")) + 128
    with_macros = bytearray(good)
    with_macros[place : place + 64] = wide.ljust(64, b"\0")
    struct.pack_into("<HB", with_macros, place + 64, len(wide), 1)
    assert entry not in with_macros
    assert refusal(FORMAT, bytes(with_macros)) == "macros"
    assert "macros" in codes(opened(bytes(with_macros), workbook={"allow_macros": True}))


@pytest.mark.parametrize(("kind", "is_refused"), [(1, True), (6, True), (2, False)])
def test_sheets_of_macros_are_macros(kind: int, is_refused: bool) -> None:
    data = bytearray(book(["a"], [1], change=lambda workbook, _: workbook.add_sheet("Other")))
    _, sheet = places(data, _SHEET)
    data[sheet + 9] = kind
    if is_refused:
        assert refusal(FORMAT, bytes(data)) == "macros"
    reader = opened(bytes(data), workbook={"allow_macros": True})
    assert rows_of(reader)[0].rows() == [(1, 2)]
    assert ("macros" in codes(reader)) == is_refused


@pytest.mark.parametrize(("bits", "is_hidden"), [(0xFC, False), (0xFD, True), (0x02, True)])
def test_two_bits_hide_a_sheet(bits: int, is_hidden: bool) -> None:
    data = bytearray(book(["a"], [1], change=lambda workbook, _: workbook.add_sheet("Other").write(0, 0, "a")))
    _, other = places(data, _SHEET)
    data[other + 8] = bits
    assert ("hidden_sheets" in codes(opened(bytes(data)))) == is_hidden


def test_the_case_of_stream_names_means_nothing() -> None:
    data = book(["a"], [1]).replace("Workbook".encode("utf-16-le"), "WORKBOOK".encode("utf-16-le"))
    assert read(data)[0].rows() == [(1, 2)]
    assert FORMAT.sniff(data, "x") == 1.0


def test_encrypted() -> None:
    data = bytearray(book(["a"], [1]))
    begin = data.find(b"\x09\x08\x10\x00")
    after = begin + 20
    assert struct.unpack_from("<H", data, after)[0] == 0xE1  # the record behind the first becomes FILEPASS
    struct.pack_into("<H", data, after, 0x2F)
    assert refusal(FORMAT, bytes(data)) == "password_protected"


@pytest.mark.parametrize(
    ("head", "name", "low", "high"),
    [
        (book(["a"], [1]), "x", 0.9, 1),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "WordDocument\0".encode("utf-16-le"), "x.doc", 0, 0.15),
        (b"\x09\x08\x10\x00\x00\x06\x05\x00", "x", 0.9, 1),
        (b"a,b\n1,2\n", "x.xls", 0, 0),
        (b"<html><table>", "x.xls", 0, 0),
    ],
)
def test_sniff(head: bytes, name: str, low: float, high: float) -> None:
    assert low <= FORMAT.sniff(head, name) <= high


_numbers = st.floats(allow_nan=False, allow_infinity=False)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(max_examples=30)
@given(st.lists(st.tuples(_numbers, _texts, st.booleans()), min_size=1, max_size=10))
def test_what_was_written_is_read(rows: list[tuple[float, str, bool]]) -> None:
    frame, rejected = read(book(["n", "t", "b"], *map(list, rows)), header=True, null_values=())
    assert rejected == []
    assert [float(n) for n in frame["n"]] == [n for n, _, _ in rows]
    assert frame["t"].to_list() == [t for _, t, _ in rows]
    assert frame["b"].to_list() == [b for _, _, b in rows]
    assert all(math.isfinite(n) for n, _, _ in rows)


SAMPLE = book(["a", "b"], *([n, f"text {n}"] for n in range(20)))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutated_files_are_read_or_refused(places: list[tuple[int, int]]) -> None:
    survives(FORMAT, mutated(SAMPLE, places))


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    survives(FORMAT, data)
    survives(FORMAT, SAMPLE[:512] + data)
