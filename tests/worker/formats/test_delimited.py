# ruff: noqa: DTZ001 (naive timestamps are among what is tested)
"""Cases of the delimited reader: each a way in which a row could be lost, doubled or misread."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from delimited_kit import read, source_of

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited import FORMAT
from base_ops.worker.formats.delimited.reader import DelimitedReader
from base_ops.worker.types import type_name


def table(header: str, *lines: str) -> bytes:
    return "".join(f"{line}\n" for line in (header, *lines)).encode()


def many(value: str, count: int = 100) -> list[str]:
    return [value] * count


_TWO = [{"name": "a", "type": "int64"}, {"name": "b", "type": "string"}]

# -- records


RECORDS: list[tuple[str, bytes, list[tuple[Any, ...]], list[int], list[tuple[int, str]]]] = [
    ("plain", b"a,b\n1,x\n2,y\n", [(1, "x"), (2, "y")], [2, 3], []),
    ("no final newline", b"a,b\n1,x\n2,y", [(1, "x"), (2, "y")], [2, 3], []),
    ("crlf", b"a,b\r\n1,x\r\n2,\r\n", [(1, "x"), (2, None)], [2, 3], []),
    ("cr only", b"a,b\r1,x\r2,y\r", [(1, "x"), (2, "y")], [2, 3], []),
    ("cr only, newline in quotes", b'a,b\r1,"x\ny"\r2,y\r', [(1, "x\ny"), (2, "y")], [2, 3], []),
    ("newline in quotes", b'a,b\n1,"x\ny"\n2,"z"\n', [(1, "x\ny"), (2, "z")], [2, 4], []),
    ("crlf in quotes", b'a,b\r\n1,"x\r\ny"\r\n2,"z"\r\n', [(1, "x\r\ny"), (2, "z")], [2, 4], []),
    ("blank lines", b"\n\na,b\n\n1,x\n\r\n2,y\n\n", [(1, "x"), (2, "y")], [5, 7], []),
    ("one column, blank line", b'a\n1\n\n""\n2\n', [(1,), (None,), (2,)], [2, 4, 5], []),
    ("doubled quotes", b'a,b\n1,"x""y"\n2,""""\n', [(1, 'x"y'), (2, '"')], [2, 3], []),
    ("quote inside a bare cell", b'a,b\n1,5" pipe\n2,"q"\n3,y"y\n', [(1, '5" pipe'), (2, "q"), (3, 'y"y')], [2, 3, 4], []),
    ("null and empty", b'a,b\n1,\n2,""\n3,x\n', [(1, None), (2, ""), (3, "x")], [2, 3, 4], []),
    ("long", b"a,b\n1,x\n2,y,z\n3,w\n", [(1, "x"), (3, "w")], [2, 4], [(3, "ragged_long")]),
    ("long by one empty cell", b"a,b\n1,x\n2,y,\n3,w\n", [(1, "x"), (3, "w")], [2, 4], [(3, "ragged_long")]),
    ("long by two empty cells", b"a,b\n1,x\n2,y,,\n3,w\n", [(1, "x"), (3, "w")], [2, 4], [(3, "ragged_long")]),
    ("short", b"a,b\n1,x\n2\n3,w\n", [(1, "x"), (3, "w")], [2, 4], [(3, "ragged_short")]),
    ("short and long cancel out", b"a,b\n1,x\n2\n3,w,\n4,v\n", [(1, "x"), (4, "v")], [2, 5],
     [(3, "ragged_short"), (4, "ragged_long")]),
    ("cut off at the end", b"a,b,c\n1,x,1\n2,y", [(1, "x", 1)], [2], [(3, "ragged_short")]),
    ("nul", b"a,b\n1,x\n2,y\0\n3,w\n", [(1, "x"), (3, "w")], [2, 4], [(3, "nul_byte")]),
    ("nul in a number", b"a,b\n1,x\n2\x00,y\n3,w\n", [(1, "x"), (3, "w")], [2, 4], [(3, "nul_byte")]),
    ("junk behind a quote", b'a,b\n1,x\n2,"y"z\n3,"w"\n', [(1, "x"), (3, "w")], [2, 4], [(3, "malformed_quote")]),
    ("never closed", b'a,b\n1,x\n2,"y\n3,w\n4,v\n', [(1, "x"), (3, "w"), (4, "v")], [2, 4, 5], [(3, "malformed_quote")]),
    ("only the last never closed", b'a,b\n1,x\n2,"y', [(1, "x")], [2], [(3, "malformed_quote")]),
]  # fmt: skip


