"""A peer as a queue, in closed form: what a thousand items cost under given settings.

Assumptions, written down so that they can be disputed. A peer serves `slots` requests at once, a share `load` of them
taken by others. A request for b items takes latency + b · item seconds, log-normal with deviation `spread`, and longer
the more of ours compete for what is free (fourth-power mean of 1 and pool / free). Crowding makes errors: 3 % for each
multiple of what is free. What fails or is cut off by the time-out is tried again after 1, 2, 4 … s; a batch that fails
for good costs a minute and is fetched again. A connection costs 2 ms of our time per thousand items, a second of
time-out 1 ms, a thousand items held in a batch 20 ms. Where the peer allows `rate` requests a second, no more are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
KINDS = ("api", "database", "files", "stream")
POOLS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 100)
TIMEOUTS_S = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
TRIES = (1, 2, 3, 5, 8, 10)
BATCHES = (1, 10, 50, 100, 500, 1000, 5000)
_LOST_S = 60.0
# by kind: latency s, seconds an item, slots; each a range, logarithmic
_RANGES = {
    "api": ((0.02, 2.0), (1e-4, 5e-3), (2, 60)),
    "database": ((0.002, 0.3), (2e-6, 5e-4), (4, 100)),
    "files": ((0.05, 3.0), (1e-5, 1e-3), (2, 30)),
    "stream": ((0.001, 0.1), (1e-6, 1e-4), (2, 40)),
}


@dataclass(frozen=True)
class Situations:
    """Many situations, one per place of each array."""

    kind: NDArray[np.int64]
    latency_s: Array
    item_s: Array
    spread: Array
    """Standard deviation of the logarithm of a request's time."""
    error_share: Array
    """Of requests that fail in passing without our crowding."""
    slots: Array
    load: Array
    rate: Array
    """Requests a second that are allowed; inf where nothing is said."""

    def at(self, rows: NDArray[np.int64]) -> Situations:
        return Situations(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.kind)


def situations(seed: int, number: int) -> Situations:
    """The same seed makes the same situations."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, len(KINDS), number)
    bounds = np.log(np.array([_RANGES[name] for name in KINDS]))[kind]
    drawn = np.exp(rng.uniform(bounds[:, :, 0], bounds[:, :, 1]))
    rate = np.where(rng.random(number) < 0.4, np.exp(rng.uniform(np.log(0.5), np.log(200), number)), np.inf)
    return Situations(
        kind, drawn[:, 0], drawn[:, 1], rng.uniform(0.1, 0.9, number), rng.beta(1, 12, number) * 0.8,
        np.round(drawn[:, 2]), rng.uniform(0, 0.9, number), rate,
    )  # fmt: skip


def grid() -> Array:
    """All settings that are chosen among: (pool, timeout_s, tries, batch) in each row."""
    axes = np.meshgrid(POOLS, TIMEOUTS_S, TRIES, BATCHES, indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1).astype(np.float64)


def cost_s(of: Situations, settings: Array) -> Array:
    """Seconds per thousand items, of each situation under the settings in the same row."""
    pool, timeout, tries, batch = settings.T
    free = np.maximum(0.5, of.slots * (1 - of.load))
    crowd = pool / free
    usual = (of.latency_s + of.item_s * batch) * (1 + crowd**4) ** 0.25
    late = 1 - _below(np.log(timeout / usual) / of.spread)
    fails = np.clip(1 - (1 - of.error_share) * (1 - 0.03 * np.maximum(0, crowd - 1)) * (1 - late), 0, 0.99)
    lost = fails**tries
    asked = (1 - lost) / (1 - fails)
    pauses = sum(np.where(tries > n, fails**n * 2.0 ** (n - 1), 0.0) for n in range(1, 10))
    each = asked * np.minimum(usual, timeout) + pauses + lost * _LOST_S
    speed = np.minimum(pool / each, of.rate / asked) * batch * (1 - lost)
    return np.asarray(1000 / speed + 0.002 * pool + 0.001 * timeout + 0.00002 * batch)


def _below(z: Array) -> Array:
    """Share of a normal distribution below z: a logistic curve, within 0.01 of it (Bowling et al., 2009)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(1.5976 * z + 0.07056 * z**3, -60, 60))))
