"""A multi-layer perceptron for regression, in plain numpy: training with Adam, and a JSON file that anyone can read.

Hidden layers use tanh, the last one is linear. Inputs are standardised with the training's mean and deviation.
Source: Kingma and Ba, Adam, ICLR 2015, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_ops.worker.models.files import parts_of, to_text

FORMAT = "base_ops.mlp/1"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mlp:
    """One number from several."""

    features: tuple[str, ...]
    mean: Array
    deviation: Array
    weights: tuple[Array, ...]
    """One matrix per layer, inputs × outputs."""
    biases: tuple[Array, ...]
    about: dict[str, Any]

    def predict(self, x: Array) -> Array:
        """Shape (samples, features) → (samples,)."""
        values = (x - self.mean) / self.deviation
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = np.tanh(values @ weight + bias)
        return np.asarray((values @ self.weights[-1] + self.biases[-1])[:, 0])

    def to_json(self) -> str:
        """One line per part, numbers with six digits."""
        parts: dict[str, Any] = {"about": self.about, "features": self.features}
        parts |= {"mean": _short(self.mean), "deviation": _short(self.deviation)}
        parts |= {f"weights_{n}": _short(w) for n, w in enumerate(self.weights)}
        parts |= {f"biases_{n}": _short(b) for n, b in enumerate(self.biases)}
        return to_text(FORMAT, parts)


def _short(values: Array) -> Any:
    return [_short(row) for row in values] if values.ndim > 1 else [float(f"{value:.6g}") for value in values]


def parse_mlp(text: str | bytes) -> Mlp:
    """A model from its file; it comes from a registry and is checked before it is used.

    Raises:
        ValueError: it is no model, or its parts do not fit together.
    """
    with parts_of(text, FORMAT) as raw:
        layers = sum(key.startswith("weights_") for key in raw)
        model = Mlp(
            features=tuple(map(str, raw["features"])),
            mean=np.array(raw["mean"], np.float64),
            deviation=np.array(raw["deviation"], np.float64),
            weights=tuple(np.array(raw[f"weights_{n}"], np.float64) for n in range(layers)),
            biases=tuple(np.array(raw[f"biases_{n}"], np.float64) for n in range(layers)),
            about=dict(raw["about"]),
        )
    _check(model)
    return model


def _check(model: Mlp) -> None:
    width = len(model.features)
    fits = model.mean.shape == model.deviation.shape == (width,) and len(model.weights) > 0
    for weight, bias in zip(model.weights, model.biases, strict=True):
        fits = fits and weight.ndim == 2 and weight.shape[0] == width and bias.shape == weight.shape[1:]
        width = weight.shape[-1] if fits else 0
    arrays = (model.mean, model.deviation, *model.weights, *model.biases)
    if not (fits and width == 1 and (model.deviation > 0).all() and all(np.isfinite(a).all() for a in arrays)):
        raise ValueError("the arrays of the model do not fit together")


def train_mlp(
    x: Array, y: Array, *, features: Sequence[str], hidden: Sequence[int], epochs: int, seed: int, about: dict[str, Any]
) -> Mlp:
    """Least squares with Adam, mini-batches of 256, the step falling to nothing along a cosine.

    The same samples and seed give the same model on one machine.
    """
    rng = np.random.default_rng(seed)
    mean, deviation = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    inputs, y = ((x - mean) / deviation).astype(np.float32), y.astype(np.float32)
    sizes = [x.shape[1], *hidden, 1]
    layers = [rng.normal(0, 1 / np.sqrt(a), (a, b)).astype(np.float32) for a, b in pairwise(sizes)]
    parameters: list[Any] = [*layers, *(np.zeros(b, np.float32) for b in sizes[1:])]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    steps, total = 0, epochs * -(-len(x) // 256)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for begin in range(0, len(x), 256):
            batch = order[begin : begin + 256]
            steps += 1
            rate = 3e-3 * 0.5 * (1 + np.cos(np.pi * steps / total))
            for n, slope in enumerate(_slopes(parameters, inputs[batch], y[batch])):
                first[n] += 0.1 * (slope - first[n])
                second[n] += 0.001 * (slope * slope - second[n])
                corrected = np.sqrt(second[n] / (1 - 0.999**steps)) + 1e-8
                parameters[n] -= (rate / (1 - 0.9**steps)) * first[n] / corrected
    depth, parameters = len(layers), [np.asarray(p, np.float64) for p in parameters]
    return Mlp(tuple(features), mean, deviation, tuple(parameters[:depth]), tuple(parameters[depth:]), about)


def _slopes(parameters: list[Array], x: Array, y: Array) -> list[Array]:
    """Gradients of the mean squared error."""
    depth = len(parameters) // 2
    weights, biases = parameters[:depth], parameters[depth:]
    values = [x]
    for n in range(depth):
        linear = values[-1] @ weights[n] + biases[n]
        values.append(np.tanh(linear) if n < depth - 1 else linear)
    fault = 2 * (values[-1] - y[:, None]) / len(y)
    by_weight: list[Array] = []
    by_bias: list[Array] = []
    for n in reversed(range(depth)):
        by_weight.insert(0, values[n].T @ fault)
        by_bias.insert(0, fault.sum(axis=0))
        if n:
            fault = (fault @ weights[n].T) * (1 - values[n] ** 2)
    return [*by_weight, *by_bias]
