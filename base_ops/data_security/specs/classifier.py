"""What can be asked of the classifier: how sensitive values are found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec

Level = Literal["public", "internal", "confidential", "restricted"]
LEVELS: tuple[Level, ...] = ("public", "internal", "confidential", "restricted")
"""From open to closed."""


class ClassifierSpec(Spec):
    """Find the columns that hold personal or financial identifiers, by pattern, checksum and name; shows no value."""

    action: Literal["classify_sensitive_data"] = "classify_sensitive_data"
    min_share: float = Field(0.01, gt=0, le=1)
    """A column is taken for a type from this share of its values on; one hit decides for cards and social security
    numbers."""
    levels: dict[str, Level] = Field(default_factory=dict)
    """Columns whose level people have set; what is found can only raise it."""
    floor: Level = "internal"
    """Level of a column in which nothing is found."""
    source: str | None = None
    """Stand-alone use: a file to look at. In a pipeline the input comes from the tasks before."""
    target: str | None = None
    """Where the rows go, unchanged: a file, or staging:<dataset> (in a pipeline, the default)."""
