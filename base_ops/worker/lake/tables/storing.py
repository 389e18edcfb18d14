"""One try at storing new content: look at the log, compare, write files, commit once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import duckdb
import polars as pl
from deltalake.transaction import AddAction

from base_ops.core.errors import ConfigError
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.tables.changes import Change, Comparer, Rules, Slice
from base_ops.worker.lake.tables.delta import Commit, CommitConflictError, DeltaLog, data_files
from base_ops.worker.lake.tables.files import put_file
from base_ops.worker.lake.tables.schema import CURRENT, SLICE, Evolution, data_columns, evolve, table_schema

LocalFiles = Sequence[tuple[Path, pl.Schema]]
"""Local Parquet files and their columns in types a table can hold."""


@dataclass(frozen=True)
class Stored:
    """What became of an offer of new content.

    stored: it is in the table by a commit of this call; unchanged: the table held exactly this before; adopted: the
    same work had been stored before; superseded: the table has seen newer landings, so nothing was done.
    """

    outcome: Literal["stored", "unchanged", "adopted", "superseded"]
    version: int | None
    rows: int
    """Current rows of the table."""
    schema: pl.Schema
    """Data columns of the table."""
    changes: dict[str, Change] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()

    def total(self, name: Literal["inserted", "changed", "unchanged", "closed", "rows_in"]) -> int:
        return sum(getattr(change, name) for change in self.changes.values())


@dataclass(frozen=True)
class Offer:
    """New content for slices of a table; see `Tables.store_units`."""

    rules: Rules
    commit: str
    considered: Mapping[str, int]
    slices: frozenset[str]
    fetch: Callable[[], Mapping[str, LocalFiles]]
    """The slices' new files; asked for only when they are needed."""
    record: Mapping[str, Any]


