"""What a model's `training.py` hands to the trainer: `learn(spec, settings) -> Learned`, and `TARGET`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue


@dataclass(frozen=True)
class Learned:
    """A model just made, and what it is worth beside what decides now."""

    text: str
    """Its file."""
    about: dict[str, Any]
    scores: dict[str, float]
    """Share of right answers on data of other seeds, 0 to 1: of `model`, of the `rules` without it, and others."""
    before: float | None
    """The same of the model that decides now; None where there is none."""
    origin: str
    """Where that one came from: mlflow:<version>, packaged, none."""
    details: dict[str, JsonValue] = field(default_factory=dict)
    """Further measurements."""
