"""COBOL data: every form of number and text, framings, tables and alternatives; what is no number is refused."""

from __future__ import annotations

import struct
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts_kit import read_as, refusal

from base_ops.core.errors import BadInput
from base_ops.worker.formats.cobol import FORMAT


def ebcdic(text: str) -> bytes:
    return text.encode("cp037")


def packed(digits: str, sign: str) -> bytes:
    """Written digit by digit, as a person would."""
    text = digits + sign
    return bytes.fromhex(text if len(text) % 2 == 0 else "0" + text)


def one(clauses: str, data: bytes, **options: Any) -> Any:
    """The value of a record of one item, or the rule of its refusal."""
    book = f"01 R. 05 A {clauses}."
    encoding = options.pop("encoding", "cp037")
    cobol = {"copybook": book, "recfm": "F", **options}
    outcome = read_as("cobol", data, encoding=encoding, cobol=cobol)
    return outcome.rejected[0].rule if outcome.rejected else outcome.rows[0][0]


D = Decimal
VALUES = [
    # zoned decimals
    ("PIC 9(3)", ebcdic("012"), 12),
    ("PIC S9(3)", ebcdic("012"), 12),
    ("PIC S9(3)", bytes.fromhex("f0f1c2"), 12),
    ("PIC S9(3)", bytes.fromhex("f0f1d2"), -12),
    ("PIC S9(3)", bytes.fromhex("f0f1a2"), 12),
    ("PIC S9(3)", bytes.fromhex("f0f1b2"), -12),
    ("PIC S9(3)", bytes.fromhex("f0f1d0"), -10),
    ("PIC S9(3) SIGN LEADING", bytes.fromhex("d1f2f3"), -123),
    ("PIC S9(3) SIGN LEADING SEPARATE", ebcdic("-123"), -123),
    ("PIC S9(3) SIGN TRAILING SEPARATE", ebcdic("123+"), 123),
    ("PIC S9(3)V99", ebcdic("1234N"), D("-123.45")),
    ("PIC 9(3)", bytes.fromhex("f0f1d2"), "zoned_decimal"),
    ("PIC S9(3)", ebcdic("1 2"), "zoned_decimal"),
    ("PIC S9(3)", ebcdic("ABC"), "zoned_decimal"),
    ("PIC S9(3) SIGN LEADING SEPARATE", ebcdic(" 123"), "zoned_decimal"),
    ("PIC 9(3)", ebcdic("   "), None),
    ("PIC 9(3)", bytes(3), None),
    ("PIC 9(3)", b"\xff\xff\xff", None),
    ("PIC 9(3) BLANK WHEN ZERO", ebcdic("   "), 0),
    ("PIC 9(3)P(2)", ebcdic("012"), 1200),
    ("PIC VP(2)9(3)", ebcdic("012"), D("0.00012")),
    ("PIC 9(18)", ebcdic("9" * 18), 10**18 - 1),
    ("PIC S9(31)", ebcdic("1" + "0" * 29 + "N"), D("-1" + "0" * 29 + "5")),
    ("PIC S9(28)V9(10)", ebcdic("9" * 38), D("9" * 28 + "." + "9" * 10)),
    # packed decimals
    ("PIC S9(5)V99 COMP-3", packed("1234567", "c"), D("12345.67")),
    ("PIC S9(5)V99 COMP-3", packed("1234567", "d"), D("-12345.67")),
    ("PIC S9(5)V99 COMP-3", packed("1234567", "f"), D("12345.67")),
    ("PIC S9(5)V99 COMP-3", packed("1234567", "b"), D("-12345.67")),
    ("PIC S9(4) COMP-3", packed("1234", "d"), -1234),
    ("PIC S9(4) COMP-3", bytes.fromhex("91234d"), "packed_decimal"),
    ("PIC S9(3) COMP-3", bytes.fromhex("1234"), "packed_decimal"),
    ("PIC S9(3) COMP-3", bytes.fromhex("1a3c"), "packed_decimal"),
    ("PIC S9(3) COMP-3", ebcdic("  "), "packed_decimal"),
    ("PIC 9(3) COMP-3", packed("123", "f"), 123),
    ("PIC 9(3) COMP-3", packed("123", "c"), 123),
    ("PIC 9(3) COMP-3", packed("123", "d"), "packed_decimal"),
    ("PIC S9(31)V9(7) COMP-3", packed("1" * 38, "d"), D("-" + "1" * 31 + "." + "1" * 7)),
    ("PIC S9(3)V9 COMP-3 OCCURS 1", packed("1234", "c"), D("123.4")),
    # binary
    ("PIC S9(4) COMP", struct.pack(">h", -1234), -1234),
    ("PIC S9(4) COMP-5", struct.pack(">h", 32767), 32767),
    ("PIC 9(4) BINARY", struct.pack(">H", 65535), 65535),
    ("PIC S9(9) COMP-4", struct.pack(">i", -(2**31)), -(2**31)),
    ("PIC S9(18) COMP", struct.pack(">q", -(2**63)), -(2**63)),
    ("PIC 9(18) COMP", struct.pack(">Q", 2**63 - 1), 2**63 - 1),
    ("PIC 9(18) COMP", struct.pack(">Q", 2**63), "type"),
    ("PIC S9(2)V99 COMP", struct.pack(">h", -32768), D("-327.68")),
    ("PIC S9(14)V9(4) COMP", struct.pack(">q", -(2**63)), D("-922337203685477.5808")),
    # IBM's floats: by the examples of the Principles of Operation
    ("COMP-1", bytes.fromhex("c276a000"), -118.625),
    ("COMP-1", bytes.fromhex("41100000"), 1.0),
    ("COMP-2", bytes.fromhex("4110000000000000"), 1.0),
    ("COMP-2", bytes.fromhex("c276a00000000000"), -118.625),
    ("COMP-2", bytes(8), 0.0),
    # texts
    ("PIC X(4)", ebcdic("ab  "), "ab"),
    ("PIC X(4)", ebcdic(" ab "), " ab"),
    ("PIC X(4) JUST RIGHT", ebcdic(" ab "), "ab "),
    ("PIC X(4)", ebcdic("    "), None),
    ("PIC X(4)", bytes(4), None),
    ("PIC X(4)", b"\xff" * 4, None),
    ("PIC X(4)", ebcdic("é[ü]"), "é[ü]"),
    ("PIC ZZ9.99-", ebcdic(" 12.50-"), "12.50-"),
    ("PIC N(3)", "Zoë".encode("utf-16-be"), "Zoë"),
    ("PIC N(3)", "日  ".encode("utf-16-be"), "日"),
    ("PIC N(1)", b"\xd8\x00", "encoding"),
]


