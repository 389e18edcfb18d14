"""Arrow IPC files (Feather version 2) and streams, by way of pyarrow.

Record batches are validated in full as they are read; dictionaries become their values. What cannot be kept exactly
(intervals, unions, decimals of more than 38 digits) is refused by name. The pointer of a row is its record number.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.ipc as ipc

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.arrow import CONTINUATION, MAGIC, is_stream
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.columnar import ArrowReader, cut_off, ends_of, local_file, refusing

_END = CONTINUATION + bytes(4)


def open_arrow(source: ByteSource, spec: ReadSpec) -> Reader:
    """Raises: BadInput where the object is not Arrow IPC, or is cut off."""
    file, name = local_file(source), source.name
    head, tail, length = ends_of(file, 8)
    if length == 0:
        raise BadInput(f"{name} is empty", code="empty_object", where=name)
    if head.startswith(MAGIC):
        if not tail.endswith(MAGIC) or length < 18:
            cut_off(name, "ARROW1 at the end")
        return _read_file(file, name, spec)
    if not is_stream(head):
        raise BadInput(f"{name} is not Arrow IPC", code="not_this_format", where=name, expected="ARROW1 in front")
    reader = _read_stream(file, name, spec)
    if tail != _END:  # allowed, so no error; but a stream cut between two batches looks just the same
        message = f"{name} has no end marker: it may be cut off"
        reader.findings.append(Finding(code="no_end_marker", severity="warning", message=message))
    return reader


def _read_file(file: pa.NativeFile, name: str, spec: ReadSpec) -> ArrowReader:
    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(opened.num_record_batches):
            yield opened.get_batch(number)

    with refusing(name):
        opened = ipc.open_file(file)
        return ArrowReader(name, opened.schema, batches, spec)


def _read_stream(file: pa.NativeFile, name: str, spec: ReadSpec) -> ArrowReader:
    with refusing(name):
        opened = ipc.open_stream(file)
        return ArrowReader(name, opened.schema, lambda: iter(opened), spec)
