"""Schemas of tables: which types a table can hold, and how a schema may change.

What Delta cannot hold is converted where that is exact, and refused otherwise:

    UInt8, UInt16, UInt32       the next wider signed integer
    UInt64                      decimal(20,0)
    Float16                     float32
    Datetime in ms, or zoned    timestamp in us (zoned: the same instant in UTC)
    Datetime in ns              timestamp in us, where every value is a whole number of microseconds
    Time                        string, HH:MM:SS[.fraction]
    Categorical, Enum           string
    Array                       list
    Null                        left out until the column first holds a value
    Duration, Int128, Object    refused
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from base_ops.core.errors import BadInput

KNOWN_FROM, KNOWN_TO, COMMIT, SLICE, CURRENT = "_known_from", "_known_to", "_commit", "_slice", "_current"
MOMENT = pl.Datetime("us", "UTC")
ROW_META = {KNOWN_FROM: MOMENT, KNOWN_TO: MOMENT, COMMIT: pl.String()}
"""What a data file holds beside the data."""
PARTITION = {SLICE: pl.String(), CURRENT: pl.Boolean()}
"""What the log holds about a data file. `_current` keeps superseded rows out of the way of plain reads."""
LINEAGE = "_src_"
"""Prefix of the merger's columns that name the winning source; they are kept, but are no part of a row's value."""

_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
_EXACT: dict[type[pl.DataType], pl.DataType] = {
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Decimal(20, 0),
    pl.Float16: pl.Float32(),
    pl.Time: pl.String(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
}
_HELD = (*_INTEGERS, pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Decimal)


@dataclass(frozen=True)
class Incoming:
    """The schema of one input file: `types` as a table holds it, `ns` the columns to prove free of nanoseconds."""

    types: pl.Schema
    ns: tuple[str, ...]


@dataclass(frozen=True)
class Evolution:
    """The data columns of a table after new data, and what that means for what it holds."""

    data: pl.Schema
    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Per slice, table columns that its new files do not even name."""


def incoming(schema: pl.Schema, where: str) -> Incoming:
    """The columns of an input file in types a table can hold.

    Raises:
        BadInput: unsupported_type, reserved_column or ambiguous_column, naming the column.
    """
    types: dict[str, pl.DataType] = {}
    for name, dtype in schema.items():
        if name in ROW_META or name in PARTITION:
            raise BadInput(
                f"The column {name!r} is one that tables add themselves",
                code="reserved_column",
                where=where,
                todo="rename it in the step before",
            )
        held = dtype if dtype == pl.Null else _held(dtype)
        if held is None:
            raise BadInput(
                f"A table cannot hold the type of column {name!r}",
                code="unsupported_type",
                where=f"{where}, column {name}",
                found=str(dtype),
                todo="convert it in the step before: a duration to a number of seconds, any other to text or decimal",
            )
        types[name] = held
    _refuse_twins(types, where)
    return Incoming(
        pl.Schema(types), tuple(n for n, t in schema.items() if isinstance(t, pl.Datetime) and t.time_unit == "ns")
    )


def evolve(table: Mapping[str, pl.DataType] | None, files: Sequence[tuple[str, pl.Schema]], mode: str) -> Evolution:
    """The table's data columns after taking in files, given as (slice, schema).

    `mode` additive: new columns are added at the end, and integers may widen; none: nothing may change.

    Raises:
        BadInput: incompatible_schema, with column, the table's type and the new type.
    """
    data: dict[str, pl.DataType] = dict(table or {})
    held = frozenset(data)
    added: dict[str, None] = {}
    widened: dict[str, None] = {}
    faults: list[str] = []
    frozen = table is not None and mode == "none"
    for _, schema in files:
        for name, dtype in schema.items():
            old = data.get(name)
            if dtype == pl.Null:
                continue  # no value fits any type; a column of its own it becomes with its first value
            if old is None:
                if frozen:
                    faults.append(f"{name}: not in the table, new {dtype}")
                data[name] = dtype
                added[name] = None
            elif not _fits(dtype, old):
                if _widens(old, dtype) and not (frozen and name in held):
                    data[name] = dtype
                    widened[name] = None
                else:
                    faults.append(f"{name}: table {old}, new {dtype}")
    if faults:
        raise BadInput(
            "The new data does not fit the table's schema",
            code="incompatible_schema",
            expected="the same columns"
            if mode == "none"
            else "the same types; new columns and wider integers are welcome",
            found="; ".join(dict.fromkeys(faults)),
            todo="convert the columns in the step before, or store the data as another dataset",
        )
    _refuse_twins(data, "the table and the new data")
    missing = {s: tuple(n for n in held if n not in schema) for s, schema in _by_slice(files).items()}
    return Evolution(
        pl.Schema(data),
        tuple(n for n in added if n not in held),
        tuple(n for n in widened if n in held),
        {s: names for s, names in missing.items() if names},
    )


def table_schema(data: Mapping[str, pl.DataType]) -> pl.Schema:
    """All columns of a table: data, row metadata, partition columns."""
    return pl.Schema({**data, **ROW_META, **PARTITION})


def data_columns(schema: Mapping[str, pl.DataType]) -> pl.Schema:
    """A table's columns without those it adds itself."""
    return pl.Schema({n: t for n, t in schema.items() if n not in ROW_META and n not in PARTITION})


def _held(dtype: pl.DataType) -> pl.DataType | None:
    """The type a table holds a value in without changing it; None where there is none."""
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, (pl.List, pl.Array)):
        inner = _held_inside(dtype.inner)
        return None if inner is None else pl.List(inner)
    if isinstance(dtype, pl.Struct):
        fields = [pl.Field(f.name, held) for f in dtype.fields if (held := _held_inside(f.dtype)) is not None]
        return pl.Struct(fields) if fields and len(fields) == len(dtype.fields) else None
    return _EXACT.get(type(dtype), dtype if isinstance(dtype, _HELD) else None)


def _held_inside(dtype: object) -> pl.DataType | None:
    """Inside lists and structs nanoseconds are refused: nobody looks whether they are whole microseconds."""
    if not isinstance(dtype, pl.DataType) or (isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns"):
        return None
    return _held(dtype)


def _fits(new: pl.DataType, old: pl.DataType) -> bool:
    return new == old or _widens(new, old) or (new == pl.Float32 and old == pl.Float64)


def _widens(narrow: pl.DataType, wide: pl.DataType) -> bool:
    kinds = [_INTEGERS.index(type(t)) if isinstance(t, _INTEGERS) else -1 for t in (narrow, wide)]
    return 0 <= kinds[0] < kinds[1]


def _by_slice(files: Sequence[tuple[str, pl.Schema]]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for part, schema in files:
        names.setdefault(part, set()).update(schema)
    return names


def _refuse_twins(names: Mapping[str, object], where: str) -> None:
    """Delta and SQL engines do not tell `Price` from `price`."""
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(name.lower(), name)
        if twin != name:
            raise BadInput(
                f"The columns {twin!r} and {name!r} differ only in case",
                code="ambiguous_column",
                where=where,
                todo="rename one of them in the step before",
            )
