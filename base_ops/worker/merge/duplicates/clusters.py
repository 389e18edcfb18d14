"""From pairs to clusters: records that are the same as each other, not merely linked by a chain.

Plain transitive closure lets one wrong pair join two large clusters. Here clusters grow by average linkage (Sokal and
Michener 1958, UPGMA) over the pairs' log-odds: two are joined, the best first, where their records are on average
more likely the same than not. Pairs that were not scored, because nothing speaks for them, count as unlike. What a
rule says outright (exact, fuzzy) is joined in any case.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping

FLOOR = 0.01
"""Pairs with a probability below this are as good as not scored."""
_UNLIKE = math.log(FLOOR / (1 - FLOOR))
_CERTAIN = 9.0
"""Log-odds at which a pair is as good as sure."""
_MOST_PAIRS = 1_000_000
"""A component with more pairs is not looked into: what pairs above the threshold join is one cluster."""

Pair = tuple[int, int, float, bool]
"""Two records, the probability that they are the same, and whether a rule says so outright."""


def clusters(
    pairs: Iterable[Pair], threshold: float, source: Mapping[int, int] | None = None
) -> list[list[tuple[int, float]]]:
    """Group records, each with the probability of its best pair in the group.

    The outcome depends on the records' numbers only where two joins are equally good.

    Args:
        pairs: all with a probability of FLOOR or more, each once.
        threshold: a cluster begins with a pair of at least this probability.
        source: number of each record's source, if records of one source are never the same: no cluster has two.
    """
    found = []
    for component in _components(list(pairs)):
        if any(sure or p >= threshold for _, _, p, sure in component):
            found += _rated(_Linkage(component, threshold, source or {}).run(), component)
    return sorted(found)


def _components(pairs: list[Pair]) -> Iterator[list[Pair]]:
    """The pairs by connected component, of those more likely the same than not."""
    root: dict[int, int] = {}
    for a, b, p, sure in pairs:
        if sure or p >= 0.5:
            a, b = _find(root, a), _find(root, b)
            root[max(a, b)] = min(a, b)
    parts: dict[int, list[Pair]] = {}
    for pair in pairs:
        if pair[0] in root and pair[1] in root and (at := _find(root, pair[0])) == _find(root, pair[1]):
            parts.setdefault(at, []).append(pair)
    yield from parts.values()


def _find(root: dict[int, int], a: int) -> int:
    while (above := root.setdefault(a, a)) != a:
        root[a] = root[above]
        a = root[a]
    return a


class _Linkage:
    """Average linkage of one component. A cluster bears the number of one of its records."""

    def __init__(self, pairs: list[Pair], threshold: float, source: Mapping[int, int]) -> None:
        self.pairs, self.start = pairs, _log_odds(threshold)
        self.root: dict[int, int] = {}
        self.excess: dict[int, dict[int, float]] = {}
        """Per two clusters, the sum of log-odds of the pairs between them, over that of as many unlike ones."""
        for a, b, p, sure in pairs:
            weight = (_CERTAIN if sure else _log_odds(p)) - _UNLIKE
            self.excess.setdefault(a, {})[b] = self.excess.setdefault(b, {})[a] = weight
        self.size = dict.fromkeys(self.excess, 1)
        self.version = dict.fromkeys(self.excess, 0)
        self.sources = {record: {source[record]} for record in self.excess if record in source}

    def run(self) -> dict[int, int]:
        """Record → its cluster, of all records that are joined to another."""
        for a, b, _, _ in sorted(pair for pair in self.pairs if pair[3]):
            self._join(_find(self.root, a), _find(self.root, b))
        queue = [entry for a in sorted(set(self.root.values())) for entry in self._worth_joining(a)]
        queue += [
            (-_log_odds(p), a, b, 0, 0) for a, b, p, sure in self.pairs if not sure and _log_odds(p) >= self.start
        ]
        heapq.heapify(queue)
        if len(self.pairs) > _MOST_PAIRS:
            for _, a, b, _, _ in sorted(queue):
                self._join(_find(self.root, a), _find(self.root, b))
            return self.root
        while queue:
            _, a, b, version_a, version_b = heapq.heappop(queue)
            if self.version.get(a) == version_a and self.version.get(b) == version_b and self._join(a, b):
                for entry in self._worth_joining(a):
                    heapq.heappush(queue, entry)
        return self.root

    def _worth_joining(self, a: int) -> Iterator[tuple[float, int, int, int, int]]:
        for c, total in self.excess.get(a, {}).items():
            mean = total / (self.size[a] * self.size[c]) + _UNLIKE
            if mean >= 0:
                first, second = min(a, c), max(a, c)
                yield -mean, first, second, self.version[first], self.version[second]

    def _join(self, a: int, b: int) -> bool:
        """Put two clusters together under the lower number, unless they are one, or have records of one source."""
        a, b = min(a, b), max(a, b)
        if a == b or self.sources.get(a, set()) & self.sources.get(b, set()):
            return False
        self.root.setdefault(a, a)
        self.root[b] = a
        if b in self.sources:
            self.sources.setdefault(a, set()).update(self.sources.pop(b))
        self.size[a] += self.size.pop(b)
        self.version[a] += 1
        del self.version[b]
        for c, total in self.excess.pop(b).items():
            del self.excess[c][b]
            if c != a:
                self.excess[a][c] = self.excess[c][a] = self.excess[a].get(c, 0.0) + total
        return True


def _rated(root: dict[int, int], pairs: list[Pair]) -> list[list[tuple[int, float]]]:
    """The clusters, each record with the probability of its best pair there."""
    best: dict[int, dict[int, float]] = {}
    for a, b, p, _ in pairs:
        if a in root and b in root and (at := _find(root, a)) == _find(root, b):
            members = best.setdefault(at, {})
            members[a], members[b] = max(members.get(a, 0.0), p), max(members.get(b, 0.0), p)
    return [sorted(members.items()) for members in best.values()]


def _log_odds(p: float) -> float:
    return min(max(math.log(max(p, 1e-9) / max(1 - p, 1e-9)), _UNLIKE), _CERTAIN)
