"""Training and measuring: everything from a seed, so that the same version of the code makes the same model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from base_ops.core.settings import Settings
from base_ops.data_ingestion.models.format_recognition.features import FEATURES, features_of
from base_ops.data_ingestion.models.format_recognition.recognize import MODEL, MODULE, SAME_FORMAT, shares_of
from base_ops.data_ingestion.models.format_recognition.samples import CLASSES, Sample, samples
from base_ops.data_ingestion.specs.model_trainer import ModelTrainerSpec
from base_ops.worker.models.champion import find_model, packaged_file, registered_name
from base_ops.worker.models.learning import Learned
from base_ops.worker.models.lightgbm import train_trees
from base_ops.worker.models.trees import Trees

_TREES = {"num_leaves": 8, "learning_rate": 0.25, "min_data_in_leaf": 8, "feature_fraction": 0.3, "max_bin": 63,
          "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 1.0}  # fmt: skip
_ROUNDS = 30
TARGET = 0.95
_HELD_OUT = 1_000_000
"""Added to the seed for the files that are measured on, which no training sees."""


def learn(spec: ModelTrainerSpec, settings: Settings) -> Learned:
    """For the trainer."""
    trees, files = train(spec.seed, spec.samples_per_class), held_out(spec.seed, spec.test_samples_per_class)
    scores = measure(trees, files)
    now = find_model(settings, registered_name(MODULE, MODEL), packaged_file(MODULE, MODEL), FEATURES)
    before = score(now.fitted, files).accuracy if now.fitted is not None else None
    shares = {who: found.accuracy for who, found in scores.items()}
    trees.about.update({f"accuracy_{who}": round(share, 4) for who, share in shares.items()})
    by_format = {kind: scores["model"].right[kind] / n for kind, n in sorted(scores["model"].all.items())}
    return Learned(trees.to_json(), trees.about, shares, before, now.origin, {"by_format": dict(by_format)})


def train(seed: int, per_class: int) -> Trees:
    """Write files, look at them, grow trees. Raises ConfigError where the extra `train` is not installed."""
    written = list(samples(seed, per_class))
    x = np.array([features_of(sample.data) for sample in written])
    y = np.array([CLASSES.index(sample.label) for sample in written], np.int32)
    about = {"model": "format_recognition", "seed": seed, "per_class": per_class, "rounds": _ROUNDS}
    return train_trees(x, y, classes=CLASSES, features=FEATURES, rounds=_ROUNDS, seed=seed, about=about, **_TREES)


def held_out(seed: int, per_class: int) -> list[Sample]:
    """Files to measure on."""
    return list(samples(seed + _HELD_OUT, per_class))


@dataclass
class Score:
    """Right answers by format, and what was said instead."""

    right: Counter[str] = field(default_factory=Counter)
    all: Counter[str] = field(default_factory=Counter)
    instead: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, wanted: str, said: str) -> None:
        self.all[wanted] += 1
        self.right[wanted] += said == wanted
        if said != wanted:
            self.instead[wanted, said] += 1

    @property
    def accuracy(self) -> float:
        return self.right.total() / max(1, self.all.total())


def score(trees: Trees, files: Iterable[Sample]) -> Score:
    """Score of a model alone."""
    found = Score()
    for sample in files:
        shares = shares_of(trees.classes, trees.probabilities(features_of(sample.data)).tolist())
        found.add(SAME_FORMAT.get(sample.label, sample.label), next(iter(shares)))
    return found


def measure(trees: Trees, files: Iterable[Sample]) -> dict[str, Score]:
    """Score of the model alone, of the rules alone, and of both as detection puts them together."""
    from base_ops.worker.formats.detect import RAW_TEXT, decide, rank
    from base_ops.worker.formats.wrappers import wrapper_of

    scores = {"model": Score(), "rules": Score(), "both": Score()}
    for sample in files:
        head = sample.data[: 1 << 16]
        ranked = rank(head, sample.name)
        opinion = shares_of(trees.classes, trees.probabilities(features_of(head)).tolist())
        wrapper = wrapper_of(head)
        said = {"rules": decide(ranked, None).format, "both": decide(ranked, opinion).format}
        if wrapper and not (wrapper == "zip" and said["rules"] != RAW_TEXT):
            said = dict.fromkeys(said, wrapper)
        wanted = SAME_FORMAT.get(sample.label, sample.label)
        for name, answer in {**said, "model": next(iter(opinion))}.items():
            scores[name].add(wanted, answer)
    return scores