@pytest.mark.parametrize("block_bytes", [7, 16, None])
@pytest.mark.parametrize(("data", "rows", "lines", "faults"), [c[1:] for c in RECORDS], ids=[c[0] for c in RECORDS])
def test_records(data, rows, lines, faults, block_bytes):
    found = read(data, block_bytes=block_bytes, delimiter=",", header=True)
    assert (found.rows, found.lines, found.faults) == (rows, lines, faults)


def test_invalid_utf8_costs_one_record():
    data = b"a,b\n" + "1,é\n".encode() * 50 + b"2,\xff\n3,ok\n"
    found = read(data)
    assert (found.frame.height, found.faults) == (51, [(52, "encoding")])
    assert found.rejected[0].raw == b"2,\xff"


def test_invalid_utf8_in_a_number():
    found = read(b"a,b\n" + b"1,2\n" * 50 + b"3,\xff\n4,5\n")
    assert (found.frame.height, found.faults) == (51, [(52, "encoding")])


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("block_bytes", [4096, None])
def test_bad_records_among_good_ones(quoted, block_bytes):
    """Ragged records are read with the others and left aside: they must not colour what the others mean."""
    good, bad, lines = [], [], []
    for n in range(4000):
        line, value = n + 2, None if n % 10 == 7 else n / 4
        name = f'"n, {n}"' if quoted else f"n{n}"
        text = f"{n},{name},{'' if value is None else value}"
        if n % 50 == 13:
            text, rule = text + ",x", "ragged_long"
        elif n % 50 == 27:
            text, rule = f"{n},{name}", "ragged_short"
        elif n % 50 == 41:
            text, rule = f"{n},{name},bad", "type"
        elif n % 500 == 55:
            text, rule = f",{name},1", "required"
        else:
            rule = ""
        lines.append(text)
        if rule:
            bad.append((line, rule))
        else:
            good.append((n, name.strip('"'), value))
    columns = [{"name": "id", "type": "int64", "required": True}, {"name": "name"}, {"name": "v", "type": "float64"}]
    found = read(table("id,name,v", *lines), block_bytes=block_bytes, columns=columns)
    assert found.rows == good
    assert found.faults == bad


def test_a_flood_of_bad_records_is_counted():
    found = read(b"a,b\n" + b"1\n" * 12_000 + b"2,x\n" + b"1,2,3\n", header=True, columns=_TWO)
    assert found.rows == [(2, "x")]
    assert sum(r.records for r in found.rejected) == 12_001
    assert len(found.rejected) < 10_010
    assert [r.records for r in found.rejected if r.records > 1] == [2_000]


def test_a_byte_unknown_to_the_encoding_costs_one_record():
    found = read(b"a,b\n1,\xe9\n2,\x81\n3,z\n", encoding="cp1252", header=True)
    assert (found.rows, found.faults) == ([(1, "é"), (3, "z")], [(3, "encoding")])


def test_byte_ranges_lie_in_the_stream_as_encoded():
    text = "a,b\n1,äöü\n2,y,z\n3,€\n4\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"):
        data = text.encode(encoding)
        found = read(data, encoding=encoding, header=True)
        cut = [data[r.byte_start : r.byte_end] for r in found.rejected]
        plain = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(encoding, encoding)
        assert [c.decode(plain) for c in cut] == ["2,y,z", "4"]
        assert [r.raw for r in found.rejected] == cut


def test_raw_is_bounded():
    found = read(b"a,b\n1,x\n2," + b"y" * 10_000 + b",z\n")
    assert len(found.rejected[0].raw) == 4096
    assert found.rejected[0].byte_end - found.rejected[0].byte_start == 10_004


