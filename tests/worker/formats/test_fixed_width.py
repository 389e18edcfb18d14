"""Fixed-width text: cells by position, lengths checked, records of several types, encodings."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts_kit import read_as, refusal
from pydantic import ValidationError

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.layouts import FixedField, FixedWidthOptions
from base_ops.worker.formats.fixed_width import FORMAT

FIELDS = [
    {"name": "id", "start": 1, "length": 5},
    {"name": "name", "start": 6, "length": 6},
    {"name": "amount", "start": 12, "length": 7, "implied_decimals": 2},
    {"name": "day", "start": 19, "length": 8, "type": "date", "format": "%Y%m%d"},
]
LINES = ["   12Anna  000123420240131", "  345Ben   -00005020240229", "    6      0000000        "]
ROWS = [
    (12, "Anna", Decimal("12.34"), date(2024, 1, 31)),
    (345, "Ben", Decimal("-0.50"), date(2024, 2, 29)),
    (6, None, Decimal("0.00"), None),
]


def layout(**options: Any) -> dict[str, Any]:
    return {"fields": FIELDS, **options}


def text(lines: list[str], eol: str = "\n") -> bytes:
    return "".join(line + eol for line in lines).encode()


@pytest.mark.parametrize("eol", ["\n", "\r\n"])
@pytest.mark.parametrize("block_bytes", [None, 1, 7, 27, 28, 64])
def test_cells_by_position(eol, block_bytes):
    outcome = read_as("fixed_width", text(LINES, eol), block_bytes=block_bytes, fixed_width=layout())
    assert (outcome.rows, outcome.lines, outcome.faults) == (ROWS, [1, 2, 3], [])
    assert outcome.schema["amount"] == pl.Decimal(7, 2)


@pytest.mark.parametrize("block_bytes", [None, 1, 26, 30])
def test_records_without_line_ends(block_bytes):
    data = "".join(LINES).encode()
    outcome = read_as("fixed_width", data, block_bytes=block_bytes, fixed_width=layout(framing="fixed"))
    assert (outcome.rows, outcome.lines) == (ROWS, [1, 2, 3])
    found = read_as("fixed_width", data, fixed_width=layout(record_length=26))
    assert found.rows == ROWS


@pytest.mark.parametrize("encoding", ["cp037", "cp500", "cp1047", "cp1140", "utf-16", "latin-1", "utf-8"])
@pytest.mark.parametrize("framing", ["lines", "fixed"])
def test_encodings(encoding, framing):
    lines = [line.replace("Anna", "Zoë!") for line in LINES]
    data = ("".join(lines) if framing == "fixed" else "\n".join(lines)).encode(encoding)
    outcome = read_as("fixed_width", data, encoding=encoding, fixed_width=layout(framing=framing))
    assert outcome.rows == [(12, "Zoë!", Decimal("12.34"), date(2024, 1, 31)), *ROWS[1:]]


def test_positions_are_characters():
    data = "日本語 1\nab   \néé  3\n\U0001f600x  4\n".encode()
    fields = [{"name": "t", "start": 1, "length": 4}, {"name": "n", "start": 5, "length": 1}]
    outcome = read_as("fixed_width", data, fixed_width={"fields": fields})
    assert outcome.rows == [("日本語", 1), ("ab", None), ("éé", 3), ("\U0001f600x", 4)]
    assert outcome.faults == []


def test_cp1047():
    """IBM's table, by hand: it differs from cp037 in six places."""
    bytes_1047 = bytes([0xAD, 0xBD, 0x5F, 0xB0, 0xBA, 0xBB, 0xC1, 0x81, 0xF0, 0x40, 0x4B])
    assert bytes_1047.decode("cp1047") == "[]^¬Ý¨Aa0 ."
    assert "[]^¬Ý¨Aa0 .".encode("cp1047") == bytes_1047
    every = bytes(range(256))
    differing = {byte for byte in every if bytes([byte]).decode("cp1047") != bytes([byte]).decode("cp037")}
    assert differing == {0xAD, 0xBD, 0x5F, 0xB0, 0xBA, 0xBB}
    assert every.decode("ibm-1047").encode("cp1047") == every


