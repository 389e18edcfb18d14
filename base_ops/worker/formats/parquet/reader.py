"""Parquet, by way of pyarrow with page checksums on: polars is twice as fast, but reads fewer files and accepts damage.

Memory is bounded by batches of rows, fewer where a dictionary holds long texts (a file of kilobytes can repeat one a
million times); a file that claims to unpack further than ReadSpec.max_ratio is refused. INT96 timestamps get the unit
that keeps all of them: pyarrow alone would let dates before 1678 or after 2261 wrap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch, Reader
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
_FEW_ROWS = 64
_DECODED_BYTES = 256 << 20
"""What the longest texts of all dictionaries may take in one batch."""
_CHECKSUM = "CRC checksum verification failed"
_ENCRYPTED = re.compile(r"\b(?:de|en)crypt")
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
        raise _true_reason(error, name) from None


def _read(file: pa.NativeFile, length: int, name: str, spec: ReadSpec) -> Reader:
    flags, checked = spec.parquet.wrong_checksums == "flag", spec.parquet.wrong_checksums != "flag"
    damaged: list[int] = []
    opened = _open(file, checked)
    rows = _batch_rows(opened.metadata, length, name, spec)
    int96 = Int96(file, opened, rows, name, checked)
    unit = int96.unit if int96.columns else None
    opened, lenient = _open(file, True, unit), _open(file, False, unit)
    schema = opened.schema_arrow
    names = _wanted(schema, spec)
    expected = sum(opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups))
    if names is not None:
        schema = pa.schema([schema.field(n) for n in names])

    def batches() -> Iterator[pa.RecordBatch]:
        read = 0
        for group, fewer in enumerate(_group_rows(file, opened, rows, names, checked)):
            for batch in group_batches(group, fewer):
                read += batch.num_rows
                yield batch.select(schema.names) if names is not None else batch
        if read != expected:
            corrupt(name, f"{read} rows where the footer promises {expected}")

    def group_batches(group: int, rows: int) -> Iterator[pa.RecordBatch]:
        """A row group; where a checksum is wrong and only to be flagged, the rest of it unchecked."""
        done = 0
        try:
            for batch in int96.guarded(group, opened, rows, names):
                yield batch
                done += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            if not flags or _CHECKSUM not in str(error):
                raise
            damaged.append(group)
            for batch in int96.guarded(group, lenient, rows, names):
                skipped = min(done, batch.num_rows)
                done -= skipped
                if skipped < batch.num_rows:
                    yield batch.slice(skipped)

    return ParquetReader(name, schema, batches, spec, damaged)


class ParquetReader(ArrowReader):
    """An ArrowReader that tells a wrong checksum and encrypted columns from other damage."""

    def __init__(
        self,
        name: str,
        schema: pa.Schema,
        batches: Callable[[], Iterator[pa.RecordBatch]],
        spec: ReadSpec,
        damaged: list[int],
    ) -> None:
        super().__init__(name, schema, batches, spec)
        self._damaged = damaged

    def batches(self) -> Iterator[Batch]:
        try:
            yield from super().batches()
        except BadInput as error:
            raise _true_reason(error, self._name) from None
        if self._damaged:
            groups = ", ".join(str(group) for group in self._damaged[:20])
            message = f"pages of row groups {groups} do not have the checksums that their writer noted: some value of "
            message += "these may be damaged. read.parquet.wrong_checksums: refuse takes none of it"
            data = {"row_groups": list(self._damaged[:100])}
            self.findings.append(Finding(code="wrong_checksum", severity="error", message=message, data=dict(data)))


def _true_reason(error: BadInput, name: str) -> BadInput:
    if _CHECKSUM in error.found:
        return _wrong_checksum(error, name)
    if _ENCRYPTED.search(error.found):  # with a footer that is not
        return _encrypted(name, ", or declare in read.columns only columns that are not encrypted")
    return error


def _wrong_checksum(error: BadInput, name: str) -> BadInput:
    return BadInput(
        f"A page of {name} does not have the checksum that its writer noted",
        code="wrong_checksum",
        where=name,
        found=error.found,
        todo="fetch it again; where its writer is known to note wrong checksums, set read.parquet.wrong_checksums: "
        "flag, which takes the values as they are and says so",
    )


def _open(
    file: pa.NativeFile, checked: bool, int96_unit: str | None = None, read_dictionary: list[str] | None = None
) -> pq.ParquetFile:
    return pq.ParquetFile(
        file,
        pre_buffer=False,
        page_checksum_verification=checked,
        coerce_int96_timestamp_unit=int96_unit,
        read_dictionary=read_dictionary,
    )


def _group_rows(
    file: pa.NativeFile, opened: pq.ParquetFile, rows: int, names: list[str] | None, checked: bool
) -> Iterator[int]:
    """Per row group, how many rows to read at a time: fewer where its dictionaries hold long texts."""
    texts = [column.path for column in opened.schema if column.physical_type == "BYTE_ARRAY"]
    wanted = [path for path in texts if names is None or path.split(".")[0] in names]
    dictionaries = _open(file, checked, read_dictionary=wanted) if wanted else None
    for group in range(opened.num_row_groups):
        if dictionaries is None or opened.metadata.row_group(group).num_rows <= _FEW_ROWS:
            yield rows
        else:
            longest = _longest_texts(dictionaries, group, wanted)
            yield max(1, min(rows, _DECODED_BYTES // max(longest, 1)))


def _longest_texts(dictionaries: pq.ParquetFile, group: int, paths: list[str]) -> int:
    """Bytes of the longest texts in the dictionaries of a row group; one row is enough to see them whole.

    Not all encodings can be read as dictionaries; those are left to the reader proper, as is any damage.
    """
    try:
        first = next(dictionaries.iter_batches(batch_size=1, row_groups=[group], columns=paths), None)
    except (pa.ArrowException, OSError):
        return sum(_longest_texts(dictionaries, group, [path]) for path in paths) if len(paths) > 1 else 0
    return 0 if first is None else sum(_longest(column) for column in first.columns)


def _longest(values: pa.Array) -> int:
    """Bytes of the longest text in the dictionaries of a column."""
    if isinstance(values, pa.DictionaryArray):
        return pc.max(pc.binary_length(values.dictionary)).as_py() or 0
    if pa.types.is_struct(values.type):
        return sum(_longest(values.field(i)) for i in range(values.type.num_fields))
    if pa.types.is_map(values.type):
        return _longest(values.keys) + _longest(values.items)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return _longest(values.values)
    return 0


def _check_ends(file: pa.NativeFile, name: str) -> int:
    """The file's length; raises BadInput where it is not a whole Parquet file."""
    head, tail, length = ends_of(file, 4)
    if length == 0:
        raise BadInput(f"{name} is empty", code="empty_object", where=name)
    if ENCRYPTED in (head, tail):
        raise _encrypted(name)
    if head != MAGIC:
        raise BadInput(f"{name} is not Parquet", code="not_this_format", where=name, expected="the bytes PAR1 in front")
    if tail != MAGIC or length < 12:
        cut_off(name, "PAR1 at the end")
    return length


