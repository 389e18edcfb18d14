"""Runs in a process of its own: says what is in a PDF, first about the document, then page by page."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from base_ops.worker.formats.office.bounded import limit_memory, say

_KEYS = ("Title", "Author", "Subject", "Keywords", "Creator", "Producer", "CreationDate", "ModDate")


def main(arguments: dict[str, Any]) -> None:
    """Arguments: path, content, pages (numbers from 1; null: all), max_pages."""
    import pypdfium2 as pdfium

    try:
        document = pdfium.PdfDocument(arguments["path"])
        count = len(document)
    except pdfium.PdfiumError as error:
        say({"error": "password_protected" if "password" in str(error).lower() else "damaged", "found": str(error)})
        return
    metadata = {key: document.get_metadata_value(key) for key in _KEYS}
    say({"pages": count, "version": document.get_version(), "metadata": metadata})
    if count > arguments["max_pages"] or arguments["content"] == "metadata":
        return
    pages = [n for n in arguments["pages"] or range(1, count + 1) if n <= count]
    if arguments["content"] == "text":
        for number in pages:
            say({"page": number, **_text(document, number)})
    else:
        _tables(arguments["path"], pages)


def _text(document: Any, number: int) -> dict[str, Any]:
    import pypdfium2 as pdfium

    try:
        page = document[number - 1]
        return {"text": page.get_textpage().get_text_bounded()}
    except (pdfium.PdfiumError, MemoryError, ValueError) as error:
        return {"fault": f"{type(error).__name__}: {error}"[:200]}


def _tables(path: str, pages: list[int]) -> None:
    import pdfplumber

    logging.disable(logging.CRITICAL)
    with pdfplumber.open(path, unicode_norm=None) as document:
        for number in pages:
            try:
                page = document.pages[number - 1]
                tables = page.extract_tables()
                say({"page": number, "tables": tables, "has_text": bool(tables) or bool(page.chars)})
                page.close()
            except Exception as error:  # pdfminer has no errors of its own for most damage
                say({"page": number, "fault": f"{type(error).__name__}: {error}"[:200]})


if __name__ == "__main__":
    limit_memory()
    main(json.loads(sys.argv[1]))
