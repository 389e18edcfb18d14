"""Tables: Delta Lake with bitemporal history.

    tables/<dataset>/_delta_log/                      the manifest (see delta.py)
    tables/<dataset>/_current=…/_slice=…/*.parquet    data files
    tables/<dataset>/_base/commits/<commit key>.json  what a commit was made of

Beside its data every row has `_known_from` and `_known_to` (timestamp, UTC: since when, and until when the table
said so; null = it still does), `_commit` (the commit key that brought it) and `_slice`. A correction closes the old
row and adds the new one; rows that stay the same are not touched.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from base_ops.core.errors import ConfigError, Transient, did_you_mean
from base_ops.core.ids import check_name
from base_ops.core.protocol import DataRef
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.tables.changes import Rules, database, read_schema
from base_ops.worker.lake.tables.delta import Commit, CommitConflictError, DeltaLog, storage_options
from base_ops.worker.lake.tables.explain import Why, explain, rows_of
from base_ops.worker.lake.tables.files import check_slice
from base_ops.worker.lake.tables.schema import COMMIT, CURRENT, KNOWN_FROM, KNOWN_TO, SLICE
from base_ops.worker.lake.tables.storing import Attempt, Offer, Stored, record_path

__all__ = ["Rules", "Stored", "Tables", "TakenBack", "Why", "storage_options"]

_TRIES = 8


@dataclass(frozen=True)
class TakenBack:
    """What became of a wish to undo commits."""

    commits: tuple[str, ...] = ()
    """Keys of those that are undone, newest first."""
    kept: tuple[str, ...] = ()
    """Keys of those that others have built on."""
    version: int | None = None
    """The table's version now; None where there is no table."""


