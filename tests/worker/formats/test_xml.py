"""Generic XML: what becomes a row and a column, encodings, faults of records, the user's schema."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from xml_kit import codes, open_xml, read_xml, rows_of, texts

from base_ops.core.errors import BadInput, ConfigError
from base_ops.data_ingestion.options.reading import ColumnSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.formats.delimited import infer
from base_ops.worker.formats.xml import FORMAT, encoding, survey
from base_ops.worker.formats.xml.reader import XmlReader

XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("<r><t><a>1</a></t><t><a>2</a></t></r>", [{"a": 1}, {"a": 2}]),
        ('<r><t a="1" b="x"/><t a="2" b="y"/></r>', [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ('<r><t a="1"><b>2</b></t><t a="3"><b>4</b></t></r>', [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
        ("<r><t><id>007</id></t><t><id>008</id></t></r>", [{"id": "007"}, {"id": "008"}]),
        ("<r><t><d>2024-01-02</d></t><t><d>2024-01-03</d></t></r>", [{"d": date(2024, 1, 2)}, {"d": date(2024, 1, 3)}]),
        (
            "<r><t><z>2024-01-02T03:04:05+01:00</z></t></r>",
            [{"z": datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)}],
        ),
        (
            '<r><t><Amt Ccy="EUR">1.50</Amt></t><t><Amt Ccy="USD">2</Amt></t></r>',
            [{"Amt": 1.5, "Amt.Ccy": "EUR"}, {"Amt": 2.0, "Amt.Ccy": "USD"}],
        ),
        ('<r><t><i s="x"/></t><t><i s="y"/></t></r>', [{"i.s": "x"}, {"i.s": "y"}]),
        ("<r><t><p><q>a</q><w>b</w></p></t><t/></r>", [{"p.q": "a", "p.w": "b"}, {}]),
        ("<r><t><l>a</l><l>b</l></t><t><l>c</l></t></r>", [{"l": ["a", "b"]}, {"l": ["c"]}]),
        (
            '<r><t><l n="1"><k>a</k></l><l n="2"/></t><t/></r>',
            [{"l": '[{"n":"1","k":"a"},{"n":"2"}]'}, {}],
        ),
        ('<r><t><l n="1">a</l><l>b</l></t><t/></r>', [{"l": '[{"n":"1","#text":"a"},{"#text":"b"}]'}, {}]),
        # around the records
        (
            '<r d="2024-01-02"><h>x</h><t><a>1</a></t><t><a>2</a></t></r>',
            [{"r.d": date(2024, 1, 2), "r.h": "x", "a": n} for n in (1, 2)],
        ),
        (
            "<r><b><n>1</n><ts><t><a>1</a></t><t><a>2</a></t></ts></b><b><n>2</n><ts><t><a>3</a></t><t><a>4</a></t></ts></b></r>",
            [{"n": 1, "ts.t": '[{"a":"1"},{"a":"2"}]'}, {"n": 2, "ts.t": '[{"a":"3"},{"a":"4"}]'}],
        ),
        (
            "<r><hd><who><n>x</n></who></hd><ts><t><a>1</a></t><t><a>2</a></t></ts></r>",
            [{"r.hd.who.n": "x", "a": 1}, {"r.hd.who.n": "x", "a": 2}],
        ),
        ("<r><r.a>0</r.a><t><r><a>1</a></r></t><t/></r>", [{"parent.r.r.a": 0, "r.a": 1}, {"parent.r.r.a": 0}]),
        # which element is the record
        ("<a><b>1</b><c>2</c></a>", [{"b": 1, "c": 2}]),
        ("<a><b>1</b></a>", [{"b": 1}]),
        ("<rs><r><b>1</b></r></rs>", [{"b": 1}]),
        ('<rs v="x"><r><b>1</b></r></rs>', [{"rs.v": "x", "b": 1}]),
        ("<vs><v>1</v><v>2</v></vs>", [{"v": 1}, {"v": 2}]),
        ('<vs><v c="x">1</v><v c="y">2</v></vs>', [{"c": "x", "v": 1}, {"c": "y", "v": 2}]),
        ("<o><i>1</i><n>a</n><n>b</n></o>", [{"i": 1, "n": ["a", "b"]}]),
        ("<o><i>1</i><l><a>1</a></l><l><a>2</a></l></o>", [{"o.i": 1, "a": 1}, {"o.i": 1, "a": 2}]),
        # texts
        ("<r><t><a>x &amp; y &#228;&#x1F600;</a></t></r>", [{"a": "x & y ä😀"}]),
        ("<r><t><a><![CDATA[<b> & ]]>c</a></t></r>", [{"a": "<b> & c"}]),
        ("<r><t><a>x<!-- no -->y<?no?>z</a></t></r>", [{"a": "xyz"}]),
        ("<r><t><a> x </a><b>\n  </b><c/></t></r>", [{"a": " x "}]),
        ("<r><t><a>x\r\ny</a></t></r>", [{"a": "x\ny"}]),
        ("<r><t a='x\n\ty'/></r>", [{"a": "x  y"}]),
        ("<r><p>a <b>c</b> &amp; d</p><p>e</p></r>", [{"p": "a <b>c</b> &amp; d"}, {"p": "e"}]),
        ('<r><t><p x="1">a <b>c</b></p></t><t/></r>', [{"p.x": 1, "p.#text": "a <b>c</b>"}, {}]),
        (f'<r {XSI}><t><a xsi:nil="true"/><b>1</b></t><t><a>2</a><b xsi:nil="false">3</b></t></r>', [{"b": 1}, {"a": 2, "b": 3}]),
        (f'<r {XSI} xsi:schemaLocation="a b"><t><a>1</a></t></r>', [{"a": 1}]),
        # what lies between records
        ("<r><!-- <t><a>9</a></t> --><t><a>1<!-- </t> --></a></t><?p <t> ?><t><a>3</a></t></r>", [{"a": 1}, {"a": 3}]),
        ("<r><t><a><![CDATA[</t><t>]]></a></t><t><a>b</a></t></r>", [{"a": "</t><t>"}, {"a": "b"}]),
        ('<r><t a=">/>"/><t a="</t"/></r>'.replace("</t\"", "&lt;/t\""), [{"a": ">/>"}, {"a": "</t"}]),
        ("<r><t><t><a>1</a></t></t><t><t><a>2</a></t></t></r>", [{"t.a": 1}, {"t.a": 2}]),
        ("<!DOCTYPE r SYSTEM 'x.dtd'><r><t><a>1</a></t></r>", [{"a": 1}]),
        ("<!DOCTYPE r [<!ELEMENT r ANY>]><r><t><a>1</a></t></r>", [{"a": 1}]),
    ],
)  # fmt: skip
def test_documents(data: str, rows: list[dict[str, Any]]) -> None:
    assert rows_of(data) == rows


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ('<r xmlns="u"><t><a>1</a></t></r>', ["a"]),
        ('<p:r xmlns:p="u"><p:t><p:a>1</p:a></p:t></p:r>', ["a"]),
        ('<r xmlns:p="u"><t><a>1</a><p:a>2</p:a></t></r>', ["a", "p:a"]),
        ('<r xmlns:p="u" xmlns:q="u"><t><p:a>1</p:a></t><t><q:a>2</q:a></t></r>', ["a"]),
        ('<r><t a="1"><a>2</a></t></r>', ["@a", "a"]),
        ('<r><t a="1"/><t a="1"><a>2</a></t></r>', ["@a", "a"]),
        ('<r><t><x a="1">1</x><x.a>2</x.a></t></r>', ["x", "x.a_2", "x.a"]),
    ],
)
def test_column_names(data: str, names: list[str]) -> None:
    assert open_xml(data).schema.names() == names


def test_lines_are_told_where_records_have_their_own() -> None:
    assert [r[POINTER] for r in read_xml("<r>\n<t>\n<a>1</a></t>\n\n<t><a>2</a></t></r>")[0]] == [2, 5]
    assert [r[POINTER] for r in read_xml("<r><t><a>1</a></t><t><a>2</a></t>\n<t><a>3</a></t></r>")[0]] == [1, 2, 3]


def test_lines_beyond_65535() -> None:
    rows, _, _ = read_xml("<r>" + "\n" * 70_000 + "<t><a>1</a></t>\n<t><a>2</a></t></r>")
    assert [r[POINTER] for r in rows] == [70_001, 70_002]


def test_record_by_name_or_path() -> None:
    data = "<o><h><l><k>9</k></l></h><i>1</i><ls><l><a>1</a></l></ls><ls><l><a>2</a></l></ls></o>"
    assert rows_of(data, xml={"record": "ls/l"}) == [{"o.h.l.k": 9, "o.i": 1, "a": n} for n in (1, 2)]
    assert rows_of(data, xml={"record": "l"})[0] == {"k": 9}
    assert len(rows_of(data, xml={"record": "/o/ls"})) == 2
    with pytest.raises(BadInput) as raised:
        open_xml(data, xml={"record": "m"})
    assert raised.value.code == "records_not_found"


def test_nested_keep() -> None:
    data = '<r><t><p><q n="1">a</q></p><l n="1"/><l><k>2</k></l></t><t><p><q>b</q></p></t></r>'
    rows, _, reader = read_xml(data, nested="keep")
    assert reader.schema["p"] == pl.Struct({"q": pl.String, "q.n": pl.String})
    assert [r["p"]["q"] for r in rows] == ["a", "b"]
    assert rows[0]["l"] == [{"n": "1", "k": None}, {"n": None, "k": "2"}]


def test_declared_columns() -> None:
    columns = (ColumnSpec(name="px", source_name="Amt", type="decimal(18,4)", required=True), ColumnSpec(name="r.d"))
    rows, rejected, reader = read_xml(
        '<r d="x"><t><Amt Ccy="E">1.10</Amt></t><t><Amt>1.12345</Amt></t><t/></r>', columns=columns
    )
    assert [(str(r["px"]), r["r.d"]) for r in rows] == [("1.1000", "x")]
    assert [(r.line, r.rule, r.column) for r in rejected] == [(2, "type", "px"), (3, "required", "px")]
    assert reader.schema == {"px": pl.Decimal(18, 4), "r.d": pl.String}


def test_null_values() -> None:
    data = "<r><t><a/><b>x</b></t><t><b>N/A</b></t></r>"
    assert rows_of(data) == [{"b": "x"}, {}]
    assert rows_of(data, null_values=("x",)) == [{"a": ""}, {"b": "N/A"}]


def test_findings_tell_records_namespaces_and_what_is_not_read() -> None:
    _, _, reader = read_xml('<r xmlns="urn:u"><p>1</p><p>2</p><t><a>1</a></t><t><a>2</a></t>stray<end>3</end></r>')
    found = {f.code: f for f in reader.findings}
    assert found["records_at"].data == {"paths": ["r/t"], "sure": True}
    assert {f.code: f for f in open_xml("<r><t><a>1</a></t></r>").findings}["records_at"].data["sure"] is False
    assert found["namespaces"].data == {"namespaces": {"": "urn:u"}}
    assert found["unread_elements"].data == {"elements": {"r/p": 2, "r (text)": 1, "r/end": 1}}


def test_parents_without_records_are_told() -> None:
    data = "<r><s><n>1</n><t><a>1</a></t></s><s><n>2</n></s></r>"
    _, _, reader = read_xml(data, xml={"record": "t"})
    assert [f.data for f in reader.findings if f.code == "unread_elements"] == [
        {"elements": {"r/s (without records)": 1}}
    ]


@pytest.fixture
def short_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the very beginning of a document, and the sample, are looked at before it is read."""
    monkeypatch.setattr(survey, "_STEP_BYTES", 16)
    monkeypatch.setattr(survey, "_ENOUGH_BYTES", 16)


