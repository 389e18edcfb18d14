"""Arbitrary and mutilated input: no crash, and every line is a row, refused, or reported as passed over."""

from __future__ import annotations

import csv
import io
import re

from delimited_kit import Outcome, read
from delimited_pollution import sound
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError

_SOUP = st.text(st.sampled_from(list("ab1.,;\t|\"'\\\n\r #-/:€é\0$%")), max_size=120)


def attempt(data: bytes, **spec: object) -> Outcome | None:
    """What was read; None where the object was refused as a whole."""
    try:
        return read(data, **spec)  # type: ignore[arg-type]
    except (BadInput, ConfigError) as error:
        assert error.code
        return None


def accounted(found: Outcome) -> int:
    """Lines that became something, of a file in which a record is a line."""
    passed = sum(int(f.data["count"]) for f in found.findings if "count" in f.data)  # type: ignore[arg-type]
    header = next(f for f in found.findings if f.code == "dialect").data["header"]
    return found.frame.height + sum(r.records for r in found.rejected) + passed + bool(header)


def lines_of(text: str, found: Outcome) -> int:
    eol = next(f for f in found.findings if f.code == "dialect").data["eol"]
    lines = text.split("\r") if eol == "\r" else re.split("\r\n|\r|\n", text)
    return len(lines) - (lines[-1] == "")


@settings(max_examples=300)
@given(st.binary(max_size=400), st.integers(2, 60))
def test_any_bytes(data, block_bytes):
    attempt(data, block_bytes=block_bytes)


@settings(max_examples=400)
@given(_SOUP, st.integers(2, 60), st.sampled_from([None, ",", ";", " "]), st.sampled_from([None, True, False]))
def test_any_soup(text, block_bytes, delimiter, header):
    attempt(text.encode(), block_bytes=block_bytes, delimiter=delimiter, header=header)


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(["", "a", "b,c", "1,2", "1,2,3", "x,y,z", "T", "4,,", ",,", "#c", "2024-01-01,5"]), max_size=30),
    st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=30, max_size=30),
    st.integers(2, 60),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "#"]),
)  # fmt: skip
def test_every_line_is_accounted_for(lines, ends, block_bytes, header, comment):
    text = "".join(line + end for line, end in zip(lines, ends, strict=False))
    found = attempt(text.encode(), block_bytes=block_bytes, header=header, comment=comment, quote="", delimiter=",")
    if found is not None:
        assert accounted(found) == lines_of(text, found)


_PLAIN = sound(30).bytes()


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, len(_PLAIN) - 1), st.integers(0, 12), st.binary(max_size=6)), min_size=1, max_size=6
    ),
    st.integers(40, 400),
)
def test_mutilated_file(edits, block_bytes):
    data = _PLAIN
    for place, length, put in edits:
        data = data[:place] + put + data[place + length :]
    found = attempt(data, block_bytes=block_bytes, encoding="utf-8")
    if found is not None and b'"' not in data:
        assert accounted(found) == lines_of(data.decode("utf-8", "replace"), found)


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.text('ab 1.,-"é', max_size=5), min_size=3, max_size=3), min_size=1, max_size=20),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_values_are_those_of_the_csv_module(table, newline):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=newline, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *table])
    columns = [{"name": name, "type": "string"} for name in "abc"]
    found = read(text.getvalue().encode(), columns=columns, header=True, delimiter=",", quote='"', escape='"')
    expected = list(csv.reader(io.StringIO(text.getvalue(), newline="")))[1:]
    assert [list(row) for row in found.rows] == [row for row in expected if row != ["a", "b", "c"]]


def test_a_count_that_comes_out_even_hides_no_ragged_record():
    """One cell too few and one too many make an even count; bytes that are no UTF-8 make the block be read twice."""
    found = read(b"1,2,3\n" * 40 + b"007,2\n1,2,3,4\n5,\xff,6\n", encoding="utf-8", header=False)
    assert found.faults == [(41, "ragged_short"), (42, "ragged_long"), (43, "encoding")]
    assert found.frame.height == 40