@dataclass
class Tables:
    """The tables of a lake."""

    store: Store
    memory_limit_mb: int = 1400
    threads: int = 0
    scratch: str | None = None
    """Folder for temporary files; default: beside a local lake, else the system's."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    # -- reading

    def open(self, dataset: str) -> DeltaTable:
        """The Delta table. Raises: ConfigError unknown_dataset."""
        table = self._log(dataset).open()
        if table is None:
            raise ConfigError(
                f"There is no table {dataset!r}. {did_you_mean(dataset, self.store.folders('tables'))}",
                code="unknown_dataset",
            )
        return table

    def uri(self, dataset: str) -> str:
        """Where the table lies."""
        return self.store.uri(_folder(dataset))

    def read(self, dataset: str, as_of: datetime | None = None) -> pl.LazyFrame:
        """What the table says now, or what it said at a moment: the same frame a plain read gave then.

        Superseded rows lie in files of their own, which a plain read does not open.

        Raises:
            ConfigError: no such table; a moment without a time zone.
        """
        rows = pl.scan_delta(self.open(dataset), storage_options=storage_options() or None)
        if as_of is None:
            return rows.filter(pl.col(CURRENT)).drop(CURRENT)
        if as_of.tzinfo is None:
            raise ConfigError(
                "as_of needs a time zone", code="naive_moment", found=as_of.isoformat(), expected="e.g. …T12:00:00Z"
            )
        known = (pl.col(KNOWN_FROM) <= as_of) & (pl.col(KNOWN_TO).is_null() | (pl.col(KNOWN_TO) > as_of))
        return (
            rows.filter(known).drop(CURRENT).with_columns(pl.lit(None, rows.collect_schema()[KNOWN_TO]).alias(KNOWN_TO))
        )

    def consumed(self, dataset: str) -> dict[str, int]:
        """Per source, the landing log number up to which the table has taken everything in; {} for no table."""
        last = self.last_commit(dataset)
        return dict(last.consumed) if last else {}

    def last_commit(self, dataset: str) -> Commit | None:
        """The newest commit in effect."""
        log = self._log(dataset)
        table = log.open()
        return None if table is None else next(log.in_effect(table.version()), None)

    def why(self, dataset: str, key: Mapping[str, Any]) -> Why | None:
        """Where a current row came from; None where no row has this key.

        Args:
            key: value per key column, as a value or as text; `_slice` may be added.

        Raises:
            ConfigError: bad_key; ambiguous_key where several slices have the key.
        """
        rows = self._rows_of(self.read(dataset), dataset, key).collect()
        if rows.height > 1:
            raise ConfigError(
                f"Several slices of {dataset} have a row with this key",
                code="ambiguous_key",
                found=", ".join(rows[SLICE].sort()),
                todo=f"add {SLICE} to the key",
            )
        if rows.is_empty():
            return None
        row = rows.row(0, named=True)
        record = self.commit_record(dataset, row[COMMIT])
        return explain(self.store, dataset, self._row_key(dataset), row, rows.schema, record)

    def history_of(self, dataset: str, key: Mapping[str, Any]) -> pl.DataFrame:
        """All the table ever said about a key, oldest first."""
        everything = pl.scan_delta(self.open(dataset), storage_options=storage_options() or None).drop(CURRENT)
        return self._rows_of(everything, dataset, key).collect().sort(SLICE, KNOWN_FROM)

    def commit_record(self, dataset: str, key: str) -> dict[str, Any] | None:
        """What a commit was made of, as `store_units` was told."""
        found: dict[str, Any] | None = self.store.try_read_json(record_path(_folder(dataset), key))
        return found

    # -- writing

    def store_units(
        self,
        dataset: str,
        units: Sequence[DataRef],
        rules: Rules,
        commit: str,
        *,
        considered: Mapping[str, int] | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> Stored:
        """Make `units` the content of their slices, in one Delta commit.

        Args:
            dataset: name of the table; made if it is not there.
            units: Parquet files in the lake; together the complete new content of each slice they name.
            rules: how the table is kept.
            commit: commit key of this work; if it is in effect, nothing is done.
            considered: per source, the landing log number up to which this work has looked.
            record: more to note down about the commit.

        Raises:
            BadInput: duplicate_key, incompatible_schema, unsupported_type, …; the table is as it was.
            ConfigError: the key names no column, or is not the table's; a slice cannot be a partition.
            Transient: commit_conflict, others kept committing.
        """
        for unit in units:
            check_slice(unit.slice)
        log = self._log(dataset)
        details = {**(record or {}), "units": [u.model_dump(mode="json", exclude={"fields"}) for u in units]}
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(self._scratch())
            connection = stack.enter_context(database(folder, self.memory_limit_mb, self.threads))
            offer = Offer(
                rules,
                commit,
                dict(considered or {}),
                frozenset(unit.slice for unit in units),
                functools.cache(lambda: self._fetch(units, rules, folder, stack)),
                details,
            )
            for number in range(_TRIES):
                with contextlib.suppress(CommitConflictError):
                    return Attempt(log, offer, self.clock()).run(connection, folder / str(number))
        raise Transient(
            f"Others kept committing to table {dataset!r} at the same time",
            code="commit_conflict",
            found=f"{_TRIES} tries",
            todo="run the task again",
        )

    def take_back(self, dataset: str, mine: Callable[[Mapping[str, Any]], bool]) -> TakenBack:
        """Undo the newest commits as far as their records are `mine`; the versions stay readable in the Delta log.

        What these commits had consumed is unconsumed again. Commits under somebody else's are left alone.

        Raises:
            Transient: commit_conflict, others kept committing.
        """
        for _ in range(_TRIES):
            log = self._log(dataset)
            table = log.open()
            if table is None:
                return TakenBack()
            commits = list(log.in_effect(table.version()))
            own = [bool(mine(self.commit_record(dataset, commit.key) or {})) for commit in commits]
            newest = list(itertools.takewhile(lambda pair: pair[1], zip(commits, own, strict=True)))
            kept = tuple(c.key for c, is_mine in zip(commits, own, strict=True) if is_mine)[len(newest) :]
            if not newest:
                return TakenBack(kept=kept, version=table.version())
            with contextlib.suppress(CommitConflictError):
                log.take_back(table, newest[-1][0], self.clock())
                return TakenBack(tuple(c.key for c, _ in newest), kept, table.version() + 1)
        raise Transient(
            f"Others kept committing to table {dataset!r} at the same time",
            code="commit_conflict",
            found=f"{_TRIES} tries",
            todo="run the task again",
        )

    # -- helpers

    def _row_key(self, dataset: str) -> tuple[str, ...]:
        last = self.last_commit(dataset)
        return last.row_key if last else ()

    def _rows_of(self, rows: pl.LazyFrame, dataset: str, key: Mapping[str, Any]) -> pl.LazyFrame:
        return rows_of(rows, dataset, self._row_key(dataset), key)

    def _log(self, dataset: str) -> DeltaLog:
        return DeltaLog(self.store, _folder(dataset))

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        root = self.scratch
        if root is None and self.store.is_local:
            root = str(Path(self.store.url) / ".scratch")
            Path(root).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="base-ops-", dir=root) as scratch:
            yield Path(scratch)

    def _fetch(
        self, units: Sequence[DataRef], rules: Rules, folder: Path, stack: contextlib.ExitStack
    ) -> dict[str, list[tuple[Path, pl.Schema]]]:
        """The units' files by slice, as local files with checked schemas."""
        slices: dict[str, list[tuple[Path, pl.Schema]]] = {}
        for unit in sorted(units, key=lambda u: (u.slice, u.uri)):
            path = stack.enter_context(self.store.as_local(self.store.path_of(unit.uri), folder))
            schema = read_schema(path, unit.uri)
            for name in rules.key:
                if schema.get(name, pl.Null()) == pl.Null:
                    raise ConfigError(
                        f"The key column {name!r} is not in the data, or has no value there",
                        expected=did_you_mean(name, schema),
                        code="unknown_column",
                        where=f"spec.key, {unit.uri}",
                    )
            slices.setdefault(unit.slice, []).append((path, schema))
        return slices


def _folder(dataset: str) -> str:
    for part in dataset.split("/"):
        check_name(part, "dataset")
    return f"tables/{dataset}"
