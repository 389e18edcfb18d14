"""collector.discover_files_in_directory: what a source of files has, by its listing alone."""

from __future__ import annotations

import time

from pydantic import JsonValue

from base_ops.core.protocol import Finding, StepResult
from base_ops.data_ingestion.jobs.collector.collect import AGENT, event, site_of
from base_ops.data_ingestion.specs.collector import DiscoverFilesInDirectorySpec
from base_ops.worker.backoff import Clock
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.files import Files
from base_ops.worker.context import Context, JobOutput

_NAMED = 20


def discover(spec: DiscoverFilesInDirectorySpec, ctx: Context, clock: Clock) -> JobOutput:
    """Observations: files, new_files, new_bytes, the first names; findings for files that are not ready.

    Raises:
        BadInput, Transient, ConfigError, Denied: as collecting would.
    """
    began, landing = time.monotonic(), ctx.landing(spec.source.id)
    history = landing.history()
    with landing.scratch() as scratch:
        connector = open_connector(site_of(spec.source, ctx, clock, scratch))
        assert isinstance(connector, Files), "the spec has files"
        found = connector.discover(history)
        report = connector.report
    total = sum(file.size for file in found)
    seen: dict[str, JsonValue] = {
        "new_files": len(found),
        "new_bytes": total,
        "unchanged_files": report.unchanged,
        "names": [file.path for file in found[:_NAMED]],
    }
    step = StepResult(agent=AGENT, action=spec.action, observations=seen, findings=report.all_findings())
    for name, limit, value in (("files", spec.max_files, len(found)), ("bytes", spec.max_bytes, total)):
        if value > limit:
            message = f"{spec.source.id} has {value:,} new {name}, more than {limit:,}"
            step.findings.append(Finding(code=f"many_{name}", severity="warning", message=message))
    step.events.append(event("files_discovered", spec.source.id, {"files": len(found), "bytes": total}))
    step.seconds = time.monotonic() - began
    return JobOutput(steps=[step])
