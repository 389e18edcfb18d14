"""Making a Request for work that is run here and now, and running it in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from base_ops.core.ids import AgentId, uuid7
from base_ops.core.protocol import Identity, Request, Result, StepRequest
from base_ops.core.settings import load_settings
from base_ops.core.spec import action_specs, spec_type


def run_here(steps: Sequence[tuple[str, dict[str, Any]]], *, inputs: Sequence[str] = ()) -> Result:
    """Run one agent, or a chain of row-wise agents, in this process."""
    from base_ops.worker.main import run

    settings = load_settings()
    if "log_level" not in settings.model_fields_set:
        settings = settings.model_copy(update={"log_level": "CRITICAL"})  # the Result is printed; a log would repeat it
    requests = []
    for agent, spec in steps:
        main = next(iter(action_specs(spec_type(AgentId.parse(agent)))))
        requests.append(StepRequest(agent=agent, action=spec.get("action", main), spec=spec))
    request = Request(steps=requests, identity=Identity(attempt=uuid7()), inputs=list(inputs), lake_url=settings.lake)
    return run(request, settings)
