"""What is told of great objects is told from their beginning."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from delimited_kit import source_of
from hypothesis import given, settings
from hypothesis import strategies as st

from base_ops.bench.detection import GREAT, detect_great
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.beginning import LIMIT_BYTES, beginning
from base_ops.worker.formats.describe import describe


@pytest.mark.parametrize("name", GREAT)
def test_of_4_gb_only_the_first_are_read(name):
    found = detect_great(name)
    made = found.description
    assert (made.detection.format, made.problem) == (name, None)
    known = {column for column in made.columns if column != "_extra"}
    assert len(known) == GREAT[name][2], known
    assert found.bytes_read < 8 << 20


def test_it_is_said_that_the_beginning_alone_was_looked_at():
    found = detect_great("json").description
    assert [f.code for f in found.findings if f.code == "beginning_only"]
    small = describe(source_of(b'[{"a": 1}]', "x.json"), ReadSpec())
    assert not [f.code for f in small.findings if f.code == "beginning_only"]


def test_what_is_cut_in_a_wrong_place_is_read_whole():
    rows = [{"note": "x" * 100, "late": None}] * 3000
    text = json.dumps(rows).encode()[:-1] + b', {"note": "y", "late": 1.5}]'
    damaged = text.replace(b'"note"', b"note", 1)
    found = describe(source_of(damaged, "x.json"), ReadSpec())
    assert found.problem is not None and "beginning_only" not in [f.code for f in found.findings]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=15)
@given(st.lists(values, min_size=1, max_size=9), st.booleans())
def test_a_cut_document_is_a_document(records, wrapped):
    body = b", ".join(json.dumps(record).encode() for record in records)
    text = b'{"data": [' if wrapped else b"["
    text += (body + b", ") * (1 + LIMIT_BYTES // (len(body) + 2)) + body
    text += b"]}" if wrapped else b"]"
    cut = beginning(source_of(text, "x.json"), "json")
    if cut is None:  # one record may be most of it
        return
    with cut.open() as file:
        found = json.load(file)
    whole = json.loads(text)
    found, whole = (found["data"], whole["data"]) if wrapped else (found, whole)
    assert found[:-1] == whole[: len(found) - 1]


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["<a/>", "<b>x</b>", "<c d='e'><f/></c>", "<!-- < -->", "<![CDATA[<q>]]>", "t"])))
def test_a_cut_tree_is_a_tree(parts):
    record = f"<r>{''.join(parts)}</r>\n".encode()
    text = b"<?xml version='1.0'?><all>" + record * (1 + LIMIT_BYTES // len(record)) + b"</all>"
    cut = beginning(source_of(text, "x.xml"), "xml")
    assert cut is not None
    with cut.open() as file:
        found = ET.parse(file).getroot()
    assert found.tag == "all" and len(found) > LIMIT_BYTES // len(record) // 2


@pytest.mark.parametrize(
    "data", [b"[" * 400_000, b'["' * 200_000, b"<a>" * 200_000, b"<!--" * 100_000, b"</a>" * 99_999]
)
def test_hostile_beginnings_end(data):
    for format in ("json", "xml", "yaml", "fix", "swift_mt", "sql_dump"):
        beginning(source_of(data, "x"), format)
