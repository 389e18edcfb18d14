"""YAML: documents or list items are records, by the 1.2 core schema; nothing is constructed, and limits hold."""

from __future__ import annotations

import io
import math
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.yaml import FORMAT, builder, reader


def open_bytes(data: bytes, **spec: Any) -> Reader:
    return FORMAT.read(ByteSource("x.yaml", len(data), lambda: io.BytesIO(data)), ReadSpec(**spec))


def read(text: str, **spec: Any) -> tuple[list[dict[str, Any]], list[Rejected], Reader]:
    found = open_bytes(text.encode(), **spec)
    batches = list(found.batches())
    rows = [row for b in batches for row in b.frame.drop("_line").to_dicts()]
    return rows, [r for b in batches for r in b.rejected], found


@pytest.mark.parametrize(
    ("text", "spec", "rows"),
    [
        ("a: 1\n---\na: 2\n", {}, [{"a": 1}, {"a": 2}]),
        ("- a: 1\n- a: 2\n", {}, [{"a": 1}, {"a": 2}]),
        ("&x\n- a: 1\n- a: 2\n", {}, [{"a": 1}, {"a": 2}]),
        ("--- [{a: 1}]\n--- {a: 2}\n---\n...\n", {}, [{"a": 1}, {"a": 2}]),
        ("d: {items: [{a: 1}, {a: 2}]}", {"records": "d.items"}, [{"a": 1}, {"a": 2}]),
        ("d: [{a: 1}]\n---\nd: [{a: 2}]\n---\nd:\n", {"records": "d"}, [{"a": 1}, {"a": 2}]),
        ("- 1\n- 2\n", {}, [{"value": 1}, {"value": 2}]),
        ("a: {b: [1, 2]}", {}, [{"a.b": [1, 2]}]),
        ("base: &b {x: 1}\nc: *b", {}, [{"base.x": 1, "c.x": 1}]),
        ("&a a: &b b\n*b : *a", {}, [{"a": "b", "b": "a"}]),
        ("a: {&k 1: x, z: *k}", {}, [{"a.1": "x", "a.z": 1}]),
        ("a: &k 0x1F\n*k : *k", {}, [{"a": 31, "0x1F": 31}]),
        ("- &b {x: 1, y: 2}\n- {<<: *b, y: 3}\n", {}, [{"x": 1, "y": 2}, {"x": 1, "y": 3}]),
        ("- {<<: [{x: 1}, {x: 2, y: 4}], z: 5}", {}, [{"z": 5, "x": 1, "y": 4}]),
        ("- {'<<': 1}", {}, [{"<<": 1}]),
        ("1: a\ntrue: b\n~: c\n", {}, [{"1": "a", "true": "b", "~": "c"}]),
        ("a: |\n  x\n  y\nb: >\n  x\n  y\n", {}, [{"a": "x\ny\n", "b": "x y\n"}]),
        ("a: !!str 5\nb: !!float 5\nc: ! 5\nd: !!int 7\n", {}, [{"a": "5", "b": 5.0, "c": "5", "d": 7}]),
    ],
)
def test_records(text: str, spec: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    assert read(text, **spec)[:2] == (rows, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("no", "yes", "on", "off", "y", "N", "1:30", "190:20:30", "1_000", "007", "-01", "0b1")),
        *((text, text) for text in ("0x", "0o8", "1.2.3", "+", ".", "1e", "infinity", "nan", "2026-02-30", "tRue", "١")),
        ("'1'", "1"),
        ('"null"', "null"),
        ("12", 12),
        ("+12", 12),
        ("-0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("9223372036854775807", 2**63 - 1),
        ("1.50", 1.5),
        (".5", 0.5),
        ("-.5e-1", -0.05),
        ("1.", 1.0),
        ("+1e3", 1000.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
    ],
)  # fmt: skip
def test_plain_scalars_by_the_core_schema(text: str, value: Any) -> None:
    assert read(f"v: {text}\nw: 1\n")[0][0]["v"] == value


def test_nan_and_dates() -> None:
    rows, _, opened = read("v: .nan\nd: 2026-01-02\n")
    assert math.isnan(rows[0]["v"])
    assert opened.schema["d"] == pl.Date()


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        ("{a: 1, a: 2}", "duplicate_key"),
        ("{16: 1, 0x10: 2}", "duplicate_key"),
        ("{a: {b: 1, b: 2}}", "duplicate_key"),
        ("!!python/object/apply:os.system {a: 1}", "tag"),
        ("{a: !mine 1}", "tag"),
        ("{a: !!timestamp 2026-01-01}", "tag"),
        ("{a: !!int x}", "tag"),
        ("{a: !!set {x, y}}", "tag"),
        ("{[1, 2]: 3}", "key"),
        ("{<<: 1}", "merge_key"),
        ("{a: " + "[" * 150 + "]" * 150 + "}", "too_deep"),
        ("7", "not_an_object"),
        ("{a: '" + "x" * 300 + "'}", "record_too_long"),
    ],
)
def test_a_bad_record_is_refused_and_its_neighbours_are_kept(record: str, rule: str) -> None:
    rows, rejected, _ = read(f"- a: 1\n- {record}\n- a: 3\n", max_record_bytes=310)
    if rule == "record_too_long":
        rows, rejected, _ = read(f"- a: 1\n- {record}\n- a: 3\n", max_record_bytes=100)
    assert (rows, [(r.line, r.rule) for r in rejected]) == ([{"a": 1}, {"a": 3}], [(2, rule)])
    assert rejected[0].raw.decode().rstrip() == record