WRONG_LENGTHS = [
    ("", []),  # a blank line is no record
    ("short", [(2, "record_length")]),
    (LINES[0] + "x", [(2, "record_length")]),
    (LINES[0][:-1], [(2, "record_length")]),
    ("x" * 5000, [(2, "record_length")]),
    (LINES[0][:5] + "\0" + LINES[0][6:], [(2, "nul_byte")]),
]


@pytest.mark.parametrize(("line", "faults"), WRONG_LENGTHS)
@pytest.mark.parametrize("block_bytes", [None, 11])
def test_length_is_checked(line, faults, block_bytes):
    data = text([LINES[0], line, *LINES[1:]])
    outcome = read_as("fixed_width", data, block_bytes=block_bytes, fixed_width=layout())
    assert (outcome.rows, outcome.lines, outcome.faults) == (ROWS, [1, 3, 4], faults)
    for rejected in outcome.rejected:
        assert data[rejected.byte_start : rejected.byte_end] == line.encode()
        assert rejected.raw == line.encode()[:4096]


def test_cut_blanks_may_be_allowed():
    lines = [LINES[0], "    6", LINES[1] + " "]
    outcome = read_as("fixed_width", text(lines), fixed_width=layout(allow_short=True))
    assert outcome.rows == [ROWS[0], (6, None, None, None)]
    assert outcome.faults == [(3, "record_length")]


def test_what_the_layout_leaves_out_is_told():
    lines = [line + "  tail" for line in LINES]
    outcome = read_as("fixed_width", text(lines), fixed_width=layout(fields=[FIELDS[0], FIELDS[2]]))
    assert [row[0] for row in outcome.rows] == [12, 345, 6]
    found = next(f for f in outcome.findings if f.code == "layout")
    assert found.data["record_length"] == 32
    assert found.data["undeclared_characters"] == ["6-11", "19-32"]


def test_the_last_record_is_cut_off():
    data = "".join(LINES).encode()[:-3]
    outcome = read_as("fixed_width", data, fixed_width=layout(framing="fixed"))
    assert outcome.rows == ROWS[:2]
    assert outcome.faults == [(3, "record_length")]


def test_the_end_mark_of_dos():
    assert read_as("fixed_width", text(LINES) + b"\x1a", fixed_width=layout()).faults == []
    data = "".join(LINES).encode() + b"\r\n\x1a"
    assert read_as("fixed_width", data, fixed_width=layout(framing="fixed")).rows == ROWS


def test_a_line_beyond_the_limit():
    data = text([LINES[0], "x" * 9_000, *LINES[1:]])
    outcome = read_as("fixed_width", data, block_bytes=1000, max_record_bytes=2000, fixed_width=layout())
    assert (outcome.rows, outcome.lines) == (ROWS, [1, 3, 4])
    assert [(r.line, r.rule, r.byte_start) for r in outcome.rejected] == [(2, "record_too_long", 27)]


def test_undecodable_bytes():
    data = text(LINES).replace(b"Anna", b"An\xffa")
    outcome = read_as("fixed_width", data, encoding="utf-8", fixed_width=layout())
    assert (outcome.rows, outcome.faults) == (ROWS[1:], [(1, "encoding")])


def test_header_comments_and_skipped_lines():
    data = text(["about", "# note", "ID   NAME  AMOUNT DAY     ", *LINES])
    outcome = read_as("fixed_width", data, fixed_width=layout(), skip_lines=1, comment="#", header=True)
    assert (outcome.rows, outcome.lines) == (ROWS, [4, 5, 6])


PADDING = [
    ({"pad": "*"}, "**12", "12"),
    ({"pad": "*", "align": "right"}, "**1*", "1*"),
    ({"pad": "*", "align": "left"}, "*1**", "*1"),
    ({"align": "left"}, " a  ", " a"),
    ({"align": "right"}, "  a ", "a "),
    ({}, " a  ", "a"),
    ({}, "NULL", None),
    ({}, "    ", None),
    ({"pad": "*"}, "****", None),
]


@pytest.mark.parametrize(("options", "cell", "value"), PADDING)
def test_padding(options, cell, value):
    field = {"name": "t", "start": 1, "length": 4, "type": "string", **options}
    assert read_as("fixed_width", text([cell, "abcd"]), fixed_width={"fields": [field]}).rows == [(value,), ("abcd",)]


