"""What the stored Results say of past failures."""

from __future__ import annotations

from collections.abc import Iterator

from base_ops.core.protocol import Result
from base_ops.data_ingestion.specs.fetch_retry import FailureSpec
from base_ops.worker.lake.store import Store

_DEEPEST = 6


def stored_results(store: Store, folder: str, most: int = 10_000) -> Iterator[Result]:
    """The Results below a folder of the lake, `most` at most; what cannot be read is passed over."""
    left = most
    for path in _paths(store, folder, _DEEPEST):
        if left <= 0:
            return
        left -= 1
        try:
            yield Result.model_validate(store.read_json(path))
        except (ValueError, OSError):
            continue


def failed_results(store: Store, folder: str) -> list[Result]:
    return [result for result in stored_results(store, folder) if not result.status.is_green]


def failure_of(result: Result, source: str) -> FailureSpec:
    """A red Result as a failure."""
    error = result.error
    assert error is not None
    return FailureSpec(
        source=source,
        code=error.code,
        outcome=str(result.status),
        status=_status(error.found),
        attempt=result.identity.try_number,
        retry_after_s=error.retry_after_s,
    )


def _status(found: str) -> int | None:
    """`HTTP 503 …` as errors tell it."""
    words = found.split()
    return int(words[1][:3]) if len(words) > 1 and words[0] == "HTTP" and words[1][:3].isdigit() else None


def _paths(store: Store, folder: str, depth: int) -> Iterator[str]:
    """result.json files, those of newer runs first (names of runs and attempts sort by time)."""
    yield from (path for path in store.list(folder) if path.endswith("/result.json"))
    if depth:
        names: list[str] = store.folders(folder)
        for name in reversed(names):
            yield from _paths(store, f"{folder}/{name}", depth - 1)
