"""Training on the simulator, and measuring: how near the predictions are, and how good the settings that are picked."""

from __future__ import annotations

import numpy as np

from base_ops.core.settings import Settings
from base_ops.data_ingestion.models.connection_optimization.choose import MODEL, MODULE, pick
from base_ops.data_ingestion.models.connection_optimization.features import FEATURES, features_of
from base_ops.data_ingestion.models.connection_optimization.profiles import profile_settings
from base_ops.data_ingestion.models.connection_optimization.simulator import Array, cost_s, grid, situations
from base_ops.data_ingestion.specs.model_trainer import ModelTrainerSpec
from base_ops.worker.models.champion import find_model, packaged_file, registered_name
from base_ops.worker.models.learning import Learned
from base_ops.worker.models.mlp import Mlp, parse_mlp, train_mlp

HIDDEN = (128, 64, 32)
EPOCHS = 45
TARGET = 0.9
_HELD_OUT = 1_000_000
_WITHIN = 1.05


def learn(spec: ModelTrainerSpec, settings: Settings) -> Learned:
    """For the trainer; a score is the share of picks that cost at most 5 % more than the best."""
    mlp = train(spec.seed, spec.samples_per_class * 450)
    number = spec.test_samples_per_class * 10
    scores = measure(mlp, spec.seed + _HELD_OUT, number)
    found = find_model(settings, registered_name(MODULE, MODEL), packaged_file(MODULE, MODEL), FEATURES, parse_mlp)
    before = measure(found.fitted, spec.seed + _HELD_OUT, number)["model"] if found.fitted is not None else None
    error = mean_error(mlp, spec.seed + _HELD_OUT)
    mlp.about.update({"picks_within_5_percent": round(scores["model"], 4), "mean_error": round(error, 4)})
    return Learned(mlp.to_json(), mlp.about, scores, before, found.origin, {"mean_error": round(error, 4)})


def train(seed: int, number: int, epochs: int = EPOCHS) -> Mlp:
    """On as many situations, each under settings of the grid: six in seven worth a thought (the best of eight), the
    others any."""
    x, y = samples(seed, number)
    about = {"model": MODEL, "seed": seed, "samples": number, "epochs": epochs}
    return train_mlp(x, y, features=FEATURES, hidden=HIDDEN, epochs=epochs, seed=seed, about=about)


def samples(seed: int, number: int) -> tuple[Array, Array]:
    """(features, logarithm of the cost)."""
    rng = np.random.default_rng(seed)
    made, choices = situations(seed, number), grid()
    tried = choices[rng.integers(0, len(choices), (number, 8))]
    costs = np.stack([cost_s(made, tried[:, n]) for n in range(8)], axis=1)
    better = np.where(rng.random(number) < 0.85, costs.argmin(axis=1), 0)
    settings = tried[np.arange(number), better]
    return features_of(made, settings), np.log(costs[np.arange(number), better])


def mean_error(mlp: Mlp, seed: int, number: int = 4000) -> float:
    """Mean of |predicted / real cost - 1| on situations that no training sees."""
    x, y = samples(seed, number)
    return float(np.mean(np.abs(np.expm1(mlp.predict(x) - y))))


def measure(mlp: Mlp, seed: int, number: int) -> dict[str, float]:
    """Share of picks within 5 % of the best of the grid: of the model, and of the profile table."""
    made, choices = situations(seed, number), grid()
    right = {"model": 0, "rules": 0}
    for row in range(number):
        one = made.at(np.full(len(choices), row))
        costs = cost_s(one, choices)
        table = np.array([profile_settings(int(made.kind[row]))])
        ruled = cost_s(made.at(np.array([row])), table)[0]
        right["model"] += bool(costs[pick(mlp, one, choices)[0]] <= _WITHIN * costs.min())
        right["rules"] += bool(ruled <= _WITHIN * costs.min())
    return {who: count / number for who, count in right.items()}
