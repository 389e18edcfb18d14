"""The moment a job speaks of."""

from __future__ import annotations

from datetime import UTC, datetime

from base_ops.data_ingestion.specs.scheduler import instant


def moment(as_of: str | None) -> datetime:
    """`as_of`, or now."""
    return instant(as_of) if as_of else datetime.now(UTC)