def _encrypted(name: str, otherwise: str = "") -> BadInput:
    todo = "have it written unencrypted" + otherwise
    return BadInput(f"{name} is encrypted Parquet", code="encrypted", where=name, todo=todo)


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

    def __init__(self, file: pa.NativeFile, opened: pq.ParquetFile, rows: int, name: str, checked: bool) -> None:
        """Raises: BadInput where no unit keeps the values."""
        schema = opened.schema
        paths = [schema.column(i).path for i in range(len(schema)) if schema.column(i).physical_type == "INT96"]
        self.columns, self.unit = paths, "us"
        self._file, self._rows, self._checked = file, rows, checked
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

    def _read(self, unit: str, groups: list[int] | None = None, rows: int | None = None) -> Iterator[pa.RecordBatch]:
        opened = _open(self._file, self._checked, unit)
        yield from opened.iter_batches(batch_size=rows or self._rows, row_groups=groups, columns=self.columns)

    def guarded(
        self, group: int, opened: pq.ParquetFile, rows: int, names: list[str] | None
    ) -> Iterator[pa.RecordBatch]:
        """A row group's batches; values that wrapped are put beyond the calendar, so that their rows are refused."""
        batches = opened.iter_batches(batch_size=rows, row_groups=[group], columns=names)
        if not self._has_strays:
            yield from batches
            return
        for batch, truth in zip(batches, self._read("s", [group], rows), strict=True):
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
