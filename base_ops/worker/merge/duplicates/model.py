"""Fellegi and Sunter's model of record linkage, trained on the data and applied to the pairs.

I. P. Fellegi, A. B. Sunter, "A Theory for Record Linkage", JASA 64 (1969): agreement at a level is seen with
probability m among pairs that are the same and u among those that are not; the logarithms of m / u add up. Splink
compares and scores the pairs, with term frequencies; training.py finds m, u and the share of matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from base_ops.worker.merge.duplicates.records import Input
from base_ops.worker.merge.duplicates.training import Class, Parameters, Patterns, train

_RANDOM_RECORDS = 700
"""Records all pairs of which stand for random pairs."""
_TRAINING_PAIRS = 500_000


def score(given: Input, comparisons: Sequence[dict[str, Any]], source: str | None, floor: float) -> dict[str, Any]:
    """Create `scored(l, r, probability)` from `pairs`: those with a probability of at least `floor`.

    Returns:
        the trained model as Splink's settings: `same`, and `related` if pairs of that kind were found.
    """
    found = _trained(given, comparisons, source)
    model = {"same": _settings(comparisons, found.same, found.unrelated)}
    given.connection.execute("CREATE OR REPLACE TABLE scored (l BIGINT, r BIGINT, probability DOUBLE)")
    same = _predicted(given, model["same"], "pairs", floor)
    if found.related is None:
        made = f"SELECT id_l AS l, id_r AS r, match_probability AS p FROM {same}"
    else:
        model["related"] = _settings(comparisons, found.related, found.unrelated)
        ids = "'0' AS match_key, id_l AS join_key_l, id_r AS join_key_r"
        given.connection.execute(f"CREATE OR REPLACE TABLE likely AS SELECT {ids} FROM {same}")
        other = _predicted(given, model["related"], "likely", 0.0)
        against = "power(2.0, -s.match_weight) * (1 + power(2.0, o.match_weight))"
        made = f"""SELECT s.id_l AS l, s.id_r AS r, 1 / (1 + {against}) AS p
            FROM {same} s JOIN {other} o ON s.id_l = o.id_l AND s.id_r = o.id_r"""
    given.connection.execute(
        f"INSERT INTO scored SELECT least(l, r), greatest(l, r), round(p, 9) FROM ({made}) WHERE p >= {floor}"
    )
    return model


def _settings(comparisons: Sequence[dict[str, Any]], wanted: Class, unrelated: Class) -> dict[str, Any]:
    """Splink's settings for telling one class from unrelated pairs."""
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "id",
        "comparisons": _rated(comparisons, wanted, unrelated),
        "probability_two_random_records_match": float(f"{wanted.share / (wanted.share + unrelated.share):.6g}"),
        "blocking_rules_to_generate_predictions": ["l.id = r.id"],  # required, but the pairs are given
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": False,
    }


def _predicted(given: Input, settings: dict[str, Any], pairs: str, floor: float) -> str:
    """Let Splink score pairs; the name of the table that holds id_l, id_r, match_weight, match_probability."""
    from splink import DuckDBAPI, Linker

    api = DuckDBAPI(given.connection)
    linker = Linker(api.register("records"), settings, log_level=None)
    linker.table_management.register_blocked_pairs_for_predict(api.register(pairs))
    made = linker.inference.predict(threshold_match_probability=floor or None, warning_mode="never")
    name: str = made.physical_name
    return name


def _trained(given: Input, comparisons: Sequence[dict[str, Any]], source: str | None) -> Parameters:
    own = f"(SELECT sum(n * (n - 1) // 2) FROM (SELECT count(*) AS n FROM input GROUP BY {source}))" if source else "0"
    total = int(given.value(f"SELECT count(*) * (count(*) - 1) // 2 - {own} FROM input"))
    count = int(given.value("SELECT count(*) FROM pairs"))
    every = -(-count // _TRAINING_PAIRS)
    seen = _patterns(given, comparisons, f"pairs WHERE hash(join_key_l, join_key_r) % {every} = 0")
    random = seen if count == total else _patterns(given, comparisons, _random_pairs(given, source))
    sizes = [len(c["comparison_levels"]) - 1 for c in comparisons]
    return train(Patterns(seen.levels, seen.counts * every), random, sizes, total)


def _random_pairs(given: Input, source: str | None) -> str:
    differ = f"AND l.{source} IS DISTINCT FROM r.{source}" if source else ""
    given.connection.execute(
        f"""CREATE OR REPLACE TABLE drawn AS FROM input ORDER BY hash(id), id LIMIT {_RANDOM_RECORDS};
        CREATE OR REPLACE TABLE random_pairs AS SELECT l.id AS join_key_l, r.id AS join_key_r
        FROM drawn l JOIN drawn r ON l.id < r.id {differ}"""
    )
    return "random_pairs"


def _patterns(given: Input, comparisons: Sequence[dict[str, Any]], pairs: str) -> Patterns:
    columns = given.connection.sql("FROM records LIMIT 0").columns
    sides = ", ".join(f"{side}.{name} AS {name}_{side}" for side in "lr" for name in columns)
    cases = []
    for number, c in enumerate(comparisons):
        null, *levels, _ = c["comparison_levels"]
        whens = " ".join(f"WHEN {v['sql_condition']} THEN {len(levels) - n}" for n, v in enumerate(levels))
        cases.append(f"CASE WHEN {null['sql_condition']} THEN -1 {whens} ELSE 0 END AS g{number}")
    frame = given.connection.sql(
        f"""SELECT {", ".join(cases)}, count(*)::DOUBLE AS n FROM (
            SELECT {sides} FROM (FROM {pairs})
            JOIN records l ON l.id = join_key_l JOIN records r ON r.id = join_key_r
        ) GROUP BY ALL ORDER BY ALL"""
    ).pl()
    return Patterns(frame.drop("n").to_numpy().astype(np.int64), frame["n"].to_numpy())


def _rated(comparisons: Sequence[dict[str, Any]], wanted: Class, unrelated: Class) -> list[dict[str, Any]]:
    """Comparisons with m and u, to six digits: the same whatever the order of summation."""
    made = []
    for c, m, u in zip(comparisons, wanted.levels, unrelated.levels, strict=True):
        null, *levels = c["comparison_levels"]
        rates = zip(m[::-1].tolist(), u[::-1].tolist(), strict=True)  # Splink lists the strongest level first
        rated = [
            {**level, "m_probability": float(f"{a:.6g}"), "u_probability": float(f"{b:.6g}")}
            for level, (a, b) in zip(levels, rates, strict=True)
        ]
        made.append({**c, "comparison_levels": [null, *rated]})
    return made
