"""The load of the next 7 days by quarter-hours, with intervals.

    log(load + 1) = position in the session + kind of day + flags of the day + trend × days + recent level

Each part is a weighted mean of what the others leave over (backfitting), recent weeks counting more and rare parts
drawn towards 0. It is fitted on the series itself in milliseconds each time it is asked, so there is no model file:
what it has learnt is the history. It decides only where it has earned it: the last two weeks are forecast first, each
from before it, and where the rule "same slot last week" did better, or where history is short, that rule decides and
the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from base_ops.calendars.calendar import Calendar
from base_ops.core.errors import BadInput
from base_ops.data_ingestion.models.scheduling.slots import (
    DAY_KINDS,
    FLAGS,
    KEYS,
    PER_DAY,
    PER_WEEK,
    PHASES,
    SLOT,
    Slots,
    describe,
)

HORIZON = PER_WEEK
MIN_MODEL_DAYS = 28
MAX_DAYS = 400
_HALF_LIFE_DAYS = 28.0
_ROUNDS = 12
_TRIMMED_AFTER = 3
"""Rounds before what is far off is left out."""
_SHRINK = {"key": 0.3, "kind": 8.0, "flag": 8.0}
"""Slots' worth of doubt in each part."""
_MAX_SLOPE = 0.02
"""Of the logarithm, per day; a steeper trend is not carried on."""
_QUANTILES = (0.1, 0.9)
_MIN_RESIDUALS = 48
_WIDER = 1.25
"""Two weeks tell little of how the level wanders: the intervals are widened by this factor."""

Floats = NDArray[np.float64]
Decider = Literal["model", "fallback"]


@dataclass(frozen=True)
class Forecast:
    """Expected load per quarter-hour with an interval meant to hold 80 % of what comes."""

    start: datetime
    low: Floats
    expected: Floats
    high: Floats
    source: Decider
    reason: str
    """Why this one decided."""
    backtest: dict[str, float]
    """Mean absolute percentage error of the last two weeks, by decider; empty where history was too short to tell."""
    effects: dict[str, float]
    """What the days ahead are multiplied with, by kind and flag of day."""

    @property
    def moments(self) -> list[datetime]:
        return [self.start + number * SLOT for number in range(len(self.expected))]


@dataclass(frozen=True)
class Fit:
    """The parts, as they add up in the logarithm."""

    key: Floats
    kind: Floats
    flag: Floats
    slope: float
    level: float

    def expected_log(self, slots: Slots) -> Floats:
        """The median's logarithm for each slot."""
        return np.asarray(
            self.level + self.key[slots.key] + self.kind[slots.kind] + slots.flags @ self.flag + self.slope * slots.day
        )


def forecast(
    start: datetime, load: Floats, calendar: Calendar | None, zone: ZoneInfo, *, model: bool = True
) -> Forecast:
    """Forecast the week after a history.

    Args:
        start: first quarter-hour of the history, UTC.
        load: one number per quarter-hour, ≥ 0; NaN where it is not known.
        calendar: whose sessions drive the load.
        zone: whose days they are; the calendar's own where there is one.
        model: False: the rule decides (BASE_MODELS).

    Raises:
        BadInput: less than a week of history.
        ConfigError: the calendar does not reach so far.
    """
    if len(load) < PER_WEEK:
        raise BadInput(
            "There is too little history for a forecast",
            code="too_little_history",
            expected=f"{PER_WEEK} quarter-hours or more",
            found=str(len(load)),
            todo="wait until a week of runs has been recorded",
        )
    cut = max(0, len(load) - MAX_DAYS * PER_DAY)
    start, load = start + cut * SLOT, load[cut:]
    known = len(load)
    slots = describe(start, known + HORIZON, calendar, zone)
    rule = Outcome("fallback", last_week(load))
    if not model or known < MIN_MODEL_DAYS * PER_DAY:
        reason = "switched off" if not model else f"less than {MIN_MODEL_DAYS} days of history"
        return _answer(start, load, slots, rule, reason, {}, {})
    errors, missed = _backtest(slots, load)
    if not errors["model"] <= errors["fallback"]:
        return _answer(start, load, slots, rule, "the rule was the better one lately", errors, {})
    final = fit(slots.part(0, known), load)
    ahead = slots.part(known, known + HORIZON)
    outcome = Outcome("model", _load(final.expected_log(ahead)), missed)
    return _answer(start, load, slots, outcome, "the model was the better one lately", errors, _effects(final, ahead))


def _backtest(slots: Slots, load: Floats) -> tuple[dict[str, float], Floats]:
    """Forecast the last two weeks from before each: (error by decider, logarithms the model missed by, in order)."""
    known = len(load)
    found: dict[str, list[Floats]] = {"model": [], "fallback": []}
    for held in (known - 2 * PER_WEEK, known - PER_WEEK):
        trial = fit(slots.part(0, held), load[:held])
        found["model"].append(_load(trial.expected_log(slots.part(held, held + PER_WEEK))))
        found["fallback"].append(last_week(load[:held]))
    actual = load[known - 2 * PER_WEEK :]
    predicted = {name: np.concatenate(weeks) for name, weeks in found.items()}
    errors = {name: mape(actual, values) for name, values in predicted.items()}
    return errors, np.log1p(actual) - np.log1p(predicted["model"])


@dataclass(frozen=True)
class Outcome:
    """What one decider expects, and by how much it missed the week before (logarithms), where that is known."""

    source: Decider
    expected: Floats
    missed: Floats | None = None


