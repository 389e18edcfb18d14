"""What the model sees: the situation, the settings, and how they stand to each other, all on logarithmic scales."""

from __future__ import annotations

import numpy as np

from base_ops.data_ingestion.models.connection_optimization.simulator import KINDS, Array, Situations

FEATURES: tuple[str, ...] = (
    *(f"kind_{name}" for name in KINDS), "latency", "item", "spread", "errors", "slots", "load", "rate",
    "pool", "timeout", "tries", "batch", "request", "crowding", "patience", "work", "allowance",
)  # fmt: skip
_NO_RATE = 1e4


def features_of(of: Situations, settings: Array) -> Array:
    """Shape (rows, len(FEATURES)); situations and settings row by row."""
    pool, timeout, tries, batch = settings.T
    free = np.maximum(0.5, of.slots * (1 - of.load))
    request = of.latency_s + of.item_s * batch
    crowded = request * (1 + (pool / free) ** 4) ** 0.25
    rate = np.minimum(of.rate, _NO_RATE)
    columns = [
        *(of.kind == number for number in range(len(KINDS))),
        np.log(of.latency_s), np.log(of.item_s), of.spread, np.log(of.error_share + 1e-3), np.log(of.slots), of.load,
        np.log(rate), np.log(pool), np.log(timeout), np.log(tries), np.log(batch), np.log(request),
        np.log(pool / free), np.clip(np.log(timeout / crowded) / of.spread, -4, 4), np.log(crowded / (pool * batch)),
        np.clip(np.log(rate * crowded / pool), -6, 6),
    ]  # fmt: skip
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
