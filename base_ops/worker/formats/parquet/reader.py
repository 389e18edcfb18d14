"""Parquet, by way of pyarrow with page checksums on: polars is twice as fast, but reads fewer files and accepts damage.

Memory is bounded by batches of rows; a file that claims to unpack further than ReadSpec.max_ratio is refused. INT96
timestamps get the unit that keeps all of them: pyarrow alone would let dates before 1678 or after 2261 wrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base_ops.core.errors import BadInput
from base_ops.data_ingestion.specs import ReadSpec
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
from base_ops.worker.formats.parquet import ENCRYPTED, MAGIC

_SMALL = 10 << 20
_MOST = (1 << 63) - 1
_OPTIONAL_KEYS = "Map keys must be annotated as required"


def open_parquet(source: ByteSource, spec: ReadSpec) -> Reader:
    """Raises: BadInput where the object is not Parquet, or is damaged as a whole."""
    file, name = local_file(source), source.name
    length = _check_ends(file, name)
    try:
        with refusing(name):
            return _read(file, length, name, spec)
    except BadInput as error:
        if _OPTIONAL_KEYS in error.found and source.local is not None:
            return _read_with_duckdb(source, spec)
        if "decrypt" in error.found:
            _encrypted(name)
        raise


def _read(file: pa.NativeFile, length: int, name: str, spec: ReadSpec) -> Reader:
    opened = _open(file)
    rows = _batch_rows(opened.metadata, length, name, spec)
    int96 = Int96(file, opened, rows, name)
    if int96.columns:
        opened = _open(file, int96.unit)
    schema = opened.schema_arrow
    names = _wanted(schema, spec)
    expected = sum(opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups))
    if names is not None:
        schema = pa.schema([schema.field(n) for n in names])

    def batches() -> Iterator[pa.RecordBatch]:
        read = 0
        for batch in int96.guarded(opened.iter_batches(batch_size=rows, columns=names)):
            read += batch.num_rows
            yield batch.select(schema.names) if names is not None else batch
        if read != expected:
            corrupt(name, f"{read} rows where the footer promises {expected}")

    return ArrowReader(name, schema, batches, spec)


def _open(file: pa.NativeFile, int96_unit: str | None = None) -> pq.ParquetFile:
    return pq.ParquetFile(
        file, pre_buffer=False, page_checksum_verification=True, coerce_int96_timestamp_unit=int96_unit
    )


def _check_ends(file: pa.NativeFile, name: str) -> int:
    """The file's length; raises BadInput where it is not a whole Parquet file."""
    head, tail, length = ends_of(file, 4)
    if length == 0:
        raise BadInput(f"{name} is empty", code="empty_object", where=name)
    if ENCRYPTED in (head, tail):
        _encrypted(name)
    if head != MAGIC:
        raise BadInput(f"{name} is not Parquet", code="not_this_format", where=name, expected="the bytes PAR1 in front")
    if tail != MAGIC or length < 12:
        cut_off(name, "PAR1 at the end")
    return length


def _encrypted(name: str) -> NoReturn:
    what = f"{name} is encrypted Parquet"
    raise BadInput(what, code="encrypted", where=name, todo="have it written unencrypted") from None


def _batch_rows(metadata: pq.FileMetaData, length: int, name: str, spec: ReadSpec) -> int:
    """Rows per batch so that one takes about BATCH_BYTES; refuses files made to fill the memory.

    Column metadata is left alone: pyarrow aborts the process where it is encrypted.
    """
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    unpacked = sum(g.total_byte_size for g in groups)
    if unpacked > _SMALL and unpacked > spec.max_ratio * length:
        raise BadInput(
            f"{name} unpacks to {unpacked} bytes from {length}",
            code="too_large",
            where=name,
            expected=f"at most {spec.max_ratio:g} times its size",
            todo="if the source is to be trusted, raise max_ratio",
        )
    widest = max((g.total_byte_size / g.num_rows for g in groups if g.num_rows > 0), default=1.0)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(widest, 1.0))))