@pytest.mark.parametrize(("clauses", "data", "value"), VALUES)
def test_values(clauses, data, value):
    found = one(clauses, data)
    assert found == value and type(found) is type(value)


ASCII_VALUES = [
    ("PIC S9(3)", b"12C", 123),
    ("PIC S9(3)", b"12{", 120),
    ("PIC S9(3)", b"12L", -123),
    ("PIC S9(3)", b"12}", -120),
    ("PIC S9(3)", b"12s", -123),
    ("PIC S9(3)", b"123", 123),
    ("PIC S9(3) SIGN LEADING", b"J23", -123),
    ("PIC 9(3)", b"12C", 123),
    ("PIC 9(3)", b"12L", "zoned_decimal"),
    ("PIC 9(3)", b" 12", "zoned_decimal"),
    ("PIC X(3)", b"a\xe9b", "encoding"),
    ("COMP-1", struct.pack(">f", 1.5), 1.5),
    ("COMP-2", struct.pack(">d", -0.1), -0.1),
]


@pytest.mark.parametrize(("clauses", "data", "value"), ASCII_VALUES)
def test_values_in_ascii(clauses, data, value):
    assert one(clauses, data, encoding="ascii") == value


def test_byte_order_and_floats_are_told():
    assert one("PIC S9(4) COMP-5", struct.pack("<h", -2), byte_order="little") == -2
    assert one("PIC S9(4) COMP", struct.pack(">h", -2), byte_order="little") == -2
    assert one("COMP-2", struct.pack("<d", 0.1), byte_order="little", floats="ieee") == 0.1
    assert one("COMP-1", bytes.fromhex("c276a000"), encoding="ascii", floats="ibm") == -118.625


