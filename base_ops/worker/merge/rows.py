"""The candidates, sorted: one DuckDB query over all files, streamed out of a session that can touch nothing else."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from base_ops.core.errors import BadInput, Transient
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.merge.decisions import ENTRY, Order
from base_ops.worker.merge.files import ARRIVAL, BRANCH, SOURCE, Branch, Inputs
from base_ops.worker.merge.kernel import Batch

_CHUNK_ROWS = 122_880
_BATCH_ROWS, _BATCH_BYTES = 240_000, 32 << 20
_RESERVED_MB = 500
"""Left to the rest of the process: batches on their way, the writer's row groups, what the engine does not count."""
_ROW_BYTES, _VALUE_BYTES, _TEXT_BYTES = 40, 8, 16
"""Of a sorted row: beside its values (sort key, order, header), per value of fixed width, per text (short ones within)."""
_HEADROOM = 1.45
"""The engine begins to spill when this many times what it sorts does not fit its limit."""


@dataclass(frozen=True)
class Arrival:
    """What is preferred, packed into one integer: better source, later landing entry, line, file, row in the file."""

    inputs: Inputs
    line_bits: int
    file_bits: int
    row_bits: int
    entry_bits: int
    source_bits: int

    @classmethod
    def of(cls, inputs: Inputs) -> Arrival:
        return cls(
            inputs,
            line_bits=max(f.last_line for f in inputs.files).bit_length(),
            file_bits=(len(inputs.files) - 1).bit_length(),
            row_bits=max(f.rows for f in inputs.files).bit_length(),
            entry_bits=(len({f.file.sequence for f in inputs.files}) - 1).bit_length(),
            source_bits=(len(inputs.sources) - 1).bit_length(),
        )

    @property
    def _shifts(self) -> tuple[int, int, int]:
        """Where line, entry and source begin."""
        line = self.file_bits + self.row_bits
        return line, line + self.line_bits, line + self.line_bits + self.entry_bits

    @property
    def wide(self) -> bool:
        """Whether it takes more than 63 bits."""
        return self._shifts[2] + self.source_bits > 63

    @property
    def dtype(self) -> pl.DataType:
        """As it arrives from the engine."""
        return pl.Decimal(38, 0) if self.wide else pl.Int64()

    def sql(self, branch: Branch) -> str:
        kind = "HUGEINT" if self.wide else "BIGINT"
        at_line, at_entry, at_source = self._shifts
        entries = sorted({f.file.sequence for f in self.inputs.files})
        source = (len(self.inputs.sources) - 1 - branch.source) << at_source
        bases = [
            source | entries.index(self.inputs.files[i].file.sequence) << at_entry | i << self.row_bits
            for i in branch.files
        ]
        listed = f"([{', '.join(map(str, bases))}]::{kind}[])[file_index::BIGINT + 1]"
        base = f"{bases[0]}::{kind}" if len(bases) == 1 else listed
        line = f"least(greatest(coalesce({_name(POINTER)}, 0), 0), {(1 << self.line_bits) - 1})"
        if not branch.has_pointer:
            line = "(file_row_number + 1)"
        return f"{base} + {line}::{kind} * {1 << at_line}::{kind} + file_row_number::{kind}"

    def entry_sql(self) -> str:
        return f"({_name(ARRIVAL)} // {1 << self._shifts[1]}) % {1 << self.entry_bits}"

    def entries(self, packed: pl.Series) -> NDArray[np.int64]:
        """Number of the landing entry of each row."""
        return self._part(packed, self._shifts[1], self.entry_bits).to_numpy()

    def lines(self, packed: pl.Series) -> pl.Series:
        return self._part(packed, self._shifts[0], self.line_bits)

    def objects(self, packed: pl.Series, dtype: pl.DataType) -> pl.Series:
        """The URI each row was read from."""
        uris = pl.Series([f.file.uri for f in self.inputs.files], dtype=dtype)
        return uris.gather(self._part(packed, self.row_bits, self.file_bits).cast(pl.UInt32))

    def _part(self, packed: pl.Series, shift: int, bits: int) -> pl.Series:
        kind = pl.Int128 if self.wide else pl.Int64
        value = pl.col(packed.name).cast(kind) // pl.lit(1 << shift, kind) % pl.lit(1 << bits, kind)
        return packed.to_frame().select(value.cast(pl.Int64))[packed.name]