@pytest.mark.usefixtures("short_survey")
def test_names_the_sample_did_not_show_are_kept() -> None:
    data = "<r>" + "<t><a>1</a></t>" * 3 + '<t><a>2</a><b c="y">x</b></t></r>'
    rows, rejected, reader = read_xml(data, sample_rows=2)
    assert rejected == []
    assert rows[3]["_extra"] == '{"b":{"c":"y","#text":"x"}}'
    assert "new_fields" in codes(reader)


@pytest.mark.usefixtures("short_survey")
@pytest.mark.parametrize(
    ("late", "rule"),
    [
        ("<t><a>1</a><a>2</a></t>", "type"),
        ('<t><m c="1">1</m><m c="2">2</m></t>', "repeated"),
        ("<t><a>1</a>text</t>", "mixed_content"),
        ("<t>text<a>1</a></t>", "mixed_content"),
        ("<t><a>x</a></t>", "type"),
    ],
)
def test_records_that_do_not_fit_what_the_sample_showed_are_refused(late: str, rule: str) -> None:
    rows, rejected, _ = read_xml(
        "<r>" + '<t><a>1</a><m c="E">2</m></t>' * 3 + late + "<t><a>7</a></t></r>", sample_rows=2
    )
    assert [r["a"] for r in rows] == [1, 1, 1, 7]
    assert [(r.line, r.rule) for r in rejected] == [(4, rule)]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ("<t><a>1 & 2</a></t>", "syntax"),
        ("<t><a>1</b></t>", "syntax"),
        ("<t><a>&undefined;</a></t>", "syntax"),
        ("<t><a>&#1;</a></t>", "syntax"),
        ("<t><a>\x02</a></t>", "syntax"),
        ("<t><a b=1>1</a></t>", "syntax"),
        ("<t><a b='1' b='2'>1</a></t>", "syntax"),
        ("<t c='1' c='2'><a>1</a></t>", "syntax"),
        ("<t><x:a>1</x:a></t>", "syntax"),
        ("<t><a>]]></a></t>", "syntax"),
        ("<t><a>1<!-- -- --></a></t>", "syntax"),
        ("<t><a>x</a></t>", "type"),
        (f"<t><a>{'1' * 200}</a></t>", "record_too_long"),
        ("<t>" + "<b>" * 120 + "</b>" * 120 + "</t>", "record_too_long"),
    ],
)
def test_bad_records_are_refused_and_their_neighbours_kept(bad: str, rule: str) -> None:
    good = "<t><a>1</a></t>\n"
    data = f"<r>\n{good * 20}{bad}\n{good * 20}</r>".encode()
    rows, rejected, _ = read_xml(data, max_record_bytes=200)
    assert [r["_line"] for r in rows] == [*range(2, 22), *range(23, 43)]
    assert [(r.line, r.rule) for r in rejected] == [(22, rule)]
    assert data[rejected[0].byte_start : rejected[0].byte_end].rstrip() == rejected[0].raw.rstrip() == bad.encode()


