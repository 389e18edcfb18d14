"""Which pairs of records are worth comparing: those that share a key, as many as the bound allows.

A key is a value, a word of a text, the beginning of a value, or a combination of two columns. Every key is used for
those of its values that are rare enough: the most frequent are left out, per key, until its pairs fit its share of
the bound; combinations tell apart what a frequent value alone cannot. So neither one wrong column nor a skewed one
loses a pair that several columns speak for, and no input makes the number of pairs explode.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from base_ops.worker.merge.duplicates.columns import Column
from base_ops.worker.merge.duplicates.comparisons import twins
from base_ops.worker.merge.duplicates.records import Input

_PER_RECORD = 100
"""Pairs compared per record, on average at most …"""
_ALL_PAIRS = 1_000_000
"""… unless comparing all with all takes no more than this."""


def block(
    given: Input, columns: Sequence[Column], rules: Sequence[Sequence[str]], max_pairs: int, source: str | None
) -> int:
    """Create `pairs(match_key, join_key_l, join_key_r)`, ids of `records`; how many.

    Args:
        rules: SQL of keys, each a list of expressions over `input` and `records` that must all be equal; empty: found.
        source: column of `input` in which the two records must differ.
    """
    connection, rows = given.connection, given.rows
    differ = f"AND l.{source} IS DISTINCT FROM r.{source}" if source else ""
    if not rules and rows * (rows - 1) // 2 <= min(_ALL_PAIRS, max_pairs):
        connection.execute(
            f"""CREATE OR REPLACE TABLE pairs AS SELECT '0' AS match_key, l.id AS join_key_l, r.id AS join_key_r
            FROM input l JOIN input r ON l.id < r.id {differ}"""
        )
    else:
        found = list(rules) or _found(given, columns)
        bound = min(max_pairs, max(_PER_RECORD * rows, _ALL_PAIRS)) // len(found)
        connection.execute("CREATE OR REPLACE TABLE keys (id BIGINT, key UBIGINT)")
        for number, parts in enumerate(found):
            _add_keys(given, number, parts, bound)
        said = (
            f"JOIN input li ON li.id = l.id JOIN input ri ON ri.id = r.id AND li.{source} IS DISTINCT FROM ri.{source}"
        )
        connection.execute(
            f"""CREATE OR REPLACE TABLE pairs AS
            SELECT DISTINCT '0' AS match_key, l.id AS join_key_l, r.id AS join_key_r
            FROM keys l JOIN keys r ON l.key = r.key AND l.id < r.id {said if source else ""}"""
        )
        connection.execute("DROP TABLE keys")
    count: int = given.value("SELECT count(*) FROM pairs")
    return count


def _add_keys(given: Input, number: int, parts: Sequence[str], bound: int) -> None:
    """Add the keys of one rule, leaving out the values whose pairs would exceed the bound."""
    there = " AND ".join(f"({part}) IS NOT NULL" for part in parts)
    made = f"SELECT id, hash({number}, {', '.join(parts)}) AS key FROM records JOIN input USING (id) WHERE {there}"
    if parts[0].startswith("unnest("):  # a word is the same key in every column
        words = f"SELECT id, {parts[0]} AS word FROM records"
        made = f"SELECT id, hash('word', word) AS key FROM ({words}) WHERE len(word) > 2"
    given.connection.execute(
        f"""INSERT INTO keys
        WITH made AS MATERIALIZED ({made}),
        sized AS (SELECT key, count(*) AS n FROM made GROUP BY key HAVING n > 1),
        sizes AS (SELECT n, sum(sum(n * (n - 1) // 2)) OVER (ORDER BY n) AS pairs FROM sized GROUP BY n),
        allowed AS (SELECT coalesce(max(n), 0) AS n FROM sizes WHERE pairs <= {bound})
        SELECT id, key FROM made JOIN sized USING (key) WHERE sized.n <= (SELECT n FROM allowed)"""
    )


def _found(given: Input, columns: Sequence[Column]) -> list[tuple[str, ...]]:
    alone = [(part,) for column in columns for part in _alone(column)]
    together = [(_rough(a), _rough(b)) for a, b in combinations(columns, 2)]
    exchanged = [
        (f"least({a.value}, {b.value})", f"greatest({a.value}, {b.value})")
        for number, b in twins(given, columns).items()
        for a in columns
        if a.number == number and number < b.number
    ]
    return [*alone, *exchanged, *together]


def _alone(column: Column) -> list[str]:
    c = column.value
    if column.kind in ("text", "name"):
        return [c, f"unnest(t{column.number})"]
    if column.kind == "email":
        return [c, f"t{column.number}"]
    return [c]


def _rough(column: Column) -> str:
    """A value's beginning, which most errors leave as it is."""
    c = column.value
    return {"name": f"left({c}, 4)", "text": f"left({c}, 6)", "email": f"left({c}, 4)"}.get(column.kind, c)