@pytest.mark.parametrize(("encoding", "data"), [("cp1140", b"\x9f"), ("cp037", b"\x4a"), ("cp1047", b"\xad")])
def test_code_pages(encoding, data):
    assert one("PIC X", data, encoding=encoding) == {"cp1140": "€", "cp037": "¢", "cp1047": "["}[encoding]


def test_texts_of_several_bytes():
    assert one("PIC X(6)", "Zoë  ".encode(), encoding="utf-8") == "Zoë"
    assert one("PIC X(4)", "日本".encode("shift_jis"), encoding="shift_jis") == "日本"
    assert one("PIC X(4)", b"ab\xc3 ", encoding="utf-8") == "encoding"


# -- records

BOOK = """
01 CUSTOMER.
   05 ID        PIC 9(3).
   05 NAME      PIC X(5).
   05 BALANCE   PIC S9(3)V99 COMP-3.
"""
RECORDS = [
    ebcdic("001Anna ") + packed("12345", "c"),
    ebcdic("002Ben  ") + packed("00050", "d"),
    ebcdic("003Zoë  ") + packed("00000", "c"),
]
ROWS = [(1, "Anna", D("123.45")), (2, "Ben", D("-0.50")), (3, "Zoë", D("0.00"))]


def rdw(record: bytes) -> bytes:
    return struct.pack(">HH", len(record) + 4, 0) + record


def bdw(records: list[bytes]) -> bytes:
    body = b"".join(map(rdw, records))
    return struct.pack(">HH", len(body) + 4, 0) + body


FRAMED = [
    ("F", b"".join(RECORDS)),
    ("V", b"".join(map(rdw, RECORDS))),
    ("VB", bdw(RECORDS[:2]) + bdw(RECORDS[2:])),
]


@pytest.mark.parametrize(("recfm", "data"), FRAMED)
@pytest.mark.parametrize("block_bytes", [None, 1, 11, 16])
@pytest.mark.parametrize("declared", [False, True])
def test_framing(recfm, data, block_bytes, declared):
    cobol = {"copybook": BOOK, **({"recfm": recfm} if declared else {})}
    outcome = read_as("cobol", data, block_bytes=block_bytes, cobol=cobol)
    assert (outcome.rows, outcome.lines, outcome.faults) == (ROWS, [1, 2, 3], [])
    found = outcome.findings[0].data
    assert (found["recfm"], found["encoding"]) == (recfm, "cp037")


def test_a_bad_record_is_refused_with_its_place():
    data = RECORDS[0] + ebcdic("002Ben  ") + b"\x00\x0a\x0c" + RECORDS[2]
    for recfm, whole, start in (("F", data, 11), ("V", b"".join(rdw(data[i : i + 11]) for i in (0, 11, 22)), 19)):
        outcome = read_as("cobol", whole, cobol={"copybook": BOOK, "recfm": recfm})
        assert (outcome.rows, outcome.lines) == ([ROWS[0], ROWS[2]], [1, 3])
        (rejected,) = outcome.rejected
        assert (rejected.line, rejected.rule, rejected.column) == (2, "packed_decimal", "balance")
        assert (rejected.byte_start, rejected.byte_end) == (start, start + 11)
        assert rejected.raw == data[11:22]


LENGTHS = [
    ("F", b"".join(RECORDS)[:-1], [(3, "record_length")]),
    ("V", b"".join(map(rdw, [RECORDS[0], RECORDS[1][:-1], RECORDS[2]])), [(2, "record_length")]),
    ("V", b"".join(map(rdw, [RECORDS[0], RECORDS[1] + b"\0", RECORDS[2]])), [(2, "record_length")]),
    ("V", b"".join(map(rdw, [RECORDS[0], b"", RECORDS[2]])), [(2, "record_length")]),
    ("V", b"".join(map(rdw, RECORDS))[:-1], [(3, "truncated")]),
]


@pytest.mark.parametrize(("recfm", "data", "faults"), LENGTHS)
def test_lengths_are_checked(recfm, data, faults):
    outcome = read_as("cobol", data, encoding="cp037", cobol={"copybook": BOOK, "recfm": recfm})
    assert outcome.faults == faults
    assert outcome.lines == [line for line in (1, 2, 3) if line != faults[0][0]]