@pytest.mark.parametrize("tail", [b"\n3,w\n", b"\n3,w", b""])
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_line_longer_than_memory_is_passed_over(tail, quote):
    size, step = 24 << 20, 1 << 16

    class Endless:
        def __init__(self) -> None:
            self.parts: Iterator[bytes] = self._make()

        def _make(self) -> Iterator[bytes]:
            yield b"a,b\n1,x\n2," + quote
            for _ in range(size // step):
                yield b"y" * step
            yield quote + tail

        def read(self, size: int) -> bytes:
            return next(self.parts, b"") if size else b""

    @contextmanager
    def opener():
        yield Endless()

    reader = DelimitedReader(ByteSource("x.csv", None, opener), ReadSpec(delimiter=",", header=True))
    reader.block_bytes = 1 << 18
    tracemalloc.start()
    batches = list(reader.batches())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rejected = [r for b in batches for r in b.rejected]
    assert [(r.line, r.rule, r.byte_start) for r in rejected] == [(3, "record_too_long", 8)]
    assert rejected[0].byte_end == 8 + 2 + len(quote) * 2 + size
    assert [row for b in batches for row in b.frame.rows()] == [(1, "x", 2), *([(3, "w", 4)] if tail else [])]
    assert peak < 12 << 20


def test_a_record_over_the_limit_is_refused_alone():
    for cell in ("y" * 100, '"' + "y" * 50 + "\n" + "y" * 50 + '"'):
        found = read(table("a,b", "1,x", f"2,{cell}", "3,w"), max_record_bytes=64)
        assert found.rows == [(1, "x"), (3, "w")]
        assert found.faults == [(3, "record_too_long")]


def test_comments_and_lines_to_skip():
    data = b'report of "today\nmade by x\n# c\na,b\n1,x\n# it\'s "odd\n2,#y\n'
    found = read(data, skip_lines=2, comment="#", delimiter=",")
    assert (found.rows, found.lines, found.faults) == ([(1, "x"), (2, "#y")], [5, 7], [])


def test_escape_character():
    data = b'a,b\n1,"x\\"y, z"\n2,"w"\n3,"back\\\\"\n4,"""\n5,v\n'
    found = read(data, escape="\\", delimiter=",", quote='"')
    assert found.rows == [(1, 'x"y, z'), (2, "w"), (3, "back\\"), (5, "v")]
    assert found.faults == [(5, "malformed_quote")]


def test_escape_without_quotes():
    data = b'a\tb\n1\tx\\\ty\n2\tsay "hi"\n3\t\\\\\n'
    assert read(data, escape="\\", delimiter="\t", quote="", header=True).rows == [
        (1, "x\ty"),
        (2, 'say "hi"'),
        (3, "\\"),
    ]


def test_quotes_switched_off():
    assert read(b'a,b\n1,"x\n2,y"\n', quote="", delimiter=",").rows == [(1, '"x'), (2, 'y"')]


def test_nulls_are_unquoted_tokens():
    data = b'a,b,c\nNULL,NULL,1\n2,"NULL",2\nN/A,nil,3\n4,"say ""NULL""",4\n"NULL",NA,""\n6,None1,6\n'
    assert read(data, header=True).rows == [
        (None, None, 1), (2, "NULL", 2), (None, None, 3), (4, 'say "NULL"', 4), (None, None, None), (6, "None1", 6),
    ]  # fmt: skip


def test_own_null_values():
    assert read(b"a,b\n-,x\n2,-\n3,\n", null_values=("-",), header=True).rows == [(None, "x"), (2, None), (3, "")]


def test_a_block_that_looks_compressed_is_text():
    assert read(b"a\nx\x01y\nz\n", header=True, block_bytes=2).rows == [("x\x01y",), ("z",)]


# -- header


def test_no_column_name_is_lost():
    found = read(b"a, b ,a,,_line,a_2\n1,2,3,4,5,6\n")
    assert list(found.schema) == ["a", "b", "a_3", "column_4", "_line_2", "a_2"]
    assert found.rows == [(1, 2, 3, 4, 5, 6)]
    assert {"duplicate_column", "unnamed_column"} <= found.codes


def test_header_names_may_span_lines():
    found = read(b'"a\nb",c\n1,2\n')
    assert (list(found.schema), found.lines) == (["a\nb", "c"], [3])


def test_without_header():
    found = read(b"1,x\n2,y\n", header=False)
    assert (list(found.schema), found.lines) == (["column_1", "column_2"], [1, 2])


def test_declared_columns_by_name():
    columns = [
        {"name": "id", "source_name": "Id", "type": "string"},
        {"name": "v", "type": "float64", "required": True},
    ]
    found = read(b"v,other,Id\n1,x,007\n,y,8\n3,z,\n", columns=columns)
    assert found.schema == pl.Schema({"v": pl.Float64, "other": pl.String, "id": pl.String})
    assert found.rows == [(1.0, "x", "007"), (3.0, "z", None)]
    assert found.faults == [(3, "required")]
    assert "extra_column" in found.codes


def test_a_missing_declared_column_is_named():
    with pytest.raises(BadInput) as error:
        read(b"a,b\n1,2\n", columns=[{"name": "a"}, {"name": "price"}])
    assert error.value.code == "missing_column"
    assert "price" in error.value.expected
    assert "a, b" in error.value.found


def test_declared_columns_by_place():
    columns = [{"name": "d", "type": "date", "format": "%Y%m%d"}, {"name": "v", "type": "int32"}]
    found = read(b"20240131,1\n20240132,2\n20240201,x\n", header=False, columns=columns)
    assert found.rows == [(date(2024, 1, 31), 1)]
    assert found.faults == [(2, "type"), (3, "type")]


def test_two_declared_columns_of_one_name():
    with pytest.raises(ConfigError):
        read(b"1,2\n", header=False, columns=[{"name": "a"}, {"name": "a"}])


def test_only_a_header():
    found = read(b"a,b\n")
    assert (list(found.schema), found.rows) == (["a", "b"], [])


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_nothing_there(data):
    with pytest.raises(BadInput) as error:
        read(data)
    assert error.value.code == "empty_object"


def test_records_that_cannot_be_read_are_not_called_nothing():
    with pytest.raises(BadInput) as error:
        read(b'"1"aa"2"\n' * 20, quote='"')
    assert (error.value.code, error.value.found.split(":")[0]) == ("bad_records", "line 1")
    assert "opens a cell" in error.value.found
    assert read(b'"1"aa"2"\n' * 20, quote="", header=False).rows == [('"1"aa"2"',)] * 20


@pytest.mark.parametrize("data", [b"PAR1\x15\x04\x15\x10", b"PK\x03\x04\x14\0\0\0", bytes(range(32)) * 100])
def test_no_text(data):
    with pytest.raises(BadInput) as error:
        read(data)
    assert error.value.code == "not_this_format"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"delimiter": "ab"}, "bad_dialect"),
        ({"delimiter": "\n"}, "bad_dialect"),
        ({"quote": ",", "delimiter": ","}, "bad_dialect"),
        ({"encoding": "utf-99"}, "unknown_encoding"),
        ({"encoding": "base64"}, "unknown_encoding"),
        ({"columns": [{"name": "a", "type": "integer"}]}, "unknown_type"),
    ],
)
def test_specs_that_cannot_be(spec, code):
    with pytest.raises(ConfigError) as error:
        read(b"a\n1\n", header=True, **spec)
    assert error.value.code == code


