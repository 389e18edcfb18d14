"""What can be asked of the model trainer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from base_ops.core.spec import Spec


class ModelTrainerSpec(Spec):
    """Train a model from data the project makes itself, measure it, and promote it if it is better."""

    action: Literal["train_and_promote"] = "train_and_promote"
    model: Literal["format_recognition", "source_detection", "connection_optimization", "retry_strategy"] = (
        "format_recognition"
    )
    """The model; its folder in base_ops/data_ingestion/models/."""
    seed: int = Field(1, ge=0)
    """Of the generated data: the same seed makes the same model."""
    samples_per_class: int = Field(240, ge=4)
    """Generated for training; connection_optimization has one class, so many hundreds of samples;
    retry_strategy: so many times 50 episodes in each sweep."""
    test_samples_per_class: int = Field(40, ge=2)
    """Generated, from other seeds, for measuring; connection_optimization: so many tens of situations;
    retry_strategy: so many times 250 episodes."""
    min_accuracy: float | None = Field(None, ge=0, le=1)
    """A model below this is not promoted, whatever there is now; default: the model's own target."""
    min_gain: float = Field(0.02, ge=0, le=1)
    """How much more accurate than the champion it must be to replace it; the first one need only be no worse than the
    packaged one."""
    target: str | None = None
    """Folder for model.json and scores.json; default: models/<name>/<sha256> in the lake."""
