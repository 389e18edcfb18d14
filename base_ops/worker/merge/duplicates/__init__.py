"""Duplicates: records of one dataset that are the same thing, found, and dealt with as the spec says.

In YAML, as options of a merge (everything may be left out: then the probabilistic rule finds its own settings):

    duplicates:
      exact:
        - columns: [external_id]                     # case-blind; a record without a value is no duplicate
      fuzzy:
        - columns:
            - {column: name, method: jaro_winkler, threshold: 0.9}
            - {column: phone, threshold: 0.95}       # Levenshtein
          block: [[city]]                            # default: found
      probabilistic:                                 # Fellegi and Sunter, trained on the data
        threshold: 0.9
        columns: {comment: ignore, opened: date}     # default: all, kinds found from their values
        block: [[postcode], [surname, birth_date]]   # default: found
      action: merge_and_mark                         # or delete, keep_all
      survivor: {source: feed, priority: [crm, web], recency: updated_at}

To find duplicates and to act on them:

    found = find(path_or_frame, spec, scratch, memory_limit_mb=…, threads=…)
    rows  = act(pl.scan_parquet(path), found, spec)  # lazy: rows with marks, or without the duplicates

`found.records` tells, per record that has a duplicate, its cluster; `found.pairs` which pairs were found and by what;
`found.observations` and `found.model` what to report. Same records in any order: same clusters. Work and disk are
bound by `max_pairs`, memory by `memory_limit_mb` and the pairs that are probably the same.

    records.py      the records in DuckDB, in an order that their content decides
    columns.py      what kind of thing each column holds, and its canonical values
    comparisons.py  how values of a kind are compared
    blocking.py     which pairs are compared
    training.py     expectation maximisation
    model.py        the probabilistic model: trained, then scores by Splink
    rules.py        exact and fuzzy rules
    clusters.py     from pairs to clusters
    survivors.py    which record stands for a cluster
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.duplicates import DuplicatesSpec, ProbabilisticRule
from base_ops.worker.merge.duplicates import clusters, survivors
from base_ops.worker.merge.duplicates.blocking import block
from base_ops.worker.merge.duplicates.columns import PLAIN, compared
from base_ops.worker.merge.duplicates.comparisons import comparison, twins
from base_ops.worker.merge.duplicates.records import Data, Input, load

MARKS = ("_dup_cluster", "_dup_of", "_dup_probability", "_dup_rule")
_RESERVED_MB = 400
"""Left to the process beside DuckDB: Python, clusters on their way."""


@dataclass(frozen=True)
class Duplicates:
    """What was found."""

    records: pl.DataFrame
    """Per record that has duplicates, by row: row (position from 0), cluster (its number), of (row of the survivor),
    probability (of its best pair in the cluster), rule (of that pair: exact_1, fuzzy_1, probabilistic)."""
    pairs: pl.DataFrame
    """left, right (rows), probability, rule: of all pairs found by a rule at its threshold."""
    model: dict[str, Any] = field(default_factory=dict)
    """The trained model in the form of Splink's settings; empty without a probabilistic rule."""
    observations: dict[str, int | float] = field(default_factory=dict)
    """clusters, duplicates (records less survivors), pairs_compared, pairs_found."""


def find(
    data: Data, spec: DuplicatesSpec, scratch: Path, *, memory_limit_mb: int = 1400, threads: int = 0
) -> Duplicates:
    """Find duplicates.

    Args:
        data: a frame, or the path of a Parquet file.
        scratch: folder for what does not fit in memory.
        memory_limit_mb: what the process may use in all, MiB.
        threads: 0 = all cores.

    Raises:
        ConfigError: the spec names a column that is not there.
    """
    source = spec.between
    with load(data, scratch, memory_limit_mb=memory_limit_mb - _RESERVED_MB, threads=threads) as given:
        apart = given.column(source, "duplicates.between") if source else None
        given.connection.execute("CREATE TABLE edges (l BIGINT, r BIGINT, probability DOUBLE, rule VARCHAR)")
        model: dict[str, Any] = {}
        threshold, pairs_compared = 1.0, 0
        if spec.exact or spec.fuzzy:
            from base_ops.worker.merge.duplicates import rules

            for number, equal in enumerate(spec.exact, 1):
                rules.exact(given, equal, f"exact_{number}", apart)
            for number, similar in enumerate(spec.fuzzy, 1):
                pairs_compared += rules.fuzzy(given, similar, f"fuzzy_{number}", apart)
        if spec.probabilistic is not None:
            threshold = spec.probabilistic.threshold
            compared_now, model = _probable(given, spec.probabilistic, spec, apart)
            pairs_compared += compared_now
        return _grouped(given, spec, threshold, model, pairs_compared)


