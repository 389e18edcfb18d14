"""The JSON reader: RFC 8259 to the letter; records become rows or are refused with their place."""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Reader, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.json import FORMAT
from base_ops.worker.formats.json import reader as json_reader
from base_ops.worker.formats.reading import open_reader
from base_ops.worker.formats.records.document import Document


def open_bytes(data: bytes, **spec: Any) -> Reader:
    return FORMAT.read(ByteSource("x.json", len(data), lambda: io.BytesIO(data)), ReadSpec(**spec))


def read(data: bytes, **spec: Any) -> tuple[list[dict[str, Any]], list[Rejected], Reader]:
    reader = open_bytes(data, **spec)
    batches = list(reader.batches())
    for batch in batches:
        assert batch.frame.schema == {**reader.schema, POINTER: pl.Int64()}
    return [row for b in batches for row in b.frame.to_dicts()], [r for b in batches for r in b.rejected], reader


@pytest.mark.parametrize(
    ("data", "spec", "rows"),
    [
        (b'[{"a":1},{"a":2}]', {}, [{"a": 1, "_line": 1}, {"a": 2, "_line": 2}]),
        (b'{"a":{"b":1,"c":[1,2]}}', {}, [{"a.b": 1, "a.c": [1, 2], "_line": 1}]),
        (b'{"a":{"b":1}}', {"nested": "keep"}, [{"a": {"b": 1}, "_line": 1}]),
        (b'{"d":{"x":[0],"items":[{"a":1}],"n":2}}', {"records": "d.items"}, [{"a": 1, "_line": 1}]),
        (b'{"d":{"items":{"a":1}}}', {"records": "d.items"}, [{"a": 1, "_line": 1}]),
        (b'{"d":null}', {"records": "d"}, []),
        (b'{"d":[]}', {"records": "d"}, []),
        (b"[]", {}, []),
        (b"[1,null,3]", {}, [{"value": 1, "_line": 1}, {"value": None, "_line": 2}, {"value": 3, "_line": 3}]),
        (b'[1,"b"]', {}, [{"value": "1", "_line": 1}, {"value": "b", "_line": 2}]),
        (b"[[1],[2,3]]", {}, [{"value": [1], "_line": 1}, {"value": [2, 3], "_line": 2}]),
        (b"42", {}, [{"value": 42, "_line": 1}]),
        (b'\xef\xbb\xbf [ {"a" : 1} ]\r\n', {}, [{"a": 1, "_line": 1}]),
        (b'[{"a":1},{"b":"x"}]', {}, [{"a": 1, "b": None, "_line": 1}, {"a": None, "b": "x", "_line": 2}]),
        (b'[{"a":[1,"x"]},{"a":[]}]', {}, [{"a": '[1,"x"]', "_line": 1}, {"a": "[]", "_line": 2}]),
        (b"[{}]", {}, [{"_line": 1}]),
    ],
)
def test_documents(data: bytes, spec: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    found, rejected, _ = read(data, **spec)
    assert (found, rejected) == (rows, [])


def test_bad_records_are_refused_and_their_neighbours_kept() -> None:
    long = '{"é":"' + "x" * 99 + '"}'
    records = ['{"é":1}', '{"é":1,"é":2}', "7", '{"é":"\\ud800"}', '{"é":1e999}', '{"é":2}', long]
    data = ("[" + ", ".join(records) + "]").encode()
    rows, rejected, _ = read(data, max_record_bytes=64)
    assert [r["é"] for r in rows] == [1, 2]
    assert [(r.line, r.rule) for r in rejected] == [
        (2, "duplicate_key"),
        (3, "not_an_object"),
        (4, "encoding"),
        (5, "type"),
        (7, "record_too_long"),
    ]
    for r in rejected:
        assert data[r.byte_start : r.byte_end] == r.raw


def test_bytes_that_are_no_utf8_refuse_their_record_only() -> None:
    data = b'[{"a":"\xc3\xa9"},{"a":"\xff"},{"a":"x"}]'
    rows, rejected, _ = read(data)
    assert [r["a"] for r in rows] == ["é", "x"]
    assert [(r.line, r.rule, r.raw) for r in rejected] == [(2, "encoding", b'{"a":"\xff"}')]


def test_few_values_of_another_kind_are_refused() -> None:
    rows, rejected, _ = read(json.dumps([{"a": n} for n in range(99)] + [{"a": "x"}]).encode())
    assert (len(rows), [(r.line, r.rule, r.column) for r in rejected]) == (99, [(100, "type", "a")])


def test_declared_columns() -> None:
    wanted = (ColumnSpec(name="b", source_name="a.b", type="decimal(9,2)"), ColumnSpec(name="t", type="timestamp_utc"))
    rows, rejected, reader = read(
        b'[{"a":{"b":1.10},"t":"2026-01-01T00:00:00Z"},{"a":{"b":1.111}},{"x":1}]', columns=wanted
    )
    assert [str(r["b"]) for r in rows] == ["1.10", "None"]
    assert [(r.line, r.column) for r in rejected] == [(2, "b")]
    assert reader.schema == {"b": pl.Decimal(9, 2), "t": pl.Datetime("us", "UTC")}


@pytest.mark.parametrize(
    ("data", "spec", "code"),
    [
        (b"", {}, "empty_object"),
        (b"\xef\xbb\xbf \n", {}, "empty_object"),
        (b'[{"a":1},', {}, "truncated"),
        (b'[{"a":1}', {}, "truncated"),
        (b'[{"a":"x', {}, "truncated"),
        (b"[1,]", {}, "not_this_format"),
        (b"[NaN]", {}, "not_this_format"),
        (b'[{"a":-Infinity}]', {}, "not_this_format"),
        (b"[1] // c", {}, "not_this_format"),
        (b'{"a":1}{"a":2}', {}, "not_this_format"),
        (b"a,b\n1,2", {}, "not_this_format"),
        ("[1]".encode("utf-16"), {}, "not_this_format"),
        (b"[" * 102 + b"]" * 102, {}, "too_deep"),
        (b"[" * 100_000, {}, "too_deep"),
        (b'{"x":' * 100_000, {"records": "y"}, "too_deep"),
        (b'{"a":[1]}', {"records": "b"}, "records_not_found"),
        (b'{"a":[1]}', {"records": "a.b"}, "records_not_found"),
        (b"[1]", {"records": "a"}, "records_not_found"),
        (b"{}", {"records": "a"}, "records_not_found"),
        (b'{"a":[1],"a":[2]}', {"records": "a"}, "duplicate_key"),
        (b'{"a":[1],}', {"records": "a"}, "not_this_format"),
        (b'{"a":[1] "b":2}', {"records": "a"}, "not_this_format"),
        (b"{1:2}", {"records": "a"}, "not_this_format"),
    ],
)
def test_what_is_no_usable_document_is_refused(data: bytes, spec: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput) as raised:
        open_bytes(data, **spec)
    assert raised.value.code == code


def test_record_of_a_hundred_levels_is_read() -> None:
    assert len(read(b'[{"a":' + b"[" * 99 + b"]" * 99 + b"}]")[0]) == 1


@pytest.mark.parametrize("known_size", [True, False])
def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch, known_size: bool) -> None:
    monkeypatch.setattr(json_reader, "MAX_BYTES", 20)
    data = b'[{"a":1},{"a":2},{"a":3}]'
    with pytest.raises(BadInput, match="ndjson") as raised:
        FORMAT.read(ByteSource("x", len(data) if known_size else None, lambda: io.BytesIO(data)), ReadSpec())
    assert raised.value.code == "too_large"


