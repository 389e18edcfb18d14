"""Options of merging: what counts as one record, how sources are brought to one schema, how
conflicts are decided, what is checked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from base_ops.core.spec import Spec

FieldKind = Literal[
    "currency", "percentage", "count", "status", "category", "flag", "datetime", "date", "measure", "text"
]
"""What a field says, which tells how its conflicts are decided; see `merger.kinds`."""


class TimeKey(Spec):
    """The column of the key that tells when, and how near two records must be to speak of the same moment.

    tolerance_s: records of different sources at most this far apart are one, each group beginning at its earliest
    record; two records of one source at different times never are. window_s: all records of a window are one.
    """

    column: str
    """A timestamp column of the key."""
    tolerance_s: float | None = Field(None, gt=0)
    """Greatest distance from the earliest record of a group, seconds."""
    window_s: float | None = Field(None, gt=0)
    """Length of the windows, seconds; counted from 1970-01-01T00:00."""
    align: Literal["start", "center", "end"] = "start"
    """window_s: which moment of its window a merged record bears."""

    @model_validator(mode="after")
    def _one_of_both(self) -> TimeKey:
        if (self.tolerance_s is None) == (self.window_s is None):
            raise ValueError("time has exactly one of: tolerance_s, window_s")
        return self


class AlignmentSpec(Spec):
    """How columns that sources call differently, or hold in other types, become one column."""

    names: Literal["exact", "plain", "similar"] = "plain"
    """exact: as they are; plain: without case, spaces and punctuation (`Close Price` is `close_price`); similar: also
    where they are at least as similar as `similarity`. What was matched is reported."""
    similarity: float = Field(0.8, gt=0, le=1)
    """names=similar: least Jaro-Winkler similarity of two plain names; a better match wins, a tie is no match."""
    coerce: bool = False
    """Texts of one source become the type another has, where every one of them is such a value, exactly."""
    missing: Literal["null", "skip", "default"] = "null"
    """Of a field that a source lacks: null: it has no say; skip: the field is left out unless all sources have it;
    default: it says `defaults`."""
    defaults: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """missing=default: the value per field."""

    @model_validator(mode="after")
    def _defaults_are_used(self) -> AlignmentSpec:
        if bool(self.defaults) != (self.missing == "default"):
            raise ValueError("missing: default and defaults go together")
        return self


class MergeChecks(Spec):
    """What must hold of the sources before, and of the result after."""

    min_completeness: float = Field(0.90, ge=0, le=1)
    """Least share of the cells (keys apart) of each source, and of the result, that hold a value."""
    max_inconsistency: float = Field(0.05, ge=0, le=1)
    """Greatest share of the values said by several sources that are in conflict."""
    on_failure: Literal["flag", "refuse"] = "flag"
    """flag: a finding; refuse: nothing is published."""


class ShardSpec(Spec):
    """One part of a merge that is too large for one process: the records whose key falls into it.

    All shards together give the rows of the whole merge, and nothing twice.
    """

    index: int = Field(ge=0)
    count: int = Field(ge=1, le=1024)

    @model_validator(mode="after")
    def _index_below_count(self) -> ShardSpec:
        if self.index >= self.count:
            raise ValueError(f"shard.index counts from 0 and is below count={self.count}")
        return self


FieldRule = Literal[
    "last_write_wins",
    "first_write_wins",
    "most_recent",
    "highest_confidence",
    "most_precise",
    "priority",
    "merge_and_flag",
    "truth_discovery",
    "weighted_average",
    "sum",
    "min",
    "max",
    "expression",
]
RECORD_RULES = (
    "last_write_wins",
    "first_write_wins",
    "most_recent",
    "highest_confidence",
    "priority",
    "merge_and_flag",
)
"""Rules that choose a record, so that several fields can be taken from it together."""
_ORDERED_OR_WEIGHED = (
    "last_write_wins",
    "first_write_wins",
    "most_recent",
    "highest_confidence",
    "weighted_average",
)


class MergeFieldSpec(Spec):
    """How conflicts in one field, or in several fields that must stay together, are decided."""

    fields: tuple[str, ...] = ()
    """The fields; left out in `default` only. Several: taken together from one record under the rules that choose a
    record; each for itself under weighted_average, sum, min and max."""
    rule: FieldRule
    by: str | None = None
    """Column that orders records (last/first_write_wins, most_recent, highest_confidence) or weighs them
    (weighted_average)."""
    expression: str | None = None
    """rule=expression: SQL scalar expression over source-qualified values, e.g. coalesce(oanda, fxcm)."""
    ignore_nulls: bool = True
    """Single fields: a record without a value does not win over one with a value."""
    tolerance: float = Field(0.0, ge=0)
    """Numbers at most this far apart are no conflict (same unit as the field)."""
    min_confidence: float = Field(0.0, ge=0, le=1)
    """truth_discovery: a choice less sure than this is left to the better source."""

    @model_validator(mode="after")
    def _rule_has_what_it_needs(self) -> MergeFieldSpec:
        if (self.rule == "expression") != (self.expression is not None):
            raise ValueError("rule: expression and the key expression go together")
        if self.rule in ("most_recent", "highest_confidence") and self.by is None:
            what = "when" if self.rule == "most_recent" else "how sure the source is"
            raise ValueError(f"rule: {self.rule} needs by, the column that tells {what}")
        if self.by is not None and self.rule not in _ORDERED_OR_WEIGHED:
            raise ValueError(f"by has no meaning for rule: {self.rule}; it goes with {', '.join(_ORDERED_OR_WEIGHED)}")
        if self.min_confidence and self.rule != "truth_discovery":
            raise ValueError(f"min_confidence has no meaning for rule: {self.rule}; it goes with truth_discovery")
        if self.rule == "expression" and len(self.fields) > 1:
            raise ValueError("rule: expression gives the value of one field")
        return self
