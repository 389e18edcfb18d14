"""What the model sees: the situation, the settings, and how they stand to each other, all on logarithmic scales."""

from __future__ import annotations

import numpy as np

from base_ops.data_ingestion.models.connection_optimization.simulator import KINDS, Array, Situations

FEATURES: tuple[str, ...] = (
    *(f"kind_{name}" for name in KINDS), "latency", "item", "spread", "errors", "slots", "load", "rate",
    "pool", "timeout", "tries", "batch", "request", "crowding", "patience", "work", "allowance",
    "late", "fails", "lost", "asked",
)  # fmt: skip
_NO_RATE = 1e4


def features_of(of: Situations, settings: Array) -> Array:
    """Shape (rows, len(FEATURES)); situations and settings row by row."""
    pool, timeout, tries, batch = settings.T
    free = np.maximum(0.5, of.slots * (1 - of.load))
    request = of.latency_s + of.item_s * batch
    crowded = request * (1 + (pool / free) ** 4) ** 0.25
    rate = np.minimum(of.rate, _NO_RATE)
    patience = np.clip(np.log(timeout / crowded) / of.spread, -4, 4)
    late = 1 / (1 + np.exp(1.5976 * patience + 0.07056 * patience**3))
    refused = 0.03 * np.maximum(0, pool / free - 1)
    fails = np.clip(1 - (1 - of.error_share) * (1 - np.minimum(refused, 1)) * (1 - late), 0, 0.99)
    asked = (1 - fails**tries) / (1 - fails)
    work = (np.minimum(crowded, timeout) * asked + 60 * fails**tries) / (pool * batch * (1 - fails**tries))
    columns = [
        *(of.kind == number for number in range(len(KINDS))),
        np.log(of.latency_s), np.log(of.item_s), of.spread, np.log(of.error_share + 1e-3), np.log(of.slots), of.load,
        np.log(rate), np.log(pool), np.log(timeout), np.log(tries), np.log(batch), np.log(request),
        np.log(pool / free), patience, np.log(work), np.clip(np.log(rate * crowded / pool), -6, 6),
        late, fails, np.log(fails**tries + 1e-5), np.log(asked),
    ]  # fmt: skip
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
