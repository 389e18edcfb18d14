"""The NDJSON reader: every line is a row as it was written, or refused with its place and reason."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Reader, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.ndjson import FORMAT
from base_ops.worker.formats.records import cutter, lineparser, lines


def open_bytes(data: bytes, **spec: Any) -> Reader:
    return FORMAT.read(ByteSource("x.ndjson", len(data), lambda: io.BytesIO(data)), ReadSpec(**spec))


def read(data: bytes, **spec: Any) -> tuple[pl.DataFrame, list[Rejected], Reader]:
    reader = open_bytes(data, **spec)
    batches = list(reader.batches())
    frame = (
        pl.concat([b.frame for b in batches]) if batches else pl.DataFrame(schema={**reader.schema, POINTER: pl.Int64})
    )
    assert frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return frame, [r for b in batches for r in b.rejected], reader


def codes(reader: Reader) -> list[str]:
    return [finding.code for finding in reader.findings]


SAMPLE = b"".join(b'{"i":%d,"f":%d.5,"s":"t","b":true,"o":{"k":1},"l":[1]}\n' % (n, n) for n in range(30))


@pytest.mark.parametrize(
    ("line", "rule", "column"),
    [
        (b"nope", "syntax", ""),
        (b'{"i":1', "syntax", ""),
        (b'{"i":1,}', "syntax", ""),
        (b"{'i':1}", "syntax", ""),
        (b'{"i":1} x', "syntax", ""),
        (b'{"i":1}{"i":2}', "syntax", ""),
        (b'{"i":01}', "syntax", ""),
        (b'{"f":NaN}', "syntax", ""),
        (b'{"f":-Infinity}', "syntax", ""),
        (b'{"f":1.}', "syntax", ""),
        (b'{"s":"\\x41"}', "syntax", ""),
        (b'{"s":"a\tb"}', "syntax", ""),
        (b'{"i":1/*c*/}', "syntax", ""),
        (b"[1]", "not_an_object", ""),
        (b"null", "not_an_object", ""),
        (b"1", "not_an_object", ""),
        (b'{"i":1,"i":2}', "duplicate_key", "i"),
        (b'{"i":1,"\\u0069":2}', "duplicate_key", "i"),
        (b'{"o":{"k":1,"k":1}}', "duplicate_key", "k"),
        (b'{"zz":{"k":1,"k":1}}', "duplicate_key", "k"),
        (b'{"i":"1"}', "type", "i"),
        (b'{"i":true}', "type", "i"),
        (b'{"f":"1.5"}', "type", "f"),
        (b'{"f":9007199254740993}', "type", "f"),
        (b'{"f":1e400}', "type", "f"),
        (b'{"f":1' + b"0" * 400 + b"}", "type", "f"),
        (b'{"b":1}', "type", "b"),
        (b'{"o":1}', "type", "o"),
        (b'{"o":{"k":"x"}}', "type", "o.k"),
        (b'{"l":1}', "type", "l"),
        (b'{"l":[1,"x"]}', "type", "l"),
        (b'{"s":"\xff"}', "encoding", ""),
        (b'{"s":"\xed\xa0\x80"}', "encoding", ""),
        (b'{"s":"\xc0\x80"}', "encoding", ""),
        (b'{"s":"a\x00b"}', "encoding", ""),
        (b'{"s":"\\ud800"}', "encoding", ""),
        (b'{"\\ude00":1}', "encoding", ""),
        (b'{"s":"' + b"x" * 1000 + b'"}', "record_too_long", ""),
        (b'{"zz":' + b"[" * 150 + b"]" * 150 + b"}", "too_deep", ""),
        (b'{"zz":' + b"[" * 400, "too_deep", ""),
    ],
)
@pytest.mark.parametrize("sampled", [True, False])
def test_bad_line_is_refused_and_its_neighbours_are_kept(line: bytes, rule: str, column: str, sampled: bool) -> None:
    data = SAMPLE + line + b'\n{"i":99}\n'
    sample_rows = 1000 if sampled else 20
    frame, rejected, _ = read(data, sample_rows=sample_rows, max_record_bytes=900)
    assert frame["i"].to_list() == [*range(30), 99]
    assert frame[POINTER].to_list() == [*range(1, 31), 32]
    assert [(r.line, r.rule) for r in rejected] == [(31, "syntax" if line.endswith(b"[") else rule)]
    start = len(SAMPLE)
    assert (rejected[0].byte_start, rejected[0].byte_end) == (start, start + len(line))
    assert rejected[0].raw == line[:4096]
    assert rejected[0].column == column


@pytest.mark.parametrize("number", [b"1.0", b"1e2", b"9223372036854775808", b"1" * 5000])
def test_number_beyond_the_sampled_type_is_refused(number: bytes) -> None:
    frame, rejected, _ = read(SAMPLE + b'{"i":%s}\n{"i":7}' % number, sample_rows=30)
    assert frame["i"].to_list()[30:] == [7]
    assert [(r.line, r.rule, r.column) for r in rejected] == [(31, "type", "i")]


def test_types_of_the_sample_widen() -> None:
    assert read(SAMPLE + b'{"i":1.5}\n')[0]["i"].to_list()[-2:] == [29.0, 1.5]
    assert read(SAMPLE + b'{"i":9223372036854775808}\n')[0]["i"].to_list()[-2:] == [29, Decimal(2**63)]


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (b"1", pl.Int64, 1),
        (b"-9223372036854775808", pl.Int64, -(2**63)),
        (b"18446744073709551615", pl.Decimal(38, 0), Decimal(2**64 - 1)),
        (b"9" * 39, pl.String, "9" * 39),
        (b"0.1", pl.Float64, 0.1),
        (b"1e3", pl.Float64, 1000.0),
        (b"5e-324", pl.Float64, 5e-324),
        (b'"\\u00e9\\u0000\\ud83d\\ude00"', pl.String, "é\0😀"),
        (b'""', pl.String, ""),
        (b'"null"', pl.String, "null"),
        (b"false", pl.Boolean, False),
        (b"{}", pl.String, "{}"),
        (b"[]", pl.List(pl.String), []),
        (b"[1,null]", pl.List(pl.Int64), [1, None]),
        (
            b'[{"a":1},{"b":"x"}]',
            pl.List(pl.Struct({"a": pl.Int64, "b": pl.String})),
            [{"a": 1, "b": None}, {"a": None, "b": "x"}],
        ),
        (b'[1,"a",{"k":1.10}]', pl.String, '[1,"a",{"k":1.10}]'),
        (b'"2026-01-02"', pl.Date, date(2026, 1, 2)),
        (b'"2026-01-02T03:04:05.05"', pl.Datetime("us"), datetime(2026, 1, 2, 3, 4, 5, 50000)),  # noqa: DTZ001
        (b'"2026-01-02T03:04:05Z"', pl.Datetime("us", "UTC"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (b'"2026-01-02 03:04:05+02:00"', pl.Datetime("us", "UTC"), datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        (b'"2026-02-30"', pl.String, "2026-02-30"),
        (b'"2026-01-02T03:04:60"', pl.String, "2026-01-02T03:04:60"),
        (b'"2300-01-02T03:04:05.123456789"', pl.String, "2300-01-02T03:04:05.123456789"),
        (b'"20260102"', pl.String, "20260102"),
        (b"null", pl.String, None),
    ],
)
@pytest.mark.parametrize("rest", [b"", b'{"v":null,"w":1}\n{}\n' * 50])
def test_values_keep_what_was_written(value: bytes, dtype: Any, expected: Any, rest: bytes) -> None:
    frame, rejected, _ = read(b'{"v":%s}\n' % value + rest)
    assert rejected == []
    assert frame["v"].dtype == dtype
    assert frame["v"][0].to_list() == expected if isinstance(expected, list) else frame["v"].to_list()[0] == expected
    assert frame["v"].null_count() == frame.height - (expected is not None)


def test_nine_digits_of_a_second_are_kept() -> None:
    frame, _, _ = read(b'{"t":"2026-01-02T03:04:05.123456789Z"}\n')
    assert frame["t"].dtype == pl.Datetime("ns", "UTC")
    assert frame["t"].dt.nanosecond().to_list() == [123456789]


def test_text_beside_timestamps_is_refused_after_the_sample_and_keeps_the_column_text_within_it() -> None:
    data = b'{"t":"2026-01-02T03:04:05Z"}\n' * 3 + b'{"t":"soon"}\n{"t":""}\n{"t":"2026-01-02 03:04Z"}\n'
    frame, rejected, _ = read(data, sample_rows=3)
    assert frame[POINTER].to_list() == [1, 2, 3, 6]
    assert [(r.line, r.rule, r.column) for r in rejected] == [(4, "type", "t"), (5, "type", "t")]
    assert read(data)[0]["t"].dtype == pl.String


def test_keys_beyond_the_sample_are_kept_as_json_text() -> None:
    data = b'{"a":1,"o":{"k":1}}\n{"a":2,"n":{"x":1.10},"o":{"k":2,"z":[null]}}\n{"a":3}\n'
    frame, rejected, reader = read(data, sample_rows=1)
    assert rejected == []
    assert frame["_extra"].to_list() == [None, '{"n":{"x":1.10},"o":{"z":[null]}}', None]
    assert frame["o.k"].to_list() == [1, 2, None]
    assert codes(reader) == ["new_fields"]
    assert "_extra" not in read(data)[0].columns


def test_keys_beyond_the_sample_inside_a_list_keep_the_whole_list() -> None:
    frame, _, _ = read(b'{"l":[{"a":1}]}\n{"l":[{"a":2,"b":3}]}\n', sample_rows=1)
    assert frame["l"].to_list() == [[{"a": 1}], [{"a": 2}]]
    assert frame["_extra"].to_list() == [None, '{"l":[{"a":2,"b":3}]}']


@pytest.mark.parametrize("spec", [{}, {"columns": (ColumnSpec(name="o"), ColumnSpec(name="n"))}])
def test_object_that_was_empty_in_the_sample_keeps_what_it_holds_later(spec: dict[str, Any]) -> None:
    data = b'{"o":{},"n":1}\n{"o":{"k":1.10},"n":2,"z":1}\n{"n":3}\n'
    frame, rejected, _ = read(data, sample_rows=1, **spec)
    assert (frame["o"].to_list(), rejected) == (["{}", '{"k":1.10}', None], [])


def test_keys_inside_a_declared_list_are_not_dropped_in_silence() -> None:
    data = b'{"l":[{"a":1}],"x":1}\n{"l":[{"a":2,"b":3}],"x":1}\n'
    frame, _, reader = read(data, sample_rows=1, columns=(ColumnSpec(name="l"),))
    assert frame["l"].to_list() == [[{"a": 1}], [{"a": 2}]]
    assert codes(reader) == ["undeclared_fields", "unread_keys"]


def test_text_column_keeps_other_kinds_as_their_json_text() -> None:
    frame, rejected, reader = read(b'{"v":"x"}\n{"v":1.10}\n{"v":[1,{"a":null}]}\n{"v":false}\n', sample_rows=1)
    assert rejected == []
    assert frame["v"].to_list() == ["x", "1.10", '[1,{"a":null}]', "false"]
    assert codes(reader) == ["mixed_types"]


def test_sample_without_a_dominant_kind_is_text_and_a_few_strays_are_refused() -> None:
    half = b'{"v":1}\n{"v":"x"}\n'
    frame, rejected, reader = read(half * 10)
    assert (frame["v"].dtype, rejected, codes(reader)) == (pl.String, [], ["mixed_columns", "mixed_types"])
    frame, rejected, _ = read(b'{"v":1}\n' * 99 + b'{"v":"x"}\n')
    assert (frame["v"].dtype, frame.height, [r.line for r in rejected]) == (pl.Int64, 99, [100])


def test_flattened_names_that_collide_are_numbered() -> None:
    frame, _, reader = read(b'{"a.b":1,"a":{"b":2},"_line":3,"":4}\n')
    assert frame.row(0, named=True) == {"a.b": 1, "a.b_2": 2, "_line_2": 3, "_2": 4, "_line": 1}
    assert codes(reader) == ["renamed_column"] * 3


def test_names_with_nul_do_not_run_together() -> None:
    data = b'{"a\\u0000b":1,"a\\u0000c":2,"o":{"x\\u0000":3},"l":[{"y\\u0000":4}]}\n'
    assert read(data)[0].row(0) == (1, 2, 3, '[{"y\\u0000":4}]', 1)


def test_nested_objects_are_kept_on_request() -> None:
    frame, _, _ = read(b'{"o":{"a":1,"p":{"b":"x"}}}\n{"o":null}\n', nested="keep")
    assert frame["o"].to_list() == [{"a": 1, "p": {"b": "x"}}, None]


def test_declared_columns_are_exact_and_others_are_named() -> None:
    data = (
        b'{"id":"007","price":1.10,"qty":"5","day":"20260102","ok":true,"o":{"k":1},"more":1}\n'
        b'{"id":8,"price":1.105,"qty":"5","day":"20260102"}\n'
        b'{"id":"9","price":2,"qty":"x","day":"20260102"}\n'
        b'{"id":"10","price":12345678901234567.25,"qty":"5","day":"2026-01-02"}\n'
        b'{"id":null,"price":3,"qty":"5","day":"20260102"}\n'
    )
    wanted = (
        ColumnSpec(name="id", type="string", required=True),
        ColumnSpec(name="price", type="decimal(20,2)"),
        ColumnSpec(name="quantity", source_name="qty", type="int32"),
        ColumnSpec(name="day", type="date", format="%Y%m%d"),
        ColumnSpec(name="ok", type="string"),
        ColumnSpec(name="o", type="string"),
        ColumnSpec(name="later", type="int64"),
    )
    frame, rejected, reader = read(data, columns=wanted)
    assert frame.drop(POINTER).rows() == [("007", Decimal("1.10"), 5, date(2026, 1, 2), "true", '{"k":1}', None)]
    assert [(r.line, r.rule, r.column) for r in rejected] == [
        (2, "type", "price"),
        (3, "type", "quantity"),
        (4, "type", "day"),
        (5, "required", "id"),
    ]
    assert codes(reader)[:2] == ["column_not_found", "undeclared_fields"]


def test_declared_columns_refuse_what_is_no_json_in_the_keys_they_pass_over() -> None:
    data = b'{"a":1,"x":"NaN"}\n{"a":2,"x":NaN}\n{"a":3,"x":[01]}\n{"a":4,"x":"\xff"}\n{"a":5}\n'
    frame, rejected, _ = read(data, columns=(ColumnSpec(name="a"),), sample_rows=1)
    assert frame["a"].to_list() == [1, 5]
    assert [r.rule for r in rejected] == ["syntax", "syntax", "encoding"]


def test_declared_object_and_its_key_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="overlap"):
        read(b'{"o":{"k":1}}\n', columns=(ColumnSpec(name="o", type="string"), ColumnSpec(name="o.k")))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_object"),
        (b" \r\n\n\t\n", "empty_object"),
        (b"\xef\xbb\xbf\n", "empty_object"),
        (b"a,b\n1,2\n", "not_this_format"),
        (b"[\n1\n]\n", "not_this_format"),
        (b"PAR1\x00\x01", "not_this_format"),
        ('{"a":1}\n'.encode("utf-16"), "not_this_format"),
    ],
)
def test_other_objects_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        open_bytes(data)
    assert raised.value.code == code


def test_other_encodings_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="UTF-8"):
        open_bytes(b'{"a":1}\n', encoding="latin-1")


def test_line_ends_blank_lines_mark_comments_and_skipped_lines() -> None:
    data = b'\xef\xbb\xbf# head\nskip me\n{"a":1}\r\n\r\n  \n // no\n{"a":2}  \n# x\n\t{"a":3}'
    with pytest.raises(BadInput):
        open_bytes(data[:9])
    frame, rejected, _ = read(data.removeprefix(b"\xef\xbb\xbf"), comment="#", skip_lines=2)
    assert frame.rows() == [(1, 3), (2, 7), (3, 9)]
    assert [(r.line, r.raw) for r in rejected] == [(6, b" // no")]


def test_records_without_keys_are_rows() -> None:
    frame, _, _ = read(b"{}\n{}\n")
    assert frame.rows() == [(1,), (2,)]


def test_line_longer_than_any_block_is_skipped_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("base_ops.worker.formats.ndjson.reader.BLOCK_BYTES", 100)
    monkeypatch.setattr("base_ops.worker.formats.ndjson.reader._SAMPLE_BLOCK_BYTES", 100)
    long = b'{"a":"' + b"x" * 5000 + b'"}'
    frame, rejected, _ = read(b'{"a":"1"}\n' + long + b'\n{"a":"2"}\n', max_record_bytes=64)
    assert frame.rows() == [("1", 1), ("2", 3)]
    assert [(r.line, r.rule, r.byte_start, r.byte_end) for r in rejected] == [
        (2, "record_too_long", 10, 10 + len(long))
    ]
    assert len(rejected[0].raw) <= 4096


def test_stream_that_hands_out_little_at_a_time() -> None:
    class Drip(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 7, 7))

    source = ByteSource("x", None, lambda: Drip(SAMPLE))
    assert sum(b.frame.height for b in FORMAT.read(source, ReadSpec()).batches()) == 30


@pytest.mark.parametrize(
    ("head", "name", "low", "high"),
    [
        (b'{"a":1}\n{"a":2}\n', "x", 0.95, 1.0),
        (b'{"a":1}\n{"a":', "x.txt", 0.95, 1.0),
        (b'{"a":1}\nbad\n{"a":2}\n', "x", 0.3, 0.9),
        (b'{"a":1}', "x.jsonl", 0.9, 1.0),
        (b'{"a":1}', "x.json", 0.3, 0.6),
        (b'{\n"a":1}', "x.json", 0.0, 0.1),
        (b"a,b\n1,2\n", "x.jsonl", 0.0, 0.0),
        (b"", "x.jsonl", 0.0, 0.0),
    ],
)
def test_sniff(head: bytes, name: str, low: float, high: float) -> None:
    assert low <= FORMAT.sniff(head, name) <= high


# -- properties

_keys = st.text(min_size=1, max_size=4)
_scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_values = st.recursive(
    _scalars | _texts, lambda v: st.lists(v, max_size=3) | st.dictionaries(_keys, v, max_size=3), max_leaves=6
)


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "i": st.integers(-(2**63), 2**63 - 1) | st.none(),
                "f": st.floats(allow_nan=False, allow_infinity=False),
                "s": _texts,
                "o": st.fixed_dictionaries({"b": st.booleans() | st.none()}),
            }
        ),
        min_size=1,
    )
)
def test_what_was_written_is_read(records: list[dict[str, Any]]) -> None:
    data = "".join(as_json(r) + "\n" for r in records).encode()
    frame, rejected, _ = read(data)
    assert rejected == []
    assert frame["i"].cast(pl.Int64).to_list() == [r["i"] for r in records]
    assert frame["s"].cast(pl.String).to_list() == [r["s"] for r in records]
    assert frame["o.b"].cast(pl.Boolean).to_list() == [r["o"]["b"] for r in records]
    for found, record in zip(frame["f"], records, strict=True):
        assert math.isclose(found, record["f"], rel_tol=0.0, abs_tol=0.0)


@settings(max_examples=60)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), _values, max_size=4), min_size=1, max_size=30), st.integers(1, 30)
)
def test_fast_and_exact_ways_agree_on_anything(records: list[dict[str, Any]], sample_rows: int) -> None:
    agree("".join(as_json(r) + "\n" for r in records).encode(), sample_rows)


def agree(data: bytes, sample_rows: int, **spec: Any) -> None:
    """Whatever way lines are read, the rows and the verdicts are those of reading them one by one."""
    ways = []
    for worth, at_once in ((1, True), (1, False), (10**9, True), (10**9, False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cutter, "_WORTH_LINES", worth)
            patch.setattr(cutter, "_PART_BYTES", 64)
            if not at_once:
                patch.setattr(lineparser.LineParser, "_at_once", lambda *_, **__: None)
            frame, rejected, reader = read(data, sample_rows=sample_rows, **spec)
            findings = {f.code: f.data for f in reader.findings}
            ways.append((frame, rejected, findings.get("new_fields")))
    for way in ways[:-1]:
        assert_frame_equal(way[0], ways[-1][0])
        assert way[1:] == ways[-1][1:]
    assert ways[0][0].height + len(ways[0][1]) == len([t for t in data.split(b"\n") if t.strip()])


_TOKENS = st.sampled_from(
    [
        b"1", b"-1", b"0", b"-0", b"01", b"+1", b"1.5", b"-0.0", b".5", b"1.", b"1.e5", b"1e5", b"1E+2", b"1e400", b"-",
        b"9007199254740993", b"9007199254740993.0", b"9223372036854775807", b"9223372036854775808", b"0x1F", b"1_0", b"inf",
        b"NaN", b"-Infinity", b"nan", b"null", b"nul", b"true", b"false", b"True", b'""', b'"a"', b'"a', b'a"', b'"a"b"',
        b'"}"', b'"},"', b'"\\""', b'"\\\\"', b'"\\\\""', b'"\\u0041"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\x"', b'"\xc3\xa9"',
        b'"\xff"', b'"\x00"', b'"\t"', b'":"', b'"\\":"', b'","b":"', b"{}", b"[]", b"[1]", b'["a"]', b'["a":1]', b"[1,]", b"[[",
        b'{"k":1}', b'{"k":"x"}', b'{"z":1}', b'1,"a":2', b'1,"b":2', b'1,"n":[1]', b'1,"n":2.50', b'1,"n":"x"', b'1,"n":null', b"1}", b'1}{"a":1',
        b'1} {"a" :1', b" 1", b"1 ", b" 1 ", b"1 2", b"1\t", b"1\r", b"", b"1,", b"{", b"[", b'"2026-01-02"', b'"2026-01-02T03:04:05Z"',
    ]
)  # fmt: skip


@settings(max_examples=150)
@given(
    st.lists(st.tuples(_TOKENS, _TOKENS), min_size=1, max_size=12),
    st.sampled_from([b'{"a":%s,"b":%s}', b'{"a": %s, "b": %s}', b'{"o":{"a":%s},"b":%s}', b'{"b":%s,"o":{"p":{"a":%s}}}']),
    st.sampled_from([(b'1', b'"x"'), (b'1.5', b'true'), (b'"2026-01-01"', b'[1]'), (b'"x"', b'["y"]')]),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
)  # fmt: skip
def test_every_way_gives_the_same_verdict_on_every_token(
    pairs: list[tuple[bytes, bytes]], form: bytes, first: tuple[bytes, bytes], end: bytes, all_sampled: bool
) -> None:
    lines_ = [form % first, *(form % pair for pair in pairs), form % first]
    agree(end.join(lines_), 100 if all_sampled else 1)


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [None, None, None, b"{", b"]", b'{"i":1,"i":2}', b'{"i":"x"}', b"\xff", b'{"i":NaN}', b'{"i":1}{"i":2}']
        ),
        min_size=1,
        max_size=200,
    ),
    st.integers(40, 400),
)
def test_bad_lines_are_refused_with_their_numbers_and_good_ones_are_all_there(
    faults: list[bytes | None], block: int
) -> None:
    rows = [f or b'{"i":%d,"s":"\xc3\xa9"}' % n for n, f in enumerate(faults)]
    data = SAMPLE + b"\n".join(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("base_ops.worker.formats.ndjson.reader.BLOCK_BYTES", block)
        patch.setattr(lineparser, "_FEW_LINES", 2)
        frame, rejected, _ = read(data, sample_rows=30)
    good = [31 + n for n, f in enumerate(faults) if f is None]
    assert frame[POINTER].to_list() == [*range(1, 31), *good]
    assert frame["i"].to_list()[30:] == [n for n, f in enumerate(faults) if f is None]
    assert [r.line for r in rejected] == [31 + n for n, f in enumerate(faults) if f is not None]
    for r in rejected:
        assert data[r.byte_start : r.byte_end] == r.raw


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 40))
def test_blocks_give_every_line_its_number_and_place(data: bytes, block_bytes: int, limit: int) -> None:
    found: list[tuple[int, int, int]] = []
    for part in lines.blocks(io.BytesIO(data), limit, block_bytes):
        if isinstance(part, Rejected):
            found.append((part.line, part.byte_start or 0, part.byte_end or 0))
        else:
            found += [
                (int(n), part.offset + int(s), part.offset + int(e))
                for n, s, e in zip(part.numbers, part.starts, part.ends, strict=True)
            ]
    texts = data.split(b"\n")
    texts = texts[:-1] if texts[-1] == b"" else texts
    assert [n for n, _, _ in found] == list(range(1, len(texts) + 1))
    assert [data[s:e] for _, s, e in found] == texts
