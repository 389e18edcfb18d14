"""The learned values as a JSON file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from base_ops.data_ingestion.models.retry_strategy.states import ACTIONS, STATES

MODULE, MODEL = "data_ingestion", "retry_strategy"
FEATURES = (*STATES, *ACTIONS)
"""What a file must be about: these states and actions, in this order."""


@dataclass(frozen=True)
class Table:
    """Value (reward) of each action in each state, and how sure it is."""

    values: list[list[float]]
    errors: list[list[float]]
    """Standard errors of the values; inf where an action was never tried."""
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """What it was trained on: a file of other states or actions is not read."""
        return FEATURES

    def best(self, state: int, allowed: list[int]) -> tuple[int, float]:
        """(the best of the allowed actions, probability that it is better than the next best)."""
        ranked = sorted(allowed, key=lambda action: -self.values[state][action])
        if len(ranked) == 1:
            return ranked[0], 1.0
        one, two = ranked[:2]
        gap = self.values[state][one] - self.values[state][two]
        spread = math.hypot(self.errors[state][one], self.errors[state][two])
        if not math.isfinite(spread):
            return one, 0.0
        return one, 0.5 * (1 + math.erf(gap / (spread * math.sqrt(2)))) if spread else float(gap > 0)

    def to_json(self) -> str:
        """With unknown errors as null: JSON has no infinity."""
        errors = [[None if math.isinf(e) else round(e, 3) for e in row] for row in self.errors]
        values = [[round(v, 3) for v in row] for row in self.values]
        told = {"states": STATES, "actions": ACTIONS, "values": values, "errors": errors, "about": self.about}
        return json.dumps(told, indent=1) + "\n"


def read(text: str | bytes) -> Table:
    """Raises: ValueError where it is no table of these states and actions."""
    found = json.loads(text)
    if not isinstance(found, dict) or found.get("states") != list(STATES) or found.get("actions") != list(ACTIONS):
        raise ValueError("a model of other states or actions")
    try:
        values = [[float(v) for v in row] for row in found["values"]]
        errors = [[math.inf if e is None else float(e) for e in row] for row in found["errors"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a model file: {error}") from None
    shapes = {len(values), len(errors)} == {len(STATES)} and {len(r) for r in values + errors} == {len(ACTIONS)}
    if not shapes or not all(math.isfinite(v) for row in values for v in row):
        raise ValueError("a model with missing or odd values")
    return Table(values, errors, dict(found.get("about") or {}))
