"""The model's 20 states and 8 actions."""

from __future__ import annotations

from base_ops.data_ingestion.jobs.fetch_retry.classes import classify
from base_ops.data_ingestion.specs.fetch_retry import FailureSpec

ACTIONS = ("retry_now", "retry", "retry_long", "refresh_credential", "partial", "fallback", "cache", "give_up")
GROUPS = ("network", "busy", "persistent", "partial", "systematic")
STATES = tuple(
    f"{group}/{stage}/{load}" for group in GROUPS for stage in ("early", "late") for load in ("idle", "loaded")
)
LATE = 3
"""From this try on."""
LOADED = 0.8
_BUSY = frozenset({"rate_limited", "server_error", "unavailable", "circuit_open", "token_endpoint_unavailable"})


def group_of(failure: FailureSpec) -> str:
    """Of a failure's class; the transient ones differ by whether the peer said that it is busy."""
    kind = classify(failure).kind
    if kind != "transient":
        return kind
    busy = failure.code in _BUSY or failure.status in (429, 503) or failure.retry_after_s is not None
    return "busy" if busy else "network"


def state_of(failure: FailureSpec) -> int:
    """Number of the state in STATES."""
    return state_number(GROUPS.index(group_of(failure)), failure.attempt, failure.load)


def state_number(group: int, attempt: int, load: float) -> int:
    return group * 4 + (attempt >= LATE) * 2 + (load >= LOADED)
