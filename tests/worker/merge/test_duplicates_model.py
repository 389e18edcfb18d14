import numpy as np
import pytest

from base_ops.worker.merge.duplicates.clusters import clusters
from base_ops.worker.merge.duplicates.training import Patterns, train


def grouped(pairs, threshold=0.9, source=None):
    found = clusters([(a, b, p, sure) for a, b, p, *rest in pairs for sure in [bool(rest)]], threshold, source)
    return [[record for record, _ in group] for group in found]


CASES = {
    "a pair": ([(1, 2, 0.95)], [[1, 2]]),
    "a pair below the threshold": ([(1, 2, 0.89)], []),
    "a triangle": ([(1, 2, 0.95), (2, 3, 0.95), (1, 3, 0.95)], [[1, 2, 3]]),
    "one weak side": ([(1, 2, 0.99), (2, 3, 0.99), (1, 3, 0.2)], [[1, 2, 3]]),
    "a chain of two groups by one pair": (
        [(1, 2, 0.999), (2, 3, 0.999), (1, 3, 0.999), (4, 5, 0.999), (5, 6, 0.999), (4, 6, 0.999), (3, 4, 0.95)],
        [[1, 2, 3], [4, 5, 6]],
    ),
    "a rule joins two records, not what is unlike": (
        [(1, 2, 0.999), (2, 3, 0.999), (1, 3, 0.999), (4, 5, 0.999), (5, 6, 0.999), (4, 6, 0.999), (3, 4, 1.0, True)],
        [[1, 2, 3, 4], [5, 6]],
    ),
    "a rule below the threshold": ([(1, 2, 0.7, True)], [[1, 2]]),
    "a group draws in what is likelier so than not": ([(1, 2, 0.99), (1, 3, 0.8), (2, 3, 0.8)], [[1, 2, 3]]),
    "likely pairs alone begin nothing": ([(1, 2, 0.99), (3, 4, 0.8)], [[1, 2]]),
}


@pytest.mark.parametrize("name", CASES)
def test_clusters(name):
    pairs, expected = CASES[name]
    assert grouped(pairs) == expected
    assert grouped(pairs[::-1]) == expected


def test_the_better_pair_wins_where_a_source_has_one_record_at_most():
    pairs = [(1, 3, 0.95), (2, 3, 0.99)]
    assert grouped(pairs, source={1: 0, 2: 0, 3: 1}) == [[2, 3]]
    assert grouped(pairs) == [[1, 2, 3]] or grouped(pairs) == [[2, 3]]


def test_a_record_has_the_probability_of_its_best_pair():
    assert clusters([(1, 2, 0.95, False), (2, 3, 0.99, False), (1, 3, 0.9, False)], 0.9) == [
        [(1, 0.95), (2, 0.99), (3, 0.99)]
    ]


def _drawn(random, share, rates, count):
    """Pairs of classes with the given shares and agreement rates per column."""
    kind = random.choice(len(share), count, p=share)
    levels = (random.random((count, len(rates[0]))) < np.array(rates)[kind]).astype(int)
    patterns, counts = np.unique(levels, axis=0, return_counts=True)
    return Patterns(patterns, counts.astype(float)), kind


def test_training_finds_the_shares_and_rates_that_made_the_pairs():
    random = np.random.default_rng(3)
    seen, _ = _drawn(random, [0.01, 0.99], [[0.9, 0.8, 0.95, 0.7], [0.02, 0.01, 0.03, 0.05]], 400_000)
    found = train(seen, seen, [2, 2, 2, 2], 400_000)
    assert found.same.share == pytest.approx(0.01, rel=0.05)
    assert [c[1] for c in found.same.levels] == pytest.approx([0.9, 0.8, 0.95, 0.7], abs=0.03)
    assert [c[1] for c in found.unrelated.levels] == pytest.approx([0.02, 0.01, 0.03, 0.05], abs=0.005)


def test_related_pairs_are_not_taken_for_the_same():
    random = np.random.default_rng(3)
    rates = [[0.95, 0.9, 0.9, 0.9, 0.9], [0.005, 0.005, 0.005, 0.9, 0.95], [0.003, 0.003, 0.003, 0.02, 0.05]]
    seen, _ = _drawn(random, [0.002, 0.02, 0.978], rates, 400_000)
    found = train(seen, seen, [2] * 5, 400_000)
    assert found.related is not None
    assert found.same.share == pytest.approx(0.002, rel=0.15)
    assert found.related.share == pytest.approx(0.02, rel=0.25)
