"""From an operator's context to a Request: identity, inputs, connections, trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from airflow.sdk.exceptions import AirflowSkipException

from base_ops.core.errors import ConfigError
from base_ops.core.ids import AgentId, uuid7
from base_ops.core.protocol import Identity, StepRequest
from base_ops.core.spec import Spec, parse_spec

Select = Sequence[tuple[int, int]]
"""Which outputs a mapped task works on: (number of the input Result, number of the output in it)."""


def identity_of(context: Mapping[str, Any]) -> Identity:
    """Who is running, for which interval of data, as a new attempt."""
    ti = context["ti"]
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    has_window = start is not None and end is not None and start < end  # a cron trigger's interval has no width
    return Identity(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        item=str(getattr(context.get("task"), "item", None) or ""),
        try_number=ti.try_number,
        attempt=uuid7(),
        logical_date=_iso(context.get("logical_date")),
        window_start=_iso(start) if has_window else None,
        window_end=_iso(end) if has_window else None,
    )


def step_request(agent: str, raw: Any) -> tuple[StepRequest, Spec]:
    """Check a rendered spec and write it in its JSON form, with its action beside it.

    Raises:
        ConfigError: not a mapping, or not a spec of this agent.
    """
    if not isinstance(raw, (Mapping, Spec)):
        raise ConfigError(
            f"{agent}: the spec is not a mapping",
            code="bad_spec",
            where="spec",
            expected="a mapping of the agent's fields",
            found=type(raw).__name__,
        )
    spec = cast(Spec, parse_spec(AgentId.parse(agent), raw))  # None is for what is not rendered yet
    spec = spec.completed()
    body = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    action = body.pop("action", None) or str(getattr(spec, "action", "run"))
    return StepRequest(agent=agent, action=action, spec=body), spec


def input_uris(context: Mapping[str, Any], task_ids: Iterable[str], select: Select | None = None) -> list[str]:
    """URIs of the Results of earlier tasks, all instances of mapped ones in map order.

    Raises:
        AirflowSkipException: every one of the tasks was skipped, so there is nothing to work on.
        ConfigError: a task ended without a Result and was not skipped.
    """
    ti = context["ti"]
    uris: list[str] = []
    missing: list[str] = []
    for task_id in task_ids:
        pulled = ti.xcom_pull(task_ids=[task_id])
        found = [value["result_uri"] for value in pulled if isinstance(value, Mapping) and "result_uri" in value]
        if not found:
            missing.append(task_id)
        uris.extend(found)
    if missing:
        _explain_missing(ti, missing, bool(uris))
    if select is None:
        return uris
    return [f"{uris[result]}#{output}" for result, output in select]


def _explain_missing(ti: Any, missing: list[str], some_found: bool) -> None:
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=missing, run_ids=[ti.run_id]).get(ti.run_id, {})
    of_task = {
        task: sorted({str(s) for name, s in states.items() if name == task or name.startswith(f"{task}_")})
        for task in missing
    }
    unexplained = {task: found for task, found in of_task.items() if set(found) != {"skipped"}}
    if unexplained:
        task, found = next(iter(unexplained.items()))
        raise ConfigError(
            f"The task {task!r} left no Result to build on",
            code="missing_input",
            where=f"inputs of {ti.task_id}",
            expected="an agent's task that has succeeded or was skipped",
            found=f"state {', '.join(found) or 'unknown'}",
            todo=f"clear and rerun {task!r}, or correct `after` / `inputs_from`",
        )
    if not some_found:
        raise AirflowSkipException(f"Nothing to do: {', '.join(missing)} produced nothing in this run.")


def traceparent_of(context: Mapping[str, Any]) -> str | None:
    """The W3C trace context of this task, if tracing is on."""
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return None
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    stored = getattr(context["ti"], "context_carrier", None) or {}
    return carrier.get("traceparent") or stored.get("traceparent")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
