"""What decides without the model: the profile table of the specs, by kind of source."""

from __future__ import annotations

from base_ops.data_ingestion.models.connection_optimization.simulator import KINDS
from base_ops.data_ingestion.options.connections import PROFILES, ConnectionProfile

OF_KIND = {"api": "standard", "database": "standard", "files": "batch", "stream": "real_time"}
_BATCH = {"api": 1000, "database": 1000, "files": 1, "stream": 100}


def profile_settings(kind: int) -> tuple[float, float, float, float]:
    """(pool, timeout_s, tries, batch) of the profile for a kind of source."""
    name = KINDS[kind]
    profile = ConnectionProfile.model_validate(PROFILES[OF_KIND[name]])
    return float(profile.pool), profile.timeout_s, float(profile.tries), float(_BATCH[name])
