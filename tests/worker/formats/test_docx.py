"""DOCX: paragraphs and tables as they stand; packages that are hostile are refused."""

from __future__ import annotations

import io
from typing import Any

import docx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office_kit import codes, mutated_parts, open_bytes, refusal, repacked, rows_of, survives

from base_ops.worker.engine.plan import Rejected
from base_ops.worker.formats.docx import FORMAT
from base_ops.worker.formats.xlsx import FORMAT as XLSX

MAIN = "word/document.xml"


def document(*paragraphs: str, tables: list[list[list[str]]] | None = None) -> bytes:
    made = docx.Document()
    made.core_properties.title = "Title"
    made.core_properties.author = "Somebody"
    for text in paragraphs:
        made.add_paragraph(text)
    for rows in tables or []:
        table = made.add_table(len(rows), len(rows[0]))
        for r, row in enumerate(rows):
            for c, text in enumerate(row):
                table.cell(r, c).text = text
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def body(xml: str) -> bytes:
    """A document whose body is this XML, with the prefix w."""
    name = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    made = f'<w:document xmlns:w="{name}" xmlns:mc="x"><w:body>{xml}</w:body></w:document>'.encode()
    return repacked(document(), lambda part, content: made if part == MAIN else content)


def read(data: bytes, **options: Any) -> tuple[pl.DataFrame, list[Rejected]]:
    return rows_of(open_bytes(FORMAT, data, "text.docx", document=options))


def test_paragraphs_with_styles_and_tables() -> None:
    made = docx.Document()
    made.add_heading("Head", 1)
    made.add_paragraph("")
    made.add_paragraph("tab\tand\nbreak")
    made.add_table(1, 1).cell(0, 0).text = "inside"
    file = io.BytesIO()
    made.save(file)
    frame, rejected = read(file.getvalue())
    assert frame.rows() == [
        (1, "heading 1", None, "Head", 1),
        (3, None, None, "tab\tand\nbreak", 3),
        (4, None, 1, "inside", 4),
    ]
    assert rejected == []


def test_changes_fields_and_alternatives() -> None:
    xml = (
        "<w:p><w:r><w:t>a</w:t></w:r><w:ins><w:r><w:t>b</w:t></w:r></w:ins><w:del><w:r><w:delText>c</w:delText></w:r></w:del>"
        "<w:r><w:instrText>PAGE</w:instrText></w:r><w:r><w:noBreakHyphen/><w:t>d</w:t></w:r></w:p>"
        "<mc:AlternateContent><mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>"
        "<mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>"
        "<w:sdt><w:sdtContent><w:p><w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p></w:sdtContent></w:sdt>"
    )
    assert read(body(xml))[0]["text"].to_list() == ["ab\u2011d", "box", "link"]


def test_tables_with_one_header_are_one_table() -> None:
    data = document(tables=[[["id", "v"], ["1", "2.5"], ["2", ""]], [["id", "v"], ["3", "4"]]])
    frame, rejected = read(data, content="tables")
    assert frame.columns == ["_table", "id", "v", "_line"]
    assert frame.rows() == [(1, 1, 2.5, 1), (1, 2, None, 2), (2, 3, 4.0, 3)]
    assert rejected == []
    assert read(data, content="tables", table=2)[0].rows() == [(2, 3, 4, 1)]


def test_tables_of_other_headers_keep_all_their_cells() -> None:
    data = document(tables=[[["a", "b"], ["1", "2"]], [["x", "y", "z"]]])
    reader = open_bytes(FORMAT, data, document={"content": "tables"})
    frame, _ = rows_of(reader)
    assert frame.rows() == [(1, "a", "b", None, 1), (1, "1", "2", None, 2), (2, "x", "y", "z", 3)]
    assert "tables_differ" in codes(reader)


def test_merged_cells_have_their_value_once() -> None:
    def cell(text: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"

    rows = [
        cell("a") + cell("b") + cell("c"),
        cell("wide", '<w:gridSpan w:val="2"/>') + cell("tall", '<w:vMerge w:val="restart"/>'),
        cell("1") + cell("2") + cell("again", "<w:vMerge/>"),
        cell("1") + cell("2"),
    ]
    frame, rejected = read(body(f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"), content="tables")
    assert frame.rows() == [(1, "wide", None, "tall", 1), (1, "1", 2, None, 2)]
    assert [(r.line, r.rule) for r in rejected] == [(3, "ragged")]


def test_metadata() -> None:
    frame, _ = read(document(), content="metadata")
    assert frame["title"][0] == "Title"
    assert frame["author"][0] == "Somebody"
    assert frame["created"][0].startswith("2")


@pytest.mark.parametrize(
    ("part", "content", "code"),
    [
        ("word/vbaProject.bin", b"x", "macros"),
        ("word/evil.xml", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', "dtd"),
        ("../evil.xml", b"<x/>", "path_escape"),
        ("word/bomb.xml", b"<x>" + bytes(30 << 20), "zip_bomb"),
    ],
)
def test_hostile_documents_are_refused_by_name(part: str, content: bytes, code: str) -> None:
    assert refusal(FORMAT, repacked(document("x"), lambda _, data: data, **{part: content})) == code


def test_what_cannot_be_read_is_refused() -> None:
    data = document("x")
    assert refusal(FORMAT, repacked(data, lambda n, d: None if n == MAIN else d)) == "not_this_format"
    assert refusal(FORMAT, repacked(data, lambda n, d: d[:-30] if n == MAIN else d)) == "damaged"
    assert refusal(FORMAT, data, document={"max_bytes": 100}) == "too_large"
    assert refusal(FORMAT, data, document={"content": "tables"}) == "empty_object"
    assert FORMAT.sniff(data[: 1 << 16], "x") == 1.0
    assert XLSX.sniff(data[: 1 << 16], "x") < 0.2


SAMPLE = document("a", "b", tables=[[["id", "v"], ["1", "2"]]])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), min_size=1, max_size=6),
    st.sampled_from([MAIN, "word/styles.xml", "_rels/.rels", "docProps/core.xml"]),
    st.sampled_from(["paragraphs", "tables", "metadata"]),
)
def test_mutated_parts_are_read_or_refused(places: list[tuple[int, int]], part: str, content: str) -> None:
    survives(FORMAT, mutated_parts(SAMPLE, part, places), document={"content": content})
