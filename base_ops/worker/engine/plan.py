"""The plan protocol: what a step wants done to every batch of rows, said once, as polars expressions.

A step looks at a schema and returns a `Plan`; the engine applies the plans of a whole chain to each batch,
so that convert + validate + mask reads the data once and writes it once. Per step and batch, in this order:

1. `checks` are evaluated, each exactly once, on the rows that reach the step (severity `reject` → quarantine,
   `flag` → counted only);
2. `observations` are aggregated over the rows that passed;
3. `transforms` replace or add columns, then `drop` removes some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import polars as pl

from base_ops.core.errors import BadInput
from base_ops.core.protocol import FieldInfo, Finding

POINTER = "_line"
"""Int64 column every batch carries: the 1-based line (text formats) or record number in its object."""


@dataclass(frozen=True)
class Check:
    """One rule as one boolean column. `violated` true = broken; null = not decided, taken as kept."""

    rule: str
    violated: pl.Expr
    reason: str
    column: str = ""
    severity: Literal["reject", "flag"] = "reject"
    block: bool = False
    """One violation refuses the whole input."""
    max_share: float | None = None
    """More violations than this share of the rows decided (violated is not null) refuse the whole input."""
    detail: pl.Expr | None = None
    """Text appended to the reason of each row, e.g. where its double is."""


@dataclass(frozen=True)
class Observation:
    """A number about the rows: `expr` aggregates a batch to one value, `merge` joins the batches' values."""

    name: str
    expr: pl.Expr
    merge: Literal["sum", "min", "max"] = "sum"


@dataclass(frozen=True)
class Plan:
    """What one step does to rows."""

    checks: tuple[Check, ...] = ()
    observations: tuple[Observation, ...] = ()
    transforms: tuple[pl.Expr, ...] = ()
    drop: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    column_inputs: dict[str, list[str]] = field(default_factory=dict)
    """Column lineage of what `transforms` makes: output column → input columns; unnamed columns are passed on."""
    transformations: dict[str, str] = field(default_factory=dict)
    """What is done to a column, for lineage, e.g. mask:hash; default: the step's action."""


class Step(Protocol):
    """A row-wise agent bound to its spec.

    It may have `key_parts` (JSON): what changes its output besides the spec, and so belongs to the commit key; and
    `conclude(result)`, called with its StepResult over all inputs: adds what only the whole account tells.
    """

    agent: str
    action: str

    def plan(self, schema: pl.Schema) -> Plan:
        """Raises ConfigError where the spec does not fit the schema (e.g. a column that is not there)."""
        ...


class Rejected(NamedTuple):
    """One record a reader refused. `line` is 1-based; the byte range lies in the unwrapped object."""

    line: int
    rule: str
    reason: str
    column: str = ""
    byte_start: int | None = None
    byte_end: int | None = None
    raw: bytes = b""
    """At most the first 4096 bytes of the record."""
    records: int = 1


@dataclass
class Batch:
    """Rows in reading order, with the POINTER column, and the records refused between them."""

    frame: pl.DataFrame
    rejected: list[Rejected] = field(default_factory=list)


class Reader(Protocol):
    """An opened input: knows its schema before the first batch, bounded memory whatever the size."""

    schema: pl.Schema
    """Of the data columns, without POINTER."""
    findings: list[Finding]
    """E.g. ambiguous dates left as text; detected dialect. May grow while batches are read."""

    def batches(self) -> Iterator[Batch]:
        """Read once, in order. Raises BadInput where the object as a whole cannot be read."""
        ...


def refuse_patterns(names: Iterable[str], where: str) -> None:
    """Refuse columns named `^…$`: polars takes such a name for a pattern, and an expression for all columns it fits.

    Raises:
        BadInput: naming the column.
    """
    if found := [name for name in names if name.startswith("^") and name.endswith("$")]:
        raise BadInput(
            f"A column is named {found[0]!r}, which expressions take for a pattern of names",
            code="pattern_name",
            where=where,
            todo="name it otherwise where the source is converted (read.columns, source_name) or merged (rename)",
        )


def fields_of(schema: pl.Schema) -> list[FieldInfo]:
    """Field names and Arrow types of a schema, for DataRef.fields."""
    return [FieldInfo(name=name, type=_arrow_type(dtype)) for name, dtype in schema.items()]


_ARROW_TYPES: dict[pl.DataType, str] = {
    pl.String(): "large_string",
    pl.Binary(): "large_binary",
    pl.Boolean(): "bool",
    pl.Float32(): "float",
    pl.Float64(): "double",
    pl.Date(): "date32[day]",
    pl.Time(): "time64[ns]",
    **{dtype(): str(dtype()).lower() for dtype in (pl.Int8, pl.Int16, pl.Int32, pl.Int64)},
    **{dtype(): str(dtype()).lower() for dtype in (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)},
}


def _arrow_type(dtype: pl.DataType) -> str:
    """As Arrow writes it. Common types are told here: pyarrow takes 0.2 s to import."""
    if dtype in _ARROW_TYPES:
        return _ARROW_TYPES[dtype]
    if isinstance(dtype, pl.Datetime):
        zone = f", tz={dtype.time_zone}" if dtype.time_zone else ""
        return f"timestamp[{dtype.time_unit}{zone}]"
    if isinstance(dtype, pl.Decimal):
        return f"decimal128({dtype.precision}, {dtype.scale})"
    return str(pl.DataFrame(schema={"field": dtype}).to_arrow().schema.field(0).type)


def merge_values(merge: str, left: Any, right: Any) -> Any:
    """Join two batches' values of an observation; None is neutral."""
    if left is None or right is None:
        return right if left is None else left
    return left + right if merge == "sum" else min(left, right) if merge == "min" else max(left, right)
