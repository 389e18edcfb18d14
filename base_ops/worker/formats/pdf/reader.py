"""Reads PDFs through `extract`, and makes rows of what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.office.bounded import Stopped, answers
from base_ops.worker.formats.office.fixed import with_columns
from base_ops.worker.formats.office.grids import Grid, grid_records
from base_ops.worker.formats.office.ole import password_protected
from base_ops.worker.formats.office.package import damaged, local_copy
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import IntText, Refused

_EXTRACT = Path(__file__).with_name("extract.py")
_MAX_TEXT_BYTES = 256 << 20
_MAX_FAILURES = 5
"""So many pages may end the process before the document as a whole is given up."""
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([Zz+-])(?:(\d\d)'?(\d\d)?'?)?)?")
_PAGES = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*")
_NAMES = {
    "Title": "title",
    "Author": "author",
    "Subject": "subject",
    "Keywords": "keywords",
    "Creator": "creator",
    "Producer": "producer",
}
_TEXT = {"page": "int64", "text": "string"}
_METADATA = {
    **dict.fromkeys((*_NAMES.values(), "created", "modified"), "string"),
    "pages": "int64",
    "version": "string",
}


def open_pdf(source: ByteSource, spec: ReadSpec) -> RecordReader:
    """Raises: BadInput where the object is no PDF, is damaged, or needs a password."""
    options = spec.pdf
    local = local_copy(source, options.max_bytes)
    wanted = _wanted(options.pages)
    about, pages = _read(local, spec, wanted)
    findings: list[Finding] = []
    if options.content == "metadata":
        records = [Record(1, _metadata(about))]
    elif options.content == "text":
        records, findings = _texts(source.name, pages)
    else:
        records, findings = _tables(source.name, pages)
    if options.content != "tables":
        spec = with_columns(spec, _METADATA if options.content == "metadata" else _TEXT)
    reader = RecordReader(source.name, spec, lambda: iter(records), texts=options.content == "tables")
    reader.findings[:0] = findings
    return reader


def _read(local: ByteSource, spec: ReadSpec, wanted: list[int] | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What there is to say about the document, and about each wanted page."""
    about: dict[str, Any] = {}
    pages: list[dict[str, Any]] = []
    left, failures, size = wanted, 0, 0
    while True:
        try:
            for answer in _answers(local, spec, left):
                if "page" in answer:
                    pages.append(answer)
                    size += len(str(answer))
                else:
                    about = answer
                    _check(local.name, about, spec)
                if size > _MAX_TEXT_BYTES:
                    raise BadInput(f"{local.name} holds too much text", code="too_large", where=local.name)
            return about, pages
        except Stopped as stopped:
            failures += 1
            if not about or failures > _MAX_FAILURES:
                damaged(local.name, f"reading it was given up: {stopped.reason}")
            asked = wanted or list(range(1, about["pages"] + 1))
            done = {page["page"] for page in pages}
            left = [number for number in asked if number not in done]
            if not left:
                return about, pages
            pages.append({"page": left.pop(0), "fault": stopped.reason})
            if not left:
                return about, pages


def _answers(local: ByteSource, spec: ReadSpec, pages: list[int] | None) -> Iterator[dict[str, Any]]:
    arguments = {
        "path": str(local.local),
        "content": spec.pdf.content,
        "pages": pages,
        "max_pages": spec.pdf.max_pages,
    }
    return answers(_EXTRACT, arguments, spec.pdf.page_timeout_s)


def _check(name: str, about: dict[str, Any], spec: ReadSpec) -> None:
    if about.get("error") == "password_protected":
        password_protected(name)
    if "error" in about:
        damaged(name, about["found"])
    if about["pages"] > spec.pdf.max_pages:
        raise BadInput(
            f"{name} has {about['pages']} pages",
            code="too_many_pages",
            where=name,
            expected=f"at most {spec.pdf.max_pages}",
            todo="raise read.pdf.max_pages",
        )


def _wanted(text: str | None) -> list[int] | None:
    if text is None:
        return None
    plain = text.replace(" ", "")
    if _PAGES.fullmatch(plain) is None:
        what = f"read.pdf.pages={text!r} is no list of pages"
        raise ConfigError(what, code="bad_pages", where="read.pdf.pages", expected="e.g. 1-3,7")
    found: set[int] = set()
    for part in plain.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found - {0})


# -- rows


def _texts(name: str, pages: list[dict[str, Any]]) -> tuple[list[Record], list[Finding]]:
    records = []
    without = []
    for page in pages:
        text = page.get("text", "").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        fault = Refused("page", f"page {page['page']}: {page['fault']}") if "fault" in page else None
        if not text.strip() and fault is None:
            without.append(page["page"])
        value = {"page": IntText(page["page"]), "text": text if text.strip() else None}
        records.append(Record(page["page"], value, fault))
    return records, _needs_ocr(name, without)


def _tables(name: str, pages: list[dict[str, Any]]) -> tuple[list[Record], list[Finding]]:
    grids: list[Grid] = []
    faults = []
    for page in pages:
        if "fault" in page:
            faults.append(Refused("page", f"page {page['page']}: {page['fault']}"))
        grids += [Grid(len(grids) + 1 + i, rows, page["page"]) for i, rows in enumerate(page.get("tables", []))]
    records, findings = grid_records(name, grids)
    records += [Record(len(records) + 1 + i, None, fault) for i, fault in enumerate(faults)]
    if not records:
        raise BadInput(f"{name} holds no table", code="empty_object", where=name, todo="use read.pdf.content: text")
    without = [page["page"] for page in pages if not page.get("has_text", True)]
    return records, [*findings, *_needs_ocr(name, without)]


def _needs_ocr(name: str, pages: list[int]) -> list[Finding]:
    if not pages:
        return []
    message = f"{name}: {len(pages)} pages hold no text; if they are scans, they need multimodal_processing"
    return [Finding(code="needs_ocr", message=message, severity="warning", data={"pages": list(pages[:1000])})]


def _metadata(about: dict[str, Any]) -> dict[str, Any]:
    raw = about["metadata"]
    made: dict[str, Any] = {name: raw.get(key) or None for key, name in _NAMES.items()}
    made["created"], made["modified"] = _date(raw.get("CreationDate")), _date(raw.get("ModDate"))
    made["pages"] = IntText(about["pages"])
    version = about.get("version")
    made["version"] = None if version is None else f"{version // 10}.{version % 10}"
    return made


def _date(text: str | None) -> str | None:
    """A PDF date (ISO 32000-1 §7.9.4) as ISO 8601; as it is where it is none."""
    found = _DATE.fullmatch((text or "").strip())
    if found is None:
        return text or None
    year, month, day, hour, minute, second, sign, hours, minutes = found.groups()
    zone = "" if sign is None else "Z" if sign in "Zz" or hours is None else f"{sign}{hours}:{minutes or '00'}"
    return f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}{zone}"
