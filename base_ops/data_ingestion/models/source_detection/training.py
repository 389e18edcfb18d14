"""Training and measuring: everything from a seed, so that the same version of the code makes the same model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from base_ops.core.settings import Settings
from base_ops.core.yamlio import load_yaml
from base_ops.data_ingestion.models.source_detection.classes import CLASSES
from base_ops.data_ingestion.models.source_detection.clues import Clues
from base_ops.data_ingestion.models.source_detection.detect import MODEL, MODULE, decide
from base_ops.data_ingestion.models.source_detection.features import FEATURES, features_of
from base_ops.data_ingestion.models.source_detection.samples import Sample, samples
from base_ops.data_ingestion.specs.model_trainer import ModelTrainerSpec
from base_ops.worker.models.champion import find_model, packaged_file, registered_name
from base_ops.worker.models.learning import Learned
from base_ops.worker.models.lightgbm import train_trees
from base_ops.worker.models.trees import Trees

_TREES = {"num_leaves": 8, "learning_rate": 0.25, "min_data_in_leaf": 6, "feature_fraction": 0.5, "max_bin": 63,
          "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 1.0, "num_threads": 1}  # fmt: skip
_ROUNDS = 30
TARGET = 0.85
_HELD_OUT = 1_000_000
"""Added to the seed for the sources that are measured on, which no training sees."""
LABELLED = Path(__file__).parent / "labelled.yaml"


def learn(spec: ModelTrainerSpec, settings: Settings) -> Learned:
    """For the trainer."""
    trees, made = train(spec.seed, spec.samples_per_class), held_out(spec.seed, spec.test_samples_per_class)
    scores, by_hand = measure(trees, made), measure(trees, labelled())
    now = find_model(settings, registered_name(MODULE, MODEL), packaged_file(MODULE, MODEL), FEATURES)
    before = measure(now.fitted, made)["model"].accuracy if now.fitted is not None else None
    shares = {who: found.accuracy for who, found in scores.items()}
    trees.about.update({f"accuracy_{who}": round(share, 4) for who, share in shares.items()})
    details: dict[str, JsonValue] = {
        "macro_f1": round(scores["model"].macro_f1, 4),
        "false_positive_rate": round(scores["model"].false_positive_rate, 4),
        "labelled": {who: round(found.accuracy, 4) for who, found in by_hand.items()},
    }
    return Learned(trees.to_json(), trees.about, shares, before, now.origin, details)


def train(seed: int, per_class: int) -> Trees:
    """Make sources up, look at them, grow trees. Raises ConfigError where the extra `train` is not installed."""
    return _fit(list(samples(seed, per_class)), seed, per_class)


def _fit(made: Sequence[Sample], seed: int, per_class: int) -> Trees:
    x = np.array([features_of(sample.clues) for sample in made])
    y = np.array([CLASSES.index(sample.label) for sample in made], np.int32)
    about = {"model": "source_detection", "seed": seed, "per_class": per_class, "rounds": _ROUNDS}
    return train_trees(x, y, classes=CLASSES, features=FEATURES, rounds=_ROUNDS, seed=seed, about=about, **_TREES)


def held_out(seed: int, per_class: int) -> list[Sample]:
    """Sources to measure on."""
    return list(samples(seed + _HELD_OUT, per_class))


def labelled() -> list[Sample]:
    """Addresses as they occur in life, labelled by hand; never trained on."""
    rows = load_yaml(LABELLED).data["sources"]
    return [Sample(str(label), Clues(str(url))) for label, urls in rows.items() for url in urls]


@dataclass
class Score:
    """How often each class was said, and how often rightly."""

    right: Counter[str] = field(default_factory=Counter)
    all: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)

    def add(self, wanted: str, said: str) -> None:
        self.all[wanted] += 1
        self.said[said] += 1
        self.right[wanted] += said == wanted

    @property
    def accuracy(self) -> float:
        return self.right.total() / max(1, self.all.total())

    @property
    def macro_f1(self) -> float:
        """Mean over the classes of 2·right / (are + said)."""
        return float(np.mean([2 * self.right[c] / max(1, self.all[c] + self.said[c]) for c in self.all]))

    @property
    def false_positive_rate(self) -> float:
        """The worst of any class: said of sources of other classes, among these."""
        total = self.all.total()
        return max((self.said[c] - self.right[c]) / max(1, total - self.all[c]) for c in CLASSES)


def measure(trees: Trees, made: Iterable[Sample]) -> dict[str, Score]:
    """Score of the model alone, of the rules alone, and of both as detection puts them together."""
    scores = {"model": Score(), "rules": Score(), "both": Score()}
    for sample in made:
        shares = trees.probabilities(features_of(sample.clues))
        said = {
            "model": CLASSES[int(shares.argmax())],
            "rules": decide(sample.clues, None).kind,
            "both": decide(sample.clues, trees).kind,
        }
        for name, answer in said.items():
            scores[name].add(sample.label, answer)
    return scores


def cross_validated(seed: int, per_class: int, folds: int = 5) -> list[float]:
    """Accuracy of the model alone in each fold: trained on the others, measured on it."""
    made = list(samples(seed, per_class))
    found = []
    for fold in range(folds):
        trees = _fit([s for n, s in enumerate(made) if n % folds != fold], seed, per_class)
        found.append(measure(trees, made[fold::folds])["model"].accuracy)
    return found
