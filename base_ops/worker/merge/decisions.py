"""The spec's rules bound to the columns that are there: what is decided together, by whom, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from base_ops.core.errors import BadInput, ConfigError, did_you_mean
from base_ops.data_ingestion.options.merging import RECORD_RULES, FieldRule, MergeFieldSpec
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.merge.files import Inputs, prove_exact
from base_ops.worker.merge.kinds import implied_rules

_DERIVED = ("weighted_average", "sum", "expression")
LINEAGE = "_src_"
"""Prefix of the columns that name the winning source by its number in the list of sources."""
FLAGS = "_conflicts"
"""Column that names the fields in conflict, comma-separated."""


ENTRY = "//entry"
"""Stands for the order of landing, where a rule orders by arrival."""
PRECISION = "//precision "
"""Stands, before the name of a timestamp column, for how fine its values are: days to nanoseconds."""


@dataclass(frozen=True)
class Order:
    """What lets one record win over another: a criterion, then the better source, then arrival."""

    column: str | None = None
    """A column, nulls last; or ENTRY, or PRECISION of a column. None: priority alone."""
    largest: bool = True
    earliest: bool = False
    """Of records of one source that the criterion leaves, the earliest wins; otherwise the latest."""


@dataclass(frozen=True)
class Decision:
    """One field, or the fields that one record supplies together."""

    fields: tuple[str, ...]
    rule: FieldRule
    by: str | None
    """Column of weights; None: none, or by source."""
    order: Order
    skip_nulls: bool
    """A record without a value is no candidate."""
    tolerance: float
    takers: frozenset[int]
    """Branches that take part: a source that has no such column has no say."""
    whole: frozenset[int]
    """Branches that have all the fields; the others win only where none of these has a record."""
    weights: tuple[float, ...] = ()
    """weighted_average without `by`: one per source."""
    value: pl.Expr | None = None
    """rule=expression, over one column per source, named as the source."""
    dtypes: tuple[pl.DataType, ...] = ()
    """Types of the fields as they come out."""
    min_confidence: float = 0.0
    """A choice less sure than this is left to the better source."""
    flags: bool = False
    """Rows say which of these fields were in conflict."""

    @property
    def takes_record(self) -> bool:
        return self.rule not in _DERIVED

    @property
    def compares(self) -> bool:
        """Whether only values decide: where they are all the same, there is nothing to compute."""
        return self.rule in ("min", "max", "most_precise", "truth_discovery", "weighted_average")

    @property
    def trusts(self) -> bool:
        """Whether what was learned of the sources decides."""
        return self.rule == "truth_discovery"

    @property
    def lineage(self) -> str:
        """Name of its lineage column: that of its first field."""
        return LINEAGE + self.fields[0]


def decide(spec: MergerSpec, inputs: Inputs) -> tuple[Decision, ...]:
    """Bind the rules to the columns of `inputs`.

    A named group is decided by the records of the sources that have all of its columns, as long as there is one.
    The fields left to `default` are decided together among the sources that have them; fields that only some
    sources have are a decision of their own, since the others have no say in it. A rule for a column that none of
    these files has decides nothing (the job checks names against all its inputs).

    Raises:
        ConfigError: `by` is no column, an expression does not fit, or a lineage column's name is taken.
        BadInput: a column to average or to add up is not numeric.
    """
    decisions: list[Decision] = []
    named: set[str] = set()
    for item in (*spec.fields, *implied_rules(spec, inputs.schema)):
        present = tuple(name for name in item.fields if name in inputs.schema)
        named.update(present)
        groups = [present] if item.rule in RECORD_RULES else [(name,) for name in present]
        decisions += [_decision(item, group, spec, inputs, together=len(item.fields) > 1) for group in groups if group]
    default = spec.default or MergeFieldSpec(rule="last_write_wins")
    alike: dict[frozenset[int], list[str]] = {}
    for name in inputs.schema:
        if name not in named and name not in spec.key:
            alike.setdefault(inputs.having(name), []).append(name)
    together = default.rule in RECORD_RULES
    for names in alike.values():
        groups = [tuple(names)] if together else [(name,) for name in names]
        decisions += [_decision(default, group, spec, inputs, together=together) for group in groups]
    added = [d.lineage for d in decisions] if spec.lineage else []
    taken = [name for name in [*added, *([FLAGS] if any(d.flags for d in decisions) else [])] if name in inputs.schema]
    if taken:
        raise ConfigError(
            f"The column {taken[0]!r} has the name of a column that the merge adds",
            code="reserved_column",
            where="spec.lineage, spec.flag_conflicts",
            todo="rename it (spec.rename), or have the merge add none",
        )
    return tuple(decisions)


def main_order(decisions: Sequence[Decision]) -> Order:
    """The order that decides most fields: rows sorted by it need no search for the winner."""
    sizes: dict[Order, int] = {Order(): 0}
    for decision in decisions:
        if decision.rule in RECORD_RULES:
            sizes[decision.order] = sizes.get(decision.order, 0) + len(decision.fields)
    return max(sizes, key=lambda order: sizes[order])


def check_names(spec: MergerSpec, columns: Sequence[str], sources: Sequence[str]) -> None:
    """Refuse names in the spec that nothing in all inputs of the job bears.

    Raises:
        ConfigError: with what is known.
    """
    for item in (*spec.fields, *([spec.default] if spec.default else [])):
        for name in (*item.fields, *([item.by] if item.by else [])):
            if name not in columns:
                raise ConfigError(
                    f"A rule is about the column {name!r}, which no input has. {did_you_mean(name, columns)}",
                    code="unknown_column",
                    where="spec.fields" if item is not spec.default else "spec.default",
                    found=f"inputs of {', '.join(sources)}",
                )


def _decision(
    item: MergeFieldSpec, fields: tuple[str, ...], spec: MergerSpec, inputs: Inputs, *, together: bool
) -> Decision:
    having = [inputs.having(name) for name in fields]
    together = together and item.rule in RECORD_RULES
    return Decision(
        fields=fields,
        rule=item.rule,
        by=item.by if item.by in inputs.schema else None,
        order=_order(item, fields[0], inputs),
        skip_nulls=item.rule not in RECORD_RULES or (item.ignore_nulls and not together),
        tolerance=item.tolerance,
        takers=frozenset.union(*having),
        whole=frozenset.intersection(*having),
        weights=_weights(item, spec, inputs),
        value=_expression(item, spec, inputs, inputs.schema[fields[0]]),
        dtypes=tuple(_dtype(item, name, spec, inputs) for name in fields),
        min_confidence=item.min_confidence,
        flags=spec.flag_conflicts or item.rule == "merge_and_flag",
    )


def _order(item: MergeFieldSpec, field: str, inputs: Inputs) -> Order:
    """A column that none of these files has orders nothing."""
    earliest = item.rule == "first_write_wins"
    if item.rule == "most_precise":
        if not isinstance(inputs.schema[field], pl.Datetime):
            raise BadInput(
                f"The column {field!r} holds no timestamps, of which one could be the most precise",
                code="not_a_timestamp",
                where="rule most_precise",
                found=str(inputs.schema[field]),
            )
        return Order(PRECISION + field)
    by = {"priority": None, "merge_and_flag": None, "truth_discovery": None, "min": field, "max": field}
    column = by.get(item.rule, item.by or ENTRY)
    if column is not None and column != ENTRY and column not in inputs.schema:
        return Order(earliest=earliest)
    if item.rule not in _DERIVED and column is not None and inputs.schema.get(column, pl.Int64()).is_nested():
        raise BadInput(
            f"The column {column!r} has no order",
            code="not_orderable",
            where=f"rule {item.rule}",
            found=str(inputs.schema[column]),
        )
    return Order(column, largest=item.rule not in ("min", "first_write_wins"), earliest=earliest)


def _weights(item: MergeFieldSpec, spec: MergerSpec, inputs: Inputs) -> tuple[float, ...]:
    if item.rule != "weighted_average":
        return ()
    if item.by in inputs.schema and not inputs.schema[item.by].is_numeric():
        raise ConfigError(
            f"The column {item.by!r} cannot weigh records",
            code="not_numeric",
            expected="numbers",
            found=str(inputs.schema[item.by]),
        )
    return tuple(spec.weights.get(source, 1.0) for source in inputs.sources)


def _known_sources(spec: MergerSpec, inputs: Inputs) -> list[str]:
    """The sources an expression may name, also such as have sent nothing for this slice."""
    return list(dict.fromkeys((*inputs.sources, *spec.priority, *spec.weights, *spec.rename)))


def _expression(item: MergeFieldSpec, spec: MergerSpec, inputs: Inputs, dtype: pl.DataType) -> pl.Expr | None:
    if item.expression is None:
        return None
    from base_ops.worker.expressions import compile_expression  # brings sqlglot

    schema = pl.Schema(dict.fromkeys(_known_sources(spec, inputs), dtype))
    value = compile_expression(item.expression, schema)
    made = pl.LazyFrame(schema=schema).select(value.alias("v")).collect_schema()["v"]
    if made == pl.Null:
        return value.cast(dtype)
    return value.cast(pl.Int64) if made in (pl.Int128, pl.UInt128) else value


def _dtype(item: MergeFieldSpec, name: str, spec: MergerSpec, inputs: Inputs) -> pl.DataType:
    dtype = inputs.schema[name]
    if item.rule in ("weighted_average", "sum") and not dtype.is_numeric():
        raise BadInput(
            f"The column {name!r} cannot be merged by {item.rule}",
            code="not_numeric",
            where=f"spec.fields, {name}",
            expected="numbers",
            found=str(dtype),
        )
    if item.rule == "weighted_average":
        prove_exact(name, [f for f in inputs.files if name in f.schema], "rule: weighted_average computes in float64")
        return pl.Float64()
    if item.rule == "sum":
        if dtype.is_float():
            return pl.Float64()
        if isinstance(dtype, pl.Decimal):
            return pl.Decimal(38, dtype.scale)
        return pl.Decimal(38, 0) if dtype == pl.UInt64 else pl.Int64()
    value = _expression(item, spec, inputs, dtype)
    if value is None:
        return dtype
    schema = pl.Schema(dict.fromkeys(_known_sources(spec, inputs), dtype))
    return pl.LazyFrame(schema=schema).select(value.alias("v")).collect_schema()["v"]
