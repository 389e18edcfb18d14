"""What the input files hold, and one type per column for all of them.

Types are widened only where no value can change: integers into larger ones, into decimals, or into float64
where the column's statistics prove every value exact. Everything else is refused, naming both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from base_ops.core.errors import BadInput, ConfigError
from base_ops.worker.engine.plan import POINTER, refuse_patterns

_EXACT_POWER = 22
"""10 to this is the greatest power of ten that a float64 is: a decimal's digits over it come out rounded right."""
_EXACT_FLOAT = 1 << 53
_DIGITS: dict[type[pl.DataType], int] = {
    pl.Int8: 3,
    pl.Int16: 5,
    pl.Int32: 10,
    pl.Int64: 19,
    pl.UInt8: 3,
    pl.UInt16: 5,
    pl.UInt32: 10,
    pl.UInt64: 20,
}
_SIGNED = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
SOURCE, BRANCH, ARRIVAL = "//source", "//branch", "//arrival"
"""Columns beside the data: number of the source, of the branch, and the packed order of arrival."""
PART, CONFLICTS, DUPLICATES = "part-0.parquet", "conflicts.parquet", "duplicates.parquet"
"""What a merge writes."""
_RESERVED = ("file_row_number", "file_index", "filename", SOURCE, BRANCH, ARRIVAL)


@dataclass(frozen=True)
class SourceFile:
    """One Parquet file of candidates. `uri` names it for people; `id` and `sequence` give it its place in time."""

    source: str
    path: Path
    uri: str = ""
    id: str = ""
    sequence: int = 0


@dataclass(frozen=True)
class FileFacts:
    """What a file's footer tells."""

    file: SourceFile
    rows: int
    text_columns: int
    text_bytes: int
    """Unpacked, of the columns without a fixed width, as far as the footer tells."""
    group_bytes: int
    """Of the largest row group, unpacked."""
    schema: dict[str, pl.DataType]
    """By the names of the merged dataset, without POINTER."""
    origin: dict[str, str]
    """Name in the merged dataset → name in the file."""
    has_pointer: bool
    last_line: int
    """No line in the file is greater."""
    ranges: dict[str, tuple[int, int] | None]
    """Integer and decimal columns: least and greatest value (decimals without their point), None where unknown."""
    may_be_null: frozenset[str]
    nulls: dict[str, int | None]
    """Cells without a value per column, None where the footer does not say."""
    in_order: bool
    """Whether nothing in the footer speaks against the rows being in order of key."""


@dataclass(frozen=True)
class Branch:
    """Files of one source with one schema: one part of the union."""

    index: int
    source: int
    files: tuple[int, ...]
    """Indexes into `Inputs.files`."""
    schema: dict[str, pl.DataType]
    origin: dict[str, str]
    has_pointer: bool


@dataclass(frozen=True)
class Inputs:
    """All candidates of one merge."""

    sources: tuple[str, ...]
    """Best first: the order that breaks ties."""
    files: tuple[FileFacts, ...]
    branches: tuple[Branch, ...]
    schema: dict[str, pl.DataType]
    """Every column, keys first, with the type that holds the values of all files."""

    @property
    def rows(self) -> int:
        return sum(f.rows for f in self.files)

    @property
    def uneven(self) -> bool:
        """Whether some branch lacks a column that another has."""
        return any(len(b.schema) < len(self.schema) for b in self.branches)

    def having(self, column: str) -> frozenset[int]:
        """Indexes of the branches that have a column."""
        return frozenset(b.index for b in self.branches if column in b.schema)


def source_order(present: Sequence[str], priority: Sequence[str]) -> tuple[str, ...]:
    """Sources best first: as `priority` says, the others after them by name."""
    return (*(s for s in priority if s in present), *sorted(set(present) - set(priority)))


def inspect(
    files: Sequence[SourceFile], key: Sequence[str], priority: Sequence[str], rename: dict[str, dict[str, str]]
) -> Inputs:
    """Read all footers and settle the types.

    Files are put in order of source, arrival and content id, so that the order in which they are given is
    without effect.

    Raises:
        BadInput: a file is not Parquet, lacks a key column, or columns of one name cannot have one type.
        ConfigError: `rename` maps two columns to one name, or a column has a name the engine needs.
    """
    sources = source_order(sorted({f.source for f in files}), priority)
    ordered = sorted(files, key=lambda f: (sources.index(f.source), f.sequence, f.id, f.uri))
    facts = tuple(_facts(f, rename.get(f.source, {}), key) for f in ordered)
    branches: dict[Any, list[int]] = {}
    for index, fact in enumerate(facts):
        shape = (tuple(fact.schema.items()), tuple(fact.origin.items()), fact.has_pointer)
        branches.setdefault((sources.index(fact.file.source), shape), []).append(index)
    made = tuple(
        Branch(
            number,
            source,
            tuple(indexes),
            facts[indexes[0]].schema,
            facts[indexes[0]].origin,
            facts[indexes[0]].has_pointer,
        )
        for number, ((source, _), indexes) in enumerate(branches.items())
    )
    columns = [*key, *dict.fromkeys(c for f in facts for c in f.schema if c not in key)]
    schema = {column: _common_type(column, facts) for column in columns}
    return Inputs(sources, facts, made, schema)


