"""DEL files as delimited files: what DB2's forms mean, found in the first records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.delimited.blocks import decoded
from base_ops.worker.formats.delimited.cells import Cell, split_record
from base_ops.worker.formats.delimited.cutter import Cutter
from base_ops.worker.formats.delimited.dialect import Dialect
from base_ops.worker.formats.delimited.reader import DelimitedReader

_SAMPLE_BYTES = 2 << 20
_DATE, _TIME, _STAMP = "%Y%m%d", "%H.%M.%S", "%Y-%m-%d-%H.%M.%S%.f"
_FORMATS = {"date": _DATE, "time": _TIME, "timestamp": _STAMP}
_SHAPES = {
    "date": re.compile(rb"\d{8}"),
    "time": re.compile(rb"\d\d\.\d\d\.\d\d"),
    "timestamp": re.compile(rb"\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d(\.\d{1,9})?"),
}
_INTEGER = re.compile(rb"[+-]?\d+")
_DECIMAL = re.compile(rb"[+-]?(\d*)\.(\d*)")
_FLOAT = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def read_del(source: ByteSource, spec: ReadSpec) -> Reader:
    """The reader of a DEL file.

    Raises:
        BadInput: ixf_not_supported, or as the reader of delimited files.
    """
    if re.match(rb"\d{6}HIXF", source.head(16)):
        raise BadInput(
            f"{source.name} is an IXF file, which is not read",
            code="ixf_not_supported",
            where=source.name,
            todo="export it with EXPORT TO … OF DEL",
        )
    nulls = spec.null_values if "null_values" in spec.model_fields_set else ("",)
    fixed = {"delimiter": spec.delimiter or ",", "quote": '"' if spec.quote is None else spec.quote, "escape": '"'}
    fixed |= {"header": bool(spec.header), "decimal": spec.decimal or ".", "null_values": nulls}  # type: ignore[dict-item]
    settled = spec.model_copy(update=fixed)
    plain = DelimitedReader(source, settled.model_copy(update={"columns": None}))
    columns, findings = _columns(list(plain.schema), _sample(source, plain.dialect, spec), spec)
    reader = DelimitedReader(source, settled.model_copy(update={"columns": columns}))
    reader.findings += findings
    return reader


def _sample(source: ByteSource, dialect: Dialect, spec: ReadSpec) -> list[list[Cell]]:
    """The first records, cell by cell, with what was quoted."""
    cutter = Cutter(dialect, spec.max_record_bytes)
    records: list[list[Cell]] = []
    with source.open() as file, closing(decoded(file, dialect, _SAMPLE_BYTES)) as chunks:  # type: ignore[type-var]
        for block in cutter.blocks(chunks):
            for index in range(len(block.layout.ends)):
                record = block.record(index)
                if record and (cells := split_record(record, dialect)) is not None:
                    records.append(cells)
                if len(records) > spec.sample_rows:
                    break
            break
    return records[1:] if dialect.header else records[: spec.sample_rows]


def _columns(
    names: list[str], sample: list[list[Cell]], spec: ReadSpec
) -> tuple[tuple[ColumnSpec, ...], list[Finding]]:
    """Every column with its type: as declared, else as the sample shows."""
    wishes = spec.columns or ()
    if wishes and not spec.header and len(wishes) != len(names):
        return wishes, []  # which the reader of delimited files refuses
    by_name = {wish.source_name or wish.name: wish for wish in wishes} if spec.header else {}
    rows = [cells for cells in sample if len(cells) == len(names)]
    columns, findings = [], []
    for at, name in enumerate(names):
        wish = by_name.get(name) if spec.header else wishes[at] if wishes else None
        cells = [cells[at] for cells in rows if cells[at][0]]
        type, form = _type_of(cells)
        if wish is not None and wish.type is not None:
            type, form = wish.type, wish.format or _form_of(wish.type, cells)
        elif type == "date":
            message = f"{name}: whole numbers that all are days YYYYMMDD are read as dates"
            findings.append(Finding(code="assumed_date", message=message, data={"column": name}))
        base = wish or ColumnSpec(name=name)
        columns.append(base.model_copy(update={"type": type, "format": form, "source_name": name}))
    return (*columns, *(wish for name, wish in by_name.items() if name not in names)), findings


def _form_of(type: str, cells: Sequence[Cell]) -> str | None:
    """DB2's form of a time, where the cells have it."""
    shape = _SHAPES.get(type)
    is_own = shape is not None and cells and sum(bool(shape.fullmatch(v.strip())) for v, _ in cells) * 2 > len(cells)
    return _FORMATS[type] if is_own else None


def _type_of(cells: Sequence[Cell]) -> tuple[str | None, str | None]:
    """Type and form of a column, by its cells that hold something; None: as in any delimited file."""
    if not cells:
        return None, None
    for type in ("timestamp", "time"):
        if all(_SHAPES[type].fullmatch(value.strip()) for value, _ in cells):
            return type, _FORMATS[type]
    texts = [value.strip() for value, quoted in cells if not quoted]
    if len(texts) < len(cells):
        is_digits = any(re.fullmatch(rb"[+-]?[\d.]+", value) for value, quoted in cells if quoted)
        return ("string" if is_digits or texts else None), None
    if all(_is_day(text) for text in texts):
        return "date", _DATE
    if all(_INTEGER.fullmatch(text) for text in texts):
        fits = all(-(2**63) <= int(text[:21]) < 2**63 and len(text) < 21 for text in texts)
        return ("int64" if fits else "decimal(38,0)"), None
    if all(_FLOAT.fullmatch(text) for text in texts):
        return "float64", None
    parts = [_DECIMAL.fullmatch(text) for text in texts]
    if all(part or _INTEGER.fullmatch(text) for part, text in zip(parts, texts, strict=True)):
        scale = max(len(part[2]) for part in parts if part)
        return (f"decimal(38,{scale})" if scale <= 37 else None), None
    return None, None


def _is_day(text: bytes) -> bool:
    if len(text) != 8 or not text.isdigit() or not b"1900" <= text[:4] < b"2100":
        return False
    try:
        datetime.strptime(text.decode(), _DATE)  # noqa: DTZ007
    except ValueError:
        return False
    return True
