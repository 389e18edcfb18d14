"""The model's choice among what the rules allow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from base_ops.data_ingestion.models.retry_strategy.states import ACTIONS, STATES, state_of
from base_ops.data_ingestion.models.retry_strategy.table import FEATURES, MODEL, MODULE, Table, read
from base_ops.data_ingestion.specs.fetch_retry import FailureSpec
from base_ops.worker.models.champion import Model, load_model

if TYPE_CHECKING:
    from base_ops.data_ingestion.jobs.fetch_retry.decide import Decision

_LONG = 4.0
_NOW_S = 1.0
_MAX_S = 1800.0


def choose(
    failure: FailureSpec, allowed: list[Decision], min_confidence: float, table: Table | None = None
) -> Decision:
    """The allowed decision the model values most; the rules' own where it is not sure, or not there."""
    found = Model(table, "given") if table else load_model(MODULE, MODEL, FEATURES, read)
    table = found.fitted
    rules = allowed[0]
    if table is None:
        return replace(rules, chosen_by="fallback", reasons=[*rules.reasons, "the retry model is not there"])
    options = _options(allowed)
    state = state_of(failure)
    action, sure = table.best(state, [ACTIONS.index(name) for name in options])
    name = ACTIONS[action]
    if sure < min_confidence:
        why = f"the retry model is not sure ({sure:.2f}): {STATES[state]}"
        return replace(rules, chosen_by="fallback", reasons=[*rules.reasons, why])
    told = ", ".join(f"{n} {table.values[state][ACTIONS.index(n)]:.0f}" for n in options)
    why = f"the retry model ({found.origin}) chose {name} ({sure:.2f}) in {STATES[state]}: {told}"
    chosen = options[name]
    return replace(chosen, chosen_by="model", reasons=[*chosen.reasons, why])


def _options(allowed: list[Decision]) -> dict[str, Decision]:
    """The allowed decisions by the model's names; no wait is made shorter than what peer and breaker ask for."""
    found: dict[str, Decision] = {}
    for item in allowed:
        if item.action == "retry":
            found["retry_now"] = replace(item, wait_s=max(item.floor_s, min(item.wait_s, _NOW_S)))
            found["retry"] = item
            found["retry_long"] = replace(item, wait_s=max(item.floor_s, min(item.wait_s * _LONG, _MAX_S)))
        elif item.action == "dead_letter":
            found["give_up"] = item
        elif item.action != "human":
            found[item.action] = item
    return found
