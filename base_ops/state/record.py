"""From a Result to the state database: its run, and its events as CloudEvents. Repeating it adds nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from base_ops.core.events import cloud_event
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Result
from base_ops.state.store import StateStore

_ENDS = {Outcome.OK: "completed", Outcome.PARTIAL: "partial"}


def record(store: StateStore, result: Result, result_uri: str) -> int:
    """Store one Result's run and events; returns how many events were new."""
    return store.record(run_of(result, result_uri), events_of(result), result.breakers)


def sweep(store: StateStore, results: Iterable[tuple[str, Result]]) -> int:
    """Record Results that were missed, e.g. while the database was away; returns how many events were new."""
    known = store.known_attempts()
    return sum(record(store, result, uri) for uri, result in results if result.identity.attempt not in known)


def run_of(result: Result, result_uri: str) -> dict[str, Any]:
    """A row of `runs`; a fused run carries the name of its last step."""
    who, last = result.identity, result.steps[-1] if result.steps else None
    return {
        "attempt": who.attempt,
        "agent": last.agent if last else "",
        "action": last.action if last else "",
        "dag_id": who.dag_id,
        "run_id": who.run_id,
        "task_id": who.task_id,
        "map_index": who.map_index,
        "try_number": who.try_number,
        "status": str(result.status),
        "counts": result.counts.model_dump(),
        "result_uri": result_uri,
        "started_at": result.started_at,
        "seconds": result.seconds,
    }


def events_of(result: Result) -> list[dict[str, Any]]:
    """What the steps reported, then how the run ended. Built from the Result alone, so a sweep makes the same."""
    who = result.identity
    shared: dict[str, Any] = {"correlation_id": f"{who.dag_id}/{who.run_id}", "time": _end_of(result)}
    subject = f"{who.task_id}[{who.map_index}]" if who.map_index >= 0 else who.task_id
    events = [
        cloud_event(
            agent=step.agent,
            type=str(reported["type"]),
            subject=str(reported.get("subject") or subject),
            data=_mapping(reported.get("data")),
            **shared,
        )
        for step in result.steps
        for reported in step.events
    ]
    if result.steps:
        agent = result.steps[-1].agent
        data: dict[str, Any] = {"outcome": str(result.status), "counts": result.counts.model_dump()}
        if result.error is not None:  # its texts may speak of data; the code is enough to act on
            data |= {"code": result.error.code, "try_number": who.try_number}
        kind = f"{agent}.{_ENDS.get(result.status, 'failed')}"
        events.append(cloud_event(agent=agent, type=kind, subject=subject, data=data, **shared))
    return events


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _end_of(result: Result) -> datetime:
    try:
        began = datetime.fromisoformat(result.started_at)
    except ValueError:
        return datetime.now(UTC)
    return began + timedelta(seconds=result.seconds)
