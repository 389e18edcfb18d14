"""Where a row came from: its commit, the work's inputs, the winning source of each field, the values that lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from base_ops.core.errors import ConfigError
from base_ops.core.protocol import DataRef
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.tables.schema import COMMIT, KNOWN_FROM, LINEAGE, SLICE, data_columns
from base_ops.worker.types import parse_expr, type_name

SOURCES, COLUMNS, CONFLICTS = "sources", "lineage", "conflicts"
"""Labels of merged data: JSON list of the source ids that `_src_*` columns count from 0; JSON {field: its `_src_*`
column}, default `_src_<field>`; URI of the conflicts file."""
SEVERAL = "several"
"""In place of a source, where several contributed (255 in a `_src_*` column), as to an average."""
_SEVERAL = 255


@dataclass(frozen=True)
class Why:
    """The account of one current row."""

    dataset: str
    key: dict[str, Any]
    values: dict[str, Any]
    sources: dict[str, str | None]
    """Per field the source whose value won; None where that is not recorded."""
    slice: str
    commit: str
    known_from: datetime
    inputs: list[DataRef] = field(default_factory=list)
    """What the commit was made of, as far as the row's slice goes; empty where the record is gone."""
    conflicts: list[dict[str, Any]] | None = None
    """Decisions between sources about this row: field, rule, winner, loser, …; None where they are not recorded."""


def rows_of(rows: pl.LazyFrame, dataset: str, row_key: Sequence[str], key: Mapping[str, Any]) -> pl.LazyFrame:
    """The rows with a key. Values given as text are read as the column's type; `_slice` may narrow the search.

    Raises:
        ConfigError: bad_key.
    """
    given = set(key) - {SLICE}
    if given != set(row_key):
        raise ConfigError(
            f"A row of {dataset} is not named by {', '.join(key) or 'nothing'}",
            code="bad_key",
            expected=", ".join(row_key),
        )
    schema = rows.collect_schema()
    return rows.filter([pl.col(name).eq_missing(_literal(value, schema[name], name)) for name, value in key.items()])


def explain(
    store: Store,
    dataset: str,
    row_key: Sequence[str],
    row: Mapping[str, Any],
    types: pl.Schema,
    record: Mapping[str, Any] | None,
) -> Why:
    """The account of a row, from its columns and the record of its commit."""
    units = [DataRef.model_validate(unit) for unit in (record or {}).get("units", ())]
    inputs = [unit for unit in units if unit.slice == row[SLICE]]
    names = [name for name in data_columns(types) if not name.startswith(LINEAGE)]
    known, columns = _sources(inputs), _columns(inputs)
    key = {name: row[name] for name in row_key}
    return Why(
        dataset=dataset,
        key=key,
        values={name: row[name] for name in names if name not in key},
        sources={name: _winner(row, columns.get(name, LINEAGE + name), known) for name in names if name not in key},
        slice=row[SLICE],
        commit=row[COMMIT],
        known_from=row[KNOWN_FROM],
        inputs=inputs,
        conflicts=_conflicts(store, inputs, key, types),
    )


def _literal(value: Any, dtype: pl.DataType, name: str) -> pl.Expr:
    if isinstance(value, str) and dtype != pl.String:
        value = pl.Series(name, [value]).to_frame().select(parse_expr(name, type_name(dtype))).item()
        if value is None:
            raise ConfigError(f"The value of {name} does not fit its type", code="bad_key", expected=type_name(dtype))
    return pl.lit(value, dtype=dtype)


def _sources(inputs: Sequence[DataRef]) -> list[str]:
    for unit in inputs:
        if SOURCES in unit.labels:
            return [str(source) for source in json.loads(unit.labels[SOURCES])]
    return sorted({unit.source for unit in inputs if unit.source})


def _columns(inputs: Sequence[DataRef]) -> dict[str, str]:
    found = (json.loads(unit.labels[COLUMNS]) for unit in inputs if COLUMNS in unit.labels)
    return dict(next(found, {}))


def _winner(row: Mapping[str, Any], column: str, known: Sequence[str]) -> str | None:
    """A winner's number in the list of sources, or its name; without either, the only source there is."""
    if column not in row:
        return known[0] if len(known) == 1 else None
    winner = row[column]
    if isinstance(winner, int):
        return SEVERAL if winner == _SEVERAL else known[winner] if 0 <= winner < len(known) else None
    return None if winner is None else str(winner)


def _conflicts(
    store: Store, inputs: Sequence[DataRef], key: Mapping[str, Any], types: pl.Schema
) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] | None = None
    for unit in inputs:
        uri = unit.labels.get(CONFLICTS)
        if uri is None or not store.exists(store.path_of(uri)):
            continue
        with store.open(store.path_of(uri)) as file:
            rows = pl.read_parquet(file)
        for name, value in key.items():  # a key column whose name the log needs itself has a suffix there
            column = f"{name}_key" if f"{name}_key" in rows.columns else name
            same = pl.col(column).cast(types[name], strict=False).eq_missing(pl.lit(value, dtype=types[name]))
            rows = rows.filter(same).drop(column)
        found = (found or []) + rows.to_dicts()
    return found