def act(rows: pl.LazyFrame, found: Duplicates, spec: DuplicatesSpec) -> pl.LazyFrame:
    """Do what the spec says about duplicates; `rows` are the data that they were found in, in the same order.

    merge_and_mark adds `_dup_cluster`, `_dup_of` (row of the survivor; null: this record is one), `_dup_probability`
    and `_dup_rule`, null for records without duplicates; delete leaves out all but the survivors
    (`found.observations["duplicates"]` records fewer); keep_all changes nothing.

    Raises:
        ConfigError: a column bears the name of a mark.
    """
    if spec.action == "keep_all":
        return rows
    if spec.action == "delete":
        gone = found.records.filter(pl.col("row") != pl.col("of")).select(pl.col("row").cast(pl.UInt32))
        return (
            rows.with_row_index("_dup_row")
            .join(gone.lazy(), left_on="_dup_row", right_on="row", how="anti", maintain_order="left")
            .drop("_dup_row")
        )
    taken = [name for name in rows.collect_schema() if name in MARKS]
    if taken:
        raise ConfigError(
            f"The column {taken[0]!r} bears the name of a mark of duplicates",
            code="reserved_column",
            where="duplicates.action",
            todo="rename it, or use action: delete or keep_all",
        )
    marks = found.records.select(
        pl.col("row").cast(pl.UInt32).alias("_dup_row"),
        pl.col("cluster").alias("_dup_cluster"),
        pl.when(pl.col("of") != pl.col("row")).then("of").alias("_dup_of"),
        pl.col("probability").alias("_dup_probability"),
        pl.col("rule").alias("_dup_rule"),
    )
    marked = rows.with_row_index("_dup_row").join(marks.lazy(), on="_dup_row", how="left", maintain_order="left")
    return marked.drop("_dup_row")


def _probable(
    given: Input, rule: ProbabilisticRule, spec: DuplicatesSpec, apart: str | None
) -> tuple[int, dict[str, Any]]:
    """Add the pairs that are probably the same; how many were compared, and the model."""
    from base_ops.worker.merge.duplicates import model

    columns = compared(given, rule.columns, {spec.between} if spec.between else set())
    if not columns or given.rows < 2:
        return 0, {}
    pairs = block(given, columns, _keys(given, rule.block), rule.max_pairs, apart)
    if not pairs:
        return 0, {}
    known = twins(given, columns)
    settings = model.score(given, [comparison(c, known.get(c.number)) for c in columns], apart, clusters.FLOOR)
    given.connection.execute("INSERT INTO edges SELECT l, r, probability, 'probabilistic' FROM scored")
    return pairs, settings


def _keys(given: Input, block_on: Sequence[Sequence[str]]) -> list[list[str]]:
    plain = [[given.column(name, "probabilistic.block") for name in item] for item in block_on]
    return [[f"nullif({PLAIN.format(f'{v}::VARCHAR')}, '')" for v in item] for item in plain]


def _grouped(
    given: Input, spec: DuplicatesSpec, threshold: float, model: dict[str, Any], pairs_compared: int
) -> Duplicates:
    best = given.connection.sql(
        """SELECT l, r, max(probability) AS p, bool_or(rule != 'probabilistic') AS sure,
            arg_max(rule, (rule != 'probabilistic', probability)) AS rule
        FROM edges GROUP BY l, r ORDER BY l, r"""
    ).pl()
    groups = clusters.clusters(best.select("l", "r", "p", "sure").iter_rows(), threshold, _sources(given, spec.between))
    members = pl.DataFrame(
        [(record, group[0][0], p) for group in groups for record, p in group],
        {"id": pl.Int64, "cluster": pl.Int64, "probability": pl.Float64},
        orient="row",
    )
    sides = pl.concat([best.select(pl.col(side).alias("id"), "p", "sure", "rule") for side in ("l", "r")])
    by = sides.sort("sure", "p", "rule", descending=[True, True, False]).unique("id", keep="first", maintain_order=True)
    members = members.join(by.select("id", "rule"), on="id", how="left")
    kept = best.filter(pl.col("sure") | (pl.col("p") >= threshold))
    given.connection.register("kept", kept.to_arrow())
    pairs = given.connection.sql(
        """SELECT least(a.row, b.row) AS left, greatest(a.row, b.row) AS right, p AS probability, rule
        FROM kept JOIN input a ON a.id = l JOIN input b ON b.id = r ORDER BY 1, 2"""
    ).pl()
    records = survivors.choose(given, members, spec.survivor)
    observations = {
        "clusters": len(groups),
        "duplicates": records.height - len(groups),
        "pairs_compared": pairs_compared,
        "pairs_found": pairs.height,
    }
    return Duplicates(records, pairs, model, observations)


def _sources(given: Input, between: str | None) -> dict[int, int]:
    """Per record that has a pair and a source, the source's number."""
    if between is None:
        return {}
    source = given.column(between, "duplicates.between")
    return dict(
        given.connection.execute(
            f"""SELECT id, dense_rank() OVER (ORDER BY {source}) FROM input
            WHERE {source} IS NOT NULL AND id IN (SELECT l FROM edges UNION SELECT r FROM edges)"""
        ).fetchall()
    )
