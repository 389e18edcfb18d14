"""The layout of a set of records: its flat columns, and the three ways to fill them.

- `fast_schema` is what a strict columnar parser needs to fill them from bytes at once;
- `rows` fills them from decoded values one by one, and says of each refused record why;
- `unnest` makes the flat columns of the parser's nested ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from base_ops.core.errors import BadInput, ConfigError
from base_ops.core.protocol import Finding
from base_ops.data_ingestion.options.reading import ColumnSpec, ReadSpec
from base_ops.worker.engine.plan import POINTER
from base_ops.worker.formats.declared import Column, free_name
from base_ops.worker.formats.records.cells import Cast, Notes, caster
from base_ops.worker.formats.records.shape import Shape, leaves
from base_ops.worker.formats.records.values import Refused, kind_of, to_json
from base_ops.worker.types import dtype_of

EXTRA = "_extra"
"""String column that holds, as JSON text, the keys of a record that the sample did not show."""
_EXACT_IN_FLOAT = float(1 << 53)


@dataclass
class Leaf:
    """One flat column."""

    name: str
    path: tuple[str, ...]
    type: pa.DataType
    fast: pa.DataType | None
    """Type for the columnar parser; None where it has none for this column (JSON text of mixed values)."""
    stamp: str | None = None
    """date, timestamp or timestamp_utc where the texts all were."""
    nanos: bool = False
    seen: bool = True
    """False where only nulls were seen, or nothing."""
    is_mixed: bool = False
    """No single type holds all values."""


@dataclass
class Rows:
    """Decoded records as columns; `kept` (also in POINTER) are the numbers of the records that became rows."""

    frame: pl.DataFrame
    kept: list[int]
    refused: list[tuple[int, Refused]] = field(default_factory=list)


class Layout:
    """Columns of records of the shape `shape`; with `open_ended`, records may hold further keys."""

    def __init__(self, shape: Shape, spec: ReadSpec, *, open_ended: bool) -> None:
        flatten = spec.nested == "flatten"
        _refuse_many(shape, spec.max_columns)
        self.findings: list[Finding] = []
        self.notes = Notes()
        self.extra_records = 0
        self.extra_keys: dict[str, None] = {}
        self.leaves = _leaves(shape, flatten, self.findings)
        self.has_extra = open_ended and spec.columns is None
        self.unread = 0
        """Records of declared columns whose arrays or structs hold keys that the sample did not show."""
        if spec.columns is not None:
            self.leaves, self.columns = _declare(self.leaves, spec.columns, self.findings)
        else:
            self.columns = [Column(leaf.name, leaf.name, leaf.stamp, nanos=leaf.nanos) for leaf in self.leaves]
        self._shown = {c.source: c.name for c in reversed(self.columns)}
        self._tell_mixed()
        self.schema = _polars_schema(self.leaves)
        if self.has_extra:
            self.schema[EXTRA] = pl.String()
            self.columns.append(Column(EXTRA, EXTRA))
        self.fast_schema = _nested_schema(self.leaves)
        self.is_plain = not any(leaf.fast is not None and pa.types.is_nested(leaf.fast) for leaf in self.leaves)
        """Unknown keys can only stand beside the known ones, not inside an array or struct of a column."""
        self.has_floats = any(holds_floats(leaf.type) for leaf in self.leaves)
        self.ignores_unknown = spec.columns is not None and self.is_plain
        self._tree = _tree(self.leaves, self.notes)

    def _tell_mixed(self) -> None:
        inferred = {c.source for c in self.columns if c.type is None}
        mixed = [leaf.name for leaf in self.leaves if leaf.is_mixed and leaf.name in inferred]
        if mixed:
            message = f"no single type holds all values of {', '.join(mixed[:20])}: they are kept as JSON text"
            self.findings.append(Finding(code="mixed_columns", message=message, data={"columns": list(mixed[:100])}))

    def place_of(self, path: tuple[str, ...]) -> int | dict[str, Any] | None:
        """Index of the column that a key's values fill; the keys below it if they fill several; None: none."""
        place: Any = self._tree
        for key in path:
            place = place.get(key) if isinstance(place, dict) else None
        index: int | dict[str, Any] | None = place[0] if isinstance(place, tuple) else place
        return index

    # -- from the columnar parser

    def unnest(self, table: pa.Table) -> pl.DataFrame:
        """The flat columns of a table of `fast_schema`, and POINTER: positions in it."""
        columns = []
        for leaf in self.leaves:
            column = table.column(leaf.path[0])
            columns.append(pc.struct_field(column, list(leaf.path[1:])) if len(leaf.path) > 1 else column)
        flat = pa.Table.from_arrays(columns, names=[leaf.name for leaf in self.leaves])
        pointers = pl.select(pl.int_range(table.num_rows, dtype=pl.Int64).alias(POINTER))
        frame = pointers.hstack(pl.DataFrame(pl.from_arrow(flat, rechunk=False)).get_columns())
        # an empty struct holds nothing: say in words that `{}` was there
        empty = [leaf.name for leaf in self.leaves if leaf.fast != leaf.type]
        frame = frame.with_columns(pl.when(frame[n].is_not_null()).then(pl.lit("{}")).alias(n) for n in empty)
        if self.has_extra:
            frame = frame.with_columns(pl.lit(None, pl.String).alias(EXTRA))
        return frame[[*self.schema, POINTER]]

    def with_unknown(self, table: pa.Table, records: Sequence[dict[str, Any]]) -> pl.DataFrame:
        """`unnest`, and the unknown keys of the records the table was parsed from."""
        frame = self.unnest(table)
        if not self.has_extra:
            return frame
        texts = [self._extra(unknown) if (unknown := _unknown(r, self._tree)) else None for r in records]
        return frame.with_columns(pl.Series(EXTRA, texts, pl.String))

    # -- from decoded values

    def rows(self, records: Iterable[tuple[int, dict[str, Any]]]) -> Rows:
        """Columns from numbered records, each exactly as written or refused."""
        cells: list[list[Any]] = [[] for _ in self.schema]
        kept: list[int] = []
        refused: list[tuple[int, Refused]] = []
        for number, record in records:
            row: list[Any] = [None] * len(cells)
            try:
                unknown = self._fill(record, self._tree, row)
            except Refused as verdict:
                refused.append((number, verdict))
                continue
            if unknown and self.has_extra:
                row[-1] = self._extra(unknown)
            kept.append(number)
            for column, cell in zip(cells, row, strict=True):
                column.append(cell)
        made = [pl.Series(n, column, t, strict=True) for (n, t), column in zip(self.schema.items(), cells, strict=True)]
        return Rows(pl.DataFrame([*made, pl.Series(POINTER, kept, pl.Int64)]), kept, refused)

    def _fill(self, record: dict[str, Any], tree: dict[str, Any], row: list[Any]) -> dict[str, Any]:
        """Put a record's values where they belong; returns what belongs nowhere."""
        unknown: dict[str, Any] = {}
        for key, value in record.items():
            place = tree.get(key)
            if place is None:
                unknown[key] = value
            elif value is None:
                pass
            elif isinstance(place, dict):
                if not isinstance(value, dict):
                    raise Refused("type", f"expected an object, found {kind_of(value)}", key)
                if deeper := self._fill(value, place, row):
                    unknown[key] = deeper
            else:
                index, cast = place
                self.notes.unknown = False
                row[index] = _cell(cast, value, self._shown[self.leaves[index].name])
                if self.notes.unknown:
                    unknown[key] = value
                    self.unread += not self.has_extra
        return unknown

    def _extra(self, unknown: dict[str, Any]) -> str:
        self.note_extra(unknown, 1)
        return to_json(unknown)

    def note_extra(self, keys: Iterable[str], records: int) -> None:
        """That `records` records hold `keys`, which the sample did not show."""
        self.extra_records += records
        if len(self.extra_keys) < 100:
            self.extra_keys.update(dict.fromkeys(keys))

    def _absorb(self, other: Layout) -> None:
        """Take over what another layout of the same columns met."""
        self.note_extra(other.extra_keys, other.extra_records)
        self.unread += other.unread
        self.notes.texts += other.notes.texts

    def late_findings(self, others: Iterable[Layout] = ()) -> list[Finding]:
        """What reading met beyond the sample; to be asked for when all batches are read.

        Args:
            others: layouts of the same columns, through which other rows were read.
        """
        for other in others:
            self._absorb(other)
        found = []
        if self.extra_records:
            keys = sorted(self.extra_keys)
            found.append(
                Finding(
                    code="new_fields",
                    severity="warning",
                    message=f"{self.extra_records} records hold keys that the sample did not show; they are kept in "
                    f"{EXTRA} as JSON text. Declare them in columns, or raise sample_rows",
                    data={"keys": list(keys), "records": self.extra_records},
                )
            )
        if self.unread:
            message = f"{self.unread} arrays or objects hold keys that the sample did not show; they are not read"
            found.append(Finding(code="unread_keys", severity="warning", message=message, data={"values": self.unread}))
        if self.notes.texts:
            found.append(
                Finding(
                    code="mixed_types",
                    message=f"{self.notes.texts} values of other kinds are kept as JSON text in text columns",
                    data={"values": self.notes.texts},
                )
            )
        return found


