"""What is agreed on about a feed, and the rules made of it: ingestion policies and format specifications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.schedules import Names

Priority = Literal["critical", "high", "standard", "low"]
Retention = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]*[dmy]|permanent)$")]
Reference = tuple[tuple[str | int, ...], str]
"""(path of a key, id of the source it names)."""
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


class MappingRule(Spec):
    """Which sources bring one type of data."""

    data_type: str
    """E.g. equity_prices; an agreement of each of the sources must have it among its data_types."""
    sources: Names = Field(min_length=1)
    """Ids, the preferred one first."""


class SecurityPolicy(Spec):
    """What every source must keep."""

    tls_min_version: Literal["1.2", "1.3"] = "1.2"
    """Lowest version of TLS of sources whose authentication says none."""
    authentication: tuple[Priority, ...] = ()
    """Sources of these priorities must name an authentication template, unless they read local files."""


Agreed = Literal["category", "data_types", "lawful_basis", "purpose", "retention", "schedule"]


class CompliancePolicy(Spec):
    """What must be on record of a source."""

    required: dict[Priority, tuple[Agreed, ...]] = Field(default_factory=dict)
    """By priority: keys that its agreement must have."""


class IngestionPoliciesFile(Spec):
    """dags/config/data_ingestion/ingestion-policies.yaml."""

    failure_tolerance: dict[Priority, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Share of bad rows by priority; what a source's agreement or a task says goes before."""
    security: SecurityPolicy = Field(default_factory=SecurityPolicy)
    compliance: CompliancePolicy = Field(default_factory=CompliancePolicy)
    mapping_rules: tuple[MappingRule, ...] = ()
    """Where a type of data comes from, and what stands in where schedules.yaml names no fallback."""

    def faults(self, source: Mapping[str, Any], is_local: bool) -> Iterator[tuple[tuple[str, ...], str]]:
        """(key, what is wrong) of a declared source."""
        agreement = source.get("agreement") or {}
        priority = agreement.get("priority", "standard")
        for name in self.compliance.required.get(priority, ()):
            if not agreement.get(name):
                yield (
                    ("agreement",),
                    f"agreement.{name} is missing, which compliance.required asks of {priority} sources",
                )
        if priority in self.security.authentication and not is_local and "authentication" not in source:
            yield (), f"authentication is missing, which security.authentication asks of {priority} sources"

        given = agreement.get("data_types") or ()
        for rule in self.mapping_rules:
            if source.get("id") in rule.sources and rule.data_type not in (
                [given] if isinstance(given, str) else given
            ):
                yield (
                    ("agreement", "data_types"),
                    f"agreement.data_types lacks {rule.data_type}, for which mapping_rules names this source",
                )

    def references(self) -> Iterator[Reference]:
        """The sources that are named, each with its key."""
        for number, rule in enumerate(self.mapping_rules):
            for place, source in enumerate(rule.sources):
                yield ("mapping_rules", number, "sources", place), source

    def stand_ins(self, source: str) -> list[str]:
        """Other sources of the same types of data, in order of preference."""
        found = [rule.sources for rule in self.mapping_rules if source in rule.sources]
        return list(dict.fromkeys(name for names in found for name in names if name != source))


def load_policies(folder: Path | None = None) -> IngestionPoliciesFile:
    """The checked file; an empty one where there is none. Raises ConfigError naming file, line and key."""
    from base_ops.core.config import config_dir, load_config

    found = load_config(IngestionPoliciesFile, (folder or config_dir()) / "data_ingestion" / "ingestion-policies.yaml")
    return found or IngestionPoliciesFile()


class FormatSpecification(Spec):
    """What is expected of one format; all but extensions and max_bytes is for the record: a format is recognised by
    its bytes, and what it becomes is said by the task."""

    mime: Names = ()
    """Media types it is served as."""
    extensions: Names = ()
    """Ends of names, with the dot; `read.format` of a source may name one, without it."""
    max_bytes: int | None = Field(None, ge=1)
    """A larger object of a source that declares this format is refused, bytes, unless the source sets
    max_object_bytes."""
    target: Literal["parquet", "json", "avro", "csv", "delegated"] = "parquet"
    """What it is converted to; delegated: multimodal_processing reads it."""


class FormatSpecificationsFile(Spec):
    """dags/config/data_ingestion/format-specifications.yaml."""

    formats: dict[str, FormatSpecification] = Field(default_factory=dict)
    """By the name of a format in base_ops/worker/formats/."""


def filled(raw: dict[str, Any], load: Any) -> dict[str, Any]:
    """A source with what policies and format specifications say where it says nothing itself.

    Args:
        load: gives the data of a configuration file, or None where there is none.
    """
    agreement, read, authentication = raw.get("agreement"), raw.get("read"), raw.get("authentication")
    least = _at(load("ingestion-policies"), "security", "tls_min_version")
    if isinstance(authentication, dict) and "kind" in authentication and least is not None:
        tls = authentication.get("tls") or {}
        if isinstance(tls, dict):
            raw = {**raw, "authentication": {**authentication, "tls": {"min_version": least, **tls}}}
    if isinstance(agreement, dict) and "max_error_share" not in agreement:
        priority = agreement.get("priority", "standard")
        share = _at(load("ingestion-policies"), "failure_tolerance", priority)
        raw = {**raw, "agreement": {**agreement, "max_error_share": share}} if share is not None else raw
    if isinstance(read, dict) and "format" in read and "max_object_bytes" not in raw:
        most = _at(load("format-specifications"), "formats", read["format"], "max_bytes")
        raw = {**raw, "max_object_bytes": most} if most is not None else raw
    return raw


def _at(data: Any, *path: Any) -> Any:
    """What stands there; None where nothing does, or where the file is not as it should be (`config check` says so)."""
    for key in path:
        if not isinstance(data, dict) or not isinstance(key, str):
            return None
        data = data.get(key)
    return data
