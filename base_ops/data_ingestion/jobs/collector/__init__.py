"""data_ingestion.collector: brings what sources have into the lake, and takes it back where a run failed; a file per
action."""

from __future__ import annotations

from typing import Any

from base_ops.data_ingestion.jobs.collector.collect import collect, slice_name
from base_ops.worker.backoff import Clock
from base_ops.worker.context import Context, JobOutput

__all__ = ["collect", "run", "slice_name"]


def run(spec: Any, ctx: Context) -> JobOutput:
    """Do the spec's action; see its file."""
    return _ACTIONS[spec.action](spec, ctx, Clock())


def _discover(spec: Any, ctx: Context, clock: Clock) -> JobOutput:
    from base_ops.data_ingestion.jobs.collector.discover import discover

    return discover(spec, ctx, clock)


def _stream(spec: Any, ctx: Context, clock: Clock) -> JobOutput:
    from base_ops.data_ingestion.jobs.collector.stream import process

    return process(spec, ctx, clock)


def _reconstruct(spec: Any, ctx: Context, clock: Clock) -> JobOutput:
    from base_ops.data_ingestion.jobs.collector.reconstruct import reconstruct

    return reconstruct(spec, ctx, clock)


def _restore(spec: Any, ctx: Context, _clock: Clock) -> JobOutput:
    from base_ops.data_ingestion.jobs.collector.restore import restore_cursor

    return restore_cursor(spec, ctx)


_ACTIONS = {
    "collect_data_from_source": collect,
    "discover_files_in_directory": _discover,
    "process_streaming_data": _stream,
    "reconstruct_from_multiple_sources": _reconstruct,
    "restore_cursor": _restore,
}
