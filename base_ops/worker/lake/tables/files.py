"""Data files: where they go, and the statistics the log keeps of them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from base_ops.core.errors import ConfigError
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.tables.schema import CURRENT, LINEAGE, SLICE

_LONGEST_TEXT = 64
_LONGEST_SLICE = 200


def check_slice(name: str) -> str:
    """Refuse what Delta or Hive read as "no value", and what is too long for the name of a folder."""
    if name in ("", "__HIVE_DEFAULT_PARTITION__") or len(quote(name, safe="")) > _LONGEST_SLICE:
        raise ConfigError(
            f"{name[:_LONGEST_SLICE]!r} cannot be the name of a slice",
            code="bad_slice",
            expected=f"a text of at most {_LONGEST_SLICE} characters, URL-encoded",
            todo="correct the source's `slice`",
        )
    return name


def put_file(store: Store, folder: str, local: Path, slice_name: str, *, current: bool) -> AddAction:
    """Move a finished data file into the table's folder (still invisible) and describe it for the log.

    Paths spell out the partition, as some readers take it from there. Every file has a name of its own.
    """
    size = local.stat().st_size
    stats = statistics(local)
    flag = str(current).lower()
    path = f"{CURRENT}={flag}/{SLICE}={quote(slice_name, safe='')}/part-{uuid.uuid4().hex}.parquet"
    store.put(local, f"{folder}/{path}")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    return AddAction(path, size, {CURRENT: flag, SLICE: slice_name}, now_ms, True, json.dumps(stats))


def statistics(path: Path) -> dict[str, Any]:
    """Delta statistics of a Parquet file from its footer (protocol, per-file statistics).

    Only types whose order all engines agree on (integers, dates, timestamps, short texts): a wrong bound would hide
    rows from readers that skip files by it.
    """
    footer = pq.read_metadata(path)
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for index in range(footer.num_columns):
        leaf = footer.schema.column(index)
        if leaf.max_repetition_level or "." in leaf.path or leaf.name.startswith(LINEAGE):
            continue
        found = [footer.row_group(group).column(index).statistics for group in range(footer.num_row_groups)]
        if not found or any(s is None or not s.has_null_count for s in found):
            continue
        nulls[leaf.name] = sum(s.null_count for s in found)
        bounds = _bounds(
            [s for s, g in zip(found, range(len(found)), strict=True) if s.null_count < footer.row_group(g).num_rows]
        )
        if bounds:
            lows[leaf.name], highs[leaf.name] = bounds
    return {"numRecords": footer.num_rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}


def _bounds(statistics: list[Any]) -> tuple[Any, Any] | None:
    if not statistics or not all(s.has_min_max for s in statistics):
        return None
    try:
        low, high = min(s.min for s in statistics), max(s.max for s in statistics)
        if isinstance(low, datetime):
            return _milliseconds(low), _milliseconds(high, up=True)
    except (OverflowError, ValueError):  # moments Python does not know
        return None
    if isinstance(low, date):
        return low.isoformat(), high.isoformat()
    if isinstance(low, int) and not isinstance(low, bool):
        return low, high
    if isinstance(low, str) and max(len(low), len(high)) <= _LONGEST_TEXT:
        return low, high
    return None


def _milliseconds(moment: datetime, *, up: bool = False) -> str:
    """ISO 8601 in milliseconds, rounded outwards."""
    rest = moment.microsecond % 1000
    if rest:
        moment += timedelta(microseconds=(1000 if up else 0) - rest)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