class Attempt:
    """A look at the table, and what to do about an offer. Good for one commit: after a conflict, look again."""

    def __init__(self, log: DeltaLog, offer: Offer, now: datetime) -> None:
        self._log = log
        self._offer = offer
        self._table = log.open()
        self._version = -1 if self._table is None else self._table.version()
        self._files = data_files(self._table)
        self._last = next(log.in_effect(self._version), None)
        newest = log.newest_moment(self._version)
        self._moment = now if newest is None else max(now, newest + timedelta(microseconds=1))

    def run(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> Stored:
        """Do it. Raises: CommitConflictError where somebody else was first."""
        if self._is_done():
            return self._nothing("adopted")
        if self._is_stale():
            return self._nothing("superseded")
        if not self._offer.slices:
            return self._nothing("unchanged")
        evolution = self._evolve()
        failpoint("tables.before_files")
        comparer = Comparer(connection, self._offer.rules, evolution.data, self._offer.commit, self._moment)
        changes, adds = self._compare(comparer, evolution, folder)
        replaced = [name for name, change in changes.items() if change.rewrites]
        if evolution.widened:
            adds += self._rewrite_others(comparer, replaced, folder)
        failpoint("tables.after_files")
        outcome: Literal["stored", "unchanged"] = "unchanged"
        if adds or replaced or evolution.added or self._table is None or self._advances():
            self._commit(evolution, adds, replaced)
            outcome = "stored"
        rows = self._rows() + sum(c.inserted - c.closed for c in changes.values())
        version = self._version + (outcome == "stored")
        return Stored(outcome, version, rows, evolution.data, changes, evolution.added, evolution.widened)

    # -- looking

    @property
    def _consumed(self) -> dict[str, int]:
        return self._last.consumed if self._last else {}

    def _is_stale(self) -> bool:
        """Whether this work saw an older landing log than what the table holds."""
        return any(number < self._consumed.get(source, 0) for source, number in self._offer.considered.items())

    def _advances(self) -> bool:
        return any(number > self._consumed.get(source, 0) for source, number in self._offer.considered.items())

    def _is_done(self) -> bool:
        """Whether the same work is in effect.

        It no longer is where a later commit wrote one of its slices: content may go from A to B and back to A under
        the same key. Work that saw an older log than that commit is then a late retry, and done all the same.
        """
        if self._table is None or self._table.transaction_version(self._offer.commit) is None:
            return False
        overwritten = False
        for commit in self._log.in_effect(self._version):
            if commit.key == self._offer.commit:
                return self._is_stale() or not (overwritten or self._advances())
            overwritten = overwritten or not self._offer.slices.isdisjoint(commit.slices)
        return False

    def _evolve(self) -> Evolution:
        rules, last, table = self._offer.rules, self._last, self._table
        if last is not None and last.row_key and last.row_key != rules.key:
            raise ConfigError(
                "A table's key cannot be changed",
                code="key_changed",
                where="spec.key",
                expected=", ".join(last.row_key),
                found=", ".join(rules.key),
                todo="store the data as another dataset",
            )
        held = None if table is None else data_columns(pl.Schema(table.schema()))
        schemas = [(name, schema) for name, files in self._offer.fetch().items() for _, schema in files]
        evolution = evolve(held, schemas, rules.evolution)
        naive = any(_holds_naive_timestamps(evolution.data[name]) for name in evolution.added)
        if table is not None and naive and self._log.allow_naive_timestamps(table):
            raise CommitConflictError  # the table has a new version: look again
        return evolution

    # -- writing

    def _compare(
        self, comparer: Comparer, evolution: Evolution, folder: Path
    ) -> tuple[dict[str, Change], list[AddAction]]:
        changes: dict[str, Change] = {}
        adds: list[AddAction] = []
        for number, (name, new) in enumerate(self._offer.fetch().items()):
            target = folder / str(number)
            target.mkdir(parents=True)
            with contextlib.ExitStack() as stack:
                old = [self._fetch(path, target, stack) for path in self._paths(name)]
                change = comparer.compare(Slice(name, new, old, evolution.missing.get(name, ())), target)
            changes[name] = change
            for path, current in ((change.current, True), (change.past, False)):
                if path is not None:
                    adds.append(put_file(self._log.store, self._log.folder, path, name, current=current))
        return changes, adds

    def _rewrite_others(self, comparer: Comparer, replaced: Sequence[str], folder: Path) -> list[AddAction]:
        """The files this commit would have left alone, with wider types: readers need not know how to widen."""
        adds = []
        for row in self._files.filter(~(pl.col(CURRENT) & pl.col(SLICE).is_in(list(replaced)))).iter_rows(named=True):
            with contextlib.ExitStack() as stack:
                path, schema = self._fetch(row["path"], folder, stack)
                new = comparer.rewrite(path, schema, folder / "rewritten.parquet")
            if new is not None:
                adds.append(put_file(self._log.store, self._log.folder, new, row[SLICE], current=row[CURRENT]))
        return adds

    def _commit(self, evolution: Evolution, adds: list[AddAction], replaced: list[str]) -> None:
        offer = self._offer
        consumed = {**self._consumed, **offer.considered}
        slices = tuple(sorted(offer.slices))
        commit = Commit(self._version + 1, offer.commit, self._moment, consumed, slices, offer.rules.key)
        schema = table_schema(evolution.data)
        self._log.store.create_json(record_path(self._log.folder, offer.commit), dict(offer.record))
        failpoint("tables.before_commit")
        if self._table is None:
            self._log.create(commit, schema, adds)
        else:
            self._log.commit(self._table, commit, schema, adds, replaced=replaced, replace_all=bool(evolution.widened))
        failpoint("tables.after_commit")

    # -- helpers

    def _nothing(self, outcome: Literal["unchanged", "adopted", "superseded"]) -> Stored:
        schema = pl.Schema() if self._table is None else data_columns(pl.Schema(self._table.schema()))
        return Stored(outcome, None if self._table is None else self._version, self._rows(), schema)

    def _rows(self) -> int:
        return int(self._files.filter(CURRENT)["rows"].sum())

    def _paths(self, name: str) -> list[str]:
        return self._files.filter(pl.col(CURRENT) & (pl.col(SLICE) == name))["path"].to_list()

    def _fetch(self, path: str, folder: Path, stack: contextlib.ExitStack) -> tuple[Path, pl.Schema]:
        local = stack.enter_context(self._log.store.as_local(f"{self._log.folder}/{path}", folder))
        return local, pl.Schema(pl.read_parquet_schema(local))


def record_path(folder: str, commit: str) -> str:
    return f"{folder}/_base/commits/{commit}.json"


def _holds_naive_timestamps(dtype: Any) -> bool:
    if isinstance(dtype, pl.Datetime):
        return dtype.time_zone is None
    if isinstance(dtype, pl.List):
        return _holds_naive_timestamps(dtype.inner)
    return isinstance(dtype, pl.Struct) and any(_holds_naive_timestamps(f.dtype) for f in dtype.fields)
