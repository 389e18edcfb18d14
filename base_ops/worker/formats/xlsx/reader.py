"""Opens a workbook: its sheets, what its number formats mean, and its shared texts."""

from __future__ import annotations

from functools import cache, partial

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.office.cells import TRUE
from base_ops.worker.formats.office.package import Package, damaged, local_name
from base_ops.worker.formats.office.sheets import SheetsReader
from base_ops.worker.formats.xlsx.stream import XlsxSheet, shared_texts
from base_ops.worker.formats.xlsx.styles import Styles

MAX_BYTES = 100 << 20
MAX_SHEETS = 50


def open_workbook(source: ByteSource, spec: ReadSpec) -> SheetsReader:
    """Raises: BadInput where the object is no workbook, is damaged, or holds what is refused."""
    options = spec.workbook
    package = Package(
        source,
        spec,
        max_bytes=options.max_bytes or MAX_BYTES,
        allow_macros=options.allow_macros,
        allow_links=options.allow_external_links,
    )
    main = _main_part(package)
    workbook, relations = package.xml(main), package.relations(main)
    if local_name(workbook) != "workbook":
        raise BadInput(f"{package.name} is no workbook", code="not_this_format", where=package.name, found=main)
    parts = {r.type: r.target for r in relations.values() if not r.is_external and r.target in package}
    styles = Styles(package.xml(parts["styles"]) if "styles" in parts else [])

    @cache
    def texts() -> pl.Series:
        part = parts.get("sharedStrings")
        return shared_texts(package, part) if part is not None else pl.Series("", [], pl.String)

    texts()
    sheets = []
    is_1904 = False
    is_to_calculate = any(e.get("fullCalcOnLoad") in TRUE for e in workbook if local_name(e) == "calcPr")
    for element in workbook.iter():
        if local_name(element) == "workbookPr":
            is_1904 = element.get("date1904") in TRUE
        if local_name(element) != "sheet":
            continue
        title = element.get("name", "")
        id = next((v for k, v in element.attrib.items() if k.endswith("}id")), None)
        if id == "":  # a module of Visual Basic, since Excel 5
            continue
        relation = relations.get(id or "")
        if relation is None or relation.is_external or relation.target not in package:
            damaged(package.name, f"sheet {title!r} is not in the package")
        if relation.type == "worksheet":  # others are charts, dialogs and macro sheets
            is_hidden = element.get("state", "visible") != "visible"
            sheet = partial(XlsxSheet, title, relation.target, package, styles, texts)
            sheets.append(sheet(is_hidden=is_hidden, is_to_calculate=is_to_calculate))
    if len(sheets) > MAX_SHEETS:
        raise BadInput(
            f"{package.name} has {len(sheets)} sheets",
            code="too_many_sheets",
            where=package.name,
            expected=f"at most {MAX_SHEETS}",
        )
    reader = SheetsReader(package.name, sheets, spec, is_1904=is_1904)
    reader.findings[:0] = package.findings
    return reader


def _main_part(package: Package) -> str:
    main = package.main_part("xl/workbook.xml")
    if main.lower().endswith(".bin"):
        raise BadInput(
            f"{package.name} is a binary workbook (XLSB)",
            code="unsupported",
            where=package.name,
            todo="have it saved as XLSX",
        )
    return main
