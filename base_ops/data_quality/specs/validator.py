"""Specs of data_quality: the rules a record or a dataset must keep."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from base_ops.core.spec import Spec


class RuleBase(Spec):
    """What every rule has."""

    id: str | None = None
    """Name of the rule in quarantine, metrics and reports; default: check_column."""
    severity: Literal["critical", "high", "medium", "low"] = "high"
    """How bad a violation is."""
    on_failure: Literal["quarantine", "flag", "block"] = "quarantine"
    """quarantine: the record is set aside; flag: counted, passed on; block: the whole input is refused."""
    max_failure_share: float | None = Field(None, ge=0, lt=1)
    """The whole input is refused when the rule is broken by more than this share of the records it decides on
    (nulls are mostly undecided); default: no limit of its own, except that block allows none."""


class PresenceRule(RuleBase):
    """A value must be there."""

    check: Literal["presence"] = "presence"
    column: str
    empty_is_missing: bool = True
    """An empty string and NaN count as missing."""


class TypeRule(RuleBase):
    """The column must have a type (judged on the schema), or its text must parse as one (judged per row)."""

    check: Literal["type"] = "type"
    column: str
    type: str
    """As in a column of a source: int64, float64, decimal(p,s), string, boolean, date, timestamp, …
    A narrower type of the same kind fits."""
    format: str | None = None
    """strptime format, for text that must parse as a date or time."""


class RangeRule(RuleBase):
    """A value must lie between two bounds. Null is kept (use presence); NaN is outside every range."""

    check: Literal["range"] = "range"
    column: str
    min: int | float | str | None = None
    """Least allowed value. Times as ISO 8601; without an offset, local time in the column's zone."""
    max: int | float | str | None = None
    """Greatest allowed value. A date as the end of timestamps is its midnight, the beginning of that day."""
    exclusive: bool = False
    """The bounds themselves are not allowed."""

    @model_validator(mode="after")
    def _has_bound(self) -> RangeRule:
        if self.min is None and self.max is None:
            raise ValueError("a range needs min, max or both")
        return self


class EnumRule(RuleBase):
    """A value must be one of a list. Null is kept."""

    check: Literal["enum"] = "enum"
    column: str
    values: tuple[str | int | float | bool, ...] = Field(min_length=1)


class PatternRule(RuleBase):
    """Text must match a regular expression (Rust syntax, no look-around: linear time)."""

    check: Literal["pattern"] = "pattern"
    column: str
    pattern: str
    """At most 1000 characters."""
    match: Literal["full", "search"] = "full"
    """full: from start to end; search: anywhere in the text."""


class LengthRule(RuleBase):
    """Text must have a length between two bounds, in characters."""

    check: Literal["length"] = "length"
    column: str
    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _has_bound(self) -> LengthRule:
        if self.min is None and self.max is None:
            raise ValueError("a length needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class ExpressionRule(RuleBase):
    """A SQL condition over columns must not be false, e.g. bid <= ask. Unknown (null) is kept."""

    check: Literal["expression"] = "expression"
    expression: str


class FreshnessRule(RuleBase):
    """A time must not be older than, or further ahead than, the run's moment."""

    check: Literal["freshness"] = "freshness"
    column: str
    max_age_s: float | None = Field(None, gt=0)
    """Oldest allowed age, seconds."""
    max_ahead_s: float | None = Field(3600, ge=0)
    """How far in the future a source's clock may be, seconds."""


class UniqueRule(RuleBase):
    """No two records of a task's inputs may share these values. Needs all rows: not for a fused task.

    Null equals null, but a record whose values are all null is left alone. Records that another rule sets aside
    do not count.
    """

    check: Literal["unique"] = "unique"
    columns: tuple[str, ...] = Field(min_length=1)
    keep: Literal["none", "first"] = "first"
    """first: later records of a group are set aside; none: the whole group is."""


Rule = Annotated[
    PresenceRule
    | TypeRule
    | RangeRule
    | EnumRule
    | PatternRule
    | LengthRule
    | ExpressionRule
    | FreshnessRule
    | UniqueRule,
    Field(discriminator="check"),
]


class ValidatorSpec(Spec):
    """Judge every record by rules; set the broken ones aside with their reasons."""

    action: Literal["validate_data_quality", "validate_bulk_data", "validate_streaming_data"] = "validate_data_quality"
    """Names of the same work in the standard, the bulk and the stream workflow."""
    rules: tuple[Rule, ...] = ()
    """The rules; each is computed once per row."""
    suite: str | dict[str, Any] | None = None
    """A Great Expectations suite: path of its JSON file, or its content; its expectations become rules."""
    as_of: str | None = None
    """Moment that freshness is judged at, ISO 8601; default: the run's logical date, else now."""
    max_failure_share: float = Field(0.05, ge=0, le=1)
    """More records set aside than this share of an input and nothing of it is published."""
    source: str | None = None
    """Stand-alone use: a file to validate. In a pipeline the input comes from the tasks before."""
    target: str | None = None
    """Where the good records go: a file, or staging:<dataset> (in a pipeline, the default)."""
