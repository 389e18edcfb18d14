"""Gradient-boosted trees for classification, as arrays: all trees are walked at once, one level per step.

The file is JSON with one flat list per array. Node `i` asks `x[feature[i]] <= threshold[i]` and goes to `left[i]`, else
to `right[i]`; a negative child `c` is the leaf `~c`. Tree `t` votes for class `t % len(classes)`, and the votes become
probabilities by softmax: what LightGBM computes for `objective=multiclass` without missing values and categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.models.files import parts_of, to_text

FORMAT = "base_ops.trees/1"
_MAX_DEPTH = 64


@dataclass(frozen=True)
class Trees:
    """A classifier; `roots` are nodes or, for a tree without a question, leaves (negative)."""

    classes: tuple[str, ...]
    features: tuple[str, ...]
    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    leaf: NDArray[np.float64]
    about: dict[str, Any]
    """How it was trained and what it scored."""

    def probabilities(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of each class.

        Args:
            x: one sample, shape (features,), no NaN.
        """
        at = self.roots.copy()
        for _ in range(_MAX_DEPTH):
            walking = np.flatnonzero(at >= 0)
            if not len(walking):
                break
            node = at[walking]
            at[walking] = np.where(x[self.feature[node]] <= self.threshold[node], self.left[node], self.right[node])
        votes = self.leaf[~at].reshape(-1, len(self.classes)).sum(axis=0)
        powers = np.exp(votes - votes.max())
        return np.asarray(powers / powers.sum())

    def to_json(self) -> str:
        """One line per array, so that two models can be compared."""
        arrays = {name: getattr(self, name).tolist() for name in ("roots", "feature", "left", "right")}
        arrays |= {name: [_short(value) for value in getattr(self, name).tolist()] for name in ("threshold", "leaf")}
        return to_text(FORMAT, {"about": self.about, "classes": self.classes, "features": self.features, **arrays})


def parse_trees(text: str | bytes) -> Trees:
    """A model from its file; it comes from a registry and is checked before it is walked.

    Raises:
        ValueError: it is no model, or its parts do not fit together.
    """
    with parts_of(text, FORMAT) as raw:
        trees = Trees(
            classes=tuple(map(str, raw["classes"])),
            features=tuple(map(str, raw["features"])),
            roots=np.array(raw["roots"], np.int32),
            feature=np.array(raw["feature"], np.int32),
            threshold=np.array(raw["threshold"], np.float64),
            left=np.array(raw["left"], np.int32),
            right=np.array(raw["right"], np.int32),
            leaf=np.array(raw["leaf"], np.float64),
            about=dict(raw["about"]),
        )
    _check(trees)
    return trees


def load_trees(path: Path) -> Trees:
    """Raises: ValueError as `parse_trees`, OSError where there is no such file."""
    return parse_trees(path.read_bytes())


def _check(trees: Trees) -> None:
    nodes = len(trees.feature)
    children = np.concatenate([trees.roots, trees.left, trees.right])
    fits = (
        len(trees.classes) > 1
        and len(trees.roots) % len(trees.classes) == 0
        and nodes == len(trees.threshold) == len(trees.left) == len(trees.right)
        and (nodes == 0 or (trees.feature.min() >= 0 and trees.feature.max() < len(trees.features)))
        and children.max() < max(nodes, 1)
        and (~children).max() < len(trees.leaf)
        and bool(np.isfinite(trees.threshold).all() and np.isfinite(trees.leaf).all())
        # a child comes after its parent: there is no circle
        and all(((side < 0) | (side > np.arange(nodes))).all() for side in (trees.left, trees.right))
    )
    if not fits:
        raise ValueError("the arrays of the model do not fit together")


def _short(value: float) -> float | int:
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded
