"""What is agreed on about a feed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from base_ops.core.spec import Names, Spec

Priority = Literal["critical", "high", "standard", "low"]
Retention = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]*[dmy]|permanent)$")]
BAD_ROWS_SHARE = 0.05
"""Of an object, where neither task nor agreement says otherwise."""


class AgreementSpec(Spec):
    """What was agreed on with those who provide a feed and those who use it: on record, for people; data_types,
    priority, schedule and max_error_share also decide."""

    category: str = ""
    """What kind of data it is, e.g. market_data, positions, audit."""
    priority: Priority = "standard"
    """How much depends on it; decides what ingestion-policies.yaml tolerates."""
    availability: float | None = Field(None, gt=0, le=1)
    """Share of the time the provider promises to be there."""
    latency_s: float | None = Field(None, gt=0)
    """An answer, or a message, is there within, seconds."""
    throughput_per_s: float | None = Field(None, gt=0)
    """Requests, files or messages a second at most expected."""
    data_types: Names = ()
    """What the data is about, e.g. equity_prices; mapping_rules of ingestion-policies.yaml name sources by it."""
    schedule: str | None = None
    """When it is fetched: a name in schedules.yaml."""
    retention: Retention | None = None
    """How long it is kept, e.g. 90d, 7y, permanent."""
    purpose: str = ""
    """Why it is processed (GDPR article 5(1)(b))."""
    lawful_basis: Literal["", "no_personal_data", "consent", "contract", "legal_obligation", "legitimate_interest"] = ""
    """On what ground, where personal data may be in it (GDPR article 6)."""
    max_error_share: float | None = Field(None, ge=0, le=1)
    """Bad rows of an object that are set aside before nothing of it is published; default: by priority, from
    ingestion-policies.yaml."""
