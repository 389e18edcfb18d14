"""The circuit breaker as plain data: what is known of a peer, and what one more call makes of it.

    closed ──(5 failures in a row, or half of the last 100 calls, of at least 10)──► open
    open ──(30 s)──► half-open: 3 trial calls of one task ──(3 successes)──► closed; one failure: open again

Shared by both sides: the operator keeps the state of all runs in the state database, a worker guards its calls
(base_ops/worker/breaker.py) with the state its Request brought and reports what came of them in its Result.
Source of the pattern: Nygard, Release It!, ch. 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

WINDOW = 100
"""Calls looked back at; also the most that a Result reports."""

Phase = Literal["closed", "open", "half_open"]


class BreakerPolicy(BaseModel):
    """When a breaker opens and how it closes again."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    failures: int = Field(5, ge=1)
    """So many failures in a row open it."""
    open_s: float = Field(30.0, gt=0)
    """No call for this long, seconds."""
    trials: int = Field(3, ge=1)
    """Calls let through half-open, all of which must succeed to close it."""
    failure_share: float = Field(0.5, gt=0, le=1)
    """This share of failures among the last 100 calls opens it as well …"""
    min_calls: int = Field(10, ge=1)
    """… once there were so many calls."""


class Call(BaseModel):
    """One call to the peer."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    at: float = Field(description="when it ended, POSIX seconds")
    ok: bool


class BreakerState(BaseModel):
    """What is known of one peer. A new one is closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    phase: Phase = "closed"
    opened_at: float = 0.0
    in_row: int = Field(0, description="failures in a row (closed), successes in a row (half-open)")
    recent: str = Field("", description="the last calls while closed, oldest first: + or -")

    def seen_at(self, now: float, policy: BreakerPolicy) -> BreakerState:
        """The same at a moment: open becomes half-open when its time is over."""
        if self.phase == "open" and now >= self.opened_at + policy.open_s:
            return BreakerState(phase="half_open", opened_at=self.opened_at)
        return self

    def after(self, call: Call, policy: BreakerPolicy) -> BreakerState:
        """What one more call makes of it."""
        now = self.seen_at(call.at, policy)
        if now.phase == "open":  # a call that was under way when it opened changes nothing
            return now
        if now.phase == "half_open":
            if not call.ok:
                return BreakerState(phase="open", opened_at=call.at)
            done = now.in_row + 1
            return BreakerState() if done >= policy.trials else now.model_copy(update={"in_row": done})
        recent = (now.recent + ("+" if call.ok else "-"))[-WINDOW:]
        in_row = 0 if call.ok else now.in_row + 1
        many = len(recent) >= policy.min_calls and recent.count("-") >= policy.failure_share * len(recent)
        if not call.ok and (in_row >= policy.failures or many):
            return BreakerState(phase="open", opened_at=call.at)
        return BreakerState(in_row=in_row, recent=recent)

    def after_all(self, calls: Iterable[Call], policy: BreakerPolicy) -> BreakerState:
        state = self
        for call in calls:
            state = state.after(call, policy)
        return state

    def wait_s(self, now: float, policy: BreakerPolicy) -> float:
        """Seconds until a call may be tried; 0 where it may now."""
        return max(0.0, self.opened_at + policy.open_s - now) if self.phase == "open" else 0.0


class Admission(BaseModel):
    """What a task is told about one peer before it begins."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    state: BreakerState = Field(default_factory=BreakerState)
    probing: bool = Field(True, description="half-open: whether this task is the one that may try")
    policy: BreakerPolicy = Field(default_factory=BreakerPolicy)


class BreakerReport(BaseModel):
    """What a task's calls to one peer came to."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    peer: str = Field(description="what the breaker guards, e.g. source:bloomberg")
    calls: list[Call] = Field(default_factory=list, description="the last 100, oldest first")
    policy: BreakerPolicy = Field(default_factory=BreakerPolicy)
    phase: Phase = Field("closed", description="as the task left it")
