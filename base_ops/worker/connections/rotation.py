"""When a credential is to be replaced: from the connection's own note `rotated_at` (ISO 8601 date)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from base_ops.core.protocol import Finding
from base_ops.worker.connections.credentials import Credentials


def rotate_by(credentials: Credentials) -> datetime | None:
    """When it is due; None where the connection does not say when it was replaced last.

    Raises:
        ConfigError: `rotated_at` is no date.
    """
    text, days = credentials.find("rotated_at"), credentials.template.rotation_days
    if not text or days is None:
        return None
    try:
        rotated = datetime.fromisoformat(text)
    except ValueError:
        what = "rotated_at of the connection is no date"
        raise credentials.fault(what, "bad_rotation", expected="ISO 8601, e.g. 2026-11-20") from None
    return (rotated if rotated.tzinfo else rotated.replace(tzinfo=UTC)) + timedelta(days=days)


def rotation_finding(credentials: Credentials, due: datetime | None, now: datetime) -> Finding | None:
    """Says that a credential is to be replaced soon (warning) or is overdue (error)."""
    if due is None:
        return None
    left = (due - now).total_seconds() / 86_400
    if left > credentials.template.rotation_notice_days:
        return None
    overdue = left < 0
    return Finding(
        code="rotation_overdue" if overdue else "rotation_due",
        severity="error" if overdue else "warning",
        message=f"The credential of {credentials.where} was to be replaced by {due.date()}"
        if overdue
        else f"The credential of {credentials.where} is to be replaced by {due.date()}",
        data={"due": due.date().isoformat(), "days_left": round(left, 1)},
    )
