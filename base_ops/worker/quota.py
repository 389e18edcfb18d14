"""Rate limits shared by all tasks that use one connection: permits leased from the lake, without a server between.

Time is cut into windows. In each, the permits are split into leases, one object per lease, created if absent:

    quotas/<name>/<window>/<lease>.json        who creates it has its permits until the window ends
    quotas/<name>/pauses/<until>/asked.json    the peer said: not before that moment (Retry-After, X-RateLimit-Reset)

A task takes a lease when its permits are used up; when all are taken, it waits for the next window. Any stretch of
time `t` touches at most `t / window + 2` windows, so that windows of `burst / 2` permits keep every stretch within
`rate · t + burst`: a token bucket. Without a burst, windows are a little longer than the rate asks for, and any
`per_s` seconds see at most `requests`. Clocks that differ by s seconds add `rate · s`. (docs/adr: rate limits)
"""

from __future__ import annotations

import re
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from base_ops.core.errors import Transient
from base_ops.data_ingestion.options.sources.web import RateSpec
from base_ops.worker.backoff import Clock

_LEASES = 10
_KEPT_WINDOWS = 10
_KEPT_S = 3600.0
_NEAR_S = 0.001
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.\-]+")


class Board(Protocol):
    """Where leases are written: base_ops.worker.lake.store.Store fits."""

    def create_json(self, path: str, value: Any) -> bool: ...

    def folders(self, path: str) -> list[str]: ...

    def remove_tree(self, path: str) -> None: ...


class OwnBoard:
    """A board of this process alone."""

    def __init__(self) -> None:
        self._paths: set[str] = set()

    def create_json(self, path: str, value: Any) -> bool:
        taken = path in self._paths
        self._paths.add(path)
        return not taken

    def folders(self, path: str) -> list[str]:
        return sorted({p.removeprefix(path + "/").split("/")[0] for p in self._paths if p.startswith(path + "/")})

    def remove_tree(self, path: str) -> None:
        self._paths -= {p for p in self._paths if p.startswith(path + "/")}


@dataclass(frozen=True)
class Windows:
    """How a rate is cut: seconds of a window, and the permits in it."""

    seconds: float
    permits: int

    @classmethod
    def of(cls, rate: RateSpec) -> Windows:
        if rate.burst is not None:
            permits = max(1, rate.burst // 2)
            return cls(permits * rate.per_s / rate.requests, permits)
        permits = max(1, rate.requests // 10)
        return cls(rate.per_s / max(1, rate.requests // permits - 1), permits)

    def number(self, now: float) -> int:
        return int(now // self.seconds)

    def lease(self, number: int) -> int:
        """Permits of one lease of a window."""
        return self.permits // _LEASES + (number < self.permits % _LEASES)

    @property
    def leases(self) -> int:
        return min(_LEASES, self.permits)


@dataclass
class Quota:
    """One task's share; threads may ask it."""

    name: str
    rate: RateSpec
    clock: Clock
    longest_wait_s: float
    """A pause that the peer asked for and that is longer ends the job as transient."""
    board: Board = field(default_factory=OwnBoard)
    waited_s: float = 0.0
    """Spent waiting for permits, not for pauses."""

    def __post_init__(self) -> None:
        self.windows = Windows.of(self.rate)
        self.folder = f"quotas/{_NOT_A_NAME.sub('_', self.name)}"
        self._lock = threading.Lock()
        self._window, self._left, self._next_lease = -1, 0, 0
        self._paused_until = 0.0

    def take(self) -> None:
        """Wait for one permit.

        Raises:
            Transient: the peer asked for a pause longer than `longest_wait_s`.
        """
        while True:
            with self._lock:
                now = self.clock.now().timestamp()
                permitted = self._permitted(now)
                pause_s = self._paused_until - now
                if permitted and pause_s <= _NEAR_S:
                    self._left -= 1
                    return
                wait_s = pause_s
                if pause_s <= _NEAR_S:
                    wait_s = (self.windows.number(now) + 1) * self.windows.seconds - now
                    self.waited_s += wait_s
            if pause_s > self.longest_wait_s:
                raise Transient(
                    "The peer asked all its callers to wait",
                    code="rate_limited",
                    where=f"quota {self.name}",
                    retry_after_s=pause_s,
                )
            self.clock.sleep(max(wait_s, _NEAR_S))

    def pause(self, seconds: float) -> None:
        """Nobody may ask for so long: the peer said so."""
        until = self.clock.now().timestamp() + seconds
        with self._lock:
            if until <= self._paused_until:
                return
            self._paused_until = until
            self._left = 0
        self.board.create_json(f"{self.folder}/pauses/{until:.3f}/asked.json", {"until": until})

    def _permitted(self, now: float) -> bool:
        """Whether there is a permit of the present window, of a lease held or one taken now."""
        window = self.windows.number(now)
        if window != self._window:
            self._window, self._left, self._next_lease = window, 0, 0
            self._look_at_pauses()
        if self._left == 0 and self._next_lease < self.windows.leases and self._paused_until <= now + _NEAR_S:
            self._look_at_pauses()
            self._take_lease(window)
        return self._left > 0

    def _take_lease(self, window: int) -> None:
        while self._left == 0 and self._next_lease < self.windows.leases:
            lease = self._next_lease
            self._next_lease += 1
            if self.board.create_json(f"{self.folder}/{window}/{lease}.json", {"holder": uuid.uuid4().hex}):
                self._left = self.windows.lease(lease)
                if lease == 0:
                    self._clean(window)

    def _look_at_pauses(self) -> None:
        moments = [float(name) for name in self.board.folders(f"{self.folder}/pauses")]
        self._paused_until = max([self._paused_until, *moments])

    def _clean(self, window: int) -> None:
        """Old windows and pauses, once per window, by the holder of its first lease."""
        oldest = window - max(_KEPT_WINDOWS, int(_KEPT_S / self.windows.seconds))
        for name in self.board.folders(self.folder):
            if name.isdecimal() and int(name) < oldest:
                self.board.remove_tree(f"{self.folder}/{name}")
        for name in self.board.folders(f"{self.folder}/pauses"):
            if float(name) < self.clock.now().timestamp() - _KEPT_S:
                self.board.remove_tree(f"{self.folder}/pauses/{name}")
