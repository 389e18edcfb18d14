"""Options of truth discovery: how conflicts are decided by how far each source can be trusted."""

from __future__ import annotations

from pydantic import Field

from base_ops.core.spec import Spec


class TruthSpec(Spec):
    """How trust is learned from agreement, and how values are compared meanwhile."""

    per_field: bool = True
    """Learn a source's trust field by field, leaning on its overall trust where claims are few; False: one for all."""
    support: float = Field(0.5, ge=0, le=0.75)
    """How much of its weight a text lends to others of the same key that have all of its words and more.
    Near 1, the longest would always win."""
    tolerance: float = Field(0.0, ge=0)
    """Numbers at most this far apart are the same, in the field's unit."""
    max_claims: int = Field(2_000_000, ge=1_000)
    """Claims that trust is learned from; of more, whole keys are drawn, the same on every run."""
    rounds: int = Field(100, ge=1)
    """Most rounds of learning; it ends earlier when no trust changes by more than 0.0001."""