# -- types


INFERRED: list[tuple[str, list[str], str, Any]] = [
    ("int", ["1", "-2", "+3", "0", ""], "int64", 1),
    ("int with blanks", [" 1", "2 ", " 3 "], "int64", 1),
    ("leading zero", ["1", "007"], "string", "1"),
    ("leading zero, decimal", ["1.5", "01.5"], "string", "1.5"),
    ("long with plus", ["+4412345678", "+4912345678"], "string", "+4412345678"),
    ("beyond 64 bits", ["1", "18446744073709551616"], "decimal(38,0)", Decimal(1)),
    ("beyond 38 digits", ["1", "1" * 40], "string", "1"),
    ("float", ["1.5", "2", "-.5", "1e5"], "float64", 1.5),
    ("nan and inf", ["1.5", "nan", "-inf"], "float64", 1.5),
    ("more digits than a float", ["1.5", "0.1234567890123456789"], "decimal(38,19)", Decimal("1.5")),
    ("long integer among decimals", ["1.5", "12345678901234567"], "decimal(38,1)", Decimal("1.5")),
    ("underscores", ["1_000", "2_000"], "string", "1_000"),
    ("thousands", ['"1,000"', '"2,000"'], "string", "1,000"),
    ("hexadecimal", ["0x10", "0x11"], "string", "0x10"),
    ("nan alone", ["nan", "nan"], "string", "nan"),
    ("boolean", ["true", "False", ""], "boolean", True),
    ("yes and no stay", ["yes", "no"], "string", "yes"),
    ("date", ["2024-01-31", "2024-02-01"], "date", date(2024, 1, 31)),
    ("compact dates are numbers", ["20240131", "20240201"], "int64", 20240131),
    ("day first", ["31/01/2024", "01/02/2024"], "date", date(2024, 1, 31)),
    ("month first", ["01/31/2024", "02/01/2024"], "date", date(2024, 1, 31)),
    ("two-digit year", ["31/01/24", "01/02/24"], "string", "31/01/24"),
    ("month name", ["5 Jan 2024", "31 Dec 2024"], "date", date(2024, 1, 5)),
    ("time", ["12:30:01", "23:59"], "time", time(12, 30, 1)),
    ("timestamp", ["2024-01-02T03:04:05", "2024-01-02 03:04"], "timestamp", datetime(2024, 1, 2, 3, 4, 5)),
    ("timestamp, day first", ["31/01/2024 03:04", "01/02/2024 03:04"], "timestamp", datetime(2024, 1, 31, 3, 4)),
    ("timestamp, compact", ["20240131 170000", "20240201 170000"], "timestamp", datetime(2024, 1, 31, 17)),
    ("fractions of any length", ["2024-01-02T03:04:05.05", "2024-01-02T03:04:05"], "timestamp",
     datetime(2024, 1, 2, 3, 4, 5, 50000)),
    ("utc", ["2024-01-02T03:04:05Z", "2024-01-02T05:04:05.5+02:00"], "timestamp_utc",
     datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("nothing", ["", "NULL"], "string", None),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "kind", "first"), [c[1:] for c in INFERRED], ids=[c[0] for c in INFERRED])
