"""How long to wait: five ways to grow. The jitter comes of what failed, so the same failure gives the same wait."""

from __future__ import annotations

import random

from base_ops.core.ids import fingerprint
from base_ops.data_ingestion.options.retries import BackoffSpec


def wait_s(backoff: BackoffSpec, attempt: int, *, calls: str = "", seed: str = "") -> float:
    """Seconds to wait after try number `attempt` (from 1) failed.

    adaptive: grows with each failure and shrinks with each success of `calls`, the last ones to the peer by whichever
    task (+ or -, oldest first; the circuit breaker's record); without a record, by the tries alone.
    """
    n = min(attempt - 1, 64)
    match backoff.kind:
        case "exponential":
            exact = backoff.base_s * backoff.factor**n
        case "linear":
            exact = backoff.base_s + backoff.step_s * n
        case "fibonacci":
            exact = backoff.base_s * _fibonacci(n + 1)
        case "adaptive":
            exact = _adapted(backoff, calls.rstrip("+") or "-" * (n + 1))
        case _:
            exact = backoff.base_s
    spread = random.Random(fingerprint(seed, attempt)).uniform(1 - backoff.jitter, 1 + backoff.jitter)  # noqa: S311
    return min(backoff.max_s, min(backoff.max_s, exact) * spread)


def _adapted(backoff: BackoffSpec, calls: str) -> float:
    """The wait after the last of the calls, which failed."""
    wait = max(backoff.min_s, backoff.base_s)
    for call in calls[:-1]:
        wait = wait * backoff.grow if call == "-" else wait * backoff.shrink
        wait = min(max(wait, backoff.min_s), backoff.max_s)
    return wait


def _fibonacci(n: int) -> int:
    """1, 1, 2, 3, 5, …"""
    before, last = 0, 1
    for _ in range(n - 1):
        before, last = last, before + last
    return last
