"""What the tests of XML and its dialects share."""

from __future__ import annotations

import io
from typing import Any

from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER, Reader, Rejected
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.registry import get_format


def open_xml(data: bytes | str, format: str = "xml", **spec: Any) -> Reader:
    raw = data.encode() if isinstance(data, str) else data
    return get_format(format).read(ByteSource("x.xml", len(raw), lambda: io.BytesIO(raw)), ReadSpec(**spec))


def read_xml(
    data: bytes | str, format: str = "xml", **spec: Any
) -> tuple[list[dict[str, Any]], list[Rejected], Reader]:
    reader = open_xml(data, format, **spec)
    batches = list(reader.batches())
    for batch in batches:
        assert batch.frame.schema == {**reader.schema, POINTER: batch.frame.schema[POINTER]}
    return [row for b in batches for row in b.frame.to_dicts()], [r for b in batches for r in b.rejected], reader


def rows_of(data: bytes | str, format: str = "xml", **spec: Any) -> list[dict[str, Any]]:
    """Rows without their line and without nulls; nothing may be refused."""
    rows, rejected, _ = read_xml(data, format, **spec)
    assert rejected == []
    return [{k: v for k, v in row.items() if k != POINTER and v is not None} for row in rows]


def texts(*names: str) -> dict[str, Any]:
    """A spec of these columns as they stand in the document."""
    return {"columns": tuple(ColumnSpec(name=name, type="string") for name in names), "null_values": ()}


def codes(reader: Reader) -> set[str]:
    return {finding.code for finding in reader.findings}