def test_values_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_reader, "MAX_VALUES", 10)
    with pytest.raises(BadInput) as raised:
        open_bytes(b"[" + b"1," * 20 + b"1]")
    assert raised.value.code == "too_large"


@pytest.mark.parametrize(
    ("head", "name", "low", "high"),
    [
        (b"[1,", "x", 0.8, 1.0),
        (b' \n[\n  {"a"', "x.txt", 0.8, 1.0),
        (b'{"a":1', "x.json", 0.7, 0.9),
        (b"{}", "x", 0.5, 0.7),
        (b"[-1.5e+3 ,2]", "x", 0.8, 1.0),
        (b"[ null]", "x", 0.8, 1.0),
        (b"[12", "x", 0.8, 1.0),
        (b"[1 2]", "x.json", 0.8, 1.0),
        (b"[1 2]", "x", 0.0, 0.0),
        (b"[2024-01-02 03:04:05] INFO begun\n", "x.log", 0.0, 0.0),
        (b"[notice] begun\n", "x.log", 0.0, 0.0),
        (b"[248.128.0.120]\n[248.128.0.141]\n", "x.csv", 0.0, 0.0),
        (b"[section]\nkey=1\n", "x.json", 0.0, 0.0),
        (b"{% jinja %}", "x.json", 0.0, 0.0),
        (b"", "x.json", 0.0, 0.0),
    ],
)
def test_sniff(head: bytes, name: str, low: float, high: float) -> None:
    assert low <= FORMAT.sniff(head, name) <= high


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(_texts, v, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(_values, st.sampled_from([None, 1]))
def test_any_document_is_accepted_and_every_record_counted(value: Any, indent: int | None) -> None:
    rows, rejected, _ = read(json.dumps(value, ensure_ascii=False, indent=indent).encode())
    assert len(rows) + len(rejected) == (len(value) if isinstance(value, list) else 1)


@settings(max_examples=100)
@given(st.lists(_values, max_size=4), st.integers(0, 2))
def test_records_stand_where_they_are_said_to_stand(values: list[Any], indent: int) -> None:
    text = json.dumps({"a": 1, "b": {"c": values, "d": []}}, ensure_ascii=False, indent=indent or None)
    found = list(Document(text, "x", "b.c").records())
    assert [json.loads(text[r.start : r.end]) for r in found] == values
    assert [r.number for r in found] == list(range(1, len(values) + 1))


def outcome(data: bytes, **spec: Any) -> Any:
    """Schema, rows and verdicts of a document; the code where it is refused."""
    try:
        rows, rejected, reader = read(data, **spec)
    except BadInput as error:  # of several faults any may be told
        return "no JSON" if error.code in ("truncated", "not_this_format") else error.code
    verdicts = [(r.line, r.rule, r.column, r.byte_start, r.byte_end, r.raw) for r in rejected]
    return dict(reader.schema), rows, verdicts


def by_value(data: bytes, **spec: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "_by_line", lambda *_: None)
        return outcome(data, **spec)


_TOKENS = st.sampled_from(
    [
        b"1", b"-0", b"01", b"1.5", b"1.", b"1e400", b"9007199254740993", b"NaN", b"null", b"true", b'""', b'"a"', b'"a', b'"}"',
        b'"]"', b'"["', b'"\\\\"', b'"\\\\\\""', b'"\\""', b'"\\ud800"', b'"\xc3\xa9"', b'"\xff"', b'"\n"', b'"\x00"', b"{}", b"[]",
        b"[ ]", b"[1, 2]", b"[1 2]", b'{"k" : 1}', b'{"z":[{"a":1},{"b":2}]}', b'1,"a":2', b'1,"n":2.50', b"1}", b"1},{\"a\":2",
        b"1 2", b"1\n", b"\t1", b"tr ue", b'"a" "b"', b"", b"\x0b1", b"{", b"[", b"]", b'"2026-01-02"', b"{]", b"[}",
    ]
)  # fmt: skip
_FORMS = st.sampled_from([b'{"a":%s}', b'{ "a" : %s }', b'{\n\t"a": %s\n}', b'{"o":{"a":%s}}', b'{"b":"x y","a":%s}'])
_LISTS = st.sampled_from(
    [
        b"[%s]",
        b" [ %s ] ",
        b"[%s",
        b"[%s]]",
        b"[%s],",
        b"[\n%s,\n]",
        b"[%s,{}]",
        b"[{},%s,1]",
        b"\xef\xbb\xbf[%s]",
        b"[%s]\x00",
    ]
)
_BETWEEN = st.sampled_from([b",", b", ", b",\n\t", b" , ", b"", b",,", b",null,", b" " * 80 + b",", b",\x0b"])


@settings(max_examples=200)
@given(st.lists(_TOKENS, min_size=1, max_size=6), _FORMS, _LISTS, _BETWEEN, st.booleans())
def test_by_line_or_by_value_is_the_same(
    tokens: list[bytes], form: bytes, around: bytes, between: bytes, within: bool
) -> None:
    records = [form % token for token in tokens]
    data = around.replace(b"%s", between.join([form % b"1", *records]))
    spec = {"records": "d.items"} if within else {}
    data = b'{"x":"[","d":{"items":' + data + b"}}" if within else data
    assert outcome(data, **spec) == by_value(data, **spec)


def test_a_long_list_is_read_by_line_and_bad_records_keep_their_places() -> None:
    records = [b'{"n": %d,\n "s": "x\\u00e9 y"}' % n for n in range(300)]
    records[100], records[200] = b'{"n":1,\n"n":2}', b'{"n": "\xff"}'
    data = b"[" + b" ,\n".join(records) + b"]"
    rows, rejected, _ = read(data, sample_rows=20)
    assert [(r["n"], r["s"], r["_line"]) for r in rows] == [
        (n, "xé y", n + 1) for n in range(300) if n not in (100, 200)
    ]
    assert [(r.line, r.rule, r.raw) for r in rejected] == [
        (101, "duplicate_key", records[100]),
        (201, "encoding", records[200]),
    ]
    assert [data[r.byte_start : r.byte_end] for r in rejected] == [records[100], records[200]]


@pytest.mark.parametrize(
    ("late", "column", "dtype"),
    [
        (b'{"a":1,"new":[1]}', "new", pl.List(pl.Int64)),
        (b'{"a":1.5}', "a", pl.Float64()),
        (b'{"a":9223372036854775808}', "a", pl.Decimal(38, 0)),
        (b'{"a":1,"t":"soon"}', "t", pl.String()),
    ],
)
def test_what_only_a_late_record_shows_has_its_column(late: bytes, column: str, dtype: Any) -> None:
    data = b"[" + b'{"a":1,"t":"2026-01-01"},' * 200 + late + b"]"
    rows, rejected, reader = read(data, sample_rows=10)
    assert (len(rows), rejected) == (201, [])
    assert reader.schema[column] == dtype
    assert "_extra" not in reader.schema


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8])
def test_chunks_may_end_within_escapes(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("base_ops.worker.formats.json.structure._CHUNK_BYTES", chunk)
    values = ["\\", '\\"', '"', "\\\\", '}],"', '\\\\"{[']
    rows, rejected, _ = read(json.dumps([{"a": value} for value in values]).encode())
    assert ([r["a"] for r in rows], rejected) == (values, [])


def test_different_keys_without_end_are_refused() -> None:
    for data in (
        b"[" + b",".join(b'{"k%d":1}' % n for n in range(300)) + b"]",
        b'[{"o":[{%s}]}]' % b",".join(b'"k%d":1' % n for n in range(300)),
    ):
        with pytest.raises(BadInput) as raised:
            open_bytes(data, max_columns=200)
        assert raised.value.code == "too_many_columns"


def test_a_fault_far_behind_refuses_the_document() -> None:
    good = b'[{"a":1}' + b',{"a":1}' * 3000
    for tail, code in [
        (b',{"a":01}]', "not_this_format"),
        (b',{"a":', "truncated"),
        (b"", "truncated"),
        (b",]", "not_this_format"),
    ]:
        with pytest.raises(BadInput) as raised:
            open_bytes(good + tail, sample_rows=10)
        assert raised.value.code == code
    deep = b',{"a":' + b"[" * 150 + b"]" * 150 + b"}]"
    assert outcome(good + deep, sample_rows=10) == "too_deep"


@pytest.mark.corpora
@pytest.mark.parametrize(("kind", "count"), [("y", 95), ("n", 188), ("i", 35)])
def test_json_test_suite(kind: str, count: int) -> None:
    files = sorted((Path(os.environ["BASE_CORPORA"]) / "jsontestsuite" / "test_parsing").glob(f"{kind}_*.json"))
    accepted = []
    for file in files:
        try:
            read(file.read_bytes())
            accepted.append(file.name)
        except BadInput:
            assert kind != "y", file.name
    assert len(files) == count
    assert kind != "n" or accepted == []


def _records_by_hand(data: bytes) -> int | None:
    """Elements of the one array, or 1 for another document, or the lines if half of them are JSON; None: it is no JSON."""
    try:
        found = json.loads(data)
        return len(found) if isinstance(found, list) else 1
    except ValueError:
        lines = [line for line in data.splitlines() if line.strip()]
    right = 0
    for line in lines:
        with suppress(ValueError):
            json.loads(line)
            right += 1
    return len(lines) if right and right >= len(lines) / 2 else None


@pytest.mark.corpora
def test_real_files_are_read_or_refused_with_a_reason() -> None:
    """Rows and refused records together are the records that the json module counts."""
    read_files = refused = 0
    for path in sorted((Path(os.environ["BASE_CORPORA"]) / "duckdb/json").rglob("*.*json*")):
        if path.suffix == ".gz":
            continue
        data = path.read_bytes()
        try:
            reader = open_reader(ByteSource(path.name, len(data), lambda data=data: io.BytesIO(data)), ReadSpec())
            count = sum(batch.frame.height + len(batch.rejected) for batch in reader.batches())
        except BadInput as error:
            assert error.code in ("empty_object", "not_this_format", "truncated"), path
            refused += 1
            continue
        expected = _records_by_hand(data)
        assert expected is None or count == expected, (path, count, expected)
        read_files += 1
    assert read_files > 55 and refused <= 12