def test_inferred_types(cells, kind, first):
    found = read(table("v,k", *(f"{cell},x" for cell in cells)), header=True, delimiter=",")
    assert (type_name(found.schema["v"]), found.rows[0][0], found.faults) == (kind, first, [])


def test_ambiguous_dates_stay_text():
    found = read(table("d,x", "01/02/2024,1", "03/04/2024,2"))
    assert (found.rows[0][0], found.codes & {"ambiguous_date"}) == ("01/02/2024", {"ambiguous_date"})


def test_offsets_on_some_stay_text():
    found = read(table("d,x", "2024-01-02T03:04:05Z,1", "2024-01-02T03:04:05,2"))
    assert found.rows[1][0] == "2024-01-02T03:04:05"
    assert "mixed_offsets" in found.codes


def test_nanoseconds_are_kept():
    found = read(table("d,x", "2024-01-02T03:04:05.123456789,1", "2024-01-02T03:04:05,2"))
    assert found.schema["d"] == pl.Datetime("ns")
    assert found.frame["d"].dt.nanosecond().to_list() == [123456789, 0]


def test_many_columns():
    names = [f"c{n}" for n in range(3000)]
    cells = [("1", "1.5", "x", "2024-01-02", "")[n % 5] for n in range(3000)]
    found = read(table(",".join(names), *[",".join(cells)] * 3))
    kinds = [type_name(kind) for kind in found.schema.values()]
    assert kinds[:5] * 600 == kinds and kinds[:5] == ["int64", "float64", "string", "date", "string"]
    assert found.rows[2][:5] == (1, 1.5, "x", date(2024, 1, 2), None)


def test_decimal_comma():
    found = read(table("v;w", "1,5;x", "-2,25;y", "3;z"))
    assert found.rows == [(1.5, "x"), (-2.25, "y"), (3.0, "z")]
    assert read(table("v;w", "1.5;x"), decimal=",", header=True).rows == [("1.5", "x")]


