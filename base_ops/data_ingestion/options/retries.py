"""What can be said about failed fetches: classes, waits, budgets, what stands in, and who is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from base_ops.core.errors import did_you_mean
from base_ops.core.spec import Misfit, Spec
from base_ops.data_ingestion.options.agreements import Reference

MAX_TRIES = 10
"""Of any policy, but for streams that go on for ever."""

FailureClass = Literal["transient", "persistent", "partial", "systematic"]


class BackoffSpec(Spec):
    """How the waits between tries grow."""

    kind: Literal["exponential", "linear", "fixed", "adaptive", "fibonacci"] = "exponential"
    base_s: float = Field(1.0, ge=0)
    """The first wait, seconds."""
    factor: float = Field(2.0, ge=1)
    """exponential: each wait is so many times the one before."""
    step_s: float = Field(5.0, ge=0)
    """linear: each wait is so much longer, seconds."""
    min_s: float = Field(1.0, ge=0)
    """adaptive: never shorter, seconds."""
    max_s: float = Field(300.0, gt=0)
    """Never longer, seconds."""
    shrink: float = Field(0.8, gt=0, le=1)
    """adaptive: after a success."""
    grow: float = Field(1.5, ge=1)
    """adaptive: after a failure."""
    jitter: float = Field(0.1, ge=0, lt=1)
    """Spread by ± this share, so that tasks do not come back together."""


class RetryRule(Spec):
    """How often and when one kind of failure is tried again."""

    backoff: BackoffSpec = Field(default_factory=BackoffSpec)
    tries: int | None = Field(5, ge=0, le=MAX_TRIES)
    """At most, the first included; null: without end (streams only)."""
    refresh_once: bool = False
    """Replace the credential once, then no more."""


class FallbackOption(Spec):
    """Another source that may stand in."""

    source: str
    """Its id."""
    quality: float = Field(1.0, ge=0, le=1)
    """How good it is; below min_quality it is only taken if no better one is left, marked as degraded."""


class FallbackPolicy(Spec):
    """Who stands in."""

    options: tuple[FallbackOption, ...] = ()
    """In order of preference."""
    min_quality: float = Field(0.8, ge=0, le=1)


class PartialPolicy(Spec):
    """How a download that broke off goes on."""

    segment_bytes: int = Field(10 << 20, ge=1 << 10)
    segments: int = Field(100, ge=1, le=10_000)
    """At most; larger objects have larger segments."""
    parallel: int = Field(5, ge=1, le=64)


class CachePolicy(Spec):
    """How old what landed last may be to stand in."""

    fresh_s: float = Field(3600.0, ge=0)
    """Up to here it is as good as new, seconds."""
    stale_s: float = Field(86_400.0, ge=0)
    """Up to here it is taken marked as stale, seconds; beyond never."""

    @model_validator(mode="after")
    def _ordered(self) -> CachePolicy:
        if self.stale_s < self.fresh_s:
            raise ValueError("stale_s is shorter than fresh_s")
        return self


class HumanPolicy(Spec):
    """When a person is asked: the fetch waits in the dead letter queue until it is approved, replayed or dismissed."""

    after_failures: int = Field(5, ge=1)
    """Fetches of the source that were given up in a row, each after all its tries."""
    escalate_s: float = Field(3600.0, gt=0)
    """Unanswered for this long it goes one higher, seconds."""
    approvals: int = Field(1, ge=1)
    """So many people must approve it before it is fetched again."""


class DeadLetterPolicy(Spec):
    """The queue of fetches that were given up."""

    max_items: int = Field(10_000, ge=1)
    """Full: nothing is thrown away, but the source pauses and a person is called."""
    keep_days: float = Field(7.0, gt=0)
    """Older ones expire: they leave the queue and stay readable."""
    batch: int = Field(100, ge=1)
    """Replayed in one pass."""
    alert_items: int = Field(1_000, ge=1)
    max_replays: int = Field(3, ge=1)
    """A letter that failed so often waits for a person."""


class RetryPolicySpec(Spec):
    """All that is said about the failures of a source."""

    default: RetryRule = Field(default_factory=RetryRule)
    codes: dict[str, RetryRule] = Field(default_factory=dict)
    """By error code or HTTP status, before `default`."""
    partial: PartialPolicy | None = PartialPolicy()
    """null: a broken download begins anew."""
    fallback: FallbackPolicy = Field(default_factory=FallbackPolicy)
    cache: CachePolicy | None = CachePolicy()
    """null: what landed earlier never stands in (market data that must be live)."""
    human: HumanPolicy = Field(default_factory=HumanPolicy)
    dead_letters: DeadLetterPolicy = Field(default_factory=DeadLetterPolicy)
    use_model: bool = True
    """Let the retry model choose among what the rules allow."""
    min_confidence: float = Field(0.7, ge=0, le=1)
    """Less sure, and the rules decide."""


class RetryPoliciesFile(Spec):
    """dags/config/data_ingestion/retry-policies.yaml."""

    policies: dict[str, RetryPolicySpec]
    """By name."""
    protocols: dict[str, str] = Field(default_factory=dict)
    """Policy of each protocol."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Policy of single sources, before their protocol's."""

    @model_validator(mode="after")
    def _names_are_policies(self) -> RetryPoliciesFile:
        from base_ops.data_ingestion.specs import PROTOCOLS  # which imports this module

        for protocol in self.protocols:
            if protocol not in PROTOCOLS:
                what = f"protocols.{protocol} is not known. {did_you_mean(protocol, PROTOCOLS)}"
                raise Misfit(what, "protocols", protocol)
        for where in ("protocols", "sources"):
            for key, name in getattr(self, where).items():
                if name not in self.policies:
                    what = f"{where}.{key}={name!r} is no policy. {did_you_mean(name, self.policies)}"
                    raise Misfit(what, where, key)
        return self

    def references(self) -> Iterator[Reference]:
        """The sources that are named, each with its key."""
        for source in self.sources:
            yield ("sources", source), source
        for name, policy in self.policies.items():
            for place, option in enumerate(policy.fallback.options):
                yield ("policies", name, "fallback", "options", place, "source"), option.source

    def of(self, source: str, protocol: str = "") -> RetryPolicySpec:
        """The policy of a source."""
        name = self.sources.get(source) or self.protocols.get(protocol, "default")
        return self.policies.get(name, RetryPolicySpec())


def policy_of(source: str, folder: Path | None = None) -> RetryPolicySpec:
    """What retry-policies.yaml says of a source; the built-in policy where there is no file.

    Raises:
        ConfigError: a fault in the file, or in the source's.
    """
    from base_ops.core.config import config_dir, load_config, load_source, source_ids

    where = folder or config_dir()
    found = load_config(RetryPoliciesFile, where / "data_ingestion" / "retry-policies.yaml")
    if found is None:
        return RetryPolicySpec()
    raw = load_source(source, where) if source in source_ids(where) and source not in found.sources else {}
    protocol = next((name for name in found.protocols if name in raw), "")
    policy: RetryPolicySpec = found.of(source, protocol)
    return policy


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
    previous_wait_s: float | None = Field(None, ge=0)
    """Before this try, seconds (adaptive)."""
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