IMPLIED = [
    ("00123", 2, Decimal("1.23")),
    ("  123", 2, Decimal("1.23")),
    ("5    ", 2, Decimal("0.05")),
    ("-0005", 2, Decimal("-0.05")),
    ("+0005", 3, Decimal("0.005")),
    ("12.30", 2, Decimal("12.30")),
    ("     ", 2, None),
    ("99999", 5, Decimal("0.99999")),
    ("1-", 2, "type"),
    ("1 2", 2, "type"),
    ("12.345"[:5], 1, "type"),
]


@pytest.mark.parametrize(("cell", "decimals", "value"), IMPLIED)
def test_implied_decimals(cell, decimals, value):
    field = {"name": "n", "start": 1, "length": 5, "implied_decimals": decimals}
    outcome = read_as("fixed_width", text([cell.ljust(5)]), fixed_width={"fields": [field]})
    if value == "type":
        assert (outcome.rows, outcome.faults) == ([], [(1, "type")])
    else:
        assert outcome.rows == [(value,)]


def test_columns_type_the_fields():
    columns = [{"name": "number", "source_name": "id", "type": "string"}, {"name": "name", "required": True}]
    outcome = read_as("fixed_width", text(LINES), fixed_width=layout(), columns=columns)
    assert list(outcome.schema) == ["number", "name", "amount", "day"]
    assert outcome.rows == [("12", *ROWS[0][1:]), ("345", *ROWS[1][1:])]
    assert outcome.faults == [(3, "required")]
    error = refusal("fixed_width", text(LINES), fixed_width=layout(), columns=[{"name": "nome"}])
    assert error is not None and error.code == "unknown_column"


def test_bad_cells_are_refused():
    lines = [LINES[0], LINES[1].replace("20240229", "20240230"), LINES[2].replace("0000000", "00x0000")]
    outcome = read_as("fixed_width", text(lines), fixed_width=layout())
    assert outcome.rows == ROWS[:1]
    assert [(r.line, r.rule, r.column) for r in outcome.rejected] == [(2, "type", "day"), (3, "type", "amount")]


# -- records of several types

TYPED = ["H20240131", "D0001abcd", "D0002efgh", "Xother...", "T00002   "]
KINDS: dict[str, Any] = {
    "data": "D",
    "header": "H",
    "trailer": "T",
    "count": {"name": "rows", "start": 2, "length": 5},
}
TYPED_FIELDS = [{"name": "n", "start": 2, "length": 4, "type": "int64"}, {"name": "t", "start": 6, "length": 4}]


def typed(lines: list[str], **kinds: Any) -> Any:
    return read_as("fixed_width", text(lines), fixed_width={"fields": TYPED_FIELDS, "record_type": {**KINDS, **kinds}})


def test_only_records_of_the_declared_type_are_rows():
    outcome = typed(TYPED)
    assert (outcome.rows, outcome.lines, outcome.faults) == ([(1, "abcd"), (2, "efgh")], [2, 3], [])
    assert next(f.data for f in outcome.findings if f.code == "other_record_types") == {"X": 1}


def test_types_that_are_not_listed_may_be_refused():
    assert typed(TYPED, skip=["Y"]).faults == [(4, "record_type")]
    assert typed(TYPED, skip=["X"]).faults == []


TRAILERS = [
    (TYPED[:-1], {}, "no_trailer"),
    (TYPED[1:], {}, "no_header"),
    ([*TYPED, "D0003ijkl"], {}, "behind_trailer"),
    ([*TYPED, TYPED[-1]], {}, "behind_trailer"),
    ([TYPED[0], TYPED[1], TYPED[-1]], {}, "trailer_count"),
    ([*TYPED[:-1], "T       "], {}, "trailer_count"),
    ([*TYPED[:-1], "T-0002  "], {}, "trailer_count"),
    (TYPED, {"counts": "all"}, "trailer_count"),
]


@pytest.mark.parametrize(("lines", "kinds", "code"), TRAILERS)
def test_header_and_trailer_are_checked(lines, kinds, code):
    with pytest.raises(BadInput) as error:
        typed(lines, **kinds)
    assert error.value.code == code


def test_a_refused_row_counts_for_the_trailer():
    outcome = typed([TYPED[0], TYPED[1], "D0002", TYPED[-1]])
    assert (len(outcome.rows), outcome.faults) == (1, [(3, "record_length")])
    assert typed([*TYPED[:-1], "T00005   "], counts="all").rows == [(1, "abcd"), (2, "efgh")]


# -- without a layout


