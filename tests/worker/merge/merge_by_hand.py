"""A merge as one would do it by hand, one record at a time: what the engine must agree with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.data_ingestion.options.merging import RECORD_RULES, MergeFieldSpec
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.merge import SourceFile

TYPES = {"k": pl.Int64, "j": pl.String, "t": pl.Int64, "a": pl.Float64, "b": pl.Float64, "c": pl.Int64, "s": pl.String}


@dataclass
class Table:
    """One input file: rows of its columns, in reading order."""

    source: str
    sequence: int
    name: str
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]

    def write(self, folder: Path) -> SourceFile:
        path = folder / f"{self.name}.parquet"
        schema = {"_line": pl.Int64, **{c: TYPES[c] for c in self.columns}}
        pl.DataFrame(self.rows, schema=schema, orient="row").write_parquet(path)
        return SourceFile(self.source, path, uri=self.name, id=self.name, sequence=self.sequence)


@dataclass
class Record:
    table: Table
    number: int
    row: dict[str, Any]
    rank: int

    def has(self, name: str) -> bool:
        return name in self.table.columns

    def get(self, name: str | None) -> Any:
        return self.row.get(name)

    @property
    def arrived(self) -> tuple[Any, ...]:
        return (self.table.sequence, self.row["_line"], self.table.name, self.number)


@dataclass
class Expected:
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    sources: dict[tuple[Any, ...], dict[str, int | None]] = field(default_factory=dict)
    conflicts: set[tuple[Any, ...]] = field(default_factory=set)
    """(key, field, loser's file, its line)"""
    null_keys: int = 0
    records: int = 0


def by_hand(tables: list[Table], spec: MergerSpec) -> Expected:
    present = {t.source for t in tables}
    order = [s for s in spec.priority if s in present] + sorted(present - set(spec.priority))
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    expected = Expected()
    for table in tables:
        for number, row in enumerate(table.rows):
            expected.records += 1
            record = Record(table, number, row, order.index(table.source))
            key = tuple(record.get(name) for name in spec.key)
            if None in key:
                expected.null_keys += 1
            else:
                groups[key].append(record)
    columns = {c for t in tables for c in t.columns} - set(spec.key)
    named = {name for item in spec.fields for name in item.fields}
    criteria = {item.by for item in (*spec.fields, *([spec.default] if spec.default else []))}
    decisions = [(item, [n for n in item.fields if n in columns], len(item.fields) > 1) for item in spec.fields]
    default = spec.default or MergeFieldSpec(rule="last_write_wins")
    alike: dict[frozenset[str], list[str]] = defaultdict(list)
    for name in sorted(columns - named):
        alike[frozenset(t.name for t in tables if name in t.columns)].append(name)
    decisions += [(default, names, True) for names in alike.values()]
    for key, records in groups.items():
        expected.rows[key], expected.sources[key] = {}, {}
        for item, names, together in decisions:
            parts = [names] if item.rule in RECORD_RULES else [[n] for n in names]
            for part in parts:
                if part:
                    _decide(expected, key, records, item, part, together, spec, order, criteria)
    return expected


def _decide(
    expected: Expected,
    key: tuple[Any, ...],
    records: list[Record],
    item: MergeFieldSpec,
    names: list[str],
    together: bool,
    spec: MergerSpec,
    order: list[str],
    criteria: set[str | None],
) -> None:
    group = item.rule in RECORD_RULES and together
    taking = [r for r in records if any(r.has(n) for n in names)]
    whole = [r for r in taking if all(r.has(n) for n in names)]
    left = whole or taking
    if item.rule not in RECORD_RULES or (item.ignore_nulls and not group):
        left = [r for r in left if r.get(names[0]) is not None]
    derived = item.rule in ("weighted_average", "sum", "expression")
    if derived:
        values = {names[0]: _derive(left, item, names[0], spec, order)}
        ranks = {r.rank for r in left}
        source = None if not left else ranks.pop() if len(ranks) == 1 else 255
    else:
        winner = _winner(left, item, names[0])
        values = {n: winner.get(n) if winner else None for n in names}
        source = winner.rank if winner else None
    expected.rows[key].update(values)
    expected.sources[key].update(dict.fromkeys(names, source))
    for name in set(names) - criteria:
        said = [r for r in taking if r.get(name) is not None]
        amounts = [r.get(name) for r in said]
        for record in said:
            value, won = record.get(name), values[name]
            pair = (min(amounts), max(amounts)) if derived else (value, won)
            if _differ(*pair, item.tolerance):
                expected.conflicts.add((key, name, record.table.name, record.row["_line"]))


def _differ(left: Any, right: Any, tolerance: float) -> bool:
    if left is None or right is None or isinstance(left, str):
        return bool(left != right)
    return abs(left - right) > tolerance


def _winner(left: list[Record], item: MergeFieldSpec, name: str) -> Record | None:
    if not left:
        return None
    latest_first = sorted(left, key=lambda r: r.arrived, reverse=True)
    if item.rule == "first_write_wins":
        latest_first.reverse()
    preferred = sorted(latest_first, key=lambda r: r.rank)
    if item.rule == "priority":
        return preferred[0]
    column = name if item.rule in ("min", "max") else item.by
    values = {id(r): r.get(column) if column else r.table.sequence for r in preferred}
    known = [r for r in preferred if values[id(r)] is not None] or preferred
    if all(values[id(r)] is None for r in known):
        return preferred[0]
    least = item.rule in ("min", "first_write_wins")
    best = (min if least else max)(values[id(r)] for r in known)
    return next(r for r in known if values[id(r)] == best)


def _derive(left: list[Record], item: MergeFieldSpec, name: str, spec: MergerSpec, order: list[str]) -> Any:
    if not left:
        return None
    if item.rule == "sum":
        return sum(r.get(name) for r in left)
    if item.rule == "expression":  # always coalesce(y, x + z, x)
        latest: dict[str, Any] = {}
        for record in sorted(left, key=lambda r: r.arrived):
            latest[record.table.source] = record.get(name)
        x, y, z = (latest.get(s) for s in "xyz")
        return y if y is not None else x + z if x is not None and z is not None else x
    weights = [r.get(item.by) or 0 if item.by else spec.weights.get(r.table.source, 1.0) for r in left]
    usable = [(w, r.get(name)) for w, r in zip(weights, left, strict=True) if w > 0] or [
        (1.0, r.get(name)) for r in left
    ]
    return sum(w * v for w, v in usable) / sum(w for w, _ in usable)
