"""ORC by way of Arrow's dataset reader, which takes a stripe apart in batches of rows."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.orc as orc

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Reader
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.columnar import (
    BATCH_BYTES,
    BATCH_ROWS,
    ArrowReader,
    corrupt,
    cut_off,
    ends_of,
    local_file,
    refusing,
)
from base_ops.worker.formats.orc import MAGIC

_PACKED = 8
"""How far a stripe is taken to unpack."""


def open_orc(source: ByteSource, spec: ReadSpec) -> Reader:
    """Raises: BadInput where the object is not ORC, is damaged as a whole, or holds what cannot be kept."""
    file, name = local_file(source), source.name
    ends_so = _check_ends(file, name)
    try:
        with refusing(name):
            return _read(file, name, spec)
    except BadInput as error:
        if not ends_so and error.code == "corrupt":
            cut_off(name, "the postscript with ORC at the end")
        raise _named(error, name) from None


class OrcReader(ArrowReader):
    """An ArrowReader whose errors say what ORC found."""

    def batches(self):  # type: ignore[no-untyped-def]
        try:
            yield from super().batches()
        except BadInput as error:
            raise _named(error, self._name) from None


def _read(file: pa.NativeFile, name: str, spec: ReadSpec) -> ArrowReader:
    opened = orc.ORCFile(file)
    expected = opened.nrows
    fragment = ds.OrcFileFormat().make_fragment(file)
    wanted = _wanted(opened.schema, spec)
    rows = int(BATCH_BYTES / (_PACKED * max(1.0, opened.content_length / max(1, expected))))

    def batches() -> Iterator[pa.RecordBatch]:
        read = 0
        options = {"batch_size": max(1, min(BATCH_ROWS, rows)), "batch_readahead": 1, "use_threads": False}
        for batch in fragment.to_batches(schema=opened.schema, columns=wanted, **options):
            read += batch.num_rows
            yield batch
        if read != expected:
            corrupt(name, f"{read} rows where the footer promises {expected}")

    schema = opened.schema if wanted is None else pa.schema([opened.schema.field(n) for n in wanted])
    return OrcReader(name, schema, batches, spec)


def _wanted(schema: pa.Schema, spec: ReadSpec) -> list[str] | None:
    """The columns to read; None = all. Names that are not there are the reader's to refuse."""
    if len(set(schema.names)) < len(schema.names):
        raise BadInput("Two columns have one name", code="unsupported_type", todo="have the source write others")
    if spec.columns is None:
        return None
    asked = {c.source_name or c.name for c in spec.columns}
    return [name for name in schema.names if name in asked] if asked <= set(schema.names) else None


def _check_ends(file: pa.NativeFile, name: str) -> bool:
    """Whether ORC stands at the end; Hive 0.11 wrote it in front only, where a file that was cut off has it too."""
    head, tail, length = ends_of(file, 16)
    if length == 0:
        raise BadInput(f"{name} is empty", code="empty_object", where=name)
    if MAGIC not in tail and not head.startswith(MAGIC):
        raise BadInput(f"{name} is not ORC", code="not_this_format", where=name, expected="ORC at both ends")
    return MAGIC in tail


def _named(error: BadInput, name: str) -> BadInput:
    """What Arrow calls damage, but is none."""
    if "out of range for nanosecond" in error.found:
        what, code = f"{name} holds a timestamp beyond the years 1677 to 2262", "out_of_range"
        return BadInput(what, code=code, where=name, found=error.found, todo="leave the column out (read.columns)")
    if "top-level struct" in error.found or "NotImplemented" in error.found:
        return BadInput(f"{name} cannot be read", code="unsupported_type", where=name, found=error.found)
    return error
