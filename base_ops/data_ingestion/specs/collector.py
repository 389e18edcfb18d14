"""What can be asked of the collector."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from base_ops.core.ids import AgentId
from base_ops.core.spec import Spec, parse_spec
from base_ops.data_ingestion.options.sources.source import SourceSpec


class CollectDataFromSourceSpec(Spec):
    """Fetch what is new from a source into the landing zone."""

    action: Literal["collect_data_from_source"] = "collect_data_from_source"
    source: SourceSpec
    """The source to collect from."""
    mode: Literal["full", "incremental", "window"] = "incremental"
    """incremental moves the cursor; window fetches the run's data interval and never moves it."""
    window: tuple[str, str] | None = None
    """Backfill of an API with window_params: from and to (ISO 8601), which sets mode=window; two empty texts: none."""
    dataset: str | None = None
    """Table the data is for: what that table has not consumed yet is handed on, also from earlier runs."""
    reprocess: bool = False
    """Hand on everything, also what the table has consumed (after a change of rules)."""


class DiscoverFilesInDirectorySpec(Spec):
    """Look at what a source of files has, without fetching it: what is new, what is not ready yet, and how much."""

    action: Literal["discover_files_in_directory"]
    source: SourceSpec
    """The source; one of `files`."""
    max_files: int = Field(1_000, ge=1)
    """More new files than this are told as a warning: they are fetched all the same."""
    max_bytes: int = Field(100 * 10**9, ge=1)
    """More new bytes than this are told as a warning."""

    @model_validator(mode="after")
    def _has_files(self) -> DiscoverFilesInDirectorySpec:
        if self.source.files is None:
            raise ValueError(f"source {self.source.id} has no files to discover: it is one of {self.source.protocol}")
        return self


class StreamPart(Spec):
    """One agent of what is done with each part of a stream."""

    agent: str
    """Id of the agent, module.agent."""
    spec: dict[str, Any] = Field(default_factory=dict)
    """Its spec."""


class ProcessStreamingDataSpec(Spec):
    """A stream for a bounded time, in one job: part by part it lands, is worked on and stored, and then the next."""

    action: Literal["process_streaming_data"]
    source: SourceSpec
    """The source; its own max_messages and max_seconds bound one part."""
    dataset: str
    """Table the data is for."""
    then: tuple[tuple[StreamPart, ...], ...] = Field(min_length=1)
    """Work done with each part, in order; agents in one list are one pass, as under `fuse`."""
    max_seconds: float = Field(3_300.0, gt=0)
    """No part begins later than this, seconds; what has begun is finished."""
    max_parts: int | None = Field(None, ge=1)
    """At most so many parts; default: as many as the time allows."""
    idle_parts: int | None = Field(None, ge=1)
    """End once so many parts in a row brought nothing; default: go on listening."""

    @model_validator(mode="after")
    def _parts_are_right(self) -> ProcessStreamingDataSpec:
        if self.source.block.needs_mode != "append":
            raise ValueError(f"source {self.source.id} is no stream: what it brings does not add up")
        for part in (part for stage in self.then for part in stage):
            parse_spec(AgentId.parse(part.agent), part.spec, rendered=False)
        return self


class ReconstructFromMultipleSourcesSpec(Spec):
    """Fetch what one source owes from all that have it; those that fail are passed over."""

    action: Literal["reconstruct_from_multiple_sources"]
    sources: tuple[SourceSpec, ...] = Field(min_length=1)
    """The source itself and those that may stand in, best first."""
    dataset: str | None = None
    """Table the data is for: what it has not consumed yet is handed on."""
    min_sources: int = Field(1, ge=1)
    """So many must answer, or have landed something earlier that is still to be taken in."""


class RestoreCursorSpec(Spec):
    """Take back what this run has landed of a source, so that the next run asks for it again; for runs that failed."""

    action: Literal["restore_cursor"]
    source: str
    """Id of the source."""


CollectorSpec = Annotated[
    CollectDataFromSourceSpec
    | DiscoverFilesInDirectorySpec
    | ProcessStreamingDataSpec
    | ReconstructFromMultipleSourcesSpec
    | RestoreCursorSpec,
    Field(discriminator="action"),
]
