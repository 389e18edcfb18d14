"""Learning trust: truth from trust, and trust from truth, in turn, until neither changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from base_ops.data_ingestion.options.truth import TruthSpec
from base_ops.worker.merge.truth import numbers, texts
from base_ops.worker.merge.truth.claims import Claims, Real, read
from base_ops.worker.merge.truth.trust import SourceTrust, source_number

_CLOSE = 1e-4
_STRENGTH = 4.0
"""Trust in one field leans on the overall trust as if that were so many claims."""


def learn(claims: Mapping[str, pl.DataFrame], spec: TruthSpec | None = None) -> SourceTrust:
    """Learn how far each source can be trusted.

    Args:
        claims: per field, a frame of key, source and value; a key's number is the same in all fields.
    """
    spec = spec or TruthSpec()
    sources = tuple(
        sorted(set().union(*(frame["source"].unique().drop_nulls().to_list() for frame in claims.values())))
    )
    read_claims = {name: _disputable(frame, sources, spec) for name, frame in claims.items()}
    return _learned(read_claims, sources, spec)


def learn_frames(
    frames: Mapping[str, pl.LazyFrame], key: Sequence[str], fields: Sequence[str], spec: TruthSpec | None = None
) -> SourceTrust:
    """Learn from the sources' records as they are merged: per source a lazy frame, columns under their merged names.

    Of more than `max_claims` claims a part is read: all claims of the keys that a hash draws. A source need not have
    every field. Records with a null in their key are left out.
    """
    spec = spec or TruthSpec()
    total = len(fields) * sum(frame.select(pl.len()).collect().item() for frame in frames.values())
    share = min(spec.max_claims / max(total, 1), 1.0)
    drawn = {source: _drawn(frame, key, fields, share) for source, frame in frames.items()}
    claims = {}
    for name in fields:
        parts = [
            frame.select("key", pl.lit(source).alias("source"), pl.col(name).alias("value"))
            for source, frame in drawn.items()
            if name in frame.columns
        ]
        if parts:
            claims[name] = pl.concat(parts, how="vertical_relaxed")
    return learn(claims, spec)


def _drawn(frame: pl.LazyFrame, key: Sequence[str], fields: Sequence[str], share: float) -> pl.DataFrame:
    there = frame.collect_schema()
    number = pl.struct(key).hash(seed=0)
    return (
        frame.filter(pl.all_horizontal(pl.col(k).is_not_null() for k in key))
        .select(number.alias("key"), *(name for name in fields if name in there and name not in key))
        .filter(pl.col("key") // 2 <= int(share * (2**63 - 1)))
        .collect(engine="streaming")
    )


def _disputable(frame: pl.DataFrame, sources: Sequence[str], spec: TruthSpec) -> Claims:
    """The claims of keys that several sources speak of: what nobody else speaks of shows nothing."""
    several = frame.filter(pl.col("value").is_not_null() & pl.col("source").is_not_null()).filter(
        pl.col("source").n_unique().over("key") > 1
    )
    ordered = several.sort("key", "source", "value") if not several["value"].dtype.is_nested() else several
    numbered = ordered.select(source_number(pl.col("source"), sources), pl.col("key").rank("dense") - 1, "value")
    key = numbered["key"].to_numpy().astype(np.int64)
    return read(numbered["value"], numbered["_source"].to_numpy(), key, spec.tolerance)


def _learned(claims: Mapping[str, Claims], sources: tuple[str, ...], spec: TruthSpec) -> SourceTrust:
    count = len(sources)
    wordy = {name: c for name, c in claims.items() if c.numbers is None}
    numeric = {name: c for name, c in claims.items() if c.numbers is not None}
    wrong = dict.fromkeys(wordy, texts.START_WRONG)
    trust = {name: np.full(count, texts.START) for name in wordy}
    weight = {name: np.ones(count) for name in numeric}
    rounds = 0
    while rounds < spec.rounds:
        rounds += 1
        likely = {n: texts.probabilities(c, trust[n], spec.support, wrong[n]) for n, c in wordy.items()}
        wrong = {n: round(texts.wrong_values(c, likely[n]), 9) for n, c in wordy.items()}
        new = _trusted({n: texts.agreement(c, likely[n], count) for n, c in wordy.items()}, spec)
        new_weight = _weighed({n: _losses(c, weight[n], count) for n, c in numeric.items()}, spec)
        change = [np.abs(new[n] - trust[n]).max(initial=0) for n in trust]
        change += [np.abs(new_weight[n] / weight[n] - 1).max(initial=0) for n in weight]
        trust, weight = new, new_weight
        if max(change, default=0.0) < _CLOSE:
            break
    made = {name: np.round(trust[name] if name in trust else weight[name], 9) for name in claims}
    totals = {name: np.bincount(c.source, minlength=count) for name, c in claims.items()}
    return SourceTrust(sources, spec, made, wrong, totals, rounds)


def _losses(claims: Claims, weight: Real, sources: int) -> tuple[Real, Real]:
    if not len(claims.rows):
        return np.zeros(sources), np.zeros(sources)
    chosen, _ = numbers.medians(claims, weight)
    assert claims.numbers is not None
    return numbers.losses(claims, claims.numbers[chosen], sources)


def _trusted(tallies: Mapping[str, tuple[Real, Real]], spec: TruthSpec) -> dict[str, Real]:
    return {name: np.clip(mean, texts.LEAST, texts.MOST) for name, mean in _leaning(tallies, texts.START, spec).items()}


def _weighed(tallies: Mapping[str, tuple[Real, Real]], spec: TruthSpec) -> dict[str, Real]:
    return {name: 1 / np.maximum(loss, numbers.LEAST_LOSS) for name, loss in _leaning(tallies, 1.0, spec).items()}


def _leaning(tallies: Mapping[str, tuple[Real, Real]], start: float, spec: TruthSpec) -> dict[str, Real]:
    """Mean per field and source; of few claims, leaning on the source's mean, and that on the mean of all."""
    if not tallies:
        return {}
    total, claims = (np.sum([tally[i] for tally in tallies.values()], axis=0) for i in (0, 1))
    everyone = (total.sum() + start) / (claims.sum() + 1)
    overall = (total + _STRENGTH * everyone) / (claims + _STRENGTH)
    if not spec.per_field:
        return dict.fromkeys(tallies, overall)
    return {name: (found + _STRENGTH * overall) / (n + _STRENGTH) for name, (found, n) in tallies.items()}
