"""How long to wait: five ways to grow. The jitter comes of what failed, so the same failure gives the same wait."""

from __future__ import annotations

import random

from base_ops.core.ids import fingerprint
from base_ops.data_ingestion.options.retries import BackoffSpec


def wait_s(backoff: BackoffSpec, attempt: int, *, previous_s: float | None = None, seed: str = "") -> float:
    """Seconds to wait after try number `attempt` (from 1) failed.

    adaptive: the wait before times `grow` (the caller shrinks it with `eased` after a success); where it is not known,
    as if all tries before had waited so.
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
            first = max(backoff.min_s, backoff.base_s)
            exact = first * backoff.grow**n if previous_s is None else max(backoff.min_s, previous_s * backoff.grow)
        case _:
            exact = backoff.base_s
    spread = random.Random(fingerprint(seed, attempt)).uniform(1 - backoff.jitter, 1 + backoff.jitter)  # noqa: S311
    return min(backoff.max_s, min(backoff.max_s, exact) * spread)


def eased(backoff: BackoffSpec, previous_s: float) -> float:
    """adaptive: the wait after a success."""
    return max(backoff.min_s, previous_s * backoff.shrink)


def _fibonacci(n: int) -> int:
    """1, 1, 2, 3, 5, …"""
    before, last = 0, 1
    for _ in range(n - 1):
        before, last = last, before + last
    return last