def test_the_error_holds_a_layout_that_can_be_pasted():
    data = text(["name     qty city  ", "Anna      12 Berlin", "Ben        7 Rome  "])
    error = refusal("fixed_width", data)
    assert isinstance(error, ConfigError) and error.code == "layout_required"
    read = yaml.safe_load(error.todo[error.todo.index("read:") :])["read"]
    outcome = read_as(data=data, **read)
    assert outcome.rows == [("Anna", 12, "Berlin"), ("Ben", 7, "Rome")]
    assert list(outcome.schema) == ["name", "qty", "city"]


def test_a_proposal_without_names():
    error = refusal("fixed_width", text(["Anna      12", "Ben        7", "Ann x   100"]))
    assert error is not None and "{name: column_1, start: 1, length: 5}" in error.todo
    assert "header" not in error.todo


SNIFFED = [
    (b"a   12\nbb  13\nc   99\n", 0.4),
    (b"a   12\nbb  13\nc   999\n", 0.1),
    (b"abc\nabd\nabe\n", 0.1),
    (b"", 0.0),
    (b"PAR1 ..\n", 0.0),
    (bytes(100), 0.0),
]


@pytest.mark.parametrize(("head", "confidence"), SNIFFED)
def test_sniff(head, confidence):
    assert FORMAT.sniff(head, "object") == confidence


BAD_OPTIONS = [
    {"fields": []},
    {"fields": [{"name": "a", "start": 0, "length": 1}]},
    {"fields": [{"name": "a", "start": 1, "length": -1}]},
    {"fields": [{"name": "a", "start": 1, "length": 1}, {"name": "a", "start": 2, "length": 1}]},
    {"fields": [{"name": "a", "start": 9, "length": 2}], "record_length": 9},
    {"fields": [{"name": "a", "start": 1, "length": 1, "pad": "0"}]},
    {"fields": [{"name": "a", "start": 1, "length": 1, "pad": ""}]},
    {"fields": FIELDS, "record_type": {"data": "D", "header": "D"}},
    {"fields": FIELDS, "record_type": {"data": "D", "count": {"name": "n", "start": 1, "length": 2}}},
]


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_options_that_cannot_be(options):
    with pytest.raises(ValidationError):
        FixedWidthOptions.model_validate(options)


def test_no_record():
    for data in (b"\n\n", b"\xef\xbb\xbf"):
        error = refusal("fixed_width", data, fixed_width=layout())
        assert error is not None and error.code == "empty_object"


# -- properties

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=6)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=20),
    st.integers(1, 40),
    st.sampled_from(["lines", "fixed"]),
)
def test_what_is_written_is_read(rows, block_bytes, framing):
    eol = "\n" if framing == "lines" else ""
    data = "".join("|".join(cell.ljust(6) for cell in row) + eol for row in rows).encode()
    fields = [{"name": f"c{i}", "start": 1 + 7 * i, "length": 6, "type": "string"} for i in range(3)]
    options = {"fields": fields, "framing": framing, "record_length": 20}
    outcome = read_as(
        "fixed_width", data, block_bytes=block_bytes, encoding="utf-8", fixed_width=options, null_values=("",)
    )
    assert outcome.rows == [tuple(cell or None for cell in row) for row in rows]
    assert outcome.faults == []


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "cp037", "utf-16", "shift_jis"]), st.booleans())
def test_any_bytes(data, encoding, short):
    kinds = {"data": "D", "trailer": "T"} if short else None
    options = layout(allow_short=short, record_type=kinds)
    refusal("fixed_width", data, encoding=encoding, fixed_width=options)
    refusal("fixed_width", data, encoding=encoding)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*LINES, "", "x", LINES[0] + "y"]), max_size=12), st.integers(1, 60))
def test_every_record_is_a_row_or_refused(lines, block_bytes):
    if not any(lines):
        return
    data = text(lines)
    outcome = read_as("fixed_width", data, block_bytes=block_bytes, fixed_width=layout(record_length=26))
    assert sorted(outcome.lines + [r.line for r in outcome.rejected]) == [i for i, s in enumerate(lines, 1) if s]


def test_fields_may_overlap():
    fields = [FixedField(name="all", start=1, length=4), FixedField(name="half", start=3, length=2)]
    assert read_as("fixed_width", b"ab12\n", fixed_width={"fields": fields}).rows == [("ab12", 12)]
