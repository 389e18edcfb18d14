"""encryption_manager.store_with_encryption: encrypted first, then stored; the table never sees it plain."""

from __future__ import annotations

from base_ops.core.protocol import Finding, StepRequest, StepResult
from base_ops.data_security.jobs.classifier import sensitive_columns
from base_ops.data_security.jobs.encryption_manager import AGENT
from base_ops.data_security.specs.encryption_manager import StoreWithEncryptionSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.inside import run_inside


def store_with_encryption(spec: StoreWithEncryptionSpec, ctx: Context) -> JobOutput:
    """Outputs: the table. Raises: as encrypting and storing do."""
    columns = spec.encrypt.columns
    if columns == "classified":
        columns = tuple(sensitive_columns(ctx.input_results))
    steps: list[StepResult] = []
    before, keys = ctx.input_results, []
    if columns:
        body = {**spec.encrypt.model_dump(mode="json"), "columns": list(columns)}
        target = f"staging:{spec.store.dataset}"
        encrypt = StepRequest(agent=AGENT, action="encrypt", spec={**body, "target": target})
        done = run_inside(ctx, [encrypt], before)
        _tell(done.steps[0], spec, columns)
        steps, keys, before = done.steps, done.commit_keys, [done]
    store = spec.store.model_dump(mode="json", exclude_unset=True, exclude={"action"})
    request = StepRequest(agent="data_storage.tier_manager", action=spec.store.action, spec=store)
    stored = run_inside(ctx, [request], before)
    if not columns:
        message = "nothing was found that had to be encrypted; the data is stored as it is"
        stored.steps[0].findings.append(Finding(code="nothing_encrypted", severity="warning", message=message))
    return JobOutput(
        steps=[*steps, *stored.steps],
        outputs=stored.outputs,
        inputs=stored.inputs,
        lineage=stored.lineage,
        commit_keys=[*keys, *stored.commit_keys],
        adopted=stored.adopted,
    )


def _tell(step: StepResult, spec: StoreWithEncryptionSpec, columns: tuple[str, ...]) -> None:
    data = {"columns": list(columns), "context": spec.encrypt.context}
    step.events.append({"type": "data_encrypted", "subject": spec.store.dataset, "data": data})
