"""What can be asked of fetch_retry."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.retries import DeadLetterPolicy, RetryPolicySpec, policy_of
from base_ops.data_ingestion.options.sources.source import SourceSpec


class FailureSpec(Spec):
    """One failed fetch."""

    source: str
    """Id of the source."""
    code: str = "unknown"
    """The error's code, e.g. timeout, rate_limited, server_error."""
    outcome: str = "transient"
    """How the job ended: transient, denied, bad_input, config_error, bug."""
    status: int | None = None
    """HTTP status or SQL error number, where known."""
    attempt: int = Field(1, ge=1)
    """Which try it was."""
    failures: int | None = Field(None, ge=1)
    """Fetches given up in a row, this one included; default: the source's waiting dead letters and this one."""
    retry_after_s: float | None = Field(None, ge=0)
    """What the peer asked for, seconds."""
    bytes_done: int = Field(0, ge=0)
    bytes_total: int | None = Field(None, ge=0)
    ranges_done: tuple[tuple[int, int], ...] = ()
    """Byte ranges that arrived and were checked: (from, to), the end excluded."""
    refreshed: bool = False
    """The credential was already replaced once."""
    load: float = Field(0.0, ge=0)
    """How busy this side is, 0 to 1 and above: memory or disk used of what there is."""
    tried_fallbacks: tuple[str, ...] = ()


class SelectOptimalRetryStrategySpec(Spec):
    """Decide what is done about a failed fetch, and say why."""

    action: Literal["select_optimal_retry_strategy"] = "select_optimal_retry_strategy"
    source: str
    """Id of the source."""
    failure: FailureSpec | None = None
    """What failed; default: the newest failed Result of this source in this run."""
    result: str | None = None
    """URI of the failed Result instead."""
    request: dict[str, Any] | None = None
    """The spec of the fetch that failed, kept with a dead letter so that it can be replayed; connections by name."""
    policy: RetryPolicySpec | None = None
    """What is allowed; default: as retry-policies.yaml says of the source, else of its protocol."""

    def completed(self) -> Self:
        return self if self.policy is not None else self.model_copy(update={"policy": policy_of(self.source)})


class AnalyzeFailurePatternsSpec(Spec):
    """What failed lately, how often, at what hours, and what helped."""

    action: Literal["analyze_failure_patterns"]
    sources: tuple[str, ...] = ()
    """Only these; default: all."""
    days: float = Field(7.0, gt=0)
    """Looked back."""
    max_results: int = Field(5_000, ge=1)
    """Results read, the newest first."""


class ProcessDeadLettersSpec(Spec):
    """One pass over the dead letter queue: expire, replay, report."""

    action: Literal["process_dead_letters"]
    sources: tuple[SourceSpec, ...] = ()
    """Sources whose letters may be replayed; those of others wait."""
    policy: DeadLetterPolicy = Field(default_factory=DeadLetterPolicy)
    """Size, age and batch."""


FetchRetrySpec = Annotated[
    SelectOptimalRetryStrategySpec | AnalyzeFailurePatternsSpec | ProcessDeadLettersSpec,
    Field(discriminator="action"),
]
