"""Office documents are known by their content, among all formats, whatever they are called."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from test_docx import document
from test_pdf import pdf
from test_tiff import tiff
from test_xls import book as xls_book
from test_xlsx import book as xlsx_book
from test_xlsx import encrypted_package

from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.detect import detect, open_reader
from base_ops.worker.formats.wrappers import open_object

SAMPLES = {
    "xlsx": xlsx_book(["a", "b"], [1, "x"]),
    "xls": xls_book(["a", "b"], [1, "x"]),
    "docx": document("x"),
    "pdf": pdf(["x"]),
    "tiff": tiff(),
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("called", ["object", "object.csv", "object.json", "object.txt"])
def test_content_decides(name: str, called: str) -> None:
    data = SAMPLES[name]
    found = detect(ByteSource(called, len(data), lambda: io.BytesIO(data)))
    assert (found.format, found.confidence >= 0.8) == (name, True)


def test_a_document_with_a_password_goes_to_a_reader_that_says_so() -> None:
    data = encrypted_package()
    assert detect(ByteSource("book.xlsx", len(data), lambda: io.BytesIO(data))).format == "xls"


def test_a_google_sheet_is_the_delimited_text_it_is_exported_as(tmp_path: Path) -> None:
    rows = [f'2024-01-{day:02d},"Item ""{day}""","1,234.50",TRUE,"two\nlines"' for day in range(1, 29)]
    path = tmp_path / "Budget - Sheet1.csv"
    path.write_bytes("\r\n".join(["Date,Item,Amount,Done,Note", *rows]).encode())
    (source,) = open_object(path, path.name, ReadSpec())
    reader = open_reader(source, ReadSpec())
    batches = list(reader.batches())
    assert sum(batch.frame.height for batch in batches) == 28
    assert batches[0].frame.row(0)[1] == 'Item "1"'
    assert [str(reader.schema[name]) for name in ("Date", "Done", "Note")] == ["Date", "Boolean", "String"]