@contextmanager
def session(inputs: Inputs, scratch: Path, memory_limit_mb: int, threads: int) -> Iterator[Any]:
    """A DuckDB connection that sees the input files and its scratch folder, no network and nothing else."""
    spill = scratch / "spill"
    spill.mkdir(exist_ok=True)
    settings = {
        "memory_limit": f"{_limit_mb(inputs, memory_limit_mb)}MiB",
        "temp_directory": str(spill),
        "preserve_insertion_order": False,
        "TimeZone": "UTC",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allowed_paths": [str(f.file.path) for f in inputs.files],
        "enable_external_access": False,
        "lock_configuration": True,
    }
    if threads:
        settings = {"threads": threads, **settings}
    with duckdb.connect(":memory:") as connection:
        for name, value in settings.items():
            connection.execute(f"SET {name} = {_literal(value)}")
        yield connection


def _limit_mb(inputs: Inputs, memory_limit_mb: int) -> int:
    """The engine's limit. Where all rows fit, high enough for it not to spill; else what leaves room for the rest."""
    room = max(memory_limit_mb - _RESERVED_MB, 64)
    texts = max(f.text_columns for f in inputs.files)
    row = _ROW_BYTES + _VALUE_BYTES * (len(inputs.schema) - texts) + _TEXT_BYTES * texts
    long_texts = sum(f.text_bytes for f in inputs.files if f.text_bytes > 12 * f.rows * f.text_columns)
    needed = (inputs.rows * row + long_texts) >> 20
    return max(room, int(needed * _HEADROOM)) if needed <= room else room


def sorted_rows(connection: Any, inputs: Inputs, key: Sequence[str], arrival: Arrival, order: Order) -> Any:
    """An Arrow reader of all candidates with a key, sorted by key, then in `order`; reads every input.

    Raises:
        BadInput: a file is damaged, or a value does not fit the common type.
        Transient: memory and disk did not suffice.
    """
    names = _short_names(inputs)
    union = " UNION ALL ".join(_select(branch, inputs, names, key, arrival) for branch in inputs.branches)
    ordered = ", ".join([*(names[name] for name in key), *_order_sql(order, inputs, names, arrival)])
    with _faults(inputs):
        return connection.sql(f"SELECT * FROM ({union}) ORDER BY {ordered}").to_arrow_reader(_CHUNK_ROWS)


def _order_sql(order: Order, inputs: Inputs, names: dict[str, str], arrival: Arrival) -> list[str]:
    arrived = _name(ARRIVAL)
    ties = [_name(SOURCE), f"{arrived} ASC"] if order.earliest else [f"{arrived} DESC"]
    if order.column is None:
        return ties
    direction = "DESC" if order.largest else "ASC"
    if order.column == ENTRY:
        return [f"{arrival.entry_sql()} {direction}", *ties]
    column = names[order.column]
    if inputs.schema[order.column].is_float():
        column = f"CASE WHEN NOT isnan({column}) THEN {column} END"
    return [f"{column} {direction} NULLS LAST", *ties]


def _short_names(inputs: Inputs) -> dict[str, str]:
    """Names the engine can tell apart whatever vendors call their columns."""
    return {name: f"c{number}" for number, name in enumerate(inputs.schema)}


def batches(reader: Any, inputs: Inputs, key: Sequence[str], arrival: Arrival, order: Order) -> Iterator[Batch]:
    """The rows of `sorted_rows` in batches of whole groups; the next is fetched while one is worked on."""
    beside = {SOURCE: pl.UInt8(), **({BRANCH: pl.UInt16()} if inputs.uneven else {}), ARRIVAL: arrival.dtype}
    carried = pl.DataFrame(schema={**inputs.schema, **beside})
    with closing(_ahead(_frames(reader, inputs))) as frames:
        for frame in frames:
            carried = pl.concat([carried, frame])
            first = _first_rows(carried, key)
            cut = int(np.flatnonzero(first)[-1])
            if cut:
                yield Batch(carried[:cut].rechunk(), first[:cut], order, arrival)
            carried = carried[cut:]
    if carried.height:
        yield Batch(carried, _first_rows(carried, key), order, arrival)


def _frames(reader: Any, inputs: Inputs) -> Iterator[pl.DataFrame]:
    """What comes out of the engine, in pieces worth a call of the kernel, under its proper names and types."""
    back = {short: name for name, short in _short_names(inputs).items()}
    types: dict[Any, Any] = dict(inputs.schema)
    chunks: list[Any] = []
    rows = size = 0
    while True:
        with _faults(inputs):
            chunk = next(reader, None)
        if chunk is not None:
            chunks.append(chunk)
            rows, size = rows + chunk.num_rows, size + chunk.nbytes
        if chunks and (chunk is None or rows >= _BATCH_ROWS or size >= _BATCH_BYTES):
            table = pa.Table.from_batches(chunks)
            yield pl.DataFrame(pl.from_arrow(table)).rename(back).cast(types)
            chunks, rows, size = [], 0, 0
        if chunk is None:
            return