BAD_WORDS = [b"\x00\x03\x00\x00", b"\x00\x0f\x01\x00" + RECORDS[0], b"\x00\x0f", b"\xff\xff\xff\xff", bytes(8)]


@pytest.mark.parametrize("data", BAD_WORDS)
@pytest.mark.parametrize("recfm", ["V", "VB"])
def test_descriptor_words_that_cannot_be(data, recfm):
    with pytest.raises(BadInput) as error:
        read_as(
            "cobol",
            (rdw(RECORDS[0]) if recfm == "V" else bdw(RECORDS)) + data,
            cobol={"copybook": BOOK, "recfm": recfm},
        )
    assert error.value.code == "bad_descriptor"


def test_lines_of_ascii():
    book = "01 R. 05 ID PIC 9(3). 05 AMT PIC S9(3)V99. 05 NAME PIC X(5)."
    data = b"0011234EAnna\r\n0020000}\r\n\r\n003x\r\n00400001toolong\r\n"
    for block_bytes in (None, 1, 9):
        outcome = read_as("cobol", data, block_bytes=block_bytes, cobol={"copybook": book, "recfm": "text"})
        assert outcome.rows == [(1, D("123.45"), "Anna"), (2, D("0.00"), None)]
        assert outcome.lines == [1, 2]
        assert outcome.faults == [(4, "zoned_decimal"), (5, "record_length")]
    found = read_as("cobol", data[:12] + b"\n", cobol={"copybook": book}).findings[0].data
    assert (found["recfm"], found["encoding"]) == ("text", "ascii")


MIXED_BOOK = "01 R. 05 D PIC S9(16)V9(15) COMP-3. 05 E PIC S9(15)V9(16) COMP-3. 05 X PIC X(2)."


@pytest.mark.parametrize("frame", [lambda rs: b"".join(rs), lambda rs: b"".join(map(rdw, rs)), bdw])
@pytest.mark.parametrize(("encoding", "pair"), [("ascii", "40"), ("cp037", "30")])
def test_the_encoding_is_told_by_what_are_characters(frame, encoding, pair):
    number = bytes.fromhex(pair * 15 + pair[0] + "c")  # looks like characters of the other
    outcome = read_as("cobol", frame([number * 2 + "Ab".encode(encoding)] * 3), cobol={"copybook": MIXED_BOOK})
    assert outcome.findings[0].data["encoding"] == encoding
    assert [row[-1] for row in outcome.rows] == ["Ab"] * 3


def test_floats_are_not_guessed():
    book = "01 R. 05 A COMP-2. 05 B PIC X(2)."
    data = struct.pack(">d", 1.5) + bytes(2)
    error = refusal("cobol", data, cobol={"copybook": book, "recfm": "F"})
    assert error is not None and error.code == "encoding_unknown"
    assert read_as("cobol", data, cobol={"copybook": book, "recfm": "F", "floats": "ieee"}).rows == [(1.5, None)]
    assert read_as("cobol", data[:8] + b"AB", cobol={"copybook": book, "recfm": "F"}).rows == [(1.5, "AB")]


def test_a_framing_that_is_not_known_is_not_taken_for_fixed_length():
    book = "01 R. 05 A PIC X(6). 05 B PIC X(4)."
    data = b"".join(struct.pack(">HH", 10, 0) + b"Anna  0001" for _ in range(6))  # GnuCOBOL: without the word itself
    error = refusal("cobol", data, cobol={"copybook": book})
    assert isinstance(error, BadInput) and error.code == "framing_unknown"
    assert read_as("cobol", ebcdic("Anna  0001Ben   0002") + b"\x1a", cobol={"copybook": book}).rows == [
        ("Anna", "0001"),
        ("Ben", "0002"),
    ]


def test_lines_of_ebcdic_end_in_its_own_blanks():
    book = "01 R. 05 A PIC X(4). 05 N PIC 9(2)."
    data = ebcdic("ab") + b"\n" + ebcdic("abcd01") + b"\n"
    outcome = read_as("cobol", data, encoding="cp037", cobol={"copybook": book, "recfm": "text"})
    assert (outcome.rows, outcome.faults) == ([("ab", None), ("abcd", 1)], [])


# -- OCCURS DEPENDING ON

