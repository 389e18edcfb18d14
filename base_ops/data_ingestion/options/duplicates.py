"""Options of finding duplicates: what counts as the same record, and what is done about it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from base_ops.core.spec import Spec

ColumnKind = Literal["name", "text", "date", "email", "code", "number", "category", "ignore"]
"""How a column is compared: see `base_ops/worker/merge/duplicates/comparisons.py`."""


class ExactRule(Spec):
    """Records are the same if all of these columns are equal and none is empty."""

    columns: tuple[str, ...] = Field(min_length=1)
    ignore_case: bool = True
    """Compare without case and runs of spaces; False: values as they are."""


class SimilarColumn(Spec):
    """One column of a fuzzy rule."""

    column: str
    method: Literal["levenshtein", "jaro_winkler", "soundex", "metaphone", "exact"] = "levenshtein"
    """soundex, metaphone: word by word they sound alike (English); without case and accents, as all methods."""
    threshold: float = Field(0.85, gt=0, le=1)
    """Least similarity, 0..1; Levenshtein: 1 - edits / length of the longer text. Of no meaning for sound and exact."""


class FuzzyRule(Spec):
    """Records are the same if every one of these columns is similar enough and none is empty."""

    columns: tuple[SimilarColumn, ...] = Field(min_length=1)
    block: tuple[tuple[str, ...], ...] = ()
    """Only records equal in all columns of at least one item are compared; default: found from the columns."""
    max_pairs: int = Field(20_000_000, ge=1_000)
    """Most pairs of records that are compared, the bound on time and disk; the most frequent values give way."""


class ProbabilisticRule(Spec):
    """Fellegi and Sunter's model, trained on the data themselves. Everything left out is found from the data."""

    columns: dict[str, ColumnKind] = Field(default_factory=dict)
    """How columns are compared, where what is found does not suit; `ignore`: not at all."""
    block: tuple[tuple[str, ...], ...] = ()
    """Only records equal in all columns of at least one item are compared; default: found."""
    threshold: float = Field(0.9, gt=0, lt=1)
    """Least probability that two records are the same."""
    max_pairs: int = Field(20_000_000, ge=1_000)
    """Most pairs of records that are compared, the bound on time and disk; the most frequent values give way."""


class SurvivorRule(Spec):
    """Which record of a cluster stays (delete), or is the one that the others point to (merge_and_mark)."""

    order: tuple[Literal["priority", "recency", "completeness"], ...] = ("priority", "recency", "completeness")
    """Criteria, the weightiest first; those without a setting below are passed over. The rest by content."""
    source: str | None = None
    """priority: column that names the source of a record."""
    priority: tuple[str, ...] = ()
    """priority: sources, best first; others follow."""
    recency: str | None = None
    """recency: column that tells when; the latest wins."""

    @model_validator(mode="after")
    def _priority_has_a_source(self) -> SurvivorRule:
        if bool(self.priority) != (self.source is not None):
            raise ValueError("source (a column) and priority (its values, best first) go together")
        return self


class DuplicatesSpec(Spec):
    """Records of one dataset that are the same thing: how they are found, and what is done about them."""

    exact: tuple[ExactRule, ...] = ()
    """Records equal in all columns of a rule are the same."""
    fuzzy: tuple[FuzzyRule, ...] = ()
    """Records similar in all columns of a rule are the same."""
    probabilistic: ProbabilisticRule | None = None
    """Default where neither exact nor fuzzy is given: on, with all settings found from the data."""
    between: str | None = None
    """Column that names a record's source, if no source has duplicates of its own: a cluster has one record of each."""
    action: Literal["merge_and_mark", "delete", "keep_all"] = "merge_and_mark"
    """merge_and_mark: all records stay, marked by columns `_dup_*`; delete: the survivor of each cluster stays;
    keep_all: nothing changes, duplicates are only reported."""
    survivor: SurvivorRule = Field(default_factory=SurvivorRule)

    @model_validator(mode="after")
    def _some_rule(self) -> DuplicatesSpec:
        if not (self.exact or self.fuzzy or self.probabilistic):
            object.__setattr__(self, "probabilistic", ProbabilisticRule())
        return self