def floats_are_exact(column: pa.ChunkedArray | pa.Array) -> bool:
    """No NaN or infinity, and nothing so large that an integer may have been rounded."""
    if pa.types.is_floating(column.type):
        bounds = pc.min_max(column).as_py()
        finite = pc.all(pc.is_finite(column)).as_py()
        return finite is not False and -_EXACT_IN_FLOAT < (bounds["min"] or 0) <= (bounds["max"] or 0) < _EXACT_IN_FLOAT
    if pa.types.is_struct(column.type):
        return all(floats_are_exact(pc.struct_field(column, [i])) for i in range(column.type.num_fields))
    if pa.types.is_list(column.type):
        return floats_are_exact(pc.list_flatten(column))
    return True


def holds_floats(type: pa.DataType) -> bool:
    """Whether it is a float, or has some inside."""
    if pa.types.is_nested(type):
        return any(holds_floats(type.field(place).type) for place in range(type.num_fields))
    return bool(pa.types.is_floating(type))


def _cell(cast: Cast, value: Any, column: str) -> Any:
    try:
        return cast(value)
    except Refused as verdict:
        verdict.column = column
        raise


def _unknown(record: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    unknown = {}
    for key, value in record.items():
        place = tree.get(key)
        if place is None:
            unknown[key] = value
        elif type(place) is dict and value is not None and (deeper := _unknown(value, place)):
            unknown[key] = deeper
    return unknown


def _refuse_many(shape: Shape, limit: int) -> None:
    """Raises BadInput where the records hold more keys, at all levels together, than there may be columns."""
    keys, stack = 0, [shape]
    while stack:
        at = stack.pop()
        keys += len(at.fields)
        stack += at.fields.values()
        stack += [at.item] if at.item is not None else []
    if keys > limit:
        raise BadInput(
            "The records hold too many different keys",
            code="too_many_columns",
            expected=f"at most {limit:,}",
            found=f"{keys:,}",
            todo="keys that are values belong into a list; or raise read.max_columns",
        )


def _leaves(shape: Shape, flatten: bool, findings: list[Finding]) -> list[Leaf]:
    found: list[Leaf] = []
    taken = {"", POINTER, EXTRA}
    for path, leaf in leaves(shape, flatten):
        name = ".".join(path)
        free = free_name(name, taken)
        if free != name:
            message = f"the key {name!r} is named {free!r}, since its own name is taken or not possible"
            findings.append(Finding(code="renamed_column", message=message, data={"from": name, "to": free}))
        type = leaf.arrow_type()
        fast = pa.struct([]) if leaf.is_empty_object else type
        nanos = leaf.stamps is not None and leaf.stamps.nanos
        stamp, is_mixed = leaf.stamp_type, fast is None
        found.append(Leaf(free, path, type or pa.string(), fast, stamp, nanos, leaf.values > 0, is_mixed))
    return found


def _declare(
    known: Sequence[Leaf], wanted: Sequence[ColumnSpec], findings: list[Finding]
) -> tuple[list[Leaf], list[Column]]:
    by_name = {leaf.name: leaf for leaf in known}
    chosen: dict[str, Leaf] = {}
    columns = []
    for spec in wanted:
        source = spec.source_name or spec.name
        leaf = by_name.get(source)
        if leaf is None and any(".".join(other.path).startswith(f"{source}.") for other in known):
            leaf = Leaf(source, tuple(source.split(".")), pa.string(), None)  # a whole object, as JSON text
        elif leaf is None:
            message = f"the records looked at hold no {source!r}: {spec.name} is null until one does"
            findings.append(Finding(code="column_not_found", severity="warning", message=message))
            leaf = Leaf(source, tuple(source.split(".")), pa.string(), pa.string(), seen=False)
        chosen.setdefault(source, _retyped(leaf, spec))
        columns.append(Column(spec.name, source, spec.type or leaf.stamp, spec.format, spec.required, leaf.nanos))
    _refuse_overlap([leaf.path for leaf in chosen.values()])
    read = {leaf.path for leaf in chosen.values()}
    left_out = [leaf.name for leaf in known if not any(leaf.path[: len(path)] == path for path in read)]
    if left_out:
        message = f"not declared, so not read: {', '.join(left_out[:20])}"
        findings.append(Finding(code="undeclared_fields", message=message, data={"keys": list(left_out[:100])}))
    return list(chosen.values()), columns


def _refuse_overlap(paths: Sequence[tuple[str, ...]]) -> None:
    for path in paths:
        for end in range(1, len(path)):
            if path[:end] in paths:
                raise ConfigError(
                    f"The columns {'.'.join(path[:end])!r} and {'.'.join(path)!r} overlap",
                    code="overlapping_columns",
                    where="spec.read.columns",
                    todo="declare the object or its keys, not both",
                )


def _retyped(leaf: Leaf, spec: ColumnSpec) -> Leaf:
    """The leaf with the declared type where JSON values go into it exactly; else as text, which is parsed later."""
    if spec.type is None or pa.types.is_large_binary(leaf.type):
        return leaf
    declared = dtype_of(spec.type)
    same = _is_number(leaf.type) if declared.is_numeric() else pa.types.is_boolean(leaf.type)
    if (declared.is_numeric() or declared == pl.Boolean) and (same or not leaf.seen):
        precise = _arrow_type(declared)
        return Leaf(leaf.name, leaf.path, precise, precise)
    fast = leaf.fast if pa.types.is_string(leaf.type) else None
    return Leaf(leaf.name, leaf.path, pa.string(), fast, leaf.stamp, leaf.nanos)


def _is_number(type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type))


