"""Plain text, one row per line; and what no format knows, kept without a loss."""

from __future__ import annotations

import pytest
from delimited_kit import source_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layouts_kit import read_as, refusal

from base_ops.worker.formats.delimited.encoding import byte_order_mark
from base_ops.worker.formats.detect import detect
from base_ops.worker.formats.registry import get_format

PROSE = b"It was the best of times, it was the worst of times,\nit was the age of wisdom.\n\nIt was.\n"


@pytest.mark.parametrize("block_bytes", [None, 1, 5, 64])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_row_per_line(block_bytes, encoding):
    data = "first é\r\n\n second \nlast".encode(encoding)
    outcome = read_as("txt", data, block_bytes=block_bytes, encoding=encoding)
    assert outcome.rows == [("first é",), ("",), (" second ",), ("last",)]
    assert (outcome.lines, outcome.faults) == ([1, 2, 3, 4], [])


def test_lines_that_are_no_text():
    data = b"ok\nnul \0 here\nbad \xff byte\n" + b"x" * 200 + b"\nend\n"
    for block_bytes in (None, 3, 50):
        outcome = read_as("txt", data, block_bytes=block_bytes, encoding="utf-8", max_record_bytes=100)
        assert (outcome.rows, outcome.lines) == ([("ok",), ("end",)], [1, 5])
        assert outcome.faults == [(2, "nul_byte"), (3, "encoding"), (4, "record_too_long")]


def test_options():
    outcome = read_as(
        "txt", b"title\n# no\n12\nx\n", skip_lines=1, comment="#", columns=[{"name": "n", "type": "int64"}]
    )
    assert (outcome.rows, outcome.lines, outcome.faults) == ([(12,)], [3], [(4, "type")])
    error = refusal("txt", b"x\n", columns=[{"name": "a"}, {"name": "b"}])
    assert error is not None and error.code == "columns_differ"


def test_prose_is_found_and_tables_are_left_to_others():
    assert detect(source_of(PROSE, "object")).format == "txt"
    assert detect(source_of(b"[section]\nkey = value of it\n", "object.unknown")).format != "csv"
    assert detect(source_of(b"name\nAnna\nBen\n", "object")).format == "csv"
    sniff = get_format("txt").sniff
    assert sniff(b"a\0b", "x.txt") == sniff(bytes(range(256)), "x") == sniff(b"", "x") == 0.0
    assert 0.15 <= sniff(b"a\nb\n", "x") < 0.2
    assert sniff(PROSE, "x.json") < 0.15  # that is a damaged document


@pytest.mark.parametrize("format", ["txt", "raw_text"])
def test_empty(format):
    error = refusal(format, b"")
    assert error is not None and error.code == "empty_object"


def test_raw_text_tells_how_to_get_the_bytes_back():
    outcome = read_as("raw_text", b"text \xc3\xa9\r\n\xff\xfe\0\nend")
    assert outcome.rows == [("text é\r", "utf-8"), ("ÿþ\0", "latin-1"), ("end", "utf-8")]
    assert outcome.lines == [1, 2, 3]
    assert outcome.findings[0].code == "raw_text"


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=400), st.integers(1, 50))
def test_raw_text_loses_nothing(data, block_bytes):
    outcome = read_as("raw_text", data, block_bytes=block_bytes, max_record_bytes=64)
    found, line = b"", 1
    for (text, encoding), number in zip(outcome.rows, outcome.lines, strict=True):
        found += b"\n" * (number - line) + text.encode(encoding)
        line = number
    assert found + b"\n" * data.endswith(b"\n") == data
    assert outcome.faults == []


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=400), st.integers(1, 50))
def test_every_line_is_a_row_or_refused(data, block_bytes):
    assume(byte_order_mark(data) == ("", 0))
    outcome = read_as("txt", data, block_bytes=block_bytes, encoding="utf-8", max_record_bytes=64)
    lines = data.removesuffix(b"\n").count(b"\n") + 1
    numbers = sorted(outcome.lines + [r.line for r in outcome.rejected])
    assert numbers == list(range(1, lines + 1 - (data.rsplit(b"\n", 1)[-1] == b"\x1a")))


@settings(max_examples=60)
@given(st.binary(max_size=300), st.sampled_from([None, "utf-16", "shift_jis", "cp037"]))
def test_any_bytes(data, encoding):
    refusal("txt", data, encoding=encoding)
