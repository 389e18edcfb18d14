"""Rules that say outright which records are the same: equal columns, or similar ones.

Each fills `edges(l, r, probability, rule)` with pairs of ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import jellyfish
import polars as pl

from base_ops.data_ingestion.options.duplicates import ExactRule, FuzzyRule, SimilarColumn
from base_ops.worker.merge.duplicates.blocking import block
from base_ops.worker.merge.duplicates.columns import PLAIN
from base_ops.worker.merge.duplicates.records import Input

_SOUNDS = {"soundex": jellyfish.soundex, "metaphone": jellyfish.metaphone}


def exact(given: Input, rule: ExactRule, name: str, source: str | None) -> None:
    """Join each record to the first of those that are equal to it; with `source`, only one of another source."""
    columns = [given.column(column, "exact.columns") for column in rule.columns]
    blind = "nullif(lower(trim(regexp_replace({}::VARCHAR, '\\s+', ' ', 'g'))), '')"
    values = [blind.format(c) if rule.ignore_case else c for c in columns]
    there = " AND ".join(f"({value}) IS NOT NULL" for value in values)
    group = f"PARTITION BY {', '.join(values)} ORDER BY id"
    apart = f"{source} IS DISTINCT FROM first_value({source}) OVER ({group})" if source else "true"
    given.connection.execute(
        f"""INSERT INTO edges SELECT l, r, 1.0, '{name}' FROM (
            SELECT first_value(id) OVER ({group}) AS l, id AS r, {apart} AS apart FROM input WHERE {there}
        ) WHERE l < r AND apart"""
    )


def fuzzy(given: Input, rule: FuzzyRule, name: str, source: str | None) -> int:
    """Join the records whose columns are all similar enough; the probability is the least similarity.

    Returns:
        how many pairs were compared.
    """
    columns = [given.column(c.column, "fuzzy.columns") for c in rule.columns]
    values = ", ".join(f"{_plain(column)} AS c{n}" for n, column in enumerate(columns))
    given.connection.execute(f"CREATE OR REPLACE TABLE records AS SELECT id, {values} FROM input")
    for n, item in enumerate(rule.columns):
        if item.method in _SOUNDS:
            _add_sound(given, n, item.method)
    keys: Sequence[Sequence[str]]
    if rule.block:
        keys = [[_plain(given.column(c, "fuzzy.block")) for c in item] for item in rule.block]
    else:
        keys = [[key] for n, item in enumerate(rule.columns) for key in _keys(n, item)]
    compared = block(given, [], keys, rule.max_pairs, source)
    degrees = ", ".join(f"{_similarity(n, item)} AS s{n}" for n, item in enumerate(rule.columns))
    enough = " AND ".join(f"s{n} >= {_least(item)}" for n, item in enumerate(rule.columns))
    least = ", ".join(f"s{n}" for n in range(len(columns)))
    given.connection.execute(
        f"""INSERT INTO edges SELECT l, r, least({least}), '{name}' FROM (
            SELECT l.id AS l, r.id AS r, {degrees} FROM pairs
            JOIN records l ON l.id = join_key_l JOIN records r ON r.id = join_key_r
        ) WHERE {enough}"""
    )
    return compared


def _plain(column: str) -> str:
    return f"nullif({PLAIN.format(f'{column}::VARCHAR')}, '')"


def _add_sound(given: Input, number: int, method: str) -> None:
    """Add `p<n>`, how a value sounds, word by word."""
    sound = _SOUNDS[method]
    words = given.connection.sql(f"SELECT DISTINCT c{number} AS value FROM records WHERE c{number} IS NOT NULL").pl()
    codes = [" ".join(sound(word) for word in value.split()) for value in words["value"].to_list()]
    given.connection.register("sounds", words.with_columns(pl.Series("code", codes, pl.String)).to_arrow())
    given.connection.execute(
        f"""CREATE OR REPLACE TABLE records AS SELECT records.*, nullif(sounds.code, '') AS p{number}
        FROM records LEFT JOIN sounds ON c{number} = value"""
    )
    given.connection.unregister("sounds")


def _keys(number: int, item: SimilarColumn) -> list[str]:
    """What similar values share: their sound; else a word, the beginning, or the end."""
    c = f"c{number}"
    if item.method in _SOUNDS:
        return [f"p{number}"]
    if item.method == "exact":
        return [c]
    return [c, f"unnest(string_split({c}, ' '))", f"left({c}, 4)", f"right({c}, 4)"]


def _similarity(number: int, item: SimilarColumn) -> str:
    left, right = f"l.c{number}", f"r.c{number}"
    if item.method == "levenshtein":
        return f"1 - levenshtein({left}, {right}) / greatest(len({left}), len({right}))"
    if item.method == "jaro_winkler":
        return f"jaro_winkler_similarity({left}, {right})"
    if item.method == "exact":
        return f"({left} = {right})::INT"
    return f"(l.p{number} = r.p{number})::INT"


def _least(item: SimilarColumn) -> float:
    return item.threshold if item.method in ("levenshtein", "jaro_winkler") else 1.0