def _wanted(schema: pa.Schema, spec: ReadSpec) -> list[str] | None:
    """The columns to read; None = all. Names that are not there are the reader's to refuse."""
    if spec.columns is None or len(set(schema.names)) < len(schema.names):
        return None
    asked = {c.source_name or c.name for c in spec.columns}
    return [name for name in schema.names if name in asked] if asked <= set(schema.names) else None


class Int96:
    """The INT96 timestamps of a file, and the unit that keeps them: microseconds, or nanoseconds if there are any.

    pyarrow lets what does not fit wrap; whole seconds always fit, and tell what does.
    """

    def __init__(self, file: pa.NativeFile, opened: pq.ParquetFile, rows: int, name: str) -> None:
        """Raises: BadInput where no unit keeps the values."""
        schema = opened.schema
        paths = [schema.column(i).path for i in range(len(schema)) if schema.column(i).physical_type == "INT96"]
        self.columns, self.unit = paths, "us"
        self._file, self._rows = file, rows
        self._has_strays = False
        if not paths:
            return
        needs_ns, fits_ns = False, True
        for parts in zip(*(self._read(unit) for unit in ("ns", "us", "s")), strict=True):
            for nanos, micros, seconds in zip(*map(_stamps, parts), strict=True):
                real = np.abs(seconds) < _MOST // 10**6
                self._has_strays |= not real.all()
                needs_ns |= bool((real & (nanos != micros * 1000)).any())  # where both wrap, they wrap alike
                fits_ns &= bool((np.abs(seconds[real]) < _MOST // 10**9).all())
        self.unit = "ns" if needs_ns else "us"
        if (needs_ns and not fits_ns) or (self._has_strays and any("." in path for path in paths)):
            raise BadInput(
                f"{name} holds INT96 timestamps that neither 64-bit microseconds nor nanoseconds keep",
                code="unsupported_type",
                where=f"{name}, column {paths[0]!r}",
                todo="have the source write TIMESTAMP columns instead of INT96",
            )

    def _read(self, unit: str) -> Iterator[pa.RecordBatch]:
        yield from _open(self._file, unit).iter_batches(batch_size=self._rows, columns=self.columns)

    def guarded(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches; values that wrapped are put beyond the calendar, so that their rows are refused."""
        if not self._has_strays:
            yield from batches
            return
        for batch, truth in zip(batches, self._read("s"), strict=True):
            for column in set(self.columns) & set(batch.schema.names):
                index = batch.schema.get_field_index(column)
                real = pc.less(pc.abs(pc.cast(truth.column(column), pa.int64())), _MOST // 10**6)
                stamps = batch.column(index)
                kept = pc.if_else(real, pc.cast(stamps, pa.int64()), _MOST).cast(stamps.type)
                batch = batch.set_column(index, batch.schema.field(index), kept)
            yield batch


def _stamps(part: pa.RecordBatch | pa.Array) -> list[Any]:
    """The timestamps in a batch, at any depth, as integers without nulls."""
    if isinstance(part, pa.RecordBatch):
        return [found for column in part.columns for found in _stamps(column)]
    if pa.types.is_timestamp(part.type):
        return [pc.cast(part.drop_null(), pa.int64()).to_numpy()]
    if pa.types.is_map(part.type):
        return [*_stamps(part.keys), *_stamps(part.items)]
    if pa.types.is_struct(part.type):
        return [found for child in part.flatten() for found in _stamps(child)]
    if pa.types.is_list(part.type):
        return _stamps(part.flatten())
    return []


# -- maps with optional keys, which old Presto and Athena wrote and arrow refuses


def _read_with_duckdb(source: ByteSource, spec: ReadSpec) -> Reader:
    import duckdb

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from relation.to_arrow_reader(BATCH_ROWS)
        except (duckdb.Error, RuntimeError) as error:
            corrupt(source.name, str(error))

    try:
        relation = duckdb.connect().read_parquet(str(source.local))
        schema = relation.limit(0).to_arrow_table().schema
    except (duckdb.Error, RuntimeError) as error:
        corrupt(source.name, str(error))
    return ArrowReader(source.name, schema, batches, spec)
