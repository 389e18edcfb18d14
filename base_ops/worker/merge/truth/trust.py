"""What is known of sources, and what follows for a conflict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from base_ops.data_ingestion.options.truth import TruthSpec
from base_ops.worker.merge.truth import numbers, texts
from base_ops.worker.merge.truth.claims import Index, Real, read


@dataclass(frozen=True)
class Winners:
    """Per group, in order of its number."""

    row: Index
    """Position of the winning claim in what was given; -1: nobody claims anything."""
    confidence: Real
    """Probability that the value is right (texts), or share of the weight that says so (numbers); 0 if nobody does."""


@dataclass(frozen=True)
class SourceTrust:
    """What was learned: per field and source, trust (texts) or weight (numbers)."""

    sources: tuple[str, ...]
    spec: TruthSpec
    fields: Mapping[str, Real]
    wrong: Mapping[str, float]
    """Per field of texts, how many wrong values there are; a field without is numeric."""
    claims: Mapping[str, Index]
    rounds: int

    def table(self) -> pl.DataFrame:
        """field, source, trust, claims: for texts the probability that what a source says is right; for numbers its
        weight as a share of the best source's."""
        frames = [
            pl.DataFrame(
                {
                    "field": [name] * len(self.sources),
                    "source": list(self.sources),
                    "trust": values if name in self.wrong else values / values.max(),
                    "claims": self.claims[name],
                }
            )
            for name, values in self.fields.items()
        ]
        empty = pl.DataFrame(schema={"field": pl.String, "source": pl.String, "trust": pl.Float64, "claims": pl.Int64})
        return pl.concat(frames) if frames else empty

    def winners(self, field: str, values: pl.Series, source: Index, group: Index, groups: int | None = None) -> Winners:
        """Decide one field of some groups.

        Args:
            values: what is claimed; null: nothing.
            source: per claim, number of its source in `sources`.
            group: per claim, number of its group, from 0.
            groups: how many there are; default: up to the greatest number.
        """
        count = groups if groups is not None else (int(np.max(group)) + 1 if len(group) else 0)
        row, confidence = np.full(count, -1), np.zeros(count)
        claims = read(values, source, group, self.spec.tolerance)
        if len(claims.rows):
            trust = self.fields[field]
            if claims.numbers is not None:
                chosen, sure = numbers.medians(claims, trust)
            else:
                probability = texts.probabilities(claims, trust, self.spec.support, self.wrong[field])
                best = texts.likeliest(claims, probability)
                form = values.gather(claims.rows).rank("dense").to_numpy().astype(np.int64)
                chosen, sure = texts.spelling(claims, best, form, trust), probability[best]
            row[claims.keys], confidence[claims.keys] = claims.rows[chosen], sure
        return Winners(row, confidence)


def choose(claims: pl.DataFrame, field: str, trust: SourceTrust) -> pl.DataFrame:
    """The trusted value per key.

    Args:
        claims: key, source (a name in `trust.sources`), value.

    Returns:
        key, value, source, confidence, losers (list of structs of source and value that differ), by key.
    """
    numbered = claims.with_columns(
        source_number(pl.col("source"), trust.sources), pl.col("key").rank("dense").alias("_group")
    )
    group = numbered["_group"].to_numpy().astype(np.int64) - 1
    source = numbered["_source"].to_numpy().astype(np.int64)
    won = trust.winners(field, claims["value"], source, group)
    winner = pl.DataFrame({"_group": np.arange(len(won.row)) + 1, "_row": won.row, "confidence": won.confidence})
    won_rows = winner.filter(pl.col("_row") >= 0)
    winners = claims[won_rows["_row"]].with_columns(won_rows["confidence"], won_rows["_group"])
    others = claims.with_columns(numbered["_group"].cast(pl.Int64)).join(
        winners.select("_group", pl.col("value").alias("_won")), on="_group"
    )
    losers = others.filter(pl.col("value").is_not_null() & (pl.col("value") != pl.col("_won"))).group_by("_group")
    lists = losers.agg(pl.struct("source", "value").sort().alias("losers"))
    return winners.join(lists, on="_group", how="left").select("key", "value", "source", "confidence", "losers")


def source_number(source: pl.Expr, sources: Sequence[str]) -> pl.Expr:
    """The place of a source's name in `sources`, as column `_source`."""
    return source.replace_strict(list(sources), list(range(len(sources))), return_dtype=pl.Int64).alias("_source")