TABLE_BOOK = """
01 R.
   05 N PIC 9.
   05 ITEM OCCURS 0 TO 3 TIMES DEPENDING ON N.
      10 Q PIC S9(3) COMP-3.
      10 T PIC X.
   05 TAIL PIC X(2).
"""


def table_record(items: list[tuple[int, str]], tail: str, count: int | None = None) -> bytes:
    body = b"".join(packed(f"{abs(q):03}", "d" if q < 0 else "c") + ebcdic(t) for q, t in items)
    return ebcdic(str(len(items) if count is None else count)) + body + ebcdic(tail)


def test_tables_of_variable_length():
    records = [
        table_record([], "zz"),
        table_record([(1, "a"), (-2, "b")], "yy"),
        table_record([(7, "c")] * 3, "xx"),
        table_record([(7, "c")] * 3, "ww", count=4),
        table_record([(7, "c")] * 2, "vv", count=3),
        table_record([(7, "c")] * 2, "uu", count=1),
        ebcdic(" ") + ebcdic("tt"),
    ]
    outcome = read_as("cobol", b"".join(map(rdw, records)), cobol={"copybook": TABLE_BOOK, "recfm": "V"})
    assert outcome.rows == [
        (0, None, None, None, None, None, None, "zz"),
        (2, 1, "a", -2, "b", None, None, "yy"),
        (3, 7, "c", 7, "c", 7, "c", "xx"),
    ]
    assert [(r.line, r.rule) for r in outcome.rejected if r.line != 5] == [
        (4, "occurs_count"), (6, "record_length"), (7, "occurs_count")
    ]  # fmt: skip
    assert 5 in [r.line for r in outcome.rejected]


def test_tables_in_records_of_fixed_length():
    record = table_record([(1, "a")], "zz").ljust(12, b"\0")
    outcome = read_as("cobol", record * 2, cobol={"copybook": TABLE_BOOK, "recfm": "F"})
    assert outcome.rows == [(1, 1, "a", None, None, None, None, "zz")] * 2


# -- REDEFINES

KINDS_BOOK = """
01 R.
   05 KIND PIC X.
   05 AS-NUMBER.
      10 NUM PIC S9(7) COMP-3.
   05 AS-DATE REDEFINES AS-NUMBER PIC 9(4).
   05 TAIL PIC X.
"""
KIND_RECORDS = [
    ebcdic("N") + packed("0000123", "d") + ebcdic("z"),
    ebcdic("D") + ebcdic("1224") + ebcdic("z"),
    ebcdic("N") + b"\xaa\xaa\xaa\xaa" + ebcdic("z"),
    ebcdic("X") + ebcdic("1225") + ebcdic("z"),
]
CHOSEN = {"AS-NUMBER": {"field": "KIND", "values": ["N"]}, "as_date": {"field": "kind", "values": ["D"]}}


def test_every_alternative_that_fits():
    outcome = read_as("cobol", b"".join(KIND_RECORDS), cobol={"copybook": KINDS_BOOK, "recfm": "F"})
    assert outcome.rows == [("N", -123, None, "z"), ("D", None, 1224, "z"), ("X", None, 1225, "z")]
    assert outcome.faults == [(3, "packed_decimal")]


def test_alternatives_that_are_chosen():
    options = {"copybook": KINDS_BOOK, "recfm": "F", "redefines": CHOSEN}
    outcome = read_as("cobol", b"".join(KIND_RECORDS), cobol=options)
    assert outcome.rows == [("N", -123, None, "z"), ("D", None, 1224, "z"), ("X", None, None, "z")]
    assert outcome.faults == [(3, "packed_decimal")]
    swapped = b"".join(record.replace(ebcdic("N"), ebcdic("D")) for record in KIND_RECORDS)
    assert read_as("cobol", swapped, cobol=options).faults == [(1, "zoned_decimal"), (3, "zoned_decimal")]


def test_one_alternative_is_chosen_and_the_other_is_left_open():
    options = {"copybook": KINDS_BOOK, "recfm": "F", "redefines": {"as-number": CHOSEN["AS-NUMBER"]}}
    outcome = read_as("cobol", b"".join(KIND_RECORDS), cobol=options)
    assert outcome.rows == [("N", -123, None, "z"), ("D", None, 1224, "z"), ("X", None, 1225, "z")]
    assert outcome.faults == [(3, "packed_decimal")]