LAUGHS = "a: &a [l, l, l, l, l, l, l, l, l]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("data", "spec", "code"),
    [
        (b" \n", {}, "empty_object"),
        (b"# nothing\n", {}, "empty_object"),
        (b"just text", {}, "not_this_format"),
        (b"a: [1", {}, "not_this_format"),
        (b"a: b: c", {}, "not_this_format"),
        (b"a: \x01", {}, "not_this_format"),
        (b'a: "\\ud800"', {}, "not_this_format"),
        (b"a: *nobody", {}, "not_this_format"),
        (b"a: \xff", {}, "encoding"),
        (b"a: &a [*a]", {}, "recursive_alias"),
        (LAUGHS.encode(), {}, "alias_bomb"),
        (b"[" * 1_000_000, {}, "too_deep"),
        (b"{a: " * 100_000, {}, "too_deep"),
        (b"- " * 100_000, {}, "too_deep"),
        (b"? " * 100_000, {}, "too_deep"),
        (b"a: 1", {"records": "b"}, "records_not_found"),
        (b"a: {b: 1, b: 2}", {"records": "a"}, "duplicate_key"),
    ],
)
def test_what_cannot_be_used_is_refused(data: bytes, spec: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput) as raised:
        for _ in open_bytes(data, **spec).batches():
            pass
    assert raised.value.code == code


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "MAX_NODES", 50)
    monkeypatch.setattr(reader, "_MOST_SKIPPED", 100)
    monkeypatch.setattr(reader, "MAX_BYTES", 2000)
    for data, code in [
        (b"a: [" + b"1, " * 60 + b"1]", "too_large"),
        (b"- 1\n" * 600, "too_large"),
        (b"a: " + b"x" * 300 + b"\nb: [1, 2]", "record_too_long"),
    ]:
        with pytest.raises(BadInput) as raised:
            open_bytes(data, max_record_bytes=64)
        assert raised.value.code == code


def test_encodings() -> None:
    text = "a: é\n"
    for encoding, spec in [("utf-16", {}), ("utf-8-sig", {}), ("latin-1", {"encoding": "latin-1"})]:
        found = open_bytes(text.encode(encoding), **spec)
        assert next(found.batches()).frame["a"].to_list() == ["é"]
    with pytest.raises(ConfigError):
        open_bytes(b"a: 1", encoding="klingon")


@pytest.mark.parametrize(
    ("head", "name", "low", "high"),
    [
        (b"%YAML 1.2\n---\na: 1\n", "x", 0.9, 1.0),
        (b"---\na: 1\nb:\n  - x\n", "x", 0.85, 1.0),
        (b"# c\na: 1\nb: 2\n", "x.yml", 0.9, 1.0),
        (b"a: 1\nb: 2\nc: 3\n", "x", 0.9, 0.9),
        (b"- {a: 1, b: x}\n- {a: 2, b: y}\n- {a: 3, b", "x", 0.97, 1.0),
        (b"- {a}, b\n- {c}, d\n", "x", 0.0, 0.3),
        (b"---\nDear all,\nhello there\n", "x.txt", 0.0, 0.3),
        (b"Dear all: hello\nthere\n", "x.txt", 0.0, 0.1),
        (b"a,b\n1,2\n", "x.csv", 0.0, 0.0),
        (b'{"a": 1}', "x.json", 0.0, 0.1),
        (b"a: \0", "x.yaml", 0.0, 0.0),
    ],
)
def test_sniff(head: bytes, name: str, low: float, high: float) -> None:
    assert low <= FORMAT.sniff(head, name) <= high


_texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\u2028\u2029\x85"), max_size=8
)
_values = st.integers(-(2**63), 2**63 - 1) | st.booleans() | _texts


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries({"i": st.integers(-(2**63), 2**63 - 1), "s": _texts, "b": st.booleans()}), min_size=1
    )
)
def test_what_was_written_is_read(records: list[dict[str, Any]]) -> None:
    text = yaml.safe_dump(records, allow_unicode=True)
    rows, rejected, opened = read(text)
    assert rejected == []
    assert [(int(r["i"]), r["b"]) for r in rows] == [(r["i"], r["b"]) for r in records]
    if opened.schema["s"] == pl.String():
        assert [r["s"] for r in rows] == [r["s"] for r in records]


@given(st.binary(max_size=100) | st.text("[]{}&*!?:-,'\"\n |>%#a1~<", max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        for batch in open_bytes(data).batches():
            assert "_line" in batch.frame.columns
    except (BadInput, ConfigError) as error:
        assert error.code
