"""Trust and truth of values that are right or wrong: AccuSim.

X. L. Dong, L. Berti-Équille, D. Srivastava, "Integrating Conflicting Data: The Role of Source Dependence", VLDB 2009,
sections 3 and 4 (ACCU, and ACCUSIM for values alike), without its copy detection. A source is right with probability
A, and else says one of n wrong values, all as likely; the weight of a vote is ln(n A / (1 - A)), a value's the sum of
its votes plus what others lend it, and its probability the softmax over the values of its key. A source's A is the
mean probability of what it says; the two are computed in turn.

A text lends support to those that have all of its words: an incomplete value speaks for the complete one, but not the
other way about (implication in X. Yin, J. Han, P. S. Yu, "Truth Discovery with Multiple Conflicting Information
Providers on the Web", KDD 2007). And n is learned as well, from how often wrong claims agree: where all err alike, as
copies and truncations do, agreement shows little.
"""

from __future__ import annotations

import numpy as np

from base_ops.worker.merge.truth.claims import Claims, Index, Real

LEAST, MOST = 0.02, 0.99
"""Bounds of trust: nobody is always wrong, nor always right."""
START = 0.8
"""Trust of a source that nothing is known of."""
START_WRONG = 3.0
"""Wrong values there are to say, before anything is known."""
_MOST_WRONG = 50.0


def probabilities(claims: Claims, trust: Real, support: float, wrong: float) -> Real:
    """Probability of each value of `claims`, given the trust of each source."""
    votes = np.log(wrong * trust / (1 - trust))
    who, what = _distinct(claims)
    weight = np.bincount(what, votes[who], len(claims.key))
    lender, borrower = claims.supports
    weight = weight + support * np.bincount(borrower, np.maximum(weight[lender], 0), len(weight))
    keys = len(claims.keys)
    greatest = np.zeros(keys)
    np.maximum.at(greatest, claims.key, weight)
    odds = np.exp(weight - greatest[claims.key])
    unsaid = np.maximum(wrong + 1 - np.bincount(claims.key, minlength=keys), 0) * np.exp(-greatest)
    made: Real = odds / (np.bincount(claims.key, odds, keys) + unsaid)[claims.key]
    return made


def likeliest(claims: Claims, probability: Real) -> Index:
    """Per key, its most probable value; of equally probable ones, the first claimed."""
    earliest = np.full(len(claims.key), len(claims.value))
    np.minimum.at(earliest, claims.value, np.arange(len(claims.value)))
    order = np.lexsort((earliest, -np.round(probability, 9), claims.key))
    first: Index = order[np.unique(claims.key[order], return_index=True)[1]]
    return first


def agreement(claims: Claims, probability: Real, sources: int) -> tuple[Real, Real]:
    """Per source, how many of its claims are right, by expectation, and how many it makes."""
    who, what = _distinct(claims)
    right = np.bincount(who, probability[what], sources).astype(float)
    return right, np.bincount(who, minlength=sources).astype(float)


def wrong_values(claims: Claims, probability: Real) -> float:
    """How many wrong values there are, as it were: of pairs of wrong claims of one key, one in so many agrees."""
    _, what = _distinct(claims)
    said = np.bincount(what, minlength=len(claims.key)).astype(float)
    of_key, right = (np.bincount(claims.key, part, len(claims.keys))[claims.key] for part in (said, said * probability))
    alike = said * (said - 1) * (1 - probability)
    unlike = said * ((of_key - said) * (1 - probability) - (right - said * probability))
    agreeing, others = float(alike.sum()), float(np.maximum(unlike, 0).sum())
    if not agreeing:
        return _MOST_WRONG if others else START_WRONG
    return min((agreeing + others) / agreeing, _MOST_WRONG)


def spelling(claims: Claims, value: Index, form: Index, trust: Real) -> Index:
    """Of each value, the claim whose very form the sources that bear the greatest odds have; ties: first given.

    Args:
        value: the value wanted, per key.
        form: number of each claim's exact form.
    """
    at = np.flatnonzero(np.isin(claims.value, value))
    odds = trust / (1 - trust)
    pairs, inverse = np.unique(np.stack([claims.value[at], form[at]]), axis=1, return_inverse=True)
    said = np.bincount(inverse, odds[claims.source[at]], pairs.shape[1])
    order = np.lexsort((at, -odds[claims.source[at]], inverse, -np.round(said[inverse], 9), claims.value[at]))
    ordered = at[order]
    first = np.unique(claims.value[ordered], return_index=True)[1]
    return ordered[first]


def _distinct(claims: Claims) -> tuple[Index, Index]:
    """Each source's voice counts once per value."""
    both = np.unique(np.stack([claims.source, claims.value]), axis=1)
    return both[0], both[1]
