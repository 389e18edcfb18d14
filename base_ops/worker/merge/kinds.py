"""What fields say, and the rules that follow: for the fields that the spec gives no rule of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from base_ops.data_ingestion.options.merging import FieldKind, MergeFieldSpec
from base_ops.data_ingestion.specs.merger import MergerSpec

_WORDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])")
_BY_NAME: tuple[tuple[FieldKind, frozenset[str]], ...] = (
    ("percentage", frozenset({"pct", "percent", "percentage", "rate", "ratio", "share", "yield", "weight"})),
    ("count", frozenset({"count", "qty", "quantity", "volume", "trades"})),
    ("currency", frozenset({"price", "amount", "cost", "value", "fee", "balance", "bid", "ask", "mid"})),
)
_TEXTS: tuple[tuple[FieldKind, frozenset[str]], ...] = (
    ("status", frozenset({"status", "state", "stage"})),
    ("category", frozenset({"category", "type", "class", "sector", "industry", "segment", "group"})),
)


def implied_rules(spec: MergerSpec, schema: Mapping[str, pl.DataType]) -> tuple[MergeFieldSpec, ...]:
    """Rules of the fields without one in spec.fields, by `kinds` and `numbers`, in order of the schema."""
    criteria = {spec.confidence, spec.recency} if spec.kinds else set()
    taken = {*spec.key, *(name for item in spec.fields for name in item.fields), *criteria}
    found = []
    for name, dtype in schema.items():
        if name in taken:
            continue
        kind = None
        if spec.kinds == "found":
            kind = kind_of_field(name, dtype)
        elif spec.kinds is not None:
            kind = spec.kinds.get(name)
        rule = _rule(name, kind, spec, schema)
        if rule is None and spec.numbers is not None and dtype.is_numeric():
            rule = MergeFieldSpec(fields=(name,), rule=spec.numbers)
        if rule is not None:
            found.append(rule)
    return tuple(found)


def kind_of_field(name: str, dtype: pl.DataType) -> FieldKind:
    """By type and by the words of the name."""
    if dtype == pl.Boolean:
        return "flag"
    if dtype == pl.Date:
        return "date"
    if isinstance(dtype, pl.Datetime):
        return "datetime"
    words = {word.lower() for word in _WORDS.split(name)}
    if dtype.is_numeric():
        return next((kind for kind, known in _BY_NAME if words & known), "measure")
    if dtype == pl.String:
        return next((kind for kind, known in _TEXTS if words & known), "text")
    return "text"


def _rule(
    name: str, kind: FieldKind | None, spec: MergerSpec, schema: Mapping[str, pl.DataType]
) -> MergeFieldSpec | None:
    fields = (name,)
    confidence = spec.confidence if spec.confidence in schema else None
    recency = spec.recency if spec.recency in schema else None
    if kind == "currency":
        if confidence is None:
            return MergeFieldSpec(fields=fields, rule="priority")
        return MergeFieldSpec(fields=fields, rule="highest_confidence", by=confidence)
    if kind == "percentage":
        return MergeFieldSpec(fields=fields, rule="weighted_average", by=confidence)
    if kind == "count":
        return MergeFieldSpec(fields=fields, rule="sum")
    if kind in ("status", "date"):
        if recency is None:
            return MergeFieldSpec(fields=fields, rule="last_write_wins")
        return MergeFieldSpec(fields=fields, rule="most_recent", by=recency)
    if kind == "category":
        return MergeFieldSpec(fields=fields, rule="priority")
    if kind == "flag":
        return MergeFieldSpec(fields=fields, rule="max")
    if kind == "datetime":
        return MergeFieldSpec(fields=fields, rule="most_precise")
    return None
