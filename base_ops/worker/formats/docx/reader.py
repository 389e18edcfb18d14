"""Reads the main part of a DOCX package (ECMA-376 part 1, §17) as paragraphs or tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.office.fixed import with_columns
from base_ops.worker.formats.office.grids import Grid, grid_records
from base_ops.worker.formats.office.package import Package, local_name
from base_ops.worker.formats.records.reader import Record, RecordReader
from base_ops.worker.formats.records.values import IntText

_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011", "softHyphen": "\u00ad", "ptab": "\t"}
_SKIPPED = {"Fallback", "del", "moveFrom", "pPr", "rPr", "instrText", "delText", "txbxContent"}
_CORE = {
    "title": "title",
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "description": "description",
    "category": "category",
    "lastModifiedBy": "last_modified_by",
    "revision": "revision",
    "created": "created",
    "modified": "modified",
}
_METADATA = dict.fromkeys(_CORE.values(), "string")
_PARAGRAPH = {"paragraph": "int64", "style": "string", "table": "int64", "text": "string"}


def open_document(source: ByteSource, spec: ReadSpec) -> RecordReader:
    """Raises: BadInput where the object is no document, is damaged, or holds what is refused."""
    options = spec.document
    package = Package(source, spec, max_bytes=options.max_bytes, allow_macros=options.allow_macros)
    main = package.main_part("word/document.xml")
    if not main.lower().startswith("word/"):
        raise BadInput(f"{source.name} is no text document", code="not_this_format", where=source.name, found=main)
    findings = list(package.findings)
    if options.content == "metadata":
        records = [Record(1, _metadata(package))]
    elif options.content == "tables":
        records, found = grid_records(source.name, _grids(package.xml(main), options.table))
        findings += found
        if not records:
            todo = "use read.document.content: paragraphs"
            raise BadInput(f"{source.name} holds no such table", code="empty_object", where=source.name, todo=todo)
    else:
        records = list(_paragraphs(package.xml(main), _styles(package, main)))
    if options.content != "tables":
        spec = with_columns(spec, _METADATA if options.content == "metadata" else _PARAGRAPH)
    reader = RecordReader(source.name, spec, lambda: iter(records), texts=options.content == "tables")
    reader.findings[:0] = findings
    return reader


def _styles(package: Package, main: str) -> dict[str, str]:
    """Names of styles by their ids."""
    parts = [r.target for r in package.relations(main).values() if r.type == "styles" and r.target in package]
    names = {}
    for style in package.xml(parts[0]) if parts else []:
        for child in style:
            if local_name(child) == "name":
                names[_get(style, "styleId")] = _get(child, "val")
    return names


def _paragraphs(root: Any, styles: dict[str, str]) -> Iterator[Record]:
    tables: dict[Any, int] = {}
    number = 0
    for element in root.iter():
        kind = local_name(element)
        if kind == "tbl" and _table_above(element) is None:
            tables[element] = len(tables) + 1
        if kind != "p" or _is_skipped(element):
            continue
        number += 1
        text = _text(element)
        if not text.strip():
            continue
        above = _table_above(element)
        style = next((_get(e, "val") for e in element.iter() if local_name(e) == "pStyle"), "")
        value = {
            "paragraph": IntText(number),
            "style": styles.get(style, style) or None,
            "table": None if above is None else IntText(tables.get(above, 0)),
            "text": text,
        }
        yield Record(number, value)


def _is_skipped(paragraph: Any) -> bool:
    return any(local_name(e) in ("Fallback", "del", "moveFrom") for e in paragraph.iterancestors())


def _table_above(element: Any) -> Any:
    """The outermost table that holds an element."""
    found = None
    for ancestor in element.iterancestors():
        if local_name(ancestor) == "tbl":
            found = ancestor
    return found


def _text(element: Any) -> str:
    """Text of a paragraph; that of text boxes in it stands in their own paragraphs."""
    parts: list[str] = []
    stack = [iter(element)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            continue
        kind = local_name(child)
        if kind == "t":
            parts.append(child.text or "")
        elif kind in _SIGNS:
            parts.append(_SIGNS[kind])
        elif kind not in _SKIPPED:
            stack.append(iter(child))
    return "".join(parts)


def _grids(root: Any, wanted: int | None) -> list[Grid]:
    found = [e for e in root.iter() if local_name(e) == "tbl" and _table_above(e) is None and not _is_skipped(e)]
    grids = [Grid(i + 1, [_cells(row) for row in _children(table, "tr")]) for i, table in enumerate(found)]
    return [grid for grid in grids if wanted is None or grid.number == wanted]


def _cells(row: Any) -> list[str | None]:
    """Texts of a row's cells; of a merged one only in its first place."""
    cells: list[str | None] = []
    for properties in _children(row, "trPr"):
        cells += [None] * _integer(properties, "gridBefore", 0)
    for cell in _children(row, "tc"):
        span, goes_on = 1, False
        for properties in _children(cell, "tcPr"):
            span = _integer(properties, "gridSpan", 1)
            goes_on = any(_get(e, "val") != "restart" for e in _children(properties, "vMerge"))
        text = "\n".join(_text(p) for p in cell.iter() if local_name(p) == "p" and not _is_skipped(p))
        cells += [None if goes_on else text, *([None] * (span - 1))]
    for properties in _children(row, "trPr"):
        cells += [None] * _integer(properties, "gridAfter", 0)
    return cells


def _children(element: Any, kind: str) -> Iterator[Any]:
    """Children of a kind, also those in content controls and accepted changes."""
    for child in element:
        name = local_name(child)
        if name == kind:
            yield child
        elif name in ("sdt", "sdtContent", "ins", "customXml", "moveTo"):
            yield from _children(child, kind)


def _integer(element: Any, kind: str, default: int) -> int:
    for child in _children(element, kind):
        text = _get(child, "val")
        if text.isascii() and text.isdigit() and len(text) < 4:
            return max(int(text), default)
    return default


def _get(element: Any, name: str) -> str:
    return next((str(v) for k, v in element.attrib.items() if k.rpartition("}")[2] == name), "")


def _metadata(package: Package) -> dict[str, Any]:
    parts = [r.target for r in package.relations("").values() if r.type == "core-properties" and r.target in package]
    made: dict[str, Any] = dict.fromkeys(_CORE.values())
    for element in package.xml(parts[0]) if parts else []:
        if (name := _CORE.get(local_name(element))) is not None:
            made[name] = (element.text or "").strip() or None
    return made
