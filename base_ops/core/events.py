"""Events: CloudEvents 1.0 envelopes around what a Result reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from base_ops.core.ids import fingerprint, uuid7


def cloud_event(
    *,
    agent: str,
    type: str,
    subject: str,
    data: Mapping[str, Any],
    correlation_id: str,
    causation_id: str = "",
    time: datetime | None = None,
) -> dict[str, Any]:
    """One event in CloudEvents 1.0 JSON form (attribute names are lower-case alphanumerics, §3.1).

    `idempotencykey` is the same for the same fact, so that a second insert of it adds nothing.
    """
    module, name = agent.split(".")
    return {
        "specversion": "1.0",
        "id": uuid7(),
        "type": type,
        "source": f"base/{module}/{name}",
        "subject": subject,
        "time": (time or datetime.now(UTC)).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "dataschema": f"urn:base:event:{type}:v1",
        "correlationid": correlation_id,
        "causationid": causation_id,
        "idempotencykey": fingerprint("event", agent, type, subject, correlation_id, data),
        "data": dict(data),
    }