def _facts(file: SourceFile, rename: dict[str, str], key: Sequence[str]) -> FileFacts:
    try:
        with pq.ParquetFile(file.path) as opened:
            footer = opened.metadata
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise BadInput(
            "A file to merge is not readable Parquet", code="bad_parquet", where=file.uri, found=str(error)
        ) from None
    raw = pl.Schema(pl.read_parquet_schema(file.path))  # an empty Arrow table would tell too, but imports pandas
    folded = [name.lower() for name in raw]
    if len(set(folded)) < len(folded) or any(name in _RESERVED for name in folded):
        raise BadInput(
            "Column names cannot be told apart or are reserved",
            code="ambiguous_columns",
            where=file.uri,
            expected=f"names that differ in more than case, none of {', '.join(_RESERVED)}",
            todo="rename the columns when the source is converted",
        )
    names = {name: rename.get(name, name) for name in raw if name != POINTER}
    if len(set(names.values())) < len(names):
        raise ConfigError(
            f"rename gives two columns of {file.source} one name",
            code="rename_clash",
            where=f"spec.rename.{file.source}",
        )
    refuse_patterns(names.values(), file.uri)
    for column in key:
        if column not in names.values():
            raise BadInput(
                f"The key column {column!r} is missing",
                code="missing_key_column",
                where=file.uri,
                found=f"columns {', '.join(names.values())}",
                todo=f"name it in spec.rename.{file.source}, or correct spec.key",
            )
    stats = _statistics(footer)
    lines = stats.get(POINTER, (None, None))[1]
    return FileFacts(
        file=file,
        rows=footer.num_rows,
        text_columns=sum(dtype.is_nested() or dtype in (pl.String, pl.Binary) for dtype in raw.values()),
        text_bytes=_text_bytes(footer),
        group_bytes=max((footer.row_group(g).total_byte_size for g in range(footer.num_row_groups)), default=0),
        schema={new: _plain(raw[old], new, file.uri) for old, new in names.items()},
        origin={new: old for old, new in names.items()},
        has_pointer=POINTER in raw and raw[POINTER].is_integer(),
        last_line=max(lines[1], footer.num_rows) if lines else (1 << 40),
        ranges={
            new: stats[old][1]
            for old, new in names.items()
            if old in stats and (raw[old].is_integer() or raw[old].is_decimal())
        },
        in_order=_in_order(footer, next(old for old, new in names.items() if new == key[0])),
        nulls={new: stats[old][0] for old, new in names.items() if old in stats},
        may_be_null=frozenset(new for old, new in names.items() if stats.get(old, (None, None))[0] != 0),
    )


def _statistics(footer: Any) -> dict[str, tuple[int | None, tuple[int, int] | None]]:
    """Per flat column: (nulls, (least, greatest)), None where the footer does not say."""
    found: dict[str, tuple[int | None, tuple[int, int] | None]] = {}
    for position in range(footer.num_columns):
        nulls: int | None = 0
        least: list[Any] = []
        known = True
        for group in range(footer.num_row_groups):
            chunk = footer.row_group(group).column(position)
            stats = chunk.statistics
            nulls = None if nulls is None or stats is None or stats.null_count is None else nulls + stats.null_count
            if stats is not None and stats.has_min_max and isinstance(stats.min, int | Decimal):
                least += [_unscaled(stats.min), _unscaled(stats.max)]
            elif stats is None or stats.null_count != chunk.num_values:
                known = False
        name = footer.schema.column(position).path
        found[name] = (nulls, (min(least, default=0), max(least, default=0)) if known else None)
    return found


def _unscaled(value: int | Decimal) -> int:
    """A decimal without its point."""
    if isinstance(value, int):
        return value
    sign, digits, _ = value.as_tuple()
    return int("".join(map(str, digits))) * (-1 if sign else 1)


def _in_order(footer: Any, column: str) -> bool:
    """Whether the ranges of a column never step back from row group to row group."""
    position = next((c for c in range(footer.num_columns) if footer.schema.column(c).path == column), None)
    if position is None:
        return False
    greatest: Any = None
    for group in range(footer.num_row_groups):
        stats = footer.row_group(group).column(position).statistics
        if stats is None or not stats.has_min_max or (greatest is not None and stats.min < greatest):
            return False
        greatest = stats.max
    return True


def _text_bytes(footer: Any) -> int:
    columns = [c for c in range(footer.num_columns) if footer.schema.column(c).physical_type == "BYTE_ARRAY"]
    groups = range(footer.num_row_groups)
    return sum(footer.row_group(g).column(c).total_uncompressed_size for g in groups for c in columns)


