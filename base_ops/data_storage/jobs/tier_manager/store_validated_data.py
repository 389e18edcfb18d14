"""tier_manager.store_validated_data: the slices that are new replace what the table held of them, in one commit."""

from __future__ import annotations

from pydantic import JsonValue

from base_ops.core.errors import BadInput
from base_ops.core.ids import commit_key
from base_ops.core.protocol import ColumnLineage, Counts, DataRef, Finding, Lineage, StepResult
from base_ops.data_storage.specs.tier_manager import StoreValidatedDataSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.engine.plan import fields_of
from base_ops.worker.lake.tables import Rules, Stored, Tables

AGENT = "data_storage.tier_manager"


def store_validated_data(spec: StoreValidatedDataSpec, ctx: Context) -> JobOutput:
    """Store the staging data of the work before; see base_ops/worker/lake/tables.

    Returns:
        a reference to the table. Rows that came in are rows_out once the table holds them (whichever run brought
        them), or dropped as `superseded` where the table has seen newer landings than this work.
    """
    units = [ref for ref in ctx.inputs if ref.kind == "staging"]
    tables = Tables(ctx.lake.store, ctx.settings.memory_limit_mb, ctx.settings.threads)
    dump = spec.model_dump(mode="json")
    key = commit_key(f"table/{spec.dataset}", [unit.id for unit in units], dump, ctx.code_version)
    rules = Rules(spec.key, spec.history, spec.evolution, spec.missing_rows, frozenset(ctx.request.sensitive_columns))
    record = {
        "dataset": spec.dataset,
        "commit": key,
        "spec": dump,
        "code_version": ctx.code_version,
        "run": ctx.identity.model_dump(mode="json", include={"dag_id", "run_id", "task_id"}),
    }
    try:
        stored = tables.store_units(spec.dataset, units, rules, key, considered=ctx.considered, record=record)
    except BadInput as error:
        if error.code == "incompatible_schema":
            data: dict[str, JsonValue] = {"changes": error.found}
            event: dict[str, JsonValue] = {"type": "schema_breaking", "subject": spec.dataset, "data": data}
            ctx.unfinished.append(StepResult(agent=AGENT, action=spec.action, events=[event]))
        raise
    return _output(spec, ctx, tables, units, key, stored)


def _output(
    spec: StoreValidatedDataSpec, ctx: Context, tables: Tables, units: list[DataRef], key: str, stored: Stored
) -> JobOutput:
    rows_in = stored.total("rows_in") if stored.changes else sum(unit.rows or 0 for unit in units)
    lost = {"superseded": rows_in} if stored.outcome == "superseded" and rows_in else {}
    step = StepResult(
        agent=AGENT,
        action=spec.action,
        counts=Counts(
            rows_in=rows_in,
            rows_out=0 if lost else rows_in,
            dropped=lost,
            bytes_in=sum(unit.bytes or 0 for unit in units),
        ),
        observations=_observations(stored),
        findings=_findings(spec, stored),
    )
    if stored.outcome == "stored":
        step.events.append(
            {"type": "data_stored", "subject": spec.dataset, "data": {**step.observations, "commit": key}}
        )
    step.events += [
        {"type": finding.code, "subject": spec.dataset, "data": dict(finding.data)}
        for finding in step.findings
        if finding.code == "schema_evolved"
    ]
    names = sorted({unit.name for unit in units})
    columns = [ColumnLineage(column=c, inputs=[(name, c) for name in names]) for c in stored.schema if units]
    return JobOutput(
        steps=[step],
        outputs=_outputs(spec, tables, key if units else None, stored),
        inputs=units,
        lineage=Lineage(inputs=names, outputs=[spec.dataset], columns=columns),
        commit_keys=[key] if units else [],
        adopted=stored.outcome == "adopted",
    )


def _outputs(spec: StoreValidatedDataSpec, tables: Tables, key: str | None, stored: Stored) -> list[DataRef]:
    if stored.version is None:
        return []
    if key is None or stored.outcome == "superseded":
        last = tables.last_commit(spec.dataset)
        key = last.key if last else ""
    return [
        DataRef(
            id=key,
            kind="table",
            uri=tables.uri(spec.dataset),
            name=spec.dataset,
            rows=stored.rows,
            version=stored.version,
            fields=fields_of(stored.schema),
        )
    ]


def _observations(stored: Stored) -> dict[str, JsonValue]:
    return {
        "inserted": stored.total("inserted"),
        "changed": stored.total("changed"),
        "unchanged": stored.total("unchanged"),
        "closed": stored.total("closed"),
        "rows": stored.rows,
        "version": stored.version,
        "slices": len(stored.changes),
    }


def _findings(spec: StoreValidatedDataSpec, stored: Stored) -> list[Finding]:
    found = []
    if stored.outcome == "superseded":
        message = f"{spec.dataset} already holds newer landings than this work saw; nothing was written"
        found.append(Finding(code="superseded", message=message, data={"version": stored.version}))
    if stored.version and (stored.added or stored.widened):
        changes = [f"new {name}" for name in stored.added] + [f"wider {name}" for name in stored.widened]
        message = f"The schema of {spec.dataset} changed: {', '.join(changes)}"
        found.append(
            Finding(code="schema_evolved", message=message, severity="warning", data={"changes": list(changes)})
        )
    return found
