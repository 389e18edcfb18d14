"""A guard around the calls to one peer: refuses them while the breaker is open, and keeps account of how they ended.

The state comes with the Request (what all runs know) and goes on from there in this process; the account goes into
the Result, from which the operator brings the shared state up to date. A worker needs no database for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from base_ops.core.breaker import WINDOW, Admission, BreakerPolicy, BreakerReport, Call, Phase
from base_ops.core.errors import Transient
from base_ops.worker.backoff import Clock


class Breaker:
    """The circuit breaker of one peer, for all threads of this process."""

    def __init__(
        self,
        peer: str,
        admission: Admission | None = None,
        clock: Clock | None = None,
        policy: BreakerPolicy | None = None,
    ) -> None:
        admission = admission or Admission()
        self.peer = peer
        self.policy: BreakerPolicy = policy or admission.policy
        self._state = admission.state
        self._probing = admission.probing
        self._clock = clock or Clock()
        self._calls: deque[Call] = deque(maxlen=WINDOW)
        self._trials = 0
        self._lock = threading.Lock()
        self.changes: list[Phase] = []
        """Phases it went through in this process, for events."""

    @contextmanager
    def guard(self) -> Iterator[None]:
        """One call. Transient failures count against the peer; anything else means that it answers.

        Raises:
            Transient: `circuit_open`, without a call, and when to try again.
        """
        self._enter()
        try:
            yield
        except Transient:
            self._leave(False)
            raise
        except BaseException:
            self._leave(True)
            raise
        self._leave(True)

    @contextmanager
    def over_all(self) -> Iterator[None]:
        """Around a whole fetch, whose client may or may not guard its calls one by one: if none was, this is one.

        Raises:
            Transient: as `guard`.
        """
        with self._lock:
            self._check()
        try:
            yield
        except Transient:
            self._settle(False)
            raise
        self._settle(True)

    def _settle(self, ok: bool) -> None:
        if not self._calls:
            self._leave(ok)

    @property
    def phase(self) -> Phase:
        return self._state.seen_at(self._now(), self.policy).phase

    def report(self) -> BreakerReport:
        """The account for the Result."""
        with self._lock:
            return BreakerReport(peer=self.peer, calls=list(self._calls), policy=self.policy, phase=self._state.phase)

    def _enter(self) -> None:
        with self._lock:
            self._check()
            if self._state.phase == "half_open":
                if self._state.in_row + self._trials >= self.policy.trials:
                    raise self._refusal("is half-open, and its trial calls are under way", 1.0)
                self._trials += 1

    def _check(self) -> None:
        now = self._now()
        before, self._state = self._state, self._state.seen_at(now, self.policy)
        self._note(before.phase)
        if self._state.phase == "open":
            raise self._refusal("is open after too many failures", self._state.wait_s(now, self.policy))
        if self._state.phase == "half_open" and not self._probing:
            raise self._refusal("is half-open, and another task makes the trial calls", self.policy.open_s)

    def _leave(self, ok: bool) -> None:
        with self._lock:
            call = Call(at=self._now(), ok=ok)
            self._calls.append(call)
            before, self._state = self._state, self._state.after(call, self.policy)
            self._trials = max(0, self._trials - 1) if self._state.phase == "half_open" else 0
            self._note(before.phase)
            if self._state.phase == "open":
                self._probing = True  # who saw it open may also try again

    def _note(self, before: Phase) -> None:
        if self._state.phase != before:
            self.changes.append(self._state.phase)

    def _refusal(self, how: str, wait_s: float) -> Transient:
        return Transient(
            f"The circuit breaker of {self.peer} {how}: it was not called",
            code="circuit_open",
            where=self.peer,
            todo=f"it is tried again in {wait_s:.0f} s by itself; see what failed before",
            retry_after_s=wait_s,
        )

    def _now(self) -> float:
        return self._clock.now().timestamp()
