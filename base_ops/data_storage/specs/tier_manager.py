"""Specs of data_storage: how data is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from base_ops.core.spec import Spec


class StoreValidatedDataSpec(Spec):
    """Keep validated data in a Delta table, exactly once, with everything that was ever known."""

    action: Literal["store_validated_data", "store_streaming_data"] = "store_validated_data"
    """store_streaming_data: what comes in is added to the table, part by part; needs missing_rows: keep."""
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

    @model_validator(mode="after")
    def _streams_add(self) -> StoreValidatedDataSpec:
        if self.action == "store_streaming_data" and self.missing_rows != "keep":
            raise ValueError("store_streaming_data adds to what is there, which needs missing_rows: keep")
        return self


class UnpublishSpec(Spec):
    """Take back what this run has stored in a table, as if it had not run; for runs that failed later on."""

    action: Literal["unpublish"]
    dataset: str
    """Name of the table."""


TierManagerSpec = Annotated[StoreValidatedDataSpec | UnpublishSpec, Field(discriminator="action")]
