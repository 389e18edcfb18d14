"""The Delta log as the manifest of a table: what is in effect, and how one commit is made.

Every commit of ours carries in its commitInfo

    base_ops.commit     the commit key: the name of the work that was stored
    base_ops.consumed   JSON {source: landing log number taken in}, the whole map
    base_ops.moment     when what the table says changed; greater than that of every commit before
    base_ops.slices     JSON list of the slices that were offered
    base_ops.key        JSON list of the columns that identify a row

so that normally the newest commit tells everything. A RESTORE takes back what came after the version it goes to:
looking back in time jumps from it to that version. Commits of others (compaction, properties) say nothing and are
passed over. Application transactions (one per commit key) only ever answer "never seen", as a restore keeps them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import CommitProperties, DeltaTable, Schema, TableFeatures, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, create_table_with_add_actions

from base_ops.core.errors import BaseOpsError
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.tables.schema import CURRENT, PARTITION, SLICE

_PREFIX = "base_ops."
_PARTITION_BY = [CURRENT, SLICE]
_CONFIGURATION = {"delta.logRetentionDuration": "interval 3650 days", "delta.enableExpiredLogCleanup": "false"}


class CommitConflictError(Exception):
    """Somebody else committed first: look at the table again."""


@dataclass(frozen=True)
class Commit:
    """What one commit of ours said about itself."""

    version: int
    key: str
    moment: datetime
    consumed: dict[str, int] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    row_key: tuple[str, ...] = ()

    def metadata(self) -> dict[str, str]:
        values = {"commit": self.key, "moment": self.moment.isoformat()}
        lists = {"consumed": self.consumed, "slices": self.slices, "key": self.row_key}
        values.update({name: json.dumps(value, sort_keys=True) for name, value in lists.items()})
        return {_PREFIX + name: value for name, value in values.items()}


def storage_options() -> dict[str, str]:
    """Options of delta-rs and polars for object stores. Both read the standard AWS_* variables themselves.

    Plain http has to be allowed in so many words, which the endpoint's own URL does.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return {"aws_endpoint_url": endpoint, "aws_allow_http": "true"} if endpoint.startswith("http://") else {}


