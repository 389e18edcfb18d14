"""What can be said about failed fetches: classes, waits, budgets, what stands in, and who is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from base_ops.core.config import config_dir, load_config
from base_ops.core.errors import did_you_mean
from base_ops.core.spec import Misfit, Spec
from base_ops.data_ingestion.config.sources import load_source, source_ids
from base_ops.data_ingestion.options.policies import Reference
from base_ops.data_ingestion.options.sources.source import PROTOCOLS

MAX_TRIES = 10
"""Of any policy, but for streams that go on for ever."""

FailureClass = Literal["transient", "persistent", "partial", "systematic"]
_TRANSIENT = """
timeout connection_timeout read_timeout unreachable unknown_host rate_limited server_error unavailable circuit_open
token_endpoint_unavailable jwks_unavailable s3_failed landing_contention create_conflict deadlock lock_timeout
temporary_failure
"""
_PERSISTENT = """
unauthorized forbidden proxy_unauthorized invalid_client invalid_grant no_credentials no_consent not_found bad_request
bad_url bad_certificate unknown_connection missing_extra unknown_protocol no_such_bucket foreign_redirect
object_too_large bad_source bad_spec
"""
_PARTIAL = "cut_body incomplete corrupt checksum_mismatch partial_timeout changed_while_read"
_SYSTEMATIC = "out_of_memory disk_full overload os_error evicted"
_CODES: tuple[tuple[FailureClass, str], ...] = (
    ("transient", _TRANSIENT),
    ("persistent", _PERSISTENT),
    ("partial", _PARTIAL),
    ("systematic", _SYSTEMATIC),
)
CLASS_OF_CODE: dict[str, FailureClass] = {code: kind for kind, codes in _CODES for code in codes.split()}
"""What kind of failure an error's code tells of."""


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
    """adaptive: each call that succeeded makes the wait so many times as long."""
    grow: float = Field(1.5, ge=1)
    """adaptive: each call that failed does."""
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
    where = folder or config_dir()
    found = load_config(RetryPoliciesFile, where / "data_ingestion" / "retry-policies.yaml")
    if found is None:
        return RetryPolicySpec()
    raw = load_source(source, where) if source in source_ids(where) and source not in found.sources else {}
    protocol = next((name for name in found.protocols if name in raw), "")
    policy: RetryPolicySpec = found.of(source, protocol)
    return policy
