"""Learning the values, and the comparison with a fixed policy and with the rules.

Policy iteration by Monte Carlo with exploring starts (Sutton and Barto, Reinforcement Learning, §5.3): each sweep
tries every allowed action at a random moment of an episode and goes on as the last sweep's policy would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from base_ops.core.settings import Settings
from base_ops.data_ingestion.models.retry_strategy.simulator import Episode
from base_ops.data_ingestion.models.retry_strategy.states import ACTIONS, STATES
from base_ops.data_ingestion.models.retry_strategy.table import FEATURES, MODEL, MODULE, Table, read
from base_ops.data_ingestion.specs.model_trainer import ModelTrainerSpec
from base_ops.worker.models.champion import find_model, packaged_file, registered_name
from base_ops.worker.models.learning import Learned

TARGET = 0.5
"""Of what a fetch can gain at most; see `learn`."""
_HELD_OUT = 1_000_000
_MOST_REWARD = 100.0

Policy = Callable[[Episode], tuple[int, float | None]]
"""What is done next: (action, wait that overrides the action's own)."""
_STEPS = 30
_GIVE_UP, _RETRY = ACTIONS.index("give_up"), ACTIONS.index("retry")


def learn(spec: ModelTrainerSpec, settings: Settings) -> Learned:
    """For the trainer; a score is an episode's mean reward as a share of the most it can give."""
    table = train(spec.seed, spec.samples_per_class * 50)
    number, seed = spec.test_samples_per_class * 250, spec.seed + _HELD_OUT
    compared = compare(table, seed, number)
    found = find_model(settings, registered_name(MODULE, MODEL), packaged_file(MODULE, MODEL), FEATURES, read)
    before = _share(measure(learned(found.fitted), seed, number)) if found.fitted is not None else None
    scores = {who: _share(score) for who, score in compared.items()}
    table.about.update({who: round(100 * share, 1) for who, share in scores.items()})
    fixed_one, model = compared["fixed"], compared["model"]
    details: dict[str, JsonValue] = {
        "beside_the_fixed_policy": {
            "cost": round(model.cost / fixed_one.cost - 1, 4),
            "success": round(model.success / fixed_one.success - 1, 4),
            "resources": round(model.fetches / fixed_one.fetches - 1, 4),
        }
    }
    return Learned(table.to_json(), table.about, scores, before, found.origin, details)


def _share(score: Score) -> float:
    """0 to 1, as accuracies are; what costs more than it brings is worth nothing."""
    return max(0.0, score.reward / _MOST_REWARD)


def train(seed: int = 1, episodes: int = 12_000, sweeps: int = 6) -> Table:
    """The same seed learns the same values."""
    rng = np.random.default_rng(seed)
    values = np.zeros((len(STATES), len(ACTIONS)))
    errors = np.full_like(values, np.inf)
    for _ in range(sweeps):
        sums, squares, counts = np.zeros_like(values), np.zeros_like(values), np.zeros_like(values)
        for _ in range(episodes):
            state, action, gain = _explored(Episode(rng), values, rng)
            sums[state, action] += gain
            squares[state, action] += gain * gain
            counts[state, action] += 1
        seen = counts > 1
        mean = np.divide(sums, counts, out=np.zeros_like(sums), where=seen)
        spread = np.sqrt(np.maximum(0.0, np.divide(squares, counts, out=np.zeros_like(sums), where=seen) - mean**2))
        values = np.where(seen, mean, 0.0)
        errors = np.where(seen, spread / np.sqrt(np.maximum(1, counts)), np.inf)
    about = {"seed": seed, "episodes": episodes, "sweeps": sweeps}
    return Table(values.round(3).tolist(), errors.round(3).tolist(), about)


def _explored(episode: Episode, values: np.ndarray, rng: np.random.Generator) -> tuple[int, int, float]:
    """(state, action tried, reward from there to the end)."""
    for _ in range(int(rng.integers(0, 5))):  # late states are reached by trying again, as in life
        if (again := _RETRY) not in episode.allowed() or episode.act(again).done:
            episode = Episode(rng)
    state, allowed = episode.state, episode.allowed()
    action = tried = int(rng.choice(allowed))
    gain = 0.0
    for _ in range(_STEPS):
        outcome = episode.act(action)
        gain += outcome.reward
        if outcome.done:
            break
        action = _greedy(episode, values)
    return state, tried, gain


def _greedy(episode: Episode, values: np.ndarray) -> int:
    return max(episode.allowed(), key=lambda action: values[episode.state, action])


@dataclass(frozen=True)
class Score:
    """Of one policy, per episode."""

    success: float
    """Share of fetches whose data came, from wherever."""
    reward: float
    cost: float
    """10 for each failed try, 1 for each second, 5 for each whole fetch."""
    fetches: float
    """Whole fetches spent."""
    seconds: float


def measure(policy: Policy, seed: int = 1_000, episodes: int = 20_000) -> Score:
    """On episodes of another seed than it was trained with."""
    rng = np.random.default_rng(seed)
    success = reward = cost = fetches = seconds = 0.0
    for _ in range(episodes):
        episode = Episode(rng)
        for _ in range(_STEPS):
            outcome = episode.act(*policy(episode))
            success, reward = success + outcome.success, reward + outcome.reward
            fetches, seconds = fetches + outcome.tries, seconds + outcome.seconds
            cost += 10.0 * outcome.failed + outcome.seconds + 5.0 * outcome.tries
            if outcome.done:
                break
    return Score(success / episodes, reward / episodes, cost / episodes, fetches / episodes, seconds / episodes)


def fixed(episode: Episode) -> tuple[int, float | None]:
    """What a client without knowledge does: five tries, 1 s doubled each time, whatever the error."""
    if episode.attempt > 5:
        return _GIVE_UP, None
    return ACTIONS.index("retry"), min(300.0, 2.0 ** (episode.attempt - 1))


def rules(episode: Episode) -> tuple[int, float | None]:
    """The error-code map of fetch_retry: the first of what it allows, five tries."""
    allowed = {ACTIONS[action] for action in episode.allowed()}
    order = ["refresh_credential", "partial", "retry", "fallback", "cache"]
    if episode.attempt >= 5:
        order = ["fallback", "cache"]
    return ACTIONS.index(next((name for name in order if name in allowed), "give_up")), None


def learned(table: Table, min_confidence: float = 0.7) -> Policy:
    """The model, and the rules where it is not sure."""

    def policy(episode: Episode) -> tuple[int, float | None]:
        action, sure = table.best(episode.state, episode.allowed())
        return (action, None) if sure >= min_confidence else rules(episode)

    return policy


def compare(table: Table, seed: int = 1_000, episodes: int = 20_000) -> dict[str, Score]:
    """The fixed policy, the rules and the model, on the same episodes' seed."""
    policies: dict[str, Policy] = {"fixed": fixed, "rules": rules, "model": learned(table)}
    return {name: measure(policy, seed, episodes) for name, policy in policies.items()}
