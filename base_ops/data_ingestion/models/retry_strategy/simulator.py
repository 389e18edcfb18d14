"""Failures as they come, made up from a seed: what an action costs, and whether it brings the data.

Assumptions, written down so that they can be disputed: a network fault is a blip (mean 2 s) or, one time in four, an
outage (mean 60 s). A busy peer recovers after 40 s on average, later if it is called meanwhile. Of persistent failures
half are credentials, of which 6 in 10 can be replaced. A broken download fails again with 50 % from the start, with
15 % when resumed. An overloaded worker recovers after 60 s, later if it tries again under load. A fallback is declared
for 70 % of sources and works 9 times in 10; something young enough landed before for 60 %.
Rewards: +100 for the data (60 from a fallback, 40 from the cache: they only stand in), -10 for each failed try, -1 for
each second of waiting, -5 for the resources of each try (a resumed one: for what was missing).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from base_ops.data_ingestion.models.retry_strategy.states import ACTIONS, GROUPS, state_number

MAX_TRIES = 10
_SHARES = (0.4, 0.25, 0.1, 0.15, 0.1)
"""Of the groups among failures."""
_BASE_S, _LONG = 2.0, 4.0
REWARD = {"data": 100.0, "fallback": 60.0, "cache": 40.0, "failed": -10.0, "second": -1.0, "try": -5.0}


@dataclass
class Outcome:
    """What one action brought."""

    reward: float
    seconds: float
    tries: float
    """In whole fetches: a resumed one counts for what was missing."""
    failed: bool
    done: bool
    success: bool


class Episode:
    """One fetch that has just failed for the first time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.group = int(rng.choice(len(GROUPS), p=_SHARES))
        self.load = float(rng.uniform(0, 1) if self.group != 4 else rng.uniform(0.5, 1.2))
        self.attempt = 1
        self.credential = self.group == 2 and rng.random() < 0.5
        self.replaceable = self.credential and rng.random() < 0.6
        self.refreshed = False
        self.has_fallback = rng.random() < 0.7
        self.has_cache = rng.random() < 0.6
        self.left_s = self._outage_s()
        self.share_left = float(rng.uniform(0.1, 0.9))

    def _outage_s(self) -> float:
        match GROUPS[self.group]:
            case "network":
                return float(self._rng.exponential(60.0 if self._rng.random() < 0.25 else 2.0))
            case "busy":
                return float(self._rng.exponential(40.0))
            case "systematic":
                return float(self._rng.exponential(60.0))
        return 0.0

    @property
    def state(self) -> int:
        return state_number(self.group, self.attempt, self.load)

    def allowed(self) -> list[int]:
        """As the rules of fetch_retry allow."""
        names = ["give_up"]
        if GROUPS[self.group] != "persistent" and self.attempt < MAX_TRIES:
            names += ["retry_now", "retry", "retry_long"]
            if GROUPS[self.group] == "partial":
                names.append("partial")
        if self.credential and not self.refreshed:
            names.append("refresh_credential")
        if self.has_fallback:
            names.append("fallback")
        if self.has_cache:
            names.append("cache")
        return [ACTIONS.index(name) for name in names]

    def act(self, action: int, wait_s: float | None = None) -> Outcome:
        """Do it; `wait_s` overrides the action's own wait."""
        match ACTIONS[action]:
            case "give_up":
                return Outcome(0.0, 0.0, 0.0, False, True, False)
            case "cache":
                return Outcome(REWARD["cache"], 0.0, 0.0, False, True, True)
            case "fallback":
                self.has_fallback = False
                return self._tried(self._rng.random() < 0.9, 0.0, 1.0, REWARD["fallback"])
            case "refresh_credential":
                self.refreshed = True
                return self._tried(self.replaceable, 1.0, 1.0)
            case "partial":
                wait = self._wait(action) if wait_s is None else wait_s
                works = self._rng.random() < 0.85
                return self._tried(works, wait, self.share_left)
        wait = self._wait(action) if wait_s is None else wait_s
        return self._tried(self._works(wait), wait, 1.0)

    def _wait(self, action: int) -> float:
        exact = min(300.0, _BASE_S * 2.0 ** (self.attempt - 1))
        return {"retry_now": min(exact, 1.0), "retry_long": exact * _LONG}.get(ACTIONS[action], exact)

    def _works(self, wait_s: float) -> bool:
        group = GROUPS[self.group]
        if group == "persistent":
            return False
        if group == "partial":
            return bool(self._rng.random() < 0.5)
        self.left_s -= wait_s
        if self.left_s <= 0:
            return bool(self._rng.random() < 0.95)
        if group == "busy" or (group == "systematic" and self.load >= 0.8):
            self.left_s *= 1.2  # it is called while it cannot answer
        return False

    def _tried(self, works: bool, wait_s: float, tries: float, prize: float = REWARD["data"]) -> Outcome:
        self.attempt += 1
        reward = REWARD["second"] * wait_s + REWARD["try"] * tries + (prize if works else REWARD["failed"])
        return Outcome(reward, wait_s, tries, not works, bool(works), bool(works))