def last_week(load: Floats) -> Floats:
    """The rule: the same slot a week before; where that is not known, the last known one of that slot."""
    found = load[-PER_WEEK:].copy()
    for weeks in range(2, len(load) // PER_WEEK + 1):
        gaps = np.isnan(found)
        if not gaps.any():
            break
        earlier = load[len(load) - weeks * PER_WEEK : len(load) - (weeks - 1) * PER_WEEK]
        found[gaps] = earlier[gaps]
    return np.nan_to_num(found)


def fit(slots: Slots, load: Floats) -> Fit:
    """Fit the parts to a history by backfitting."""
    seen = ~np.isnan(load)
    rows = slots.key[seen], slots.kind[seen], slots.flags[seen], slots.day[seen]
    keys, kinds, flags, days = rows
    target = np.log1p(load[seen])
    weight = 0.5 ** ((slots.day[-1] - days) / _HALF_LIFE_DAYS)
    key, kind, flag = np.zeros(KEYS), np.zeros(len(DAY_KINDS)), np.zeros(len(FLAGS))
    slope, level = 0.0, float(np.average(target, weights=weight))
    age = days - days[-1]  # the trend turns around the present, so that it leaves the level alone
    for turn in range(_ROUNDS):
        rest = target - level - kind[kinds] - flags @ flag - slope * age
        key = _means(keys, rest, weight, KEYS, _SHRINK["key"])
        rest = target - level - key[keys] - flags @ flag - slope * age
        kind = _means(kinds, rest, weight, len(DAY_KINDS), _SHRINK["kind"])
        for number in range(len(FLAGS)):
            on = flags[:, number]
            others = target - level - key[keys] - kind[kinds] - slope * age - flags @ flag + flag[number] * on
            flag[number] = float((weight * others)[on].sum() / (weight[on].sum() + _SHRINK["flag"]))
        rest = target - level - key[keys] - kind[kinds] - flags @ flag
        slope = float((weight * age * rest).sum() / ((weight * age * age).sum() + 1.0))
        slope = min(max(slope, -_MAX_SLOPE), _MAX_SLOPE)
        if turn == _TRIMMED_AFTER:
            weight = weight * _usual(rest - slope * age)
    rest = target - level - key[keys] - kind[kinds] - flags @ flag - slope * age
    recent = age > -7
    level += 0.5 * float(np.median(rest[recent])) if recent.any() else 0.0
    return Fit(key, kind, flag, slope, level - slope * float(days[-1]))


def _usual(rest: Floats) -> NDArray[np.bool_]:
    """Which slots are not far from all others: an outage must not pull down its slots for weeks."""
    away = np.abs(rest - np.median(rest))
    return np.asarray(away <= 9.0 * np.median(away) + 0.2)


def mape(actual: Floats, expected: Floats) -> float:
    """Mean absolute percentage error over the slots in which there was any load, as a share."""
    counts = ~np.isnan(actual) & (actual > 0)
    if not counts.any():
        return float("nan")
    return float(np.mean(np.abs(expected[counts] - actual[counts]) / actual[counts]))


def _means(group: NDArray[np.int64], values: Floats, weight: Floats, number: int, doubt: float) -> Floats:
    total = np.bincount(group, weights=weight * values, minlength=number)
    return np.asarray(total / (np.bincount(group, weights=weight, minlength=number) + doubt))


def _load(logarithm: Floats) -> Floats:
    return np.maximum(np.expm1(np.minimum(logarithm, 60.0)), 0.0)


def _answer(
    start: datetime,
    load: Floats,
    slots: Slots,
    outcome: Outcome,
    reason: str,
    errors: dict[str, float],
    effects: dict[str, float],
) -> Forecast:
    known = len(load)
    missed = outcome.missed
    if missed is None and known >= 2 * PER_WEEK:
        missed = np.log1p(load[-PER_WEEK:]) - np.log1p(last_week(load[:-PER_WEEK]))
    low, high = _interval(outcome.expected, missed, slots, known)
    begin = start + timedelta(minutes=15 * known)
    return Forecast(begin, low, outcome.expected, high, outcome.source, reason, errors, effects)


def _interval(expected: Floats, missed: Floats | None, slots: Slots, known: int) -> tuple[Floats, Floats]:
    """Quantiles of what was missed lately, by phase of the session."""
    if missed is None:
        return expected * 0.0, expected * 2.0
    before, ahead = slots.part(known - len(missed), known).phase, slots.part(known, known + HORIZON).phase
    told = ~np.isnan(missed)
    bounds = np.tile(np.quantile(missed[told], _QUANTILES), (PHASES, 1)) if told.any() else np.zeros((PHASES, 2))
    for phase in range(PHASES):
        mine = missed[told & (before == phase)]
        if len(mine) >= _MIN_RESIDUALS:
            bounds[phase] = np.quantile(mine, _QUANTILES)
    bounds *= _WIDER
    logarithm = np.log1p(expected)
    low = _load(logarithm + np.minimum(bounds[ahead, 0], 0.0))
    return low, _load(logarithm + np.maximum(bounds[ahead, 1], 0.0))


def _effects(found: Fit, ahead: Slots) -> dict[str, float]:
    kinds = {DAY_KINDS[number]: found.kind[number] for number in sorted(set(ahead.kind.tolist()))}
    flags = {FLAGS[number]: found.flag[number] for number in range(len(FLAGS)) if ahead.flags[:, number].any()}
    return {name: round(float(np.exp(value)), 3) for name, value in {**kinds, **flags}.items()}
