"""Copybooks: pictures, clauses, forms of the source, places of the items; and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import ConfigError
from base_ops.worker.formats.cobol.copybook import parse_copybook
from base_ops.worker.formats.cobol.layout import RecordLayout, lay_out
from base_ops.worker.formats.cobol.picture import BadPicture, Picture, parse_picture

PICTURES = [
    ("X", Picture("text", 1)),
    ("X(10)", Picture("text", 10)),
    ("XX(3)X", Picture("text", 5)),
    ("A(4)", Picture("text", 4)),
    ("X(3)B9", Picture("text", 5)),
    ("9", Picture("number", 1)),
    ("s9(5)v9(2)", Picture("number", 7, 2, True)),
    ("S9(5)V99", Picture("number", 7, 2, True)),
    ("9(4)V9(4)", Picture("number", 8, 4)),
    ("V9(4)", Picture("number", 4, 4)),
    ("9(3)P(3)", Picture("number", 3, -3)),
    ("9(3)PPPV", Picture("number", 3, -3)),
    ("VPP9(3)", Picture("number", 3, 5)),
    ("PP9(3)", Picture("number", 3, 5)),
    ("N(8)", Picture("national", 8)),
    ("ZZ,ZZ9.99-", Picture("edited", 10)),
    ("$$,$$9.99CR", Picture("edited", 11)),
    ("99/99/9999", Picture("edited", 10)),
    ("+9(4).99", Picture("edited", 8)),
    ("Z(5)V99", Picture("edited", 7)),
]


@pytest.mark.parametrize(("text", "picture"), PICTURES)
def test_pictures(text, picture):
    assert parse_picture(text) == picture


BAD_PICTURES = [
    "",
    "S",
    "9(0)",
    "9()",
    "9(-1)",
    "(3)",
    "X(",
    "9(39)",
    "Q",
    "9P9",
    "P9P",
    "X(999999999)",
    "9(19)P(30)",
    "SX",
]


@pytest.mark.parametrize("text", BAD_PICTURES)
def test_pictures_that_are_none(text):
    with pytest.raises(BadPicture):
        parse_picture(text)


def layout_of(copybook: str, form: str | None = None, max_columns: int = 2000) -> RecordLayout:
    (record,) = parse_copybook(copybook, form)
    return lay_out(record, max_columns, 1 << 20)


def places(copybook: str, form: str | None = None) -> list[tuple[str, int, int]]:
    return [(leaf.name, leaf.place.fixed, leaf.size) for leaf in layout_of(copybook, form).leaves]


SIZES = [
    ("PIC X(7)", 7),
    ("PIC 9(5)", 5),
    ("PIC S9(5)", 5),
    ("PIC S9(5) SIGN LEADING", 5),
    ("PIC S9(5) SIGN IS TRAILING SEPARATE CHARACTER", 6),
    ("PIC S9(5) LEADING SEPARATE", 6),
    ("PIC 9(5) SIGN TRAILING SEPARATE", 5),
    ("PIC S9(4) COMP", 2),
    ("PIC S9(5) BINARY", 4),
    ("PIC 9(9) USAGE IS COMP-4", 4),
    ("PIC 9(10) COMPUTATIONAL", 8),
    ("PIC S9(18) COMP-5", 8),
    ("COMP-1", 4),
    ("USAGE COMP-2", 8),
    ("PIC S9(5) COMP-3", 3),
    ("PIC S9(6) PACKED-DECIMAL", 4),
    ("COMP-3 PIC S9(7)V99", 5),
    ("PIC N(3)", 6),
    ("PIC N(3) USAGE NATIONAL", 6),
    ("PIC ZZ9.99", 6),
    ("PIC X(3) VALUE 'A. B'", 3),
    ('PIC X(3) VALUE "it\'s".', 3),
    ("PIC X(3) VALUE ALL SPACES JUSTIFIED RIGHT", 3),
    ("PIC X(3) VALUE IS 'A' & X'00' & 'C' JUST", 3),
    ("PIC S9(3) VALUE -1.5 COMP-3", 2),
    ("PIC X(3) VALUE IS ALL '*'", 3),
    ("PIC 9(3) BLANK WHEN ZERO SYNC", 3),
]


@pytest.mark.parametrize(("clauses", "size"), SIZES)
def test_sizes(clauses, size):
    found = places(f"01 R. 05 A {clauses.rstrip('.')}. 05 B PIC X.")
    assert found == [("a", 0, size), ("b", size, 1)]


FIXED = "".join(
    line.ljust(72) + "REC00010\n"
    for line in (
        "000100*  A COMMENT. 01 NOT-THIS.",
        "000200 01  REC.",
        "000300     05  FIRST-NAME",
        "000400         PIC X(10).",
        "000500     05  AMOUNT PIC S9(5)V9",
        "000600-                            9 COMP-3.",
        "000700/",
        "000710D    05  DEBUGGED PIC X(9).",
        "000720d    05  DEBUGGED PIC X(9).",
        "000800     05  T PIC X(4) VALUE 'AB",
        "000900-    'CD'.",
        "001000     05  FILLER PIC X(2).",
        "001100     05  LAST-ONE PIC 9.",
    )
)


def test_fixed_form():
    found = [("first_name", 0, 10), ("amount", 10, 4), ("t", 14, 4), ("last_one", 20, 1)]
    assert places(FIXED) == found
    assert places(FIXED, "fixed") == found
    blank = "\n".join(" " * 6 + line[6:72].rstrip() for line in FIXED.splitlines())
    assert places(blank) == found


def test_free_form():
    copybook = """
