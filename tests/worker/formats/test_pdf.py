"""PDF: text, tables and metadata; documents that are hostile cost a page or are refused, in bounded time."""

from __future__ import annotations

import io
import random
import zlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from office_kit import codes, mutated, open_bytes, refusal, rows_of, survives
from reportlab.lib import colors
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas
from reportlab.platypus import PageBreak, SimpleDocTemplate, Table, TableStyle

from base_ops.core.errors import BadInput, ConfigError
from base_ops.worker.engine.plan import Reader, Rejected
from base_ops.worker.formats.office import bounded
from base_ops.worker.formats.pdf import FORMAT
from base_ops.worker.formats.pdf import reader as pdf_reader


def pdf(*pages: list[str], title: str = "", encrypt: Any = None) -> bytes:
    file = io.BytesIO()
    made = canvas.Canvas(file, encrypt=encrypt)
    made.setTitle(title)
    made.setAuthor("Somebody")
    for lines in pages:
        for number, line in enumerate(lines):
            made.drawString(72, 700 - 20 * number, line)
        made.showPage()
    made.save()
    return file.getvalue()


def tables(*grids: list[list[str]]) -> bytes:
    """A table per page."""
    file = io.BytesIO()
    style = TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black)])
    parts: list[Any] = []
    for grid in grids:
        parts += [Table(grid, style=style, repeatRows=1), PageBreak()]
    SimpleDocTemplate(file).build(parts)
    return file.getvalue()


def opened(data: bytes, **options: Any) -> Reader:
    return open_bytes(FORMAT, data, "text.pdf", pdf=options)


def read(data: bytes, **options: Any) -> tuple[pl.DataFrame, list[Rejected]]:
    return rows_of(opened(data, **options))


THREE = pdf(["first page, é"], [], ["third", "page"])


def test_text_is_a_row_per_page_and_empty_pages_are_told() -> None:
    reader = opened(THREE)
    assert reader.schema == {"page": pl.Int64(), "text": pl.String()}
    frame, rejected = rows_of(reader)
    assert frame.rows() == [(1, "first page, é", 1), (2, None, 2), (3, "third\npage", 3)]
    assert rejected == []
    finding = next(f for f in reader.findings if f.code == "needs_ocr")
    assert finding.data["pages"] == [2]
    assert read(THREE, pages="3")[0].rows() == [(3, "third\npage", 3)]


def test_tables_of_one_header_are_one_table() -> None:
    header = ["id", "name", "amount"]
    rows = [[str(n), f"n {n}", f"{n}.5"] for n in range(90)]
    frame, rejected = read(tables([header, *rows[:60]], [header, *rows[60:]]), content="tables")
    assert frame.columns == ["_page", "_table", "id", "name", "amount", "_line"]
    assert frame["id"].to_list() == list(range(90))
    assert frame["amount"].to_list() == [n + 0.5 for n in range(90)]
    assert rejected == []


def test_tables_of_other_headers_keep_all_their_cells() -> None:
    reader = opened(tables([["a", "b"], ["1", "2"]], [["x", "y", "z"], ["7", "8", "9"]]), content="tables")
    frame, _ = rows_of(reader)
    assert frame["cell_1"].to_list() == ["a", "1", "x", "7"]
    assert frame["cell_3"].to_list() == [None, None, "z", "9"]
    assert "tables_differ" in codes(reader)


def test_metadata() -> None:
    frame, _ = read(pdf(["x"], title="A title"), content="metadata")
    row = frame.row(0, named=True)
    assert (row["title"], row["author"], row["pages"]) == ("A title", "Somebody", 1)
    assert row["created"][4] == "-"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("D:20240102030405+01'30'", "2024-01-02T03:04:05+01:30"),
        ("D:20240102030405Z", "2024-01-02T03:04:05Z"),
        ("D:2024", "2024-01-01T00:00:00"),
        ("yesterday", "yesterday"),
        ("", None),
        (None, None),
    ],
)
def test_dates(text: str | None, expected: str | None) -> None:
    assert pdf_reader._date(text) == expected


def test_documents_that_cannot_be_read_are_refused() -> None:
    assert refusal(FORMAT, pdf(["x"], encrypt=StandardEncryption("secret"))) == "password_protected"
    assert refusal(FORMAT, b"%PDF-1.7\nnothing") == "damaged"
    assert refusal(FORMAT, THREE, pdf={"max_pages": 2}) == "too_many_pages"
    assert refusal(FORMAT, THREE, pdf={"max_bytes": 100}) == "too_large"
    assert refusal(FORMAT, THREE, pdf={"content": "tables"}) == "empty_object"
    with pytest.raises(ConfigError, match="1-3,7"):
        opened(THREE, pages="some")


def raw_pdf(stream: bytes, *, extra: bytes = b"") -> bytes:
    """One page that draws a compressed stream."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R /Resources << " + extra + b" >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    data, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(data)
    data += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return data + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start


def test_a_bomb_and_a_page_that_takes_for_ever_cost_their_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MEMORY_BYTES", 1 << 30)
    bomb = raw_pdf(zlib.compress(b"(x) Tj " * (30 << 20), 9))
    reader = opened(bomb, page_timeout_s=1.0)
    frame, rejected = rows_of(reader)
    assert frame.height + len(rejected) == 1
    assert all(r.rule == "page" for r in rejected)


def test_a_process_that_ends_or_hangs_refuses_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(_: Path, arguments: dict[str, Any], __: float) -> Any:
        if arguments["pages"] is None:
            yield {"pages": 4, "version": 17, "metadata": {}}
            yield {"page": 1, "text": "one"}
            raise bounded.Stopped("it crashed")
        yield {"pages": 4, "version": 17, "metadata": {}}
        yield from ({"page": n, "text": str(n)} for n in arguments["pages"])

    monkeypatch.setattr(pdf_reader, "answers", answers)
    frame, rejected = read(THREE)
    assert frame["page"].to_list() == [1, 3, 4]
    assert [(r.line, r.reason) for r in rejected] == [(2, "page 2: it crashed")]


def test_the_time_of_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_START_S", 0.0)
    with pytest.raises(bounded.Stopped, match="more than"):
        list(bounded.answers(pdf_reader._EXTRACT, {}, 0.001))
    monkeypatch.setattr(bounded, "_START_S", 20.0)
    with pytest.raises(bounded.Stopped, match="crashed"):
        list(bounded.answers(pdf_reader._EXTRACT, {"no": "path"}, 10.0))


def test_sniff() -> None:
    assert FORMAT.sniff(THREE[:1000], "x") == 1.0
    assert FORMAT.sniff(b"junk\n" + THREE[:1000], "x") > 0.8
    assert FORMAT.sniff(b"a,%PDF-,c\n", "x.pdf") == 0.0


def test_mutated_documents_are_read_or_refused() -> None:
    noise = random.Random(5)
    for content in ("text", "tables", "metadata"):
        places = [(noise.randrange(len(THREE)), noise.randrange(256)) for _ in range(20)]
        survives(FORMAT, mutated(THREE, places), pdf={"content": content})
    with pytest.raises(BadInput):
        opened(THREE[: len(THREE) // 3])
