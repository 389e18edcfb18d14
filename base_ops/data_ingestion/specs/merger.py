"""What can be asked of the merger."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from base_ops.core.spec import Spec
from base_ops.data_ingestion.options.duplicates import DuplicatesSpec
from base_ops.data_ingestion.options.merging import (
    RECORD_RULES,
    AlignmentSpec,
    FieldKind,
    MergeChecks,
    MergeFieldSpec,
    ShardSpec,
    TimeKey,
)
from base_ops.data_ingestion.options.truth import TruthSpec
from base_ops.data_ingestion.presets import with_preset


class MergerSpec(Spec):
    """Join records of several sources that speak of the same thing into one, and say how each conflict was decided."""

    action: Literal["merge_processed_files"] = "merge_processed_files"
    dataset: str
    """Name of the merged dataset."""
    preset: str | None = None
    """equity_prices, bond_data, fx_rates, contact_information or transaction_history: what such data usually want;
    whatever else is said here goes before."""
    key: tuple[str, ...] = Field(min_length=1)
    """Columns that identify a record."""
    time: TimeKey | None = None
    """Records near in time are one: a tolerance, or windows."""
    strategy: Literal["rules", "append"] = "rules"
    """rules: one record per key, conflicts decided by the rules; append: every record stays, in order of key."""
    default: MergeFieldSpec | None = None
    """Rule of all fields not named in `fields`, decided together; default: last_write_wins by arrival."""
    fields: tuple[MergeFieldSpec, ...] = ()
    """Rules of single fields or groups."""
    kinds: Literal["found"] | dict[str, FieldKind] | None = None
    """What fields say, which tells their rule where `fields` has none. found: by their names and types. currency: the
    highest confidence; percentage: weighted average; count: sum; status, date: most recent; category: best source;
    flag: true if any says so; datetime: most precise; measure, text: `default`."""
    numbers: Literal["weighted_average", "sum", "min", "max"] | None = None
    """Rule of all numeric fields that have none by `fields` or `kinds`; default: `default`."""
    confidence: str = "confidence"
    """Column that tells how sure a source is of a record, for kinds and weights, where there is such a column."""
    recency: str = "updated_at"
    """Column that tells when a record was written, for kinds, where there is such a column; else its arrival."""
    priority: tuple[str, ...] = ()
    """Sources, best first (or scores: {bloomberg: 100, reuters: 80}); also breaks ties of every other rule. Unnamed
    sources follow in name order."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each source for weighted_average without `by`, above 0; default 1."""
    rename: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Per source: {its column name: name in the merged dataset}."""
    align: AlignmentSpec = Field(default_factory=AlignmentSpec)
    """How columns of other names and types are brought together."""
    checks: MergeChecks = Field(default_factory=MergeChecks)
    """What must hold of sources and result."""
    truth: TruthSpec = Field(default_factory=TruthSpec)
    """How rule: truth_discovery learns how far each source can be trusted."""
    duplicates: DuplicatesSpec | None = None
    """Find merged records that are the same thing under different keys, and mark or delete them."""
    flag_conflicts: bool = False
    """Add a column `_conflicts`: names of the fields in conflict, comma-separated, null where there are none."""
    shard: ShardSpec | None = None
    """Only one part of the keys, where one process is too small for all."""
    lineage: bool = True
    """Keep, per row and field, which source won."""
    inputs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Stand-alone use: per source, Parquet files. In a pipeline the inputs come from the tasks before."""
    target: str | None = None
    """Stand-alone use: folder to write to. In a pipeline: staging."""

    @model_validator(mode="before")
    @classmethod
    def _preset_and_scores(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = with_preset(values)
        scores = values.get("priority")
        if isinstance(scores, dict):
            values = {**values, "priority": sorted(scores, key=lambda source: (-float(scores[source]), source))}
        return values

    @model_validator(mode="after")
    def _time_is_in_the_key(self) -> MergerSpec:
        if self.time is not None and self.time.column not in self.key:
            raise ValueError(f"time.column={self.time.column!r} is not one of key: {', '.join(self.key)}")
        return self

    @model_validator(mode="after")
    def _each_field_once(self) -> MergerSpec:
        rules = (*RECORD_RULES, "truth_discovery")
        if self.default is not None and (self.default.fields or self.default.rule not in rules):
            raise ValueError(f"default names no fields, and its rule is one of {', '.join(rules)}")
        if any(not item.fields for item in self.fields):
            raise ValueError("every item of fields names its fields")
        names = [*self.key, *(name for item in self.fields for name in item.fields)]
        for what, listed in (("field", names), ("source in priority", list(self.priority))):
            twice = sorted({name for name in listed if listed.count(name) > 1})
            if twice:
                raise ValueError(f"{what} named twice (keys are decided already): {', '.join(twice)}")
        for source, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"weights.{source} is not above 0: {weight}")
        if bool(self.inputs) != (self.target is not None):
            raise ValueError("inputs and target, the stand-alone use, go together")
        return self
