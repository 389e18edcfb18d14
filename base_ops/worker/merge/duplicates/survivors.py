"""Which record of a cluster stands for it."""

from __future__ import annotations

import polars as pl

from base_ops.data_ingestion.options.duplicates import SurvivorRule
from base_ops.worker.merge.duplicates.records import Input, literal


def choose(given: Input, members: pl.DataFrame, rule: SurvivorRule) -> pl.DataFrame:
    """Add to `members(id, cluster, probability, rule)` their `row` and `of`, the row of their cluster's survivor.

    Of equally good records the first by content wins, so that the order of rows plays no part.
    """
    filled = " + ".join(["0", *(f"(v{n} IS NOT NULL)::INT" for n in range(len(given.schema)))])
    criteria = {"completeness": f"{filled} DESC"}
    if rule.source is not None:
        source = given.column(rule.source, "survivor.source")
        places = f"list_position({literal(rule.priority)}, {source}::VARCHAR)"
        criteria["priority"] = f"coalesce({places}, {len(rule.priority) + 1})"
    if rule.recency is not None:
        criteria["recency"] = f"{given.column(rule.recency, 'survivor.recency')} DESC NULLS LAST"
    order = ", ".join([*(criteria[name] for name in rule.order if name in criteria), "id"])
    given.connection.register("members", members.to_arrow())
    made: pl.DataFrame = given.connection.sql(
        f"""SELECT row, cluster, first_value(row) OVER (PARTITION BY cluster ORDER BY {order}) AS of, probability, rule
        FROM members JOIN input USING (id) ORDER BY row"""
    ).pl()
    given.connection.unregister("members")
    return made
