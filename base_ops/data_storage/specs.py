"""Specs of data_storage: how data is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec


class TierManagerSpec(Spec):
    """Keep validated data in a Delta table, exactly once, with everything that was ever known."""

    action: Literal["store_validated_data"] = "store_validated_data"
    dataset: str
    """Name of the table."""
    key: tuple[str, ...] = Field(min_length=1)
    """Columns that identify a row; unique in the input."""
    history: Literal["full", "latest"] = "full"
    """full: superseded rows stay readable by as_of; latest: they are dropped."""
    evolution: Literal["additive", "none"] = "additive"
    """additive: new columns are added, and integers may widen; anything else is refused."""
    missing_rows: Literal["close", "keep"] = "close"
    """A row that a slice's new inputs no longer hold: close it (it was withdrawn), or keep it."""
