"""What the footer of an ORC file says that Arrow does not tell: encrypted columns, and the calendar of its dates.

Source: Apache ORC Specification v1, "File Tail" and "Column Encryption"; proto/orc_proto.proto of apache/orc-format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.orc as orc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet

_FOOTER = 2  # of FileTail
_WRITER, _ENCRYPTION, _CALENDAR = 9, 10, 11  # of Footer
_VARIANTS, _ROOT = 3, 1  # of Encryption; of EncryptionVariant
_JAVA, _UNKNOWN, _HYBRID = 0, 0, 1
_FIRST_GREGORIAN = -141_427
"""1582-10-15, the day after 1582-10-04 in the hybrid calendar."""
_JULIAN_EPOCH = 719_470
"""Days from 1 March of the year 0, as Julius Caesar counts, to 1970."""


@dataclass(frozen=True)
class Tail:
    """What a footer says."""

    encrypted: tuple[int, ...]
    """Roots of encrypted columns, as ORC numbers types: depth first, the whole row is 0."""
    is_hybrid: bool
    """Days before 1582-10-15 are those of the Julian calendar, as Java counted them until Hive 3.1 and Spark 3."""


def read_tail(file: orc.ORCFile) -> Tail:
    """The tail of an opened file. Where no calendar is told it is what Apache's own reader takes it to be."""
    footer = _fields(_fields(file.reader.serialized_file_tail())[_FOOTER][-1])
    variants = [_fields(v) for e in footer.get(_ENCRYPTION, []) for v in _fields(e).get(_VARIANTS, [])]
    calendar = footer.get(_CALENDAR, [_UNKNOWN])[-1]
    by_java = footer.get(_WRITER, [_JAVA])[-1] == _JAVA
    return Tail(
        tuple(v.get(_ROOT, [0])[-1] for v in variants), calendar == _HYBRID or (calendar == _UNKNOWN and by_java)
    )


def encrypted_names(schema: pa.Schema, tail: Tail) -> list[str]:
    """The columns of which something is encrypted."""
    first, found = 1, []
    for field in schema:
        end = first + _nodes(field.type)
        if any(root == 0 or first <= root < end for root in tail.encrypted):
            found.append(field.name)
        first = end
    return found


def gregorian(frame: pl.DataFrame) -> pl.DataFrame:
    """Dates of the hybrid calendar, at any depth, as the days that have the same year, month and day in ours."""
    columns = [series.to_frame("c").select(_gregorian(pl.col("c"), series.dtype)) for series in frame]
    return pl.DataFrame([c.to_series().alias(name) for c, name in zip(columns, frame.columns, strict=True)])


def _gregorian(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Date:
        day = cell.to_physical()
        year = (4 * (day + _JULIAN_EPOCH) + 3) // 1461  # begins on 1 March
        ours = day - (year // 100 - year // 400 - 2)
        return pl.when(day < _FIRST_GREGORIAN).then(ours).otherwise(day).cast(pl.Date)
    if isinstance(dtype, pl.List):
        return cell.list.eval(_gregorian(pl.element(), dtype.inner))  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return cell.struct.with_fields(
            **{f.name: _gregorian(pl.field(f.name), f.dtype) for f in dtype.fields}  # type: ignore[arg-type]
        )
    return cell


def _fields(message: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for field in UnknownFieldSet(Empty.FromString(bytes(message))):
        found.setdefault(field.field_number, []).append(field.data)
    return found


def _nodes(type: pa.DataType) -> int:
    """The types a type consists of, itself included."""
    inner = sum(_nodes(type.field(i).type) for i in range(type.num_fields))
    return inner if pa.types.is_map(type) else 1 + inner  # Arrow has a struct of key and value between
