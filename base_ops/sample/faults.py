"""What goes wrong on a bad day of the sample API: by plan, so that every run sees it all, or at random, by a seed."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["unavailable", "slow_down", "cut", "revoked", "hang_up"]
"""503 · 429 with Retry-After · a body shorter than announced · 401 once, until a new token is fetched · no answer."""
FAULTS: tuple[Fault, ...] = ("unavailable", "slow_down", "cut", "revoked", "hang_up")
PLAN: Mapping[int, Fault] = {2: "unavailable", 4: "slow_down", 6: "cut", 8: "revoked"}
"""By the number of the request."""


@dataclass
class Faults:
    """Says for each request whether it goes wrong. Safe to ask from several threads."""

    plan: Mapping[int, Fault] = field(default_factory=lambda: PLAN)
    share: float = 0.0
    """Of the requests that the plan leaves alone, so many go wrong at random."""
    seed: int = 0
    in_row: int = 2
    """At most so many random faults one after the other: a peer that never answers is another test."""
    retry_after: str = "1"
    counted: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    _row: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311 - made-up faults

    def next(self) -> Fault | None:
        """The fault of the next request."""
        with self._lock:
            self.asked += 1
            fault = self.plan.get(self.asked)
            if fault is None and self._row < self.in_row and self._dice.random() < self.share:
                fault = self._dice.choice(FAULTS)
            self._row = 0 if fault is None else self._row + 1
            if fault is not None:
                self.counted[fault] = self.counted.get(fault, 0) + 1
            return fault
