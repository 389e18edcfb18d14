"""Training with LightGBM, and the way from its trees to ours. Needs the extra `train`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_ops.core.errors import missing_extra
from base_ops.worker.models.trees import Trees


def train_trees(
    x: NDArray[np.float64],
    y: NDArray[np.int32],
    *,
    classes: Sequence[str],
    features: Sequence[str],
    rounds: int,
    seed: int,
    about: dict[str, Any],
    **parameters: Any,
) -> Trees:
    """Fit a classifier; the same samples and seed give the same file.

    Args:
        x: samples × features.
        y: number of each sample's class.
        rounds: trees per class.
        parameters: further ones of LightGBM, e.g. num_leaves.

    Raises:
        ConfigError: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise missing_extra("lightgbm", "train", "training a model") from None
    settings = {
        "objective": "multiclass", "num_class": len(classes), "seed": seed, "deterministic": True, "verbosity": -1,
        "force_row_wise": True, "num_threads": 2, "use_missing": False, **parameters,
    }  # fmt: skip
    booster = lightgbm.train(settings, lightgbm.Dataset(x, y), num_boost_round=rounds)
    return _flat(booster.dump_model(), classes, features, about)


def _flat(model: dict[str, Any], classes: Sequence[str], features: Sequence[str], about: dict[str, Any]) -> Trees:
    feature: list[int] = []
    threshold: list[float] = []
    children: tuple[list[int], list[int]] = ([], [])
    leaf: list[float] = []

    def add(node: dict[str, Any]) -> int:
        if "leaf_value" in node:
            leaf.append(node["leaf_value"])
            return ~(len(leaf) - 1)
        at = len(feature)
        feature.append(node["split_feature"])
        threshold.append(node["threshold"])
        for side in children:
            side.append(0)
        for side, name in zip(children, ("left_child", "right_child"), strict=True):
            side[at] = add(node[name])
        return at

    roots = [add(tree["tree_structure"]) for tree in model["tree_info"]]
    return Trees(
        classes=tuple(classes),
        features=tuple(features),
        roots=np.array(roots, np.int32),
        feature=np.array(feature, np.int32),
        threshold=np.array(threshold),
        left=np.array(children[0], np.int32),
        right=np.array(children[1], np.int32),
        leaf=np.array(leaf),
        about=about,
    )
