"""Options of message formats: FIX, SWIFT MT, logs, e-mail."""

from __future__ import annotations

from base_ops.core.spec import Spec


class FixOptions(Spec):
    """read.fix: how FIX messages are read."""

    separator: str | None = None
    """Between fields: SOH or '|'; default: found."""