# What a later record may bring, after the sample has settled the type.
LATER: list[tuple[str, str, str, bool]] = [
    ("word among integers", "1", "x", False),
    ("decimal among integers", "1", "1.5", False),
    ("leading zero among integers", "1", "007", False),
    ("quoted leading zero among integers", "1", '"007"', False),
    ("leading zero among decimals", "1.5", "01.5", False),
    ("too great an integer", "1", "9223372036854775808", False),
    ("too great an integer among decimals", "1.5", "9007199254740993", False),
    ("a great round integer among decimals", "1.5", "9007199254740992", True),
    ("overflow to infinity", "1.5", "1e999", False),
    ("infinity said so", "1.5", "inf", True),
    ("underscore", "1", "1_000", False),
    ("blank around", "1", '" 2 "', True),
    ("null token", "1", "NULL", True),
    ("quoted null token in a number", "1", '"NULL"', True),
    ("empty", "1", "", True),
    ("fraction of another length", "2024-01-02T03:04:05.123456", "2024-01-02T03:04:05.05", True),
    ("no fraction", "2024-01-02T03:04:05.123456", "2024-01-02T03:04:05", True),
    ("nine digits after six", "2024-01-02T03:04:05.123456", "2024-01-02T03:04:05.123456789", False),
    ("offset after naive", "2024-01-02T03:04:05.123456", "2024-01-02T03:04:05Z", False),
    ("naive after offset", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05", False),
    ("other offset", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.5+05:30", True),
    ("second 60", "2024-01-02T03:04:05", "2024-01-02T03:04:60", False),
    ("no such day", "2024-01-02", "2024-02-30", False),
    ("two-digit year", "2024-01-02", "24-01-02", False),
    ("year 1", "2024-01-02T03:04:05", "0001-01-01T00:00:00", True),
    ("year beyond nanoseconds", "2024-01-02T03:04:05.123456789", "9999-12-31T00:00:00.000000000", False),
    ("word among booleans", "true", "maybe", False),
    ("yes among true and false", "true", "yes", False),
    ("leading zero behind a blank", "1", '" 007"', False),
]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(("usual", "late", "fits"), [c[1:] for c in LATER], ids=[c[0] for c in LATER])
def test_later_cells_fit_or_are_refused(usual, late, fits, quoted):
    lines = [
        f"{usual},x",
        *many(f"{usual},x"),
        f"{late},{'x' if not quoted else chr(34) + 'x' + chr(34)}",
        f"{usual},x",
    ]
    found = read(table("v,k", *lines), sample_rows=50, header=True, delimiter=",")
    assert found.frame.height == (103 if fits else 102)
    assert found.faults == ([] if fits else [(103, "type")])
    if not fits:
        assert found.rejected[0].column == "v"
        assert found.rejected[0].raw.startswith(late.encode())
    assert found.frame["v"].null_count() == (late in ("", "NULL", '"NULL"'))


def test_offsets_become_utc():
    found = read(table("v,k", *many("2024-01-02T03:04:05Z,x"), "2024-01-02T03:04:05.5+05:30,x"), sample_rows=50)
    assert found.rows[-1][0] == datetime(2024, 1, 1, 21, 34, 5, 500000, tzinfo=UTC)


def test_declared_types_take_what_they_can():
    columns = [{"name": "a", "type": "int64"}, {"name": "b", "type": "decimal(10,2)"}, {"name": "c", "type": "boolean"}]
    found = read(b"a,b,c\n007,1.50,Y\n8,1.555,no\n9,2,1\n", columns=columns)
    assert found.rows == [(7, Decimal("1.50"), True), (9, Decimal("2.00"), True)]
    assert found.faults == [(3, "type")]
    assert "1.555" in found.rejected[0].reason


def test_one_reason_per_record_in_order_of_lines():
    found = read(table("a,b", *many("1,2"), "x,y", "3", "z,4"), sample_rows=50)
    assert found.faults == [(102, "type"), (103, "ragged_short"), (104, "type")]


# -- the object as a whole


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_encodings_are_found(encoding):
    text = "name,value\n" + "Müller – Café,1\n".replace("–", "-") * 40
    found = read(text.encode(encoding))
    assert found.rows[0] == ("Müller - Café", 1)
    assert found.frame.height == 40


def test_format_object_reads_a_local_file(tmp_path: Path):
    path = tmp_path / "data.csv"
    lines = [f"{i},row {i}" for i in range(20_000)]
    path.write_bytes(table("id,name", *lines))
    source = ByteSource(path.name, path.stat().st_size, lambda: path.open("rb", buffering=0), path)
    reader = FORMAT.read(source, ReadSpec())
    reader.block_bytes = 1 << 16
    batches = list(reader.batches())
    frame = pl.concat([b.frame for b in batches])
    assert len(batches) > 3
    assert frame["id"].to_list() == list(range(20_000))
    assert frame[POINTER].to_list() == list(range(2, 20_002))


def test_reading_ahead_ends_with_the_reader():
    reader = DelimitedReader(source_of(table("a,b", *many("1,x", 5000))), ReadSpec())
    reader.block_bytes = 100
    batches = reader.batches()
    assert next(batches).frame.height > 0
    batches.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name == "read-ahead"]


def test_an_error_while_reading_reaches_the_caller():
    class Broken:
        def __init__(self) -> None:
            self.parts = iter([b"a,b\n1,x\n2,"])

        def read(self, _: int) -> bytes:
            for part in self.parts:
                return part
            raise BadInput("x.csv.gz ends too early", code="truncated")

    @contextmanager
    def opener():
        yield Broken()

    reader = DelimitedReader.__new__(DelimitedReader)
    good = DelimitedReader(source_of(b"a,b\n1,x\n"), ReadSpec())
    reader.__dict__.update(good.__dict__, source=ByteSource("x.csv", None, opener))
    with pytest.raises(BadInput, match="too early"):
        list(reader.batches())


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_last_record_speaks_for_the_types_whether_or_not_its_line_ends(end, encoding):
    found = read(f"post,chief\n90115,90334\n90334,xx{end}".encode(encoding))
    assert (found.rows, found.faults) == ([(90115, "90334"), (90334, "xx")], [])


def test_codes_among_the_values_of_many_columns_make_text_of_them():
    lines = [f"t{n},{'<=5' if n % 33 == 0 else n},{'<=5' if n % 33 == 1 else n},{n / 4}" for n in range(100)]
    found = read(("town,born,died,rate\n" + "\n".join(lines) + "\n").encode())
    assert (found.schema["born"], found.schema["rate"]) == (pl.String, pl.Float64)
    assert (found.frame.height, found.faults) == (100, [])
    assert {f.data["column"] for f in found.findings if f.code == "codes_among_values"} == {"born", "died"}


def test_few_codes_and_damage_of_all_kinds_cost_their_records():
    few = [f"t{n},{'NV' if n % 33 == 0 else n},{n}" for n in range(100)]
    found = read(("town,born,died\n" + "\n".join(few) + "\n").encode())
    assert (found.schema["born"], len(found.faults)) == (pl.Int64, 4)
    damage = [f"t{n},{'x' * n if n % 33 == 1 else n},{'y' * n if n % 33 == 2 else n}" for n in range(100)]
    found = read(("town,born,died\n" + "\n".join(damage) + "\n").encode())
    assert (found.schema["born"], len(found.faults)) == (pl.Int64, 6)


PADDED = b'id, "full name", note\r\n1, "Abel, C", "x" \r\n2,\t"say ""hi"", d" ,y\r\n3,"e, ""f"", g", z\r\n4, "open, z\r\n5, 6" pipe, "l\r\nm"\r\n'


@pytest.mark.parametrize("block_bytes", [7, 16, None])
def test_blanks_around_quoted_cells(block_bytes):
    found = read(PADDED, block_bytes=block_bytes)
    assert found.schema.names() == ["id", "full name", "note"]
    names = [(1, "Abel, C", "x"), (2, 'say "hi", d', "y"), (3, 'e, "f", g', " z"), (5, ' 6" pipe', "l\r\nm")]
    assert (found.rows, found.lines, found.faults) == (names, [2, 3, 4, 6], [(5, "malformed_quote")])


def test_blanks_around_quoted_cells_with_an_escape():
    found = read(b'id, name\n1, "a \\"b\\", c"\n2, "d \\"e\\" f"\n3,"g"  \n', escape="\\")
    assert found.rows == [(1, 'a "b", c'), (2, 'd "e" f'), (3, "g")]


def test_blanks_inside_of_quoted_cells_stay():
    found = read(b'a,b\n" x ","y, ""z"" ,"\n"1, ","2"\n')
    assert found.rows == [(" x ", 'y, "z" ,'), ("1, ", "2")]


TORN = b'id,price,name,note\n1,9.99,"Table, round",x\n2,8.5"Chair, tall",y\n3,5,6" pipe,7"\n4,1,a"b"c,2" x 3"\n5,4"Lamp, 6""",z\n6,2,ok,"m\nn"\n'


@pytest.mark.parametrize("block_bytes", [7, 16, None])
@pytest.mark.parametrize("spec", [{}, {"escape": "\\"}])
def test_a_lost_delimiter_before_a_quote_tears_no_cell(block_bytes, spec):
    found = read(TORN if not spec else TORN.replace(b'6"""', b'6\\""'), block_bytes=block_bytes, delimiter=",", **spec)
    assert found.lines == [2, 4, 5, 7]
    assert found.rows[1:3] == [(3, 5, '6" pipe', '7"'), (4, 1, 'a"b"c', '2" x 3"')]
    assert found.faults == [(3, "malformed_quote"), (6, "malformed_quote")]
