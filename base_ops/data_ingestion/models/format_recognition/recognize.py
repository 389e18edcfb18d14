"""The model's opinion of an object's first bytes, by format."""

from __future__ import annotations

from dataclasses import dataclass

from base_ops.data_ingestion.models.format_recognition.features import FEATURES, features_of
from base_ops.worker.models.champion import load_model

MODULE, MODEL = "data_ingestion", "format_recognition"
SAME_FORMAT = {"tsv": "csv", "pipe": "csv"}
"""Classes that are dialects of one format."""


@dataclass(frozen=True)
class Opinion:
    """Probability of each format (and wrapper; raw_text: none of them), likeliest first, and whose it is."""

    shares: dict[str, float]
    origin: str

    @property
    def best(self) -> str:
        return next(iter(self.shares))


def recognize(head: bytes) -> Opinion | None:
    """Ask the model; None where there is none to ask."""
    model = load_model(MODULE, MODEL, FEATURES)
    if model.fitted is None:
        return None
    return Opinion(
        shares_of(model.fitted.classes, model.fitted.probabilities(features_of(head)).tolist()), model.origin
    )


def shares_of(classes: tuple[str, ...], probabilities: list[float]) -> dict[str, float]:
    """Probabilities by format, likeliest first."""
    shares: dict[str, float] = {}
    for label, share in zip(classes, probabilities, strict=True):
        name = SAME_FORMAT.get(label, label)
        shares[name] = shares.get(name, 0.0) + share
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