def test_text_between_elements_refuses_a_record_where_others_have_none() -> None:
    rows, rejected, _ = read_xml("<r>" + "<t><a>1</a></t>" * 5 + "<t>text<a>1</a></t></r>")
    assert ([r["a"] for r in rows], [(r.line, r.rule) for r in rejected]) == ([1] * 5, [(6, "mixed_content")])


def test_few_objects_among_texts_do_not_change_the_column() -> None:
    odd = "<t><a><b>1</b></a><n>2</n></t><t><a>x</a><n><b>1</b></n></t>"
    rows, rejected, _ = read_xml("<r>" + "<t><a>x</a><n>1</n></t>" * 50 + odd + "</r>")
    assert [(r["a"], r["n"]) for r in rows] == [("x", 1)] * 50 + [('{"b":"1"}', 2)]
    assert [(r.line, r.rule, r.column) for r in rejected] == [(52, "type", "n")]


def test_bytes_that_are_not_utf8_refuse_their_record() -> None:
    good = "<t><a>é</a></t>\n".encode()
    rows, rejected, _ = read_xml(b"<r>\n" + good * 20 + b"<t><a>\xe9</a></t>\n" + good * 20 + b"</r>")
    assert (len(rows), [(r.line, r.rule) for r in rejected]) == (40, [(22, "encoding")])


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("UTF-8", "utf-8-sig"),
        ("UTF-16", "utf-16"),
        ("UTF-16", "utf-16-le"),
        ("UTF-16", "utf-16-be"),
        ("ISO-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("GB18030", "gb18030"),
    ],
)
def test_encodings(declared: str, codec: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?>\n<r><t><n>Müller é</n></t><t><n>×</n></t></r>'
    assert rows_of(text.encode(codec)) == [{"n": "Müller é"}, {"n": "×"}]


def test_euro_in_windows_1252() -> None:
    assert rows_of(b'<?xml version="1.0" encoding="windows-1252"?><r><t><n>\x80</n></t></r>') == [{"n": "€"}]
    assert rows_of(b"<r><t><n>\x80</n></t></r>", encoding="cp1252") == [{"n": "€"}]


def test_utf16_declared_over_utf8_is_told() -> None:
    rows, _, reader = read_xml('<?xml version="1.0" encoding="utf-16"?><r><t><n>é</n></t></r>')
    assert rows[0]["n"] == "é"
    assert "encoding_disagrees" in codes(reader)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_object"),
        (b" \n", "empty_object"),
        (b"a,b\n1,2", "not_this_format"),
        (b'{"a":1}', "not_this_format"),
        (b"\x00\x01\x02", "not_this_format"),
        (b"<r/>", "empty_object"),
        (b"<r></r>", "empty_object"),
        (b'<?xml version="1.0" encoding="no-such"?><r><a>1</a></r>', "unsupported_encoding"),
        (b'<?xml version="1.0" encoding="rot13"?><r><a>1</a></r>', "unsupported_encoding"),
        (b'<?xml version="1.0" encoding="ascii"?><r><a>\xe9</a></r>', "encoding"),
        (b'<?xml version="1.0" encoding="utf-16"?><r><a>1</a></r>'.decode().encode("utf-16")[:-1], "encoding"),
        (b"<r>\n<t><a>1</a></t>\n<t><a>1</a></t>\n<t><a>", "truncated"),
        (b"<r>\n<t><a>1</a></t>\n<t><a>1</a></t>\n", "truncated"),
        (b"<r>\n<t><a>1</a></t>\n<t><a>1</a></t>\n</r", "truncated"),
        (b"<r>\n<t><a>1</a></t>\n<t><a>1</a></t>\n<!-- ", "truncated"),
        (b"<r>\n<t><a>1</a></t>\n<t><a>1<![CDATA[", "truncated"),
        (b"<r><a>1</a>", "truncated"),
        (b"<r><t><a>1</a></t><t><a>1</a></t></r><r/>", "syntax"),
        (b"<r><t><a>1</a></t><t><a>1</a></t></s>", "syntax"),
        (b"<r><t><a>1</a></t><t><a>1</a><t><a>1</a></t></r>", "syntax"),
        (b"<r><t><a>1</a></t>&x;<t><a>1</a></t></r>", "syntax"),
        (b"<r><a>1 & 2</a></r>", "syntax"),
    ],
)
def test_what_is_no_usable_document_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        read_xml(data)
    assert raised.value.code == code


