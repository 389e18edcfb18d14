"""collector.restore_cursor: a failed run's part of the landing log is withdrawn, so that the next run asks again."""

from __future__ import annotations

from base_ops.core.protocol import Finding, StepResult
from base_ops.data_ingestion.jobs.collector.collect import AGENT, event
from base_ops.data_ingestion.specs.collector import RestoreCursorSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.lake.runs import attempts_of, run_folder


def restore_cursor(spec: RestoreCursorSpec, ctx: Context) -> JobOutput:
    """Observations: the entries withdrawn, or kept and why. What is kept is handed on by the next run instead."""
    landing = ctx.landing(spec.source)
    before = landing.history()
    done = landing.withdraw(attempts_of(ctx.lake.store, run_folder(ctx.identity)), _consumed(spec.source, ctx))
    after = landing.history()
    step = StepResult(agent=AGENT, action=spec.action)
    step.observations = {"withdrawn": list(done.entries), "kept": list(done.kept)}
    if done.entries:
        step.events.append(event("cursor_restored", spec.source, {"withdrawn": list(done.entries)}))
    if done.kept:
        message = f"{spec.source}: what landed stays, since {done.why}; the next run takes it in"
        step.findings.append(Finding(code="cursor_kept", message=message, data={"entries": list(done.kept)}))
    return JobOutput(steps=[step], cursor_before=before.cursor, cursor_after=after.cursor)


def _consumed(source: str, ctx: Context) -> int:
    """How far the table that got furthest has taken this source in."""
    store = ctx.lake.store
    names = store.folders("tables")
    if not names:
        return 0
    from base_ops.worker.lake.tables import Tables

    return max(Tables(store).consumed(name).get(source, 0) for name in names)