def _plain(dtype: pl.DataType, column: str, where: str) -> pl.DataType:
    """The type a column is merged in: dictionaries as text; what the engine cannot carry is refused."""
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return pl.String()
    if dtype in (pl.Int128, pl.UInt128, pl.Float16) or isinstance(dtype, pl.Object):
        raise BadInput(
            f"Column {column!r} has the type {dtype}, which cannot be merged", code="unsupported_type", where=where
        )
    return dtype


def _common_type(column: str, facts: Sequence[FileFacts]) -> pl.DataType:
    holders = [f for f in facts if column in f.schema]
    settled: pl.DataType = pl.Null()
    for fact in holders:
        wider = widen(settled, fact.schema[column])
        if wider is None:
            first = next(f for f in holders if f.schema[column] != pl.Null)
            raise BadInput(
                f"Column {column!r} cannot have one type for all sources",
                code="incompatible_types",
                where=f"{first.file.source} and {fact.file.source}",
                expected="types that widen into each other without loss",
                found=f"{settled} in {first.file.source} ({first.file.uri}), "
                f"{fact.schema[column]} in {fact.file.source} ({fact.file.uri})",
                todo="give the column one type when the sources are converted (read.columns), or rename one of them",
            )
        settled = wider
    if settled == pl.Float64:
        prove_exact(column, holders, "another source has Float64 here")
    return pl.String() if settled == pl.Null else settled


def prove_exact(column: str, holders: Sequence[FileFacts], why: str) -> None:
    """Raises BadInput where float64 may not hold the column's integers and decimals exactly, as `why` needs."""
    for fact in holders:
        dtype = fact.schema[column]
        if not isinstance(dtype, pl.Decimal) and _DIGITS.get(type(dtype), 0) <= 10:
            continue
        reach = fact.ranges.get(column)
        scale = dtype.scale if isinstance(dtype, pl.Decimal) else 0
        if reach is None or max(-reach[0], reach[1]) > _EXACT_FLOAT or scale > _EXACT_POWER:
            raise BadInput(
                f"Column {column!r} holds numbers that float64 cannot hold exactly",
                code="incompatible_types",
                where=fact.file.uri,
                expected=f"numbers up to 2^53 (decimals: without their point), as {why}",
                found=f"{dtype} in {fact.file.source}",
                todo="give it one type when the sources are converted (read.columns), or choose another rule for it",
            )


def widen(left: pl.DataType, right: pl.DataType) -> pl.DataType | None:
    """The smallest type that holds every value of both exactly; None where there is none.

    A 64-bit integer or a decimal and a float give float64: the caller must prove the values. Decimals that together
    need more than 38 digits give 38 with the finer scale: a value that does not fit is refused when it is read.
    """
    if left == right or right == pl.Null:
        return left
    if left == pl.Null:
        return right
    if left.is_integer() and right.is_integer():
        return _widen_integers(left, right)
    if (left.is_float() and right.is_numeric()) or (left.is_numeric() and right.is_float()):
        return pl.Float64()
    if isinstance(left, pl.Datetime) and isinstance(right, pl.Datetime):
        return _widen_times(left, right)
    return _widen_decimals(left, right)


def _widen_integers(left: pl.DataType, right: pl.DataType) -> pl.DataType:
    if left.is_signed_integer() == right.is_signed_integer():
        return max(left, right, key=lambda t: _DIGITS[type(t)])
    unsigned = right if left.is_signed_integer() else left
    signed = left if left.is_signed_integer() else right
    for candidate in _SIGNED:
        if _DIGITS[candidate] > _DIGITS[type(unsigned)] and _DIGITS[candidate] >= _DIGITS[type(signed)]:
            return candidate()
    return pl.Decimal(20, 0)


def _widen_times(left: pl.Datetime, right: pl.Datetime) -> pl.DataType | None:
    if (left.time_zone is None) != (right.time_zone is None):
        return None
    unit = max(left.time_unit, right.time_unit, key=["ms", "us", "ns"].index)
    return pl.Datetime(unit, left.time_zone if left.time_zone == right.time_zone else "UTC")


def _widen_decimals(left: pl.DataType, right: pl.DataType) -> pl.DataType | None:
    def whole_and_scale(dtype: pl.DataType) -> tuple[int, int] | None:
        if isinstance(dtype, pl.Decimal):
            return (dtype.precision or 38) - dtype.scale, dtype.scale
        return (_DIGITS[type(dtype)], 0) if type(dtype) in _DIGITS else None

    a, b = whole_and_scale(left), whole_and_scale(right)
    if a is None or b is None:
        return None
    whole, scale = max(a[0], b[0]), max(a[1], b[1])
    return pl.Decimal(min(whole + scale, 38), scale)


def unfit(where: str, column: str = "", found: str = "", expected: str = "") -> BadInput:
    """A value that the type which all sources share cannot hold; it may be a secret, and is not quoted."""
    return BadInput(
        f"A value {f'of column {column!r} ' if column else ''}does not fit the type that all sources share",
        code="value_out_of_range",
        where=where,
        expected=expected,
        found=found,
        todo="give the column a wider type when the sources are converted (read.columns)",
    )


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
