"""How two values of a kind are compared: levels of agreement, the strongest first, as Splink's settings hold them.

    name      equal · equal to the other's value in a column of like values (given name and surname exchanged) ·
              one edit · Jaro-Winkler ≥ 0.92, ≥ 0.85, ≥ 0.75
    text      equal · same words, or one edit · Jaccard of the words, rare ones weighing more, ≥ 0.7 · ≥ 0.5, or nearly
              all words of the lesser text, or Jaro-Winkler ≥ 0.95 · ≥ 0.35, or most, or ≥ 0.9 · ≥ 0.2
    date      equal · one digit or two neighbours changed · two of year, month and day the same, or day and month
              exchanged · within a year
    email     equal · same before the @, or nearly equal · Jaro-Winkler ≥ 0.9
    code      equal · one edit · two edits, or one beginning with the other
    number    equal · within 1 %, 5 %, 20 %
    category  equal · one edit
Equal values count the more the rarer they are (term frequency adjustment), but for numbers and dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

from base_ops.worker.merge.duplicates.columns import Column
from base_ops.worker.merge.duplicates.records import Input

_SHORT = 80
"""Letters."""
_ALIKE = 0.3
"""Two columns hold the same kind of names if this share of the rarer one's values occurs in the other."""


def comparison(column: Column, twin: Column | None = None) -> dict[str, Any]:
    """The comparison of a column, in the form of Splink's settings."""
    made: list[dict[str, Any]] = [
        {"sql_condition": f"{column.value}_l IS NULL OR {column.value}_r IS NULL", "is_null_level": True},
        _level("equal", f"{column.value}_l = {column.value}_r", column.value if _adjusted(column) else None),
        *(_level(f"level {n}", sql) for n, sql in enumerate(_levels(column, twin), 2)),
        _level("different", "ELSE"),
    ]
    return {"output_column_name": column.value, "comparison_levels": made}


def twins(given: Input, columns: Sequence[Column]) -> dict[int, Column]:
    """Pairs of columns that draw on the same values, such as given name and surname: values may be exchanged."""
    found: dict[int, Column] = {}
    shares = []
    for a, b in combinations([c for c in columns if c.kind == "name"], 2):
        sql = f"""SELECT count(*) FILTER (b IS NOT NULL) / greatest(least(count(a), (SELECT count(DISTINCT {b.value})
            FROM records)), 1) FROM (SELECT DISTINCT {a.value} AS a FROM records) LEFT JOIN
            (SELECT DISTINCT {b.value} AS b FROM records) ON a = b"""
        shares.append((given.value(sql), a, b))
    for share, a, b in sorted(shares, key=lambda s: (-s[0], s[1].number, s[2].number)):
        if share >= _ALIKE and a.number not in found and b.number not in found:
            found[a.number], found[b.number] = b, a
    return found


def _adjusted(column: Column) -> bool:
    return column.kind not in ("number", "date")


def _level(label: str, sql: str, adjusted: str | None = None) -> dict[str, Any]:
    level: dict[str, Any] = {"sql_condition": sql, "label_for_charts": label}
    if adjusted:
        level |= {"tf_adjustment_column": adjusted, "tf_adjustment_weight": 1.0, "tf_minimum_u_value": 0.0}
    return level


def _levels(column: Column, twin: Column | None) -> list[str]:
    n = column.number
    left, right = f"c{n}_l", f"c{n}_r"
    longest = f"greatest(len({left}), len({right}))"
    alike = f"jaro_winkler_similarity({left}, {right})"
    edited = partial(_edited, left, right)
    if column.kind == "name":
        exchanged = [f"{left} = {twin.value}_r"] if twin else []
        return [
            *exchanged,
            f"{edited(1)} AND {longest} > 3",
            f"{alike} >= 0.92",
            f"{alike} >= 0.85",
            f"{alike} >= 0.75",
        ]
    if column.kind == "text":
        both = f"list_intersect(t{n}_l, t{n}_r)"
        common = f"coalesce(list_sum(list_transform({both}, lambda x: left(x, 2)::INT)), 0)"
        jaccard = f"{common} / (w{n}_l + w{n}_r - {common})"
        within = f"{common} / least(w{n}_l, w{n}_r)"
        return [
            f"t{n}_l = t{n}_r OR {_short(longest, edited(1))}",
            f"{jaccard} >= 0.7",
            f"{jaccard} >= 0.5 OR {within} >= 0.95 OR {_short(longest, f'{alike} >= 0.95')}",
            f"{jaccard} >= 0.35 OR {within} >= 0.7 OR {_short(longest, f'{alike} >= 0.9')}",
            f"{jaccard} >= 0.2",
        ]
    if column.kind == "date":
        year, month, day = ((f"substr({left}, {p})", f"substr({right}, {p})") for p in ("1, 4", "5, 2", "7, 2"))
        same = [f"({a} = {b})::INT" for a, b in (year, month, day)]
        exchanged_parts = f"{month[0]} = {day[1]} AND {day[0]} = {month[1]} AND {year[0]} = {year[1]}"
        return [
            edited(1),
            f"{' + '.join(same)} >= 2 OR ({exchanged_parts})",
            f"abs(date_diff('day', d{n}_l, d{n}_r)) <= 366 OR {edited(2)}",
        ]
    if column.kind == "email":
        return [f"t{n}_l = t{n}_r", edited(2), f"{alike} >= 0.9"]
    if column.kind == "code":
        least = f"least(len({left}), len({right}))"
        begins = f"{least} > 2 AND (starts_with({left}, {right}) OR starts_with({right}, {left}))"
        return [f"{edited(1)} AND {longest} > 2", f"({edited(2)} AND {longest} > 4) OR ({begins})"]
    if column.kind == "number":
        apart = f"abs(n{n}_l - n{n}_r) / greatest(abs(n{n}_l), abs(n{n}_r), 1e-12)"
        return [f"n{n}_l = n{n}_r OR {apart} <= 0.01", f"{apart} <= 0.05", f"{apart} <= 0.2"]
    return [f"{edited(1)} AND {longest} > 4"]


def _edited(left: str, right: str, edits: int) -> str:
    """At most so many edits (a change of places is one). Counting them is slow: what is quicker rules out the most."""
    unlike = f"abs(len({left}) - len({right})) > {edits} OR jaro_winkler_similarity({left}, {right}) < 0.7"
    more = f"levenshtein({left}, {right}) > {2 * edits}"
    count = f"damerau_levenshtein({left}, {right})"
    return f"(CASE WHEN {unlike} THEN false WHEN {more} THEN false ELSE {count} <= {edits} END)"


def _short(longest: str, condition: str) -> str:
    """Letters are compared in short texts only: it takes time with the square of their length."""
    return f"(CASE WHEN {longest} > {_SHORT} THEN false ELSE {condition} END)"