class DeltaLog:
    """The log of one table."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder
        self._infos: dict[int, dict[str, Any]] = {}
        self.uri = store.uri(folder).replace("s3a://", "s3://", 1)

    def open(self) -> DeltaTable | None:
        """The table at its newest version; None where there is none."""
        try:
            return DeltaTable(self.uri, storage_options=storage_options())
        except TableNotFoundError:
            return None

    # -- looking back

    def in_effect(self, version: int) -> Iterator[Commit]:
        """Our commits that make up the table at `version`, newest first."""
        while version >= 0:
            info = self._info(version)
            if info.get("operation") == "RESTORE":
                version = self._restored(info, version)
                continue
            if found := _commit_of(info, version):
                yield found
            version -= 1

    def newest_moment(self, version: int) -> datetime | None:
        """The moment of the newest commit, whether it is still in effect or not."""
        for number in range(version, -1, -1):
            if found := _commit_of(self._info(number), number):
                return found.moment
        return None

    def _info(self, version: int) -> dict[str, Any]:
        """commitInfo of one version, {} where it has none.

        Read from the log file itself: DeltaTable.history() misnumbers versions when somebody commits meanwhile.
        """
        if version not in self._infos:
            self._infos[version] = self._read_info(f"{self.folder}/_delta_log/{version:020d}.json")
        return self._infos[version]

    def _read_info(self, path: str) -> dict[str, Any]:
        with self.store.open(path) as lines:
            for line in lines:
                if b'"commitInfo"' in line and "commitInfo" in (action := json.loads(line)):
                    return dict(action["commitInfo"])
        return {}

    def _restored(self, info: dict[str, Any], version: int) -> int:
        parameters = info.get("operationParameters", {})
        if parameters.get("version") is not None:
            return int(parameters["version"])
        table = DeltaTable(self.uri, storage_options=storage_options())
        table.load_as_version(_restored_moment(parameters))
        return min(table.version(), version - 1)

    # -- writing

    def create(self, commit: Commit, schema: pl.Schema, adds: Sequence[AddAction]) -> None:
        """Make the table with its first files, in one commit.

        Raises:
            CommitConflictError: somebody made it meanwhile.
        """
        try:
            create_table_with_add_actions(
                self.uri,
                _delta_schema(schema),
                list(adds),
                mode="error",
                partition_by=_PARTITION_BY,
                configuration=_CONFIGURATION,
                storage_options=storage_options(),
                commit_properties=_properties(commit),
            )
        except DeltaError as error:
            if self.open() is None:
                raise
            raise CommitConflictError from error

    def commit(
        self,
        table: DeltaTable,
        commit: Commit,
        schema: pl.Schema,
        adds: Sequence[AddAction],
        *,
        replaced: Sequence[str] = (),
        replace_all: bool = False,
    ) -> None:
        """Add files, and remove the current files of the slices in `replaced` (or all files), in one commit.

        Raises:
            CommitConflictError: somebody else committed since `table` was opened.
        """
        filters = None if replace_all else [(CURRENT, "=", "true"), (SLICE, "in", list(replaced))]
        overwrites = bool(replaced) or replace_all or pl.Schema(table.schema()) != schema
        try:
            table.create_write_transaction(
                list(adds),
                "overwrite" if overwrites else "append",
                _delta_schema(schema),
                _PARTITION_BY,
                filters if overwrites else None,
                commit_properties=_properties(commit),
            )
        except CommitFailedError as error:
            raise CommitConflictError from error

    def take_back(self, table: DeltaTable, oldest: Commit, now: datetime) -> None:
        """Undo `oldest` and all after it. The commit that made the table leaves an empty one that consumed nothing.

        Raises:
            CommitConflictError: somebody else committed since `table` was opened.
        """
        if oldest.version == 0:
            newest = self.newest_moment(table.version())
            moment = now if newest is None else max(now, newest + timedelta(microseconds=1))
            nothing = Commit(table.version() + 1, f"before-{oldest.key}", moment, row_key=oldest.row_key)
            self.commit(table, nothing, pl.Schema(table.schema()), [], replace_all=True)
            return
        try:
            table.restore(oldest.version - 1, commit_properties=CommitProperties(max_commit_retries=0))
        except CommitFailedError as error:
            raise CommitConflictError from error

    def allow_naive_timestamps(self, table: DeltaTable) -> bool:
        """Switch on the table feature that timestamps without a zone need; True where it was off.

        A commit of its own that touches no data: delta-rs would write the column without the feature, and nobody
        could open the table any more.
        """
        if "timestampNtz" in (table.protocol().writer_features or ()):
            return False
        try:
            table.alter.add_feature(TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True)
        except CommitFailedError as error:
            raise CommitConflictError from error
        return True


def data_files(table: DeltaTable | None) -> pl.DataFrame:
    """Files of a table: path (inside the table's folder), rows, `_current`, `_slice`."""
    frame = pl.DataFrame() if table is None else pl.DataFrame(table.get_add_actions(flatten=True))
    if frame.is_empty():
        return pl.DataFrame(schema={"path": pl.String, "rows": pl.Int64, **PARTITION})
    columns = [pl.col(f"partition.{name}").cast(kind).alias(name) for name, kind in PARTITION.items()]
    path = pl.col("path").map_elements(unquote, pl.String)  # the log holds paths URL-encoded
    return frame.select(path, pl.col("num_records").alias("rows"), *columns).sort("path")


def _restored_moment(parameters: dict[str, Any]) -> datetime:
    """delta-rs notes down milliseconds, Spark a text."""
    value = str(parameters.get("datetime") or parameters.get("timestamp"))
    return datetime.fromtimestamp(int(value) / 1000, UTC) if value.isdigit() else datetime.fromisoformat(value)


def _commit_of(info: dict[str, Any], version: int) -> Commit | None:
    if _PREFIX + "commit" not in info:
        return None
    try:
        return Commit(
            version,
            info[_PREFIX + "commit"],
            datetime.fromisoformat(info[_PREFIX + "moment"]),
            json.loads(info[_PREFIX + "consumed"]),
            tuple(json.loads(info[_PREFIX + "slices"])),
            tuple(json.loads(info[_PREFIX + "key"])),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise BaseOpsError(
            f"Version {version} of the table has commit metadata that cannot be read: {error}",
            code="bad_commit_metadata",
        ) from None


def _delta_schema(schema: pl.Schema) -> Schema:
    return Schema.from_arrow(pl.DataFrame(schema=schema).to_arrow().schema)


def _properties(commit: Commit) -> CommitProperties:
    """No retries inside delta-rs: it would rebase our commit on one that changed what ours was computed from."""
    return CommitProperties(
        custom_metadata=commit.metadata(),
        max_commit_retries=0,
        app_transactions=[Transaction(commit.key, commit.version)],
    )
