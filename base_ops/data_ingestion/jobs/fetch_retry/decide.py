"""The decision: what is allowed follows from rules, in order; the model may choose among it; every step is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from base_ops.core.breaker import BreakerPolicy, BreakerState
from base_ops.data_ingestion.jobs.fetch_retry.classes import Classified, classify
from base_ops.data_ingestion.jobs.fetch_retry.segments import plan
from base_ops.data_ingestion.jobs.fetch_retry.waits import wait_s
from base_ops.data_ingestion.options.retries import FallbackOption, RetryPolicySpec, RetryRule
from base_ops.data_ingestion.specs.fetch_retry import FailureSpec

Action = Literal["retry", "refresh_credential", "partial", "fallback", "cache", "dead_letter", "human"]


@dataclass(frozen=True)
class Surroundings:
    """What is known beside the failure."""

    cache_age_s: float | None = None
    """Of what landed last from this source; None: nothing did."""
    breaker: BreakerState = field(default_factory=BreakerState)
    breaker_policy: BreakerPolicy = field(default_factory=BreakerPolicy)
    now: float = 0.0


@dataclass
class Decision:
    """What is to be done, and why."""

    action: Action
    failure_class: str
    reasons: list[str]
    wait_s: float = 0.0
    floor_s: float = 0.0
    """No shorter wait, whoever chooses: what the peer and the circuit breaker ask for."""
    source: str = ""
    """fallback: who stands in."""
    degraded: bool = False
    """What stands in is weaker or older than asked for."""
    segments: list[tuple[int, int]] = field(default_factory=list)
    parallel: int = 1
    chosen_by: str = "rules"
    allowed: list[str] = field(default_factory=list)

    def told(self) -> dict[str, JsonValue]:
        """For the Result."""
        return {
            "action": self.action,
            "class": self.failure_class,
            "wait_s": round(self.wait_s, 3),
            "source": self.source,
            "degraded": self.degraded,
            "segments": [list(item) for item in self.segments],
            "parallel": self.parallel,
            "chosen_by": self.chosen_by,
            "allowed": list(self.allowed),
            "reasons": list(self.reasons),
        }


def options(failure: FailureSpec, policy: RetryPolicySpec, around: Surroundings) -> list[Decision]:
    """All that the rules allow, best first; never empty. The first is what the rules alone would do."""
    found = classify(failure)
    failures = failure.failures or 1
    base = [f"{found.told_by}: {found.kind}"]
    if failures >= policy.human.after_failures and not _endless(failure, policy):
        why = f"{failures} fetches in a row failed, a person is asked after {policy.human.after_failures}"
        return [Decision("human", found.kind, [*base, why])]
    allowed = [
        *_refresh(failure, policy, found, base),
        *_resume(failure, policy, found, base, around),
        *_retry(failure, policy, found, base, around),
        *_fallback(failure, policy, found, base),
        *_cache(policy, found, base, around),
    ]
    why = "nothing else is left" if not allowed else "if all else fails"
    return [*allowed, Decision("dead_letter", found.kind, [*base, why])]


def decide(failure: FailureSpec, policy: RetryPolicySpec, around: Surroundings, *, use_model: bool = True) -> Decision:
    """What is done."""
    allowed = options(failure, policy, around)
    chosen = allowed[0]
    if use_model and policy.use_model and len(allowed) > 1:
        from base_ops.data_ingestion.models.retry_strategy.choose import choose

        chosen = choose(failure, allowed, policy.min_confidence)
    chosen.allowed = [item.action for item in allowed]
    return chosen


def rule_of(failure: FailureSpec, policy: RetryPolicySpec) -> tuple[RetryRule, str]:
    """The rule for a failure: of its code, of its status, else the default."""
    for key in (failure.code, str(failure.status)):
        if key in policy.codes:
            return policy.codes[key], f"rule of {key}"
    return policy.default, "default rule"


def _endless(failure: FailureSpec, policy: RetryPolicySpec) -> bool:
    rule, _ = rule_of(failure, policy)
    return rule.tries is None and classify(failure).kind in ("transient", "partial")


def _refresh(failure: FailureSpec, policy: RetryPolicySpec, found: Classified, base: list[str]) -> list[Decision]:
    rule, name = rule_of(failure, policy)
    if not found.credential or failure.refreshed or failure.attempt > 1:
        return []
    if not rule.refresh_once and name != "default rule":
        return []
    return [Decision("refresh_credential", found.kind, [*base, "the credential is replaced once"])]


def _wait(failure: FailureSpec, rule: RetryRule, around: Surroundings, reasons: list[str]) -> tuple[float, float]:
    """(seconds to wait, seconds to wait at least)."""
    wait = wait_s(rule.backoff, failure.attempt, calls=around.breaker.recent, seed=failure.source)
    reasons.append(f"{rule.backoff.kind} back-off: {wait:.1f} s")
    if failure.retry_after_s is not None and failure.retry_after_s > wait:
        wait = failure.retry_after_s
        reasons.append(f"the peer asked for {wait:g} s")
    closed_s = around.breaker.wait_s(around.now, around.breaker_policy)
    if closed_s > wait:
        wait = closed_s
        reasons.append(f"the circuit breaker is open for {closed_s:.1f} s more")
    return wait, max(failure.retry_after_s or 0.0, closed_s)


def _retry(
    failure: FailureSpec, policy: RetryPolicySpec, found: Classified, base: list[str], around: Surroundings
) -> list[Decision]:
    if found.kind == "persistent":
        return []
    rule, name = rule_of(failure, policy)
    if rule.tries is not None and failure.attempt >= rule.tries:
        base.append(f"{name}: all {rule.tries} tries are used up")
        return []
    reasons = [*base, f"{name}: try {failure.attempt} of {rule.tries or 'any number'}"]
    wait, floor = _wait(failure, rule, around, reasons)
    if found.kind == "systematic":
        wait = max(wait, rule.backoff.max_s / 10)
        reasons.append("this side is overloaded: waiting longer")
    return [Decision("retry", found.kind, reasons, wait_s=wait, floor_s=floor)]


def _resume(
    failure: FailureSpec, policy: RetryPolicySpec, found: Classified, base: list[str], around: Surroundings
) -> list[Decision]:
    rule, _ = rule_of(failure, policy)
    used_up = rule.tries is not None and failure.attempt >= rule.tries
    if found.kind != "partial" or policy.partial is None or not failure.bytes_total or used_up:
        return []
    done = failure.ranges_done or ((0, failure.bytes_done),)
    segments = plan(failure.bytes_total, done, policy.partial)
    if not segments or sum(stop - start for start, stop in segments) == failure.bytes_total:
        return []
    left = sum(stop - start for start, stop in segments)
    reasons = [*base, f"{left} of {failure.bytes_total} bytes are missing: {len(segments)} segments"]
    wait, floor = _wait(failure, rule, around, reasons)
    chosen = Decision("partial", found.kind, reasons, wait_s=wait, floor_s=floor, segments=segments)
    chosen.parallel = policy.partial.parallel
    return [chosen]


def _fallback(failure: FailureSpec, policy: RetryPolicySpec, found: Classified, base: list[str]) -> list[Decision]:
    left = [o for o in policy.fallback.options if o.source not in (failure.source, *failure.tried_fallbacks)]
    good = [o for o in left if o.quality >= policy.fallback.min_quality]
    chosen: FallbackOption | None = next(iter(good or left), None)
    if chosen is None:
        return []
    degraded = not good
    why = f"{chosen.source} stands in (quality {chosen.quality:g}" + (
        f", below {policy.fallback.min_quality:g}: degraded)" if degraded else ")"
    )
    return [Decision("fallback", found.kind, [*base, why], source=chosen.source, degraded=degraded)]


def _cache(policy: RetryPolicySpec, found: Classified, base: list[str], around: Surroundings) -> list[Decision]:
    age = around.cache_age_s
    if policy.cache is None or age is None or age > policy.cache.stale_s:
        return []
    stale = age > policy.cache.fresh_s
    why = f"what landed {age:.0f} s ago stands in" + (
        f", older than {policy.cache.fresh_s:g} s: stale" if stale else ""
    )
    return [Decision("cache", found.kind, [*base, why], degraded=stale)]