def test_truncated_says_the_line() -> None:
    with pytest.raises(BadInput, match="line 4") as raised:
        read_xml("<r>\n<t><a>1</a></t>\n<t><a>1</a></t>\n<t><a>")
    assert raised.value.code == "truncated"


@pytest.mark.parametrize(
    ("head", "low", "high"),
    [
        (b'<?xml version="1.0"?><a/>', 0.96, 0.96),
        (b"<a><b>", 0.96, 0.96),
        (b"<a>text", 0.85, 0.85),
        (b"<!-- x -->\n<a x='>'>", 0.85, 0.85),
        ("\ufeff<a>".encode(), 0.85, 0.85),
        ('<?xml version="1.0"?><a/>'.encode("utf-16"), 0.96, 0.96),
        (b"<!DOCTYPE html><html><body>", 0.0, 0.3),
        (b"<html>", 0.0, 0.3),
        (b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">', 0.0, 0.3),
        (b"a < b and c > d", 0.0, 0.0),
        (b"<13>1 2024-01-02T03:04:05Z host app - - - msg", 0.0, 0.0),
        (b"", 0.0, 0.0),
        (b"a,b\n1,2\n", 0.0, 0.0),
    ],
)
def test_sniff(head: bytes, low: float, high: float) -> None:
    assert low <= FORMAT.sniff(head, "x") <= high


# -- the user's schema

XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r"><xs:complexType><xs:sequence>
<xs:element name="h" type="xs:date"/><xs:element name="t" maxOccurs="unbounded"><xs:complexType><xs:sequence>
<xs:element name="a" type="xs:decimal"/></xs:sequence></xs:complexType></xs:element>
<xs:element name="n" type="xs:int" minOccurs="0"/></xs:sequence></xs:complexType></xs:element></xs:schema>"""


@pytest.fixture
def xsd(tmp_path: Path) -> str:
    path = tmp_path / "r.xsd"
    path.write_text(XSD)
    return str(path)


def test_records_that_do_not_fit_the_schema_are_refused(xsd: str) -> None:
    data = "<r><h>2024-01-02</h><t><a>1</a></t><t><b>1</b></t><t><a>2</a></t><t><a>x</a></t><t><a>3</a></t></r>"
    rows, rejected, _ = read_xml(data, xml={"xsd": xsd})
    assert [r["a"] for r in rows] == ["1", "2", "3"]
    assert [(r.line, r.rule) for r in rejected] == [(2, "xsd"), (4, "xsd")]


@pytest.mark.parametrize(
    "data",
    [
        "<r><h>x</h><t><a>1</a></t></r>",
        "<r><h>2024-01-02</h><t><a>1</a></t><n>x</n></r>",
        "<s><h>2024-01-02</h><t><a>1</a></t></s>",
    ],
)
def test_faults_around_the_records_refuse_the_document(xsd: str, data: str) -> None:
    with pytest.raises(BadInput) as raised:
        read_xml(data, xml={"xsd": xsd, "record": "t"})
    assert raised.value.code == "xsd_invalid"


def test_schemas_that_cannot_be_used(tmp_path: Path) -> None:
    bad = tmp_path / "bad.xsd"
    bad.write_text("<a/>")
    for path, code in ((bad, "invalid_xsd"), (tmp_path / "none.xsd", "xsd_not_found")):
        with pytest.raises(ConfigError) as raised:
            read_xml("<r><t><a>1</a></t></r>", xml={"xsd": str(path)})
        assert raised.value.code == code


# -- any document

_names = st.sampled_from(["a", "b", "c-1", "d.e", "é"])
_texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs", "Cc", "Cn"]), max_size=20
)
_records = st.lists(st.dictionaries(_names, _texts, max_size=4), min_size=1, max_size=12)


def _escape(text: str, way: int) -> str:
    if way == 1 and "]]>" not in text:
        return f"<![CDATA[{text}]]>"
    if way == 2:
        return "".join(f"&#{ord(c)};" for c in text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


@settings(max_examples=60)
@given(_records, st.integers(0, 2), st.sampled_from(["", "\n", "\n  ", "<!-- <t> -->"]), st.booleans())
def test_any_texts_come_back(records: list[dict[str, str]], way: int, between: str, attributes: bool) -> None:
    def element(record: dict[str, str]) -> str:
        if attributes:
            return "<t " + " ".join(f'{k}="{_escape(v, way * 2 % 4)}"' for k, v in record.items()) + "/>"
        return "<t>" + "".join(f"<{k}>{_escape(v, way)}</{k}>" for k, v in record.items()) + "</t>"

    data = "<r>" + between.join(map(element, [*records, {}, {"a": "x"}])) + "</r>"
    names = sorted({name for record in records for name in record} | {"a"})
    rows, rejected, _ = read_xml(data, **texts(*names))
    assert rejected == []
    assert [{k: v for k, v in row.items() if k != POINTER and v is not None} for row in rows[: len(records)]] == records


_MARKUP = (
    b"<",
    b">",
    b"&",
    b"</t>",
    b"<t>",
    b"<t/>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<?x",
    b"?>",
    b'"',
    b"/>",
    b"\n",
    b"=",
    b"\xff",
    b"\r",
    b" ",
)


def _document(seed: st.DrawFn) -> str:
    leaf = st.sampled_from(
        ["<a>1</a>", "<a/>", "<b>x &amp; y</b>", '<c d="1">2</c>', "<l>1</l><l>2</l>", "<p><q>3</q></p>"]
    )
    odd = st.sampled_from(["", "", "", "<!-- </t> -->", "<![CDATA[]]>", "<a>é</a>", "<z>&bad;</z>", "<x:y/>", "<q>"])
    record = st.tuples(st.lists(leaf, max_size=3, unique=True), odd, st.booleans()).map(
        lambda t: ("<t>" if t[2] else '<t n="1">') + "".join(t[0]) + t[1] + "</t>"
    )
    regular = st.integers(1, 30).map(lambda n: '<t n="5"><a>1</a><b>yy</b></t>\n' * n)
    outer = st.sampled_from(["<h>1</h>", "</s><s>", "<!-- <t> -->", " text ", "<?pi?>"])
    parts = seed(st.lists(record | regular | regular | outer, max_size=12))
    return "<r><s>" + "".join(parts) + "</s></r>"


documents = st.composite(_document)()


def _outcome(data: bytes, **spec: Any) -> Any:
    try:
        rows, rejected, reader = read_xml(data, **spec)
    except BadInput as error:
        return error.code, str(error)
    return rows, rejected, reader.schema, [f.model_dump() for f in reader.findings]


@settings(max_examples=40)
@given(documents)
def test_pattern_and_parser_agree(text: str) -> None:
    spec = {"xml": {"record": "t"}}
    fast = _outcome(text.encode(), **spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(XmlReader, "_template", lambda self: None)
        slow = _outcome(text.encode(), **spec)
    if len(fast) == 4 == len(slow):
        fast, slow = ((list(o[0]), [(x.line, x.rule, x.byte_start) for x in o[1]], *o[2:]) for o in (fast, slow))
    assert fast == slow


@settings(max_examples=40)
@given(documents, st.integers(1, 40))
def test_chunks_do_not_matter(text: str, size: int) -> None:
    spec = {"xml": {"record": "t"}}
    whole = _outcome(text.encode(), **spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "CHUNK_BYTES", size)
        assert _outcome(text.encode(), **spec) == whole


@settings(max_examples=60)
@given(documents, st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=4), st.integers(0, 5)), max_size=4))
def test_damaged_documents_are_refused_by_name(text: str, changes: list[tuple[int, bytes, int]]) -> None:
    data = text.encode()
    for at, new, cut in changes:
        at %= len(data) + 1
        data = data[:at] + new + data[at + cut :]
    try:
        read_xml(data)
    except BadInput as error:
        assert error.code


@settings(max_examples=60)
@given(
    documents,
    st.lists(st.tuples(st.integers(0, 2000), st.sampled_from([b"", *_MARKUP]), st.integers(0, 5)), max_size=2),
)
def test_another_parser_says_the_same(text: str, changes: list[tuple[int, bytes, int]]) -> None:
    data = text.encode()
    for at, new, cut in changes:
        at %= len(data) + 1
        data = data[:at] + new + data[at + cut :]
    try:
        tree = etree.fromstring(data, etree.XMLParser(resolve_entities=False))
        expected = len(tree.xpath("//t[not(ancestor::t)]"))
    except etree.XMLSyntaxError:
        expected = None
    try:
        rows, rejected, _ = read_xml(data, xml={"record": "t"}, max_record_bytes=1 << 20)
    except BadInput as error:
        assert expected in (None, 0), error
        return
    if expected is None:
        assert rejected
    else:
        assert len(rows) + len(rejected) == expected
        assert not [r for r in rejected if r.rule in ("syntax", "encoding")]


def test_all_columns_are_typed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message of hundreds of columns took seconds while each of them was asked for alone."""
    asked: list[int] = []
    counted = infer.traits_of

    def traits_of(texts: pl.DataFrame, decimal: str) -> list[infer.Traits]:
        asked.append(texts.width)
        return counted(texts, decimal)

    monkeypatch.setattr(infer, "traits_of", traits_of)
    cells = ("7", "2024-01-02", "2024-01-02T03:04:05", "1.50")
    data = "<r><t>" + "".join(f"<c{n}>{cells[n % 4]}</c{n}>" for n in range(40)) + "</t><t/></r>"
    assert set(open_xml(data).schema.values()) == {pl.Int64(), pl.Date(), pl.Datetime("us"), pl.Float64()}
    assert len(asked) == 1