def _ahead(items: Iterator[pl.DataFrame]) -> Generator[pl.DataFrame]:
    """The same items, the next one made in another thread."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _first_rows(frame: pl.DataFrame, key: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows begin a group."""
    changes = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in key)
    first = frame.select(changes.alias("first"))["first"].to_numpy(writable=True)
    first[:1] = True
    return first


def _select(branch: Branch, inputs: Inputs, names: dict[str, str], key: Sequence[str], arrival: Arrival) -> str:
    columns = [f"{_column(name, branch, inputs, key=name in key)} AS {short}" for name, short in names.items()]
    columns.append(f"{branch.source}::UTINYINT AS {_name(SOURCE)}")
    if inputs.uneven:
        columns.append(f"{branch.index}::USMALLINT AS {_name(BRANCH)}")
    columns.append(f"{arrival.sql(branch)} AS {_name(ARRIVAL)}")
    paths = ", ".join(_literal(str(inputs.files[index].file.path)) for index in branch.files)
    nullable = [name for name in key if any(name in inputs.files[index].may_be_null for index in branch.files)]
    where = " AND ".join(f"{_name(branch.origin[name])} IS NOT NULL" for name in nullable) or "true"
    return f"SELECT {', '.join(columns)} FROM read_parquet([{paths}]) WHERE {where}"


def _column(name: str, branch: Branch, inputs: Inputs, *, key: bool) -> str:
    target = inputs.schema[name]
    if name not in branch.schema:
        return f"CAST(NULL AS {duckdb_type(target)})"
    column = _name(branch.origin[name])
    if branch.schema[name] != target:
        column = f"CAST({column} AS {duckdb_type(target)})"
    return f"({column} + 0)" if key and target.is_float() else column  # -0.0 and 0.0 are one key


_TYPES = {
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.UInt8: "UTINYINT",
    pl.UInt16: "USMALLINT",
    pl.UInt32: "UINTEGER",
    pl.UInt64: "UBIGINT",
    pl.Float32: "FLOAT",
    pl.Float64: "DOUBLE",
    pl.Boolean: "BOOLEAN",
    pl.String: "VARCHAR",
    pl.Binary: "BLOB",
    pl.Date: "DATE",
    pl.Time: "TIME_NS",
    pl.Duration: "BIGINT",
}


def duckdb_type(dtype: pl.DataType) -> str:
    """The DuckDB type that holds a polars type."""
    if isinstance(dtype, pl.Decimal):
        return f"DECIMAL({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return ("TIMESTAMPTZ" if dtype.time_zone else "TIMESTAMP") + ("_NS" if dtype.time_unit == "ns" else "")
    if isinstance(dtype, pl.List):
        return f"{duckdb_type(pl.Struct({'x': dtype.inner}).fields[0].dtype)}[]"  # type: ignore[arg-type]
    if isinstance(dtype, pl.Array):
        return f"{duckdb_type(dtype.inner)}[]"  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return f"STRUCT({', '.join(f'{_name(f.name)} {duckdb_type(f.dtype)}' for f in dtype.fields)})"  # type: ignore[arg-type]
    return _TYPES[type(dtype)]


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value).lower()


_OWN_FAULTS = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InternalException,
    duckdb.PermissionException,
)


@contextmanager
def _faults(inputs: Inputs) -> Iterator[None]:
    """Give the engine's errors their place in the tree; a query that is wrong in itself is a bug and stays one."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise Transient(
            "The merge ran out of memory or of disk to spill to",
            code="out_of_memory",
            found=str(error).splitlines()[0],
            todo="give the job more memory or scratch space, or cut the dataset into slices",
        ) from None
    except (duckdb.Error, pa.ArrowException) as error:
        if isinstance(error, _OWN_FAULTS):
            raise
        raise BadInput(
            "The files to merge cannot be read as their footers promise",
            code="bad_parquet",
            where=", ".join(f.file.uri for f in inputs.files[:5]),
            found=str(error).splitlines()[0],
            todo="convert the source again; its staged part is damaged",
        ) from None