def _arrow_type(dtype: pl.DataType) -> pa.DataType:
    return pa.RecordBatchReader.from_stream(pl.DataFrame(schema={"": dtype})).schema.field(0).type


def _polars_schema(columns: Sequence[Leaf]) -> pl.Schema:
    none = pa.Table.from_batches([], schema=pa.schema([pa.field(leaf.name, leaf.type) for leaf in columns]))
    return pl.DataFrame(pl.from_arrow(none)).schema


def _nested_schema(columns: Sequence[Leaf]) -> pa.Schema | None:
    if not columns or any(leaf.fast is None for leaf in columns):
        return None
    tree: dict[str, Any] = {}
    for leaf in columns:
        place = tree
        for key in leaf.path[:-1]:
            place = place.setdefault(key, {})
        place[leaf.path[-1]] = leaf.fast
    return pa.schema(_fields(tree))


def _fields(tree: dict[str, Any]) -> list[pa.Field]:
    return [pa.field(k, pa.struct(_fields(v)) if isinstance(v, dict) else v) for k, v in tree.items()]


def _tree(columns: Sequence[Leaf], notes: Notes) -> dict[str, Any]:
    """{key: (column index, cast) or a deeper tree}."""
    root: dict[str, Any] = {}
    for index, leaf in enumerate(columns):
        place = root
        for key in leaf.path[:-1]:
            place = place.setdefault(key, {})
        place[leaf.path[-1]] = (index, caster(leaf.type, notes))
    return root
