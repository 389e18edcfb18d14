"""After a job: what the rest of the platform is told. Asset events, metrics, and the state database.

None of it may fail a task whose data is published: what cannot be told now is found again by `sweep_lake`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from base_ops.core.protocol import Result, StepResult
from base_ops.core.settings import Settings
from base_ops.orchestration.lake import find_results, read_result

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


_PHASES = {"closed": 0, "half_open": 1, "open": 2}
_RETRIED = {
    "retry_started": "started",
    "fallback_activated": "started",
    "retry_succeeded": "succeeded",
    "retry_failed": "failed",
    "manual_intervention_required": "asked",
}
"""Events of fetch_retry, and what they count as."""

_ENDING = {
    "certificate_ends_at": "certificate",
    "client_certificate_ends_at": "client_certificate",
    "rotate_by": "rotation",
}
"""What a connector tells of a source, and what ends then."""


def publish(context: Context, result: Result, result_uri: str, settings: Settings, log: Any) -> None:
    """Tell metrics and the state database how a job ended and, if it is green, its assets' consumers."""
    emit_metrics(result)
    if result.status.is_green:
        annotate_assets(context, result, result_uri)
    try:
        _record(settings.state, result, result_uri)
    except Exception as error:  # whatever a database driver raises
        log.warning(
            "The run is done, but the state database did not take its events (%s); a sweep will add them.",
            type(error).__name__,
        )


def annotate_assets(context: Mapping[str, Any], result: Result, result_uri: str) -> None:
    """Give the Asset event of each outlet the row counts of the dataset of its name (else of the whole task)."""
    outlets = getattr(context.get("task"), "outlets", None) or []
    for asset in outlets:
        refs = [ref for ref in result.outputs if ref.name == asset.name]
        known = [ref.rows for ref in refs if ref.rows is not None]
        versions = [ref.version for ref in refs if ref.version is not None]
        context["outlet_events"][asset].extra.update(
            {
                "rows": sum(known) if known else result.counts.rows_out,
                "quarantined": result.counts.quarantined,
                "status": str(result.status),
                "version": max(versions) if versions else None,
                "adopted": result.adopted,
                "missing": sorted(result.missing),
                "result_uri": result_uri,
            }
        )


def emit_metrics(result: Result) -> None:
    """Counters and timings through Airflow's own metrics (StatsD or OpenTelemetry), as pods live too briefly."""
    from airflow.sdk.observability import stats

    for step in result.steps:
        module, _, agent = step.agent.partition(".")
        tags = {"module": module, "agent": agent, "action": step.action}
        stats.incr("base_job_runs_total", tags={**tags, "outcome": str(result.status)})
        stats.incr("base_records_in_total", step.counts.rows_in, tags=tags)
        stats.incr("base_records_out_total", step.counts.rows_out, tags=tags)
        stats.incr("base_records_quarantined_total", step.counts.quarantined, tags=tags)
        stats.incr("base_bytes_in_total", step.counts.bytes_in, tags=tags)
        seconds = result.seconds if len(result.steps) == 1 else step.seconds
        stats.timing("base_job_duration_seconds", timedelta(seconds=seconds), tags=tags)
        stats.gauge("agent_health_status", int(result.status.is_green), tags={"agent": step.agent})
        _emit_models(step)
        if step.agent == "data_ingestion.fetch_retry":
            _emit_retries(step)
        if step.agent == "data_ingestion.connector":
            _emit_connection(step)
    for report in result.breakers:
        stats.gauge("circuit_breaker_state", _PHASES[report.phase], tags={"peer": report.peer})


def _emit_retries(step: StepResult) -> None:
    """What was done about failures, per source; the success rate is succeeded over succeeded and failed."""
    from airflow.sdk.observability import stats

    for event in step.events:
        outcome, data = _RETRIED.get(str(event["type"])), event.get("data")
        if outcome and isinstance(data, Mapping):
            tags = {"source": str(event["subject"]), "strategy": str(data.get("action", "replay")), "outcome": outcome}
            stats.incr("retry_attempts_total", tags=tags)
    seen: Any = step.observations
    if "dead_letter_queue_size" in seen:
        stats.gauge("dead_letter_queue_size", seen["dead_letter_queue_size"])
    if "analysis_s" in seen:
        stats.timing("failure_analysis_time_seconds", timedelta(seconds=seen["analysis_s"]))
    for source, found in (seen.get("patterns") or {}).items():
        if found.get("mean_recovery_s") is not None:
            stats.gauge("recovery_time_seconds", found["mean_recovery_s"], tags={"source": source})


def _emit_connection(step: StepResult) -> None:
    """How a source was connected to and logged in to, and how long its certificates and credentials will last."""
    from airflow.sdk.observability import stats

    seen: Any = step.observations
    source = {"source": str(seen.get("source", ""))}
    for event in step.events:
        what, _, outcome = str(event["type"]).partition("_")
        if what == "connection":
            stats.incr("base_connections_total", tags={**source, "outcome": outcome})
        elif what == "authentication":
            stats.incr("base_authentications_total", tags={**source, "outcome": outcome})
    if "connect_s" in seen:
        stats.timing("base_connect_duration_seconds", timedelta(seconds=seen["connect_s"]), tags=source)
    if seen.get("token_from_cache") is False:
        stats.incr("base_tokens_obtained_total", tags=source)
    for fact, what in _ENDING.items():
        if fact in seen:
            left = datetime.fromisoformat(seen[fact]) - datetime.now(UTC)
            stats.gauge("base_credential_days_left", left / timedelta(days=1), tags={**source, "what": what})


def _emit_models(step: StepResult) -> None:
    """Who decided, a model or its fallback, by the findings that say so; and how often a trained one is right."""
    from airflow.sdk.observability import stats

    for finding in step.findings:
        if {"model", "source"} <= finding.data.keys():
            source = "fallback" if finding.data["source"] == "fallback" else "model"
            stats.incr("base_model_decisions_total", tags={"model": str(finding.data["model"]), "source": source})
    model, accuracy = step.observations.get("model"), step.observations.get("accuracy")
    share = accuracy.get("model") if isinstance(accuracy, Mapping) else None
    if isinstance(model, str) and isinstance(share, float):
        stats.gauge("base_model_accuracy", share, tags={"model": model})


def sweep_lake(settings: Settings) -> int:
    """Record every Result of the lake that the state database does not know; returns how many events were new."""
    from base_ops.state import StateStore
    from base_ops.state.record import sweep

    store = StateStore(settings.state)
    try:
        known = store.known_attempts()
        uris = [uri for uri in find_results(f"{settings.lake}/runs") if _attempt_of(uri) not in known]
        return sweep(store, ((uri, result) for uri in uris if (result := read_result(uri)) is not None))
    finally:
        store.close()


def _record(state_url: str, result: Result, result_uri: str) -> None:
    from base_ops.state import StateStore  # SQLAlchemy: not at parse
    from base_ops.state.record import record

    store = StateStore(state_url)
    try:
        record(store, result, result_uri)
    finally:
        store.close()


def _attempt_of(uri: str) -> str:
    return uri.rsplit("/", 2)[1].split("-", 1)[1]
