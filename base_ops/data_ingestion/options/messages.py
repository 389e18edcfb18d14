"""Options of message formats: FIX, SWIFT MT, logs, e-mail."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec


class SwiftMtOptions(Spec):
    """read.swift_mt: how SWIFT MT messages are read."""

    message_type: Literal["103", "202", "202COV", "940", "942", "950"] | None = None
    """Of messages without a header block; default: told by their fields."""


class FixOptions(Spec):
    """read.fix: how FIX messages are read."""

    separator: str | None = None
    """Between fields: SOH or '|'; default: found."""


class SyslogOptions(Spec):
    """read.syslog: what RFC 3164 messages do not say themselves."""

    year: int | None = Field(None, ge=1970, le=9999)
    """Of the first RFC 3164 message (later ones follow over new year); default: their timestamps stay text."""
    utc_offset_minutes: int = Field(0, ge=-1440, le=1440)
    """Of RFC 3164 timestamps, minutes east of UTC."""


class EmailOptions(Spec):
    """read.email: limits of one message."""

    max_message_bytes: int = Field(64 << 20, ge=1024)
    """A longer message goes to quarantine unread, bytes."""
    max_parts: int = Field(1_000, ge=1)
    """A message with more MIME parts goes to quarantine."""
    max_depth: int = Field(20, ge=1)
    """A message nested deeper goes to quarantine, levels."""
