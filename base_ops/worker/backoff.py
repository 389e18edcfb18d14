"""Waiting and trying again: one clock, one back-off, one loop, for everything that talks to the outside."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeVar

from base_ops.core.errors import Transient

T = TypeVar("T")
_MOST = 100
_POSIX_FROM = 1e8  # a number of seconds beyond three years is a time


class Clock:
    """The time and the only way to wait; tests hand in one that does not."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Backoff:
    """Waits that grow: exponential `base_s` × `factor` ^ n, linear `base_s` × n, or fixed; at most `max_s`, spread by
    ± `jitter` (a share)."""

    base_s: float = 1.0
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.1
    growth: Literal["exponential", "linear", "fixed"] = "exponential"

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row (from 1)."""
        grown = {"exponential": self.factor ** min(failures - 1, 64), "linear": float(failures), "fixed": 1.0}
        exact = min(self.max_s, self.base_s * grown[self.growth])
        return exact * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - spreads load, guards nothing


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110 §10.2.3: a number or an HTTP date); None if unreadable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError, IndexError):  # the parser raises them all on odd texts
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def asked_pause_s(status: int, headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer asks all callers to wait: Retry-After of 429 and 503, or no requests left until a reset.

    X-RateLimit-Remaining and -Reset (seconds, or a POSIX time), or their standard names without X-. None: no pause.
    """
    if status in (429, 503) and (asked := retry_after_s(headers.get("retry-after"), now)) is not None:
        return asked
    for prefix in ("x-ratelimit-", "x-rate-limit-", "ratelimit-"):
        left, reset = headers.get(prefix + "remaining", "").strip(), headers.get(prefix + "reset", "").strip()
        if left == "0" and reset.isascii() and reset.replace(".", "", 1).isdigit():
            seconds = float(reset[:20])
            return max(0.0, seconds - now.timestamp()) if seconds > _POSIX_FROM else seconds
    return None


def retry(
    call: Callable[[], T],
    *,
    tries: int,
    backoff: Backoff,
    clock: Clock,
    longest_wait_s: float,
    on_retry: Callable[[], None] = lambda: None,
    progress: Callable[[], object] = lambda: None,
) -> T:
    """Call until it succeeds, `tries` times at most; only Transient is tried again.

    A Transient that names `retry_after_s` is waited for that long, and passed on at once where that is more
    than `longest_wait_s`. Where `progress` has changed since the last failure, `tries` begin anew (a download that
    goes on where it broke off), up to `_MOST` failures in all.
    """
    failures, total, reached = 0, 0, progress()
    while True:
        try:
            return call()
        except Transient as error:
            total += 1
            failures = failures + 1 if progress() == reached else 1
            reached = progress()
            asked = error.retry_after_s
            if failures >= tries or total >= _MOST or (asked is not None and asked > longest_wait_s):
                raise
            on_retry()
            clock.sleep(backoff.wait_s(failures) if asked is None else asked)