def test_alternatives_inside_alternatives():
    book = """
    01 R.
       05 A PIC 9(4).
       05 B REDEFINES A.
          10 B1 PIC S9(3) COMP-3.
          10 B2 PIC 9(2).
          10 B3 REDEFINES B2 PIC S9(3) COMP-3.
    """
    data = (
        ebcdic("1234") + packed("123", "c") + ebcdic("45") + packed("123", "c") * 2 + packed("123", "c") + b"\xaa\xaa"
    )
    outcome = read_as("cobol", data, encoding="cp037", cobol={"copybook": book, "recfm": "F"})
    assert outcome.rows == [(1234, None, None, None), (None, 123, 45, None), (None, 123, None, 123)]
    assert outcome.faults == [(4, "zoned_decimal")]


@pytest.mark.parametrize("redefines", [{"NOPE": CHOSEN["AS-NUMBER"]}, {"AS-NUMBER": {"field": "NUM", "values": ["1"]}}])
def test_selectors_that_cannot_be(redefines):
    error = refusal("cobol", KIND_RECORDS[0], cobol={"copybook": KINDS_BOOK, "redefines": redefines})
    assert error is not None and error.code == "unknown_redefines"


# -- options

TWO = "01 A. 05 X PIC X(2). 01 B. 05 Y PIC 9(2)."


def test_the_record_is_chosen():
    assert read_as("cobol", ebcdic("12"), cobol={"copybook": TWO, "record": "B", "recfm": "F"}).rows == [(12,)]
    for options in ({}, {"record": "C"}):
        error = refusal("cobol", ebcdic("12"), cobol={"copybook": TWO, **options})
        assert error is not None and error.code == "record_not_chosen"


def test_declared_columns():
    book = "01 R. 05 D PIC 9(8). 05 P PIC 9(6) COMP-3. 05 X PIC X(3)."
    data = ebcdic("20240131") + packed("000042", "f") + ebcdic("1.5")
    data += (
        ebcdic("00000000")
        + packed("123456", "f")
        + ebcdic("2  ")
        + ebcdic("20240230")
        + packed("1", "f").rjust(4, b"\0")
    )
    columns = [
        {"name": "day", "source_name": "d", "type": "date", "format": "%Y%m%d"},
        {"name": "p", "type": "string"},
        {"name": "x", "type": "decimal(4,1)"},
    ]
    outcome = read_as(
        "cobol",
        data + ebcdic("x  "),
        columns=columns,
        null_values=("00000000",),
        cobol={"copybook": book, "recfm": "F"},
    )
    assert outcome.rows == [(date(2024, 1, 31), "000042", D("1.5")), (None, "123456", D("2.0"))]
    assert outcome.faults == [(3, "type")]
    error = refusal("cobol", data, columns=[{"name": "nope"}], cobol={"copybook": book})
    assert error is not None and error.code == "unknown_column"


def test_one_item_makes_several_columns_and_may_take_the_name_of_another():
    book = "01 R. 05 D PIC 9(8). 05 X PIC X. 05 Y PIC X."
    columns = [
        {"name": "day", "source_name": "d", "type": "date", "format": "%Y%m%d"},
        {"name": "d"},
        {"name": "text", "source_name": "d", "type": "string"},
        {"name": "y", "source_name": "x"},
    ]
    outcome = read_as("cobol", ebcdic("20240131ab"), columns=columns, cobol={"copybook": book, "recfm": "F"})
    assert list(outcome.schema) == ["day", "d", "text", "y"]
    assert outcome.rows == [(date(2024, 1, 31), 20240131, "20240131", "a")]


@pytest.mark.parametrize("digits", [18, 19, 38])
def test_long_numbers_keep_their_zeros_as_texts(digits):
    book = f"01 R. 05 A PIC 9({digits}). 05 B PIC 9({digits}) COMP-3."
    data = ebcdic("42".zfill(digits)) + packed("42".zfill(digits), "f")
    columns = [{"name": name, "type": "string"} for name in ("a", "b")]
    outcome = read_as("cobol", data, columns=columns, encoding="cp037", cobol={"copybook": book, "recfm": "F"})
    assert outcome.rows == [("42".zfill(digits),) * 2]


