"""What kind of source it is: the model where it is sure, else the rules; who decided, and why, is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from base_ops.data_ingestion.models.source_detection.clues import Clues
from base_ops.data_ingestion.models.source_detection.features import FEATURES, features_of
from base_ops.data_ingestion.models.source_detection.rules import by_rules
from base_ops.worker.models.champion import load_model
from base_ops.worker.models.trees import Trees

MODULE, MODEL = "data_ingestion", "source_detection"
MIN_CONFIDENCE = 0.7
_TOLD = 3


@dataclass(frozen=True)
class Detection:
    """What a source seems to be."""

    kind: str
    """One of CLASSES."""
    confidence: float
    decided_by: str
    """`model`, or `fallback`: the rules."""
    best: tuple[tuple[str, float], ...]
    """The model's likeliest three; empty without a model."""
    because: tuple[str, ...]
    """model: the features that weigh most; rules: what told it."""
    model: str = "none"
    """mlflow:<version>, packaged, or none."""


def detect(clues: Clues) -> Detection:
    """Ask the champion, else the packaged model, else the rules."""
    model = load_model(MODULE, MODEL, FEATURES)
    return decide(clues, model.fitted, model.origin, explain=True)


def decide(clues: Clues, trees: Trees | None, origin: str = "none", *, explain: bool = False) -> Detection:
    """As `detect`, with a model at hand.

    Args:
        explain: find out which features weigh most, which takes as many predictions as there are features.
    """
    kind, sure, told = by_rules(clues)
    if trees is None:
        return Detection(kind, sure, "fallback", (), (told,), origin)
    x = features_of(clues)
    shares = trees.probabilities(x)
    ranked = np.argsort(-shares, kind="stable")[:_TOLD]
    best = tuple((trees.classes[n], round(float(shares[n]), 4)) for n in ranked)
    if best[0][1] < MIN_CONFIDENCE:
        return Detection(kind, sure, "fallback", best, (told, f"the model is not sure ({best[0][1]:.2f})"), origin)
    because = _weighty(trees, x, int(ranked[0])) if explain else ()
    return Detection(best[0][0], best[0][1], "model", best, because, origin)


def _weighty(trees: Trees, x: NDArray[np.float64], kind: int) -> tuple[str, ...]:
    """The features without which the model would be least sure."""
    whole = trees.probabilities(x)[kind]
    drops: dict[str, float] = {}
    for number in np.flatnonzero(x):
        without = x.copy()
        without[number] = 0.0
        drops[FEATURES[number]] = float(whole - trees.probabilities(without)[kind])
    ranked = sorted(drops, key=lambda name: (-drops[name], name))[:_TOLD]
    return tuple(name for name in ranked if drops[name] > 0.001)