01 REC. *> the record
  * a comment
  05 A PIC X(3).
  05 B PIC 9(3)
     COMP-3.
"""
    assert places(copybook) == [("a", 0, 3), ("b", 3, 2)]


def test_lines_longer_than_a_card_are_of_free_form():
    copybook = f"       01 REC.\n           05 A PIC X(3).{' ' * 50}05 B PIC X(2).\n           05 C PIC X.\n"
    assert places(copybook) == [("a", 0, 3), ("b", 3, 2), ("c", 5, 1)]


@pytest.mark.parametrize("form", ["fixed", "free"])
def test_statements_for_the_listing_are_passed_over(form):
    lines = ("TITLE 'BOOK'", "01 REC.", "EJECT", "    05 A PIC X.", "SKIP1", "    05 B PIC X.", "skip3.")
    assert places("".join(f"       {line}\n" for line in lines), form) == [("a", 0, 1), ("b", 1, 1)]


def test_groups_fillers_and_names():
    copybook = """
    01 REC.
       05 HEAD.
          10 ID PIC 9(3).
          10 FILLER PIC X(2).
       05 BODY.
          10 ID PIC 9(4).
          10 VAL PIC X.
       05 PIC X(5).
       88 IS-ON VALUE 'Y'.
       66 ALIAS RENAMES VAL.
    """
    assert places(copybook) == [("head.id", 0, 3), ("body.id", 5, 4), ("val", 9, 1)]


def test_part_of_a_record():
    assert places("05 A PIC X. 05 B PIC X(2).") == [("a", 0, 1), ("b", 1, 2)]
    assert places("10 A PIC X.\n10 B PIC X(2).\n77 W PIC 9.\n") == [("a", 0, 1), ("b", 1, 2)]


def test_occurs():
    copybook = """
    01 R.
       05 N PIC 9.
       05 ROW OCCURS 2 TIMES INDEXED BY I J.
          10 K PIC X(2).
          10 C PIC 9 OCCURS 3.
       05 Z PIC X.
    """
    names = ["n", "k_1", "c_1_1", "c_1_2", "c_1_3", "k_2", "c_2_1", "c_2_2", "c_2_3", "z"]
    assert [(name, place) for name, place, _ in places(copybook)] == list(
        zip(names, [0, 1, 3, 4, 5, 6, 8, 9, 10, 11], strict=True)
    )


def test_redefines():
    copybook = """
    01 R.
       05 KIND PIC X.
       05 A PIC X(6).
       05 B REDEFINES A.
          10 B1 PIC 9(2).
          10 B2 PIC X(4).
          10 B3 REDEFINES B2 PIC S9(7) COMP-3.
       05 C REDEFINES A PIC 9(4).
       05 Z PIC X.
    """
    found = layout_of(copybook)
    assert [(f.name, f.place.fixed) for f in found.leaves] == [
        ("kind", 0), ("a", 1), ("b1", 1), ("b2", 3), ("b3", 3), ("c", 1), ("z", 7)
    ]  # fmt: skip
    assert found.storages == [["A", "B", "C"], ["B2", "B3"]]
    assert found.size.fixed == 8


def test_occurs_depending_on():
    copybook = """
    01 R.
       05 N PIC 9(2).
       05 ROW OCCURS 1 TO 3 TIMES DEPENDING ON N.
          10 Q PIC 9(2).
       05 Z PIC X(3).
    """
    found = layout_of(copybook)
    assert (found.least_bytes, found.most_bytes) == (7, 11)
    assert [leaf.name for leaf in found.leaves] == ["n", "q_1", "q_2", "q_3", "z"]
    assert found.leaves[-1].place.terms == ((0, 2),)


@pytest.mark.parametrize(("of", "counter"), [("OF K", "k.n"), ("IN H OF R", "h.n"), ("OF K OF R", "k.n")])
def test_what_occurs_depends_on_may_be_qualified(of, counter):
    copybook = f"""
    01 R.
       05 H. 10 N PIC 9.
       05 K. 10 N PIC 9.
       05 A PIC X OCCURS 0 TO 3 TIMES DEPENDING ON N {of}.
    """
    assert layout_of(copybook).tables[0].counter.name == counter


FAULTS = [
    ("", "bad_copybook"),
    ("/path/to/book.cpy", "bad_copybook"),
    ("01 R", "bad_copybook"),
    ("01 R.", "bad_copybook"),
    ("01 R. 05 A PIC X. 05 B.", "bad_copybook"),
    ("01 R. 05 FILLER PIC X.", "bad_copybook"),
    ("01 R. 05 A PIC QQ.", "bad_copybook"),
    ("01 R. 05 A PIC X WHATEVER.", "bad_copybook"),
    ("01 R. 05 A PIC X PIC 9(3).", "bad_copybook"),
    ("01 R. 05 A PIC 9(3) VALUE 0 05 B PIC X(2).", "bad_copybook"),
    ("01 R. 05 A PIC X VALUE 'A' 05 B PIC X(2).", "bad_copybook"),
    ("01 R. 05 A OCCURS 3 INDEXED BY I 05 B PIC X.", "bad_copybook"),
    ("01 R. 50 A PIC X.", "bad_copybook"),
    ("01 R. 05 A PIC.", "bad_copybook"),
    ("HELLO THERE.", "bad_copybook"),
    ("01 R. COPY OTHER.", "copy_not_supported"),
    ("01 R. 05 A PIC X. 05 B REDEFINES C PIC X.", "bad_copybook"),
    ("01 R. 05 A REDEFINES A PIC X.", "bad_copybook"),
    ("01 R. 05 A REDEFINES B PIC X. 05 B REDEFINES A PIC X.", "bad_copybook"),
    ("01 R. 05 A PIC X. 05 M PIC X. 05 B REDEFINES A PIC X.", "bad_copybook"),
    ("01 R. 05 A PIC X OCCURS 0.", "bad_copybook"),
    ("01 R. 05 A PIC X OCCURS -1.", "bad_copybook"),
    ("01 R. 05 A PIC X OCCURS 1 TO 3.", "bad_copybook"),
    ("01 R. 05 A PIC X OCCURS 3 TO 1 DEPENDING ON N.", "bad_copybook"),
    ("01 R. 05 A PIC X OCCURS 1 TO 3 DEPENDING ON N.", "bad_copybook"),
    ("01 R. 05 N PIC X. 05 A PIC X OCCURS 1 TO 3 DEPENDING ON N.", "bad_copybook"),
    ("01 R. 05 H. 10 N PIC 9. 05 A PIC X OCCURS 1 TO 3 DEPENDING ON N OF K.", "bad_copybook"),
    ("01 R. 05 H. 10 N PIC 9. 05 A PIC X OCCURS 1 TO 3 DEPENDING ON N OF R OF H.", "bad_copybook"),
    ("01 R. 05 H. 10 N PIC 9. 05 A PIC X OCCURS 1 TO 3 DEPENDING ON N OF.", "bad_copybook"),
    ("01 R. 05 N PIC 9. 05 G OCCURS 2. 10 A PIC X OCCURS 1 TO 3 DEPENDING ON N.", "bad_copybook"),
    ("01 R. 05 A PIC X OCCURS 1000000000.", "bad_copybook"),
    ("01 R. 05 A PIC X OCCURS 999999999.", "too_many_columns"),
    ("01 R. 05 G OCCURS 99999. 10 H OCCURS 99999. 15 A PIC X.", "too_many_columns"),
    ("01 R. 05 A PIC X. 05 FILLER PIC X OCCURS 999999999.", "record_too_long"),
    ("01 R. 05 A PIC X(1048577).", "record_too_long"),
    ("01 R. 05 A PIC X(9999999999).", "bad_copybook"),
    ("01 R. 05 A USAGE POINTER.", "bad_copybook"),
    ("01 R. 05 A PIC S9(4) COMP SYNC.", "bad_copybook"),
    ("01 R SYNC. 05 A PIC X. 05 B PIC S9(4) COMP.", "bad_copybook"),
    ("01 R. 05 A PIC S9(19) COMP.", "bad_copybook"),
    ("01 R. 05 A PIC 9(3)P COMP.", "bad_copybook"),
    ("01 R. 05 A PIC X. 10 B PIC X.", "bad_copybook"),
    ("01 R. 05 A PIC X VALUE 'open.", "bad_copybook"),
]


@pytest.mark.parametrize(("copybook", "code"), FAULTS)
def test_copybooks_that_cannot_be_read(copybook, code):
    with pytest.raises(ConfigError) as error:
        layout_of(copybook)
    assert error.value.code == code
    assert error.value.where.startswith("read.cobol.copybook")


def test_the_line_is_told():
    with pytest.raises(ConfigError) as error:
        layout_of("01 R.\n  05 A PIC X.\n  05 B PIC ?.\n")
    assert error.value.where == "read.cobol.copybook, line 3"


def test_deep_groups():
    copybook = "".join(f"{level:02} G{level}.\n" for level in range(1, 49)) + "49 A PIC X.\n"
    assert places(copybook) == [("a", 0, 1)]


WORDS = st.sampled_from(
    [
        "01",
        "05",
        "10",
        "49",
        "66",
        "77",
        "88",
        "A",
        "B",
        "R",
        ".",
        "PIC",
        "X",
        "9(5)",
        "S9V9",
        "COMP-3",
        "COMP",
        "OCCURS",
        "3",
        "TO",
        "DEPENDING",
        "ON",
        "REDEFINES",
        "VALUE",
        "'x",
        "SIGN",
        "LEADING",
        "SEPARATE",
        "FILLER",
        "COPY",
        "-1",
        "999999999",
    ]
)


@settings(max_examples=150)
@given(
    st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=30).map(" ".join)),
    st.sampled_from([None, "fixed", "free"]),
)
def test_any_text(copybook, form):
    try:
        for record in parse_copybook(copybook, form):
            lay_out(record, 100, 10_000)
    except ConfigError:
        pass
