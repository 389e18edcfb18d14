"""One pass over the dead letter queue: the old expire, a batch is fetched again, people are told of what stays."""

from __future__ import annotations

import time
from datetime import timedelta

from pydantic import JsonValue

from base_ops.core.errors import BaseOpsError
from base_ops.core.protocol import Counts, DataRef, Finding, StepResult
from base_ops.core.spec import check
from base_ops.data_ingestion.jobs import collector
from base_ops.data_ingestion.jobs.fetch_retry.queue import Held, Queue
from base_ops.data_ingestion.jobs.fetch_retry.select import AGENT, size_notice
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.specs.collector import CollectDataFromSourceSpec
from base_ops.data_ingestion.specs.fetch_retry import ProcessDeadLettersSpec
from base_ops.worker.backoff import Clock
from base_ops.worker.context import Context, JobOutput


def run(spec: ProcessDeadLettersSpec, ctx: Context, clock: Clock) -> JobOutput:
    """Expire, replay a batch, report. A letter that fails again waits, and after `max_replays` waits for a person, as
    one does from the start that was given up for a person to look at."""
    began = time.perf_counter()
    queue, now = Queue(ctx.lake.store), clock.now()
    waiting = queue.waiting()
    old = [h for h in waiting if now - h.letter.moment > timedelta(days=spec.policy.keep_days)]
    expired = sum(queue.end(held.letter, "expired", now, AGENT) for held in old)
    left = [held for held in waiting if held not in old]
    sources = {source.id: source for source in spec.sources}
    due = [h for h in left if h.letter.source in sources and not _is_stuck(h, spec)]
    step = StepResult(agent=AGENT, action=spec.action, counts=Counts())
    outputs: list[DataRef] = []
    replayed = failed = 0
    for held in due[: spec.policy.batch]:
        found = replay(held, sources[held.letter.source], ctx, clock, queue, step)
        replayed, failed = replayed + (found is not None), failed + (found is None)
        outputs += found or []
    after = queue.waiting()
    stuck = [held for held in after if _is_stuck(held, spec)]
    step.observations = {
        "dead_letter_queue_size": len(after),
        "replayed": replayed,
        "failed_again": failed,
        "expired": expired,
        "waiting_for_people": len(stuck),
        "escalated": sum(held.is_escalated(now) for held in stuck),
        "unknown_sources": [*sorted({h.letter.source for h in after} - set(sources))],
    }
    if notice := size_notice(len(after), spec.policy.alert_items, spec.policy.max_items):
        step.findings.append(notice)
        step.events.append({"type": notice.code, "subject": "ingestion.dlq", "data": {"items": len(after)}})
    for held in stuck:
        data: dict[str, JsonValue] = {
            "letter": held.letter.id,
            "replays": held.replays,
            "code": held.letter.code,
            "approvals": f"{held.approvals} of {held.letter.approvals}",
            "escalated": held.is_escalated(now),
        }
        step.events.append({"type": "manual_intervention_required", "subject": held.letter.source, "data": data})
    step.seconds = round(time.perf_counter() - began, 3)
    return JobOutput(steps=[step], outputs=list({ref.id: ref for ref in outputs}.values()))


def _is_stuck(held: Held, spec: ProcessDeadLettersSpec) -> bool:
    return held.asks or held.replays >= spec.policy.max_replays


def replay(
    held: Held, source: SourceSpec, ctx: Context, clock: Clock, queue: Queue, step: StepResult
) -> list[DataRef] | None:
    """Fetch again, as the source is declared today: what came of it, or None where it failed again."""
    asked = {k: v for k, v in (held.letter.request or {}).items() if k not in ("source", "action")}
    try:
        spec = check(CollectDataFromSourceSpec, {**asked, "source": source}, f"dead letter {held.letter.id}")
        output = collector.collect(spec, ctx, clock)
    except BaseOpsError as error:
        queue.tried(held, error.code, clock.now())
        step.events.append({"type": "retry_failed", "subject": source.id, "data": {"code": error.code}})
        step.findings.append(
            Finding(
                code="replay_failed",
                severity="warning",
                message=f"{source.id}: dead letter {held.letter.id} failed again ({error.code})",
            )
        )
        return None
    queue.end(held.letter, "replayed", clock.now(), AGENT)
    step.events.append({"type": "retry_succeeded", "subject": source.id, "data": {"letter": held.letter.id}})
    return output.outputs
