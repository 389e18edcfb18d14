"""What the columnar formats share: Arrow batches from files nobody vouches for, as polars frames, unchanged.

Every batch is validated in full before polars sees it: polars takes over Arrow memory unchecked, where text that is
no UTF-8 or an offset beyond its buffer is undefined behaviour. Types polars would change in silence (it lets seconds
wrap and drops repeated keys of maps) are cast by Arrow first, which checks; types that cannot be kept are refused.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import polars as pl
import pyarrow as pa

from base_ops.core.errors import BadInput
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.worker.engine.plan import Batch
from base_ops.worker.formats.base import ByteSource
from base_ops.worker.formats.frames import FrameReader, distinct_names

BATCH_ROWS = 1 << 17
BATCH_BYTES = 64 << 20
_ENDS_EARLY = re.compile(r"Expected to (be able to )?read|only \d+ bytes available")
_TEXTS = (pa.types.is_string, pa.types.is_large_string)
_AS_THEY_ARE = (
    *_TEXTS,
    pa.types.is_string_view,
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)


class ArrowReader(FrameReader):
    """A Reader over Arrow record batches of one schema."""

    def __init__(
        self, name: str, schema: pa.Schema, open_batches: Callable[[], Iterator[pa.RecordBatch]], spec: ReadSpec
    ) -> None:
        """Raises: BadInput where a column's type cannot be kept, or a declared column is not there."""
        findings: list[Finding] = []
        names = distinct_names(schema.names, findings)
        self._types = [kept_type(field.type, f"{name}, column {field.name!r}") for field in schema]
        self._target = pa.schema([pa.field(n, t) for n, t in zip(names, self._types, strict=True)])
        source = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([], schema=self._target))).schema
        super().__init__(name, source, spec)
        self._open = open_batches
        self.findings += findings

    def batches(self) -> Iterator[Batch]:
        first = 1
        with refusing(self._name):
            for batch in self._open():
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    part = batch.slice(start, BATCH_ROWS)
                    yield self._batch(part, first)
                    first += part.num_rows

    def _batch(self, batch: pa.RecordBatch, first: int) -> Batch:
        arrays, texts = self._checked(batch)
        frame = pl.DataFrame(pl.from_arrow(pa.Table.from_arrays(arrays, schema=self._schema_of(texts)), rechunk=False))
        return self.finish(frame, texts, first)

    def _checked(self, batch: pa.RecordBatch) -> tuple[list[pa.Array], list[str]]:
        """The columns, validated and of the kept types; and the names of those with texts that are not UTF-8."""
        arrays, texts = [], []
        for field, array in zip(self._target, batch.columns, strict=True):
            try:
                array.validate(full=True)
            except pa.ArrowInvalid as error:
                if "UTF8" not in str(error) or not any(test(array.type) for test in _TEXTS):
                    corrupt(self._name, f"column {field.name!r} holds what is no {array.type}")
                array.validate()
                texts.append(field.name)
                arrays.append(array.cast(pa.large_binary()))
                continue
            try:
                arrays.append(array if array.type == field.type else _cast(array, field.type))
            except pa.ArrowInvalid:
                found = f"a value of column {field.name!r} that is beyond {field.type}"
                raise _not_kept(array.type, f"{self._name}, column {field.name!r}", found) from None
        return arrays, texts

    def _schema_of(self, texts: list[str]) -> pa.Schema:
        return pa.schema([pa.field(f.name, pa.large_binary()) if f.name in texts else f for f in self._target])


def kept_type(type: pa.DataType, where: str) -> pa.DataType:
    """The type to hand to polars so that every value is kept.

    Raises:
        BadInput: unsupported_type, where there is none.
    """
    is_ = pa.types
    if isinstance(type, pa.BaseExtensionType):
        return kept_type(type.storage_type, where)
    if is_.is_dictionary(type):
        return kept_type(type.value_type, where)
    if is_.is_decimal(type):
        if type.precision <= 38 and 0 <= type.scale <= type.precision:
            return pa.decimal128(type.precision, type.scale)
    elif is_.is_float16(type):
        return pa.float32()
    elif is_.is_timestamp(type):
        return pa.timestamp("ms" if type.unit == "s" else type.unit, _zone(type.tz))
    elif is_.is_duration(type):
        return pa.duration("ms" if type.unit == "s" else type.unit)
    elif is_.is_list(type) or is_.is_large_list(type) or is_.is_fixed_size_list(type):
        return pa.large_list(kept_type(type.value_type, where))
    elif is_.is_map(type):  # a map of polars drops repeated keys
        entry = [pa.field("key", kept_type(type.key_type, where)), pa.field("value", kept_type(type.item_type, where))]
        return pa.list_(pa.struct(entry))
    elif is_.is_struct(type):
        fields = [pa.field(f.name, kept_type(f.type, where)) for f in type]
        if len({f.name for f in fields}) == len(fields) and not any("\0" in f.name for f in fields):
            return pa.struct(fields)
    elif any(test(type) for test in _AS_THEY_ARE):
        return type
    raise _not_kept(type, where)


def _not_kept(type: pa.DataType, where: str, found: str = "") -> BadInput:
    return BadInput(
        f"The type {type} cannot be kept exactly",
        code="unsupported_type",
        where=where,
        expected="numbers, decimals of up to 38 digits, text, bytes, dates, times, lists, structs or maps of these",
        found=found,
        todo="have the source write another type, or leave the column out by declaring the others",
    )


def _zone(name: str | None) -> str | None:
    """Zones polars knows stay; an offset or an unknown zone becomes UTC, which every instant is stored in anyway."""
    return name if name is None or name in zoneinfo.available_timezones() else "UTC"


def _cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray) and pa.types.is_nested(array.type.value_type):
        array = array.dictionary.take(array.indices)  # a cast decodes plain values only
    return array if array.type == target else array.cast(target)


def corrupt(name: str, found: str) -> NoReturn:
    raise BadInput(
        f"{name} is damaged", code="corrupt", where=name, found=found[:300].strip(), todo="fetch it again"
    ) from None


def _not_read(name: str, found: str) -> BadInput:
    return BadInput(
        f"{name} is written in a way that cannot be read",
        code="unsupported",
        where=name,
        expected="types and encodings that Apache Arrow knows",
        found=found[:300].strip(),
        todo="have the source write it otherwise",
    )


def cut_off(name: str, expected: str) -> NoReturn:
    what = f"{name} is cut off"
    raise BadInput(what, code="truncated", where=name, expected=expected, todo="fetch it again") from None


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Whatever Arrow finds wrong with the bytes is BadInput, also sizes that no memory holds.

    Errors of the operating system stay what they are.
    """
    try:
        yield
    except pa.ArrowCancelled:
        raise
    except pa.ArrowNotImplementedError as error:
        raise _not_read(name, str(error)) from None
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if _ENDS_EARLY.search(str(error)):
            cut_off(name, "the rest of a record batch")
        corrupt(name, str(error))


def local_file(source: ByteSource) -> pa.NativeFile:
    """The object's bytes as a local file (an unnamed copy, if need be): columnar formats jump about in their files."""
    if source.local is not None:
        return pa.OSFile(str(source.local))
    with tempfile.NamedTemporaryFile() as copy, source.open() as file:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
        return pa.OSFile(copy.name)  # stays readable when the name is gone


def ends_of(file: pa.NativeFile, size: int) -> tuple[bytes, bytes, int]:
    """The first and last `size` bytes of a file, and its length."""
    length = file.size()
    head = file.read(size)
    file.seek(max(0, length - size))
    tail = file.read(size)
    file.seek(0)
    return head, tail, length
