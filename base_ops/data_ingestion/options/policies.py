"""Rules for all sources: ingestion policies and format specifications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from base_ops.core.config import config_dir, load_config
from base_ops.core.spec import Names, Spec
from base_ops.data_ingestion.options.agreements import Priority

Reference = tuple[tuple[str | int, ...], str]
"""(path of a key, id of the source it names)."""


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
