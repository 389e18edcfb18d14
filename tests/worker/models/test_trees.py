"""Trees as arrays give what LightGBM gives; a file that does not fit together is refused."""

from __future__ import annotations

import json

import lightgbm
import numpy as np
import pytest

from base_ops.worker.models.lightgbm import _flat, train_trees
from base_ops.worker.models.trees import parse_trees

RNG = np.random.default_rng(1)
X = RNG.normal(size=(300, 4))
Y = ((X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 0.3)).astype(np.int32)
NAMES = ("a", "b", "c", "d")
CLASSES = ("x", "y", "z")


def trained(seed: int = 1):
    return train_trees(X, Y, classes=CLASSES, features=NAMES, rounds=8, seed=seed, about={"n": 1}, num_leaves=6)


def test_the_same_as_lightgbm():
    booster = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbosity": -1}, lightgbm.Dataset(X, Y), 10)
    trees = parse_trees(_flat(booster.dump_model(), CLASSES, NAMES, {}).to_json())
    ours = np.array([trees.probabilities(x) for x in X])
    assert np.abs(ours - booster.predict(X)).max() < 1e-4


def test_a_seed_always_makes_the_same_file():
    assert trained().to_json() == trained().to_json()
    assert parse_trees(trained().to_json()).to_json() == trained().to_json()


def test_a_class_that_is_never_asked_for():
    trees = train_trees(X, np.zeros(300, np.int32), classes=("x", "y"), features=NAMES, rounds=2, seed=1, about={})
    assert parse_trees(trees.to_json()).probabilities(X[0]).argmax() == 0


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"roots": [0]},
        {"feature": [99]},
        {"left": [0] * 500},
        {"threshold": []},
        {"leaf": [float("nan")]},
        {"roots": ["x"]},
        {"roots": [10**30]},
        {"classes": ["only"]},
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_file_that_does_not_fit_together(change):
    with pytest.raises(ValueError):
        parse_trees(json.dumps({**json.loads(trained().to_json()), **change}))


def test_a_circle_is_refused():
    raw = json.loads(trained().to_json())
    raw["left"][1] = 0
    with pytest.raises(ValueError):
        parse_trees(json.dumps(raw))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "{" * 5000])
def test_no_model_at_all(text):
    with pytest.raises(ValueError):
        parse_trees(text)
