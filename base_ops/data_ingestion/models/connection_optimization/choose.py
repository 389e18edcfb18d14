"""The settings that cost least by the model's word, within the source's limits; else those of its kind's profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from base_ops.data_ingestion.models.connection_optimization.features import FEATURES, features_of
from base_ops.data_ingestion.models.connection_optimization.profiles import profile_settings
from base_ops.data_ingestion.models.connection_optimization.simulator import KINDS, Array, Situations, grid
from base_ops.data_ingestion.options.connections import ObservedSpec
from base_ops.worker.models.champion import load_model
from base_ops.worker.models.mlp import Mlp, parse_mlp

MODULE, MODEL = "data_ingestion", "connection_optimization"
MIN_REQUESTS = 10
"""Fewer observed, and the profile decides: the model would be fed with chance."""


@dataclass(frozen=True)
class Limits:
    """What the source, its profile and its peer allow at most."""

    pool: int = 100
    timeout_s: float = 600.0
    tries: int = 10
    batch: int = 10_000


@dataclass(frozen=True)
class Choice:
    """Settings, and who chose them."""

    pool: int
    timeout_s: float
    tries: int
    batch: int
    decided_by: str
    """`model`, or `fallback`: the profile table."""
    model: str
    reasons: tuple[str, ...]


def choose(observed: ObservedSpec, limits: Limits) -> Choice:
    """Ask the champion, else the packaged model, else the profile table; always within the limits."""
    found = load_model(MODULE, MODEL, FEATURES, parse_mlp)
    return decide(observed, limits, found.fitted, found.origin)


def decide(observed: ObservedSpec, limits: Limits, mlp: Mlp | None, origin: str = "none") -> Choice:
    """As `choose`, with a model at hand."""
    kind = KINDS.index(observed.kind)
    if mlp is None or observed.requests < MIN_REQUESTS:
        why = "no model" if mlp is None else f"only {observed.requests} requests seen, {MIN_REQUESTS} are needed"
        return _clamped(np.array(profile_settings(kind)), limits, "fallback", origin, (why,))
    choices = grid()
    most = np.array([limits.pool, limits.timeout_s, limits.tries, limits.batch])
    within = choices[(choices <= most).all(axis=1)]
    if not len(within):
        return _clamped(np.array(profile_settings(kind)), limits, "fallback", origin, ("no settings fit the limits",))
    best, cost = pick(mlp, _situation(observed, len(within)), within)
    told = f"{cost:.3g} s per 1000 items expected, from {observed.requests} requests of {observed.latency_s:.3g} s"
    return _clamped(within[best], limits, "model", origin, (told,))


def pick(mlp: Mlp, of: Situations, settings: Array) -> tuple[int, float]:
    """(number of the settings that are predicted to cost least, that cost)."""
    predicted = mlp.predict(features_of(of, settings))
    best = int(predicted.argmin())
    return best, float(np.exp(predicted[best]))


def _situation(seen: ObservedSpec, rows: int) -> Situations:
    rate = np.inf if seen.rate_per_s is None else seen.rate_per_s
    values = (seen.latency_s, seen.item_s, seen.spread, seen.error_share, seen.slots, seen.load, rate)
    return Situations(np.full(rows, KINDS.index(seen.kind)), *(np.full(rows, float(value)) for value in values))


def _clamped(settings: Array, limits: Limits, who: str, origin: str, reasons: tuple[str, ...]) -> Choice:
    pool, timeout, tries, batch = settings.tolist()
    return Choice(
        max(1, min(int(pool), limits.pool)),
        min(timeout, limits.timeout_s),
        max(1, min(int(tries), limits.tries)),
        max(1, min(int(batch), limits.batch)),
        who,
        origin,
        reasons,
    )