def test_without_a_copybook():
    error = refusal("cobol", RECORDS[0])
    assert error is not None and error.code == "layout_required"
    assert FORMAT.sniff(b"".join(RECORDS) + ebcdic("SOME TEXT OF EBCDIC"), "x") == 0.5
    assert FORMAT.sniff(b"some text of ASCII, 12345\n", "x") == 0.1
    assert FORMAT.sniff(b"PAR1....", "x") == 0.0


def test_empty():
    error = refusal("cobol", b"", cobol={"copybook": BOOK})
    assert error is not None and error.code == "empty_object"


def test_types():
    book = "01 R. 05 A PIC 9(5)V99. 05 B PIC S9(18). 05 C PIC 9(19). 05 D COMP-1. 05 E PIC S9(2)V99 COMP."
    outcome = read_as(
        "cobol", ebcdic("0" * 44) + bytes(4) + bytes(2), encoding="cp037", cobol={"copybook": book, "recfm": "F"}
    )
    assert list(outcome.schema.values()) == [
        pl.Decimal(7, 2),
        pl.Int64(),
        pl.Decimal(19, 0),
        pl.Float64(),
        pl.Decimal(5, 2),
    ]
    assert outcome.rows == [(D("0.00"), 0, D("0"), 0.0, D("0.00"))]


# -- properties

ENCODED = st.tuples(
    st.integers(0, 999),
    st.text("abcXYZ09 é", max_size=6).map(lambda text: text.rstrip(" ")),
    st.integers(-(10**9) + 1, 10**9 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(10**25) + 1, 10**25 - 1),
)
ENCODED_BOOK = """
01 R.
   05 A PIC 9(3).
   05 B PIC X(6).
   05 C PIC S9(7)V99 COMP-3.
   05 D PIC S9(9) COMP.
   05 E PIC S9(21)V9(4) SIGN LEADING SEPARATE.
"""


def encode(row: tuple[int, str, int, int, int]) -> bytes:
    a, b, c, d, e = row
    return (
        ebcdic(f"{a:03}{b:6}")
        + packed(f"{abs(c):09}", "d" if c < 0 else "c")
        + struct.pack(">i", d)
        + ebcdic(f"{'-' if e < 0 else '+'}{abs(e):025}")
    )


@settings(max_examples=60)
@given(st.lists(ENCODED, min_size=1, max_size=20), st.sampled_from(["F", "V", "VB"]), st.integers(1, 99))
def test_what_is_encoded_is_read(rows, recfm, block_bytes):
    records = [encode(row) for row in rows]
    data = {"F": b"".join(records), "V": b"".join(map(rdw, records)), "VB": bdw(records)}[recfm]
    cobol = {"copybook": ENCODED_BOOK, "recfm": recfm}
    outcome = read_as("cobol", data, block_bytes=block_bytes, encoding="cp037", cobol=cobol)
    assert outcome.faults == []
    assert outcome.rows == [(a, b or None, D(c).scaleb(-2), d, D(e).scaleb(-4)) for a, b, c, d, e in rows]


@settings(max_examples=80)
@given(
    st.binary(max_size=200),
    st.sampled_from([BOOK, TABLE_BOOK, KINDS_BOOK, ENCODED_BOOK]),
    st.sampled_from([None, "F", "V", "VB", "text"]),
    st.sampled_from([None, "cp037", "utf-8", "shift_jis"]),
    st.integers(1, 64),
)
def test_any_bytes(data, book, recfm, encoding, block_bytes):
    refusal("cobol", data, block_bytes=block_bytes, encoding=encoding, cobol={"copybook": book, "recfm": recfm})


@settings(max_examples=60)
@given(st.lists(st.integers(0, 10), max_size=12), st.randoms(use_true_random=False))
def test_every_record_is_a_row_or_refused(kinds, random):
    records = [bytes(random.randrange(256) for _ in range(11)) if kind > 7 else RECORDS[kind % 3] for kind in kinds]
    if not records:
        return
    outcome = read_as("cobol", b"".join(records), encoding="cp037", cobol={"copybook": BOOK, "recfm": "F"})
    assert sorted(outcome.lines + [r.line for r in outcome.rejected]) == list(range(1, len(records) + 1))
