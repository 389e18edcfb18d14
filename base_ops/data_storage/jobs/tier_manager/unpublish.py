"""tier_manager.unpublish: a failed run's commits are taken back; what they had consumed is unconsumed again."""

from __future__ import annotations

from base_ops.core.protocol import Finding, StepResult
from base_ops.data_storage.specs.tier_manager import UnpublishSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.lake.tables import Tables

AGENT = "data_storage.tier_manager"


def unpublish(spec: UnpublishSpec, ctx: Context) -> JobOutput:
    """Observations: the commits taken back, the table's version. What others built on stays, with a finding."""
    who = ctx.identity
    mine = {"dag_id": who.dag_id, "run_id": who.run_id}
    done = Tables(ctx.lake.store).take_back(
        spec.dataset, lambda record: {k: (record.get("run") or {}).get(k) for k in mine} == mine
    )
    step = StepResult(agent=AGENT, action=spec.action)
    step.observations = {"taken_back": list(done.commits), "kept": list(done.kept), "version": done.version}
    if done.commits:
        data = {"commits": list(done.commits), "version": done.version}
        step.events.append({"type": "data_unpublished", "subject": spec.dataset, "data": data})
    if done.kept:
        message = f"{spec.dataset}: others have committed since, so the commits of this run stay"
        step.findings.append(
            Finding(code="unpublish_refused", severity="warning", message=message, data={"commits": list(done.kept)})
        )
    return JobOutput(steps=[step])
