"""What a task's Request says of the peers it will call: the circuit breakers that all runs share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from base_ops.core.breaker import Admission, BreakerPolicy


def peers_of(value: Any) -> dict[str, BreakerPolicy]:
    """The sources inside a spec (whatever has an `id` and says how it is connected to), with their policies."""
    if isinstance(value, BaseModel):
        found: dict[str, BreakerPolicy] = {}
        for name in type(value).model_fields:
            found |= peers_of(getattr(value, name))
        policy = getattr(getattr(value, "connecting", None), "breaker", None)
        if isinstance(policy, BreakerPolicy):
            found[f"source:{getattr(value, 'id', '')}"] = policy
        return found
    if isinstance(value, Mapping):
        return peers_of(list(value.values()))
    if isinstance(value, (list, tuple)):
        return {peer: policy for item in value for peer, policy in peers_of(item).items()}
    return {}


def admissions(state_url: str, specs: Iterable[Any], attempt: str, log: Any) -> dict[str, Admission]:
    """What is known of the peers of these specs. Without the state database every breaker begins closed."""
    peers = peers_of(list(specs))
    if not peers:
        return {}
    from base_ops.state import StateStore
    from base_ops.state.breakers import admit

    store = StateStore(state_url)
    try:
        return admit(store, peers, attempt)
    except Exception as error:  # whatever a database driver raises
        log.warning("The state database did not tell of circuit breakers (%s); all begin closed.", type(error).__name__)
        return {}
    finally:
        store.close()
