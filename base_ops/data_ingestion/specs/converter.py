"""What can be asked of the converter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.agreements import BAD_ROWS_SHARE
from base_ops.data_ingestion.options.reading import ReadSpec
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.options.writing import WriteSpec


class ConverterSpec(Spec):
    """Read any format right and write it typed."""

    action: Literal["convert_to_standard_format"] = "convert_to_standard_format"
    source: str | SourceSpec
    """Path or URI of a file; or the source whose landed objects are converted (in a pipeline)."""
    target: str
    """Path or URI of the file to write; or staging:<dataset> (in a pipeline)."""
    read: ReadSpec | None = None
    """How to read; default: the source's own, else detected."""
    write: WriteSpec = Field(default_factory=WriteSpec)
    """How the target is written."""
    add: dict[str, str] = Field(default_factory=dict)
    """Columns to add to each row (constants or {captures})."""
    whole_slices: bool = True
    """All objects of a slice that something new arrived for, so that what is stored replaces the slice; false: the new
    objects alone, to be added to a table with missing_rows: keep (streams)."""
    max_error_share: float | None = Field(None, ge=0, le=1)
    """More bad rows than this share of an object and nothing of it is published; default: what the source's agreement
    tolerates, else 0.05."""

    @property
    def bad_rows_share(self) -> float:
        """max_error_share, or what stands for it."""
        agreed = self.source.agreement.max_error_share if isinstance(self.source, SourceSpec) else None
        return next((share for share in (self.max_error_share, agreed) if share is not None), BAD_ROWS_SHARE)
