"""Expectation maximisation for the model of Fellegi and Sunter, without labels.

W. E. Winkler, "Using the EM Algorithm for Weight Computation in the Fellegi-Sunter Model of Record Linkage", 1988.

The likelihood is that of all pairs of records, of which those that no key brings together are taken as different.
So one run finds the share of matches (no rule or recall has to be assumed), and m of every column at once, since
blocking does not hide any column from it. What random pairs show is a mixture; u is that less the matches in it,
which matters where the data are few and duplicates many.

Pairs that are not the same but related (one street, one household, one brand) agree in several columns at once. With
two classes alone they are taken for the same, where they outnumber these; so they have a class of their own (M. D.
Larsen, D. B. Rubin, "Iterative Automated Record Linkage Using Mixture Models", JASA 96, 2001), as long as it is found
to disagree in most of what the columns tell. Otherwise it would be one more kind of pairs that are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

_ROUNDS = 200
_CLOSE = 1e-5
_COLUMNS_FOR_THREE = 3
"""Fewer columns cannot tell three classes apart."""
_LEAST = 1e-7
"""No level is impossible among pairs that are different."""


@dataclass(frozen=True)
class Patterns:
    """Pairs by their levels of agreement."""

    levels: NDArray[np.int64]
    """Per pattern and column the level, from 0, different; -1: a value is missing."""
    counts: Real
    """Pairs per pattern."""


@dataclass(frozen=True)
class Class:
    """One of the kinds of pairs: the same, related, or unrelated."""

    share: float
    """Of all pairs."""
    levels: list[Real]
    """Per column, the probability of each level of agreement."""


@dataclass(frozen=True)
class Parameters:
    """A trained model."""

    same: Class
    related: Class | None
    unrelated: Class


def train(seen: Patterns, random: Patterns, levels: Sequence[int], total: float) -> Parameters:
    """Find the parameters.

    Args:
        seen: the pairs that share a key (counts scaled up, if a sample).
        random: pairs drawn at random.
        levels: how many levels each column has.
        total: pairs there are in all.
    """
    if len(levels) >= _COLUMNS_FOR_THREE:
        found = _fit(seen, random, levels, total, related=True)
        if found.related is not None and _disagreement(found.related, found.unrelated) >= 0.5:
            return found
    return _fit(seen, random, levels, total, related=False)


def _fit(seen: Patterns, random: Patterns, levels: Sequence[int], total: float, *, related: bool) -> Parameters:
    mixture = [_shares(random, k, n, np.full(n, 1 / n)) for k, n in enumerate(levels)]
    usual = [_usual(n) for n in levels]
    candidates = seen.counts.sum() / total
    classes = [Class(min(1e-2, 0.1 * candidates), usual)]
    if related:
        halfway = [(a + b) / 2 for a, b in zip(usual, mixture, strict=True)]
        classes.append(Class(min(5e-2, 0.2 * candidates), halfway))
    rest = Class(1 - sum(c.share for c in classes), mixture)
    for _ in range(_ROUNDS):
        before = classes[0]
        belonging = _belonging(seen, [*classes, rest])
        classes = [_class(Patterns(seen.levels, seen.counts * p), usual, total) for p in belonging[:-1]]
        rest = Class(1 - sum(c.share for c in classes), _without(mixture, classes))
        change = max(float(np.abs(new - was).max()) for new, was in zip(classes[0].levels, before.levels, strict=True))
        if max(change, abs(math.log(classes[0].share / before.share))) < _CLOSE:
            break
    return Parameters(classes[0], classes[1] if related else None, rest)


def _belonging(pairs: Patterns, classes: Sequence[Class]) -> Real:
    """Probability of each class, per pattern."""
    weights = np.zeros((len(classes), len(pairs.counts)))
    for number, c in enumerate(classes):
        weights[number] = math.log(c.share)
        for k, rates in enumerate(c.levels):
            weights[number] += np.append(np.log(rates), 0.0)[pairs.levels[:, k]]  # level -1, missing, says nothing
    odds = np.exp(weights - weights.max(axis=0))
    made: Real = odds / odds.sum(axis=0)
    return made


def _class(pairs: Patterns, usual: Sequence[Real], total: float) -> Class:
    share = min(max(pairs.counts.sum() / total, 0.5 / total), 0.4)
    return Class(float(share), [_shares(pairs, k, len(rates), rates) for k, rates in enumerate(usual)])


def _disagreement(related: Class, unrelated: Class) -> float:
    """Share of what the columns tell in which related pairs differ: rarer agreement tells more."""
    tells = np.array([-math.log(max(rates[-1], _LEAST)) for rates in unrelated.levels])
    differ = np.array([rates[0] for rates in related.levels])
    return float((tells * differ).sum() / tells.sum())


def _shares(pairs: Patterns, k: int, levels: int, leaning: Real) -> Real:
    """Share of each level of a column, leaning on what is usual as if that were half a pair."""
    there = pairs.levels[:, k] >= 0
    found = np.bincount(pairs.levels[there, k], pairs.counts[there], levels) + 0.5 * leaning
    made: Real = found / found.sum()
    return made


def _without(mixture: Sequence[Real], classes: Sequence[Class]) -> list[Real]:
    """What is left of all pairs when those of the classes are taken out."""
    made = []
    for k, mixed in enumerate(mixture):
        rest = mixed - sum(c.share * c.levels[k] for c in classes)
        rest = np.maximum(rest, np.maximum(mixed * 1e-3, _LEAST))
        made.append(rest / rest.sum())
    return made


def _usual(levels: int) -> Real:
    """Levels among pairs that are the same, before anything is known: the stronger, the likelier."""
    made = 0.5 ** np.arange(levels)[::-1].astype(float)
    made[0] = 0.05
    rates: Real = made / made.sum()
    return rates
