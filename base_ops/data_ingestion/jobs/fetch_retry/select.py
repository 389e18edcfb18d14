"""Decide about one failure: find it, look around, decide, and do what the lake alone needs (letters, references)."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from base_ops.core.errors import ConfigError
from base_ops.core.protocol import DataRef, Finding, Lineage, Result, StepResult
from base_ops.data_ingestion.jobs.fetch_retry.decide import Decision, Surroundings, decide
from base_ops.data_ingestion.jobs.fetch_retry.history import failed_results, failure_of
from base_ops.data_ingestion.jobs.fetch_retry.queue import Letter, Queue, letter_id
from base_ops.data_ingestion.models.retry_strategy.table import MODEL, MODULE
from base_ops.data_ingestion.options.retries import RetryPolicySpec
from base_ops.data_ingestion.specs.fetch_retry import FailureSpec, SelectOptimalRetryStrategySpec
from base_ops.worker.backoff import Clock
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.lake.runs import run_folder
from base_ops.worker.models.champion import registered_name

AGENT = "data_ingestion.fetch_retry"
_EVENTS = {
    "retry": "retry_started",
    "refresh_credential": "retry_started",
    "partial": "retry_started",
    "fallback": "fallback_activated",
    "cache": "fallback_activated",
    "dead_letter": "retry_failed",
    "human": "manual_intervention_required",
}


def run(spec: SelectOptimalRetryStrategySpec, ctx: Context, clock: Clock) -> JobOutput:
    """Raises: ConfigError where no failure is given and none is found."""
    began = time.perf_counter()
    failure = _counted(spec.failure or _found(spec, ctx), spec, ctx)
    now = clock.now()
    around = _around(spec, ctx, now)
    policy = spec.policy or RetryPolicySpec()
    decision = decide(failure, policy, around, use_model=ctx.settings.models)
    step = StepResult(agent=AGENT, action=spec.action)
    step.observations = {"failure": failure.model_dump(mode="json"), "decision": decision.told()}
    step.findings = [_finding(spec.source, decision)]
    step.events = [_event(_EVENTS[decision.action], spec.source, decision)]
    outputs: list[DataRef] = []
    if decision.action == "cache":
        outputs = ctx.landing(spec.source).effective()
    if decision.action in ("dead_letter", "human"):
        _give_up(spec, ctx, failure, decision, step, now, policy)
    step.seconds = round(time.perf_counter() - began, 4)
    step.observations["analysis_s"] = step.seconds
    return JobOutput(steps=[step], outputs=outputs, lineage=Lineage(inputs=[spec.source]))


def _found(spec: SelectOptimalRetryStrategySpec, ctx: Context) -> FailureSpec:
    """From the Result that is named, else the newest red one of this source in this run."""
    results: list[Result]
    if spec.result is not None:
        store = ctx.lake.store
        results = [Result.model_validate(store.read_json(store.path_of(spec.result)))]
    else:
        results = [r for r in failed_results(ctx.lake.store, run_folder(ctx.identity)) if _is_of(r, spec.source)]
    red = [result for result in results if result.error is not None]
    if not red:
        raise ConfigError(
            f"There is no failed fetch of {spec.source} to decide about",
            code="no_failure",
            where="spec.failure",
            expected="failure, result, or a failed Result of this source in this run",
        )
    return failure_of(max(red, key=lambda r: r.started_at), spec.source)


def _counted(failure: FailureSpec, spec: SelectOptimalRetryStrategySpec, ctx: Context) -> FailureSpec:
    """With how many fetches of the source were given up in a row: those whose letters still wait, and this one."""
    if failure.failures is not None:
        return failure
    this = letter_id(spec.source, failure.code, _run_of(ctx), spec.request)
    others = [held for held in Queue(ctx.lake.store).waiting(spec.source) if held.letter.id != this]
    return failure.model_copy(update={"failures": len(others) + 1})


def _run_of(ctx: Context) -> str:
    return f"{ctx.identity.dag_id}/{ctx.identity.run_id}/{ctx.identity.task_id}"


def _is_of(result: Result, source: str) -> bool:
    peers = {report.peer for report in result.breakers}
    return f"source:{source}" in peers or result.identity.item == source


def _around(spec: SelectOptimalRetryStrategySpec, ctx: Context, now: datetime) -> Surroundings:
    entries = ctx.landing(spec.source).entries()
    moments = [datetime.fromisoformat(entry.landed_at) for entry in entries if entry.landed_at]
    age = (now - max(moments)).total_seconds() if moments else None
    admission: Any = ctx.request.breakers.get(f"source:{spec.source}")
    told = {} if admission is None else {"breaker": admission.state, "breaker_policy": admission.policy}
    return Surroundings(cache_age_s=None if age is None else max(0.0, age), now=now.timestamp(), **told)


def _give_up(
    spec: SelectOptimalRetryStrategySpec,
    ctx: Context,
    failure: FailureSpec,
    decision: Decision,
    step: StepResult,
    now: datetime,
    policy: RetryPolicySpec,
) -> None:
    """Into the queue; at its limits people are told, and nothing is thrown away."""
    run = _run_of(ctx)
    queue, human, limits = Queue(ctx.lake.store), policy.human, policy.dead_letters
    letter = Letter(
        id=letter_id(spec.source, failure.code, run, spec.request),
        source=spec.source,
        code=failure.code,
        failure_class=decision.failure_class,
        failures=failure.failures or 1,
        reasons=decision.reasons,
        request=spec.request,
        run=run,
        at=now.isoformat(),
        approvals=human.approvals if decision.action == "human" else 0,
        escalate_s=human.escalate_s if decision.action == "human" else None,
    )
    queue.put(letter)
    size = len(queue.waiting())
    step.observations |= {"dead_letter": letter.id, "dead_letter_queue_size": size}
    if notice := size_notice(size, limits.alert_items, limits.max_items):
        step.findings.append(notice)
        step.events.append({"type": notice.code, "subject": "ingestion.dlq", "data": {"items": size}})


def size_notice(size: int, alert_items: int, max_items: int) -> Finding | None:
    """What people are told of the queue's size."""
    if size < alert_items:
        return None
    full = size >= max_items
    message = f"{size} dead letters wait, " + (
        f"the most there may be ({max_items})" if full else f"{alert_items} or more"
    )
    return Finding(
        code="dead_letter_queue_full" if full else "dead_letter_queue_long",
        severity="error" if full else "warning",
        message=message,
        data={"items": size},
    )


def _finding(source: str, decision: Decision) -> Finding:
    asked = decision.action in ("dead_letter", "human")
    return Finding(
        code=f"decided_{decision.action}",
        severity="warning" if asked or decision.degraded else "info",
        message=f"{source}: {decision.action}"
        + (f" after {decision.wait_s:.1f} s" if decision.wait_s else "")
        + f" ({decision.chosen_by}): {'; '.join(decision.reasons)}",
        data={}
        if decision.chosen_by == "rules"
        else {"model": registered_name(MODULE, MODEL), "source": decision.chosen_by},
    )


def _event(kind: str, source: str, decision: Decision) -> dict[str, JsonValue]:
    data: dict[str, JsonValue] = {
        "action": decision.action,
        "class": decision.failure_class,
        "wait_s": round(decision.wait_s, 3),
        "chosen_by": decision.chosen_by,
    }
    if decision.source:
        data |= {"fallback": decision.source, "degraded": decision.degraded}
    return {"type": kind, "subject": source, "data": data}
