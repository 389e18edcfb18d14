"""Trust and truth of numbers: weighted medians.

CRH: Q. Li, Y. Li, J. Gao, B. Zhao, W. Fan, J. Han, "Resolving Conflicts in Heterogeneous Data by Truth Discovery and
Source Reliability Estimation", SIGMOD 2014, with its loss for numbers, the absolute deviation over the key's spread,
for which the truth is the weighted median: a value that some source did say, which no outlier can move. A source
weighs the inverse of its mean loss, the most likely weight if deviations follow Laplace's law.
"""

from __future__ import annotations

import numpy as np

from base_ops.worker.merge.truth.claims import Claims, Index, Real

LEAST_LOSS = 0.02
"""A source is never taken to be better than this."""


def medians(claims: Claims, weight: Real) -> tuple[Index, Real]:
    """Per key the claim that is the weighted median, and the share of the weight that says the same."""
    assert claims.numbers is not None
    key = claims.key[claims.value]
    order = np.lexsort((claims.numbers, key))
    keys, w = key[order], weight[claims.source[order]]
    total = np.bincount(keys, w, len(claims.keys))
    before = np.concatenate([[0.0], np.cumsum(total)[:-1]])
    reached = np.cumsum(w) - before[keys] >= total[keys] / 2 - 1e-9
    at = np.flatnonzero(reached)
    place = at[np.unique(keys[at], return_index=True)[1]]
    chosen = order[place]
    said = np.bincount(claims.value, weight[claims.source], len(claims.key))
    return chosen, said[claims.value[chosen]] / np.maximum(total, 1e-300)


def losses(claims: Claims, truth: Real, sources: int) -> tuple[Real, Real]:
    """Per source the sum of its claims' losses, and how many it makes of keys that are in dispute."""
    assert claims.numbers is not None
    key = claims.key[claims.value]
    apart = np.abs(claims.numbers - truth[key])
    count = np.bincount(key, minlength=len(claims.keys))
    spread = np.bincount(key, apart, len(claims.keys)) / np.maximum(count, 1)
    disputed = spread[key] > 0
    loss = np.minimum(apart[disputed] / spread[key][disputed], 10.0)
    who = claims.source[disputed]
    total = np.bincount(who, loss, sources).astype(float)
    return total, np.bincount(who, minlength=sources).astype(float)
