"""data_ingestion.merger: one dataset of several sources, slice by slice, with an account of every conflict."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from base_ops.core.errors import ConfigError
from base_ops.core.ids import commit_key, fingerprint
from base_ops.core.protocol import ColumnLineage, Counts, DataRef, Finding, Lineage, StepResult, check_balance
from base_ops.data_ingestion.specs.merger import MergerSpec
from base_ops.worker.context import Context, JobOutput
from base_ops.worker.engine.plan import POINTER, fields_of
from base_ops.worker.engine.unit import OBJECT, file_ref
from base_ops.worker.failpoints import failpoint
from base_ops.worker.lake.quarantine import Quarantine
from base_ops.worker.lake.store import Store
from base_ops.worker.lake.work import Manifest, Work
from base_ops.worker.merge import CONFLICTS, DUPLICATES, PART, Merged, SourceFile, merge
from base_ops.worker.merge.conflicts import FieldConflicts
from base_ops.worker.merge.decisions import check_names

AGENT, ACTION = "data_ingestion.merger", "merge_processed_files"


def run(spec: MergerSpec, ctx: Context) -> JobOutput:
    """Merge the staged parts of all sources; every slice is a piece of work of its own.

    Outputs: per slice one staging reference to the merged rows, sorted by key (columns: see `worker.merge.merge`).
    Its labels: `conflicts`, URI of the conflict log; `sources`, JSON list of the sources that lineage columns count
    from 0; `lineage`, JSON object {field: its lineage column}.

    Raises:
        ConfigError: a rule names a column that no input has.
        BadInput: inputs that cannot be read or brought to one type.
    """
    if spec.target is not None:
        return _stand_alone(spec, ctx)
    refs = list({(ref.id, ref.uri): ref for ref in ctx.inputs if ref.kind == "staging"}.values())
    step = StepResult(agent=AGENT, action=ACTION)
    if not refs:
        step.findings.append(Finding(code="nothing_new", message="there is nothing new to merge"))
        return JobOutput(steps=[step])
    _check_names(spec, refs)
    output = JobOutput(steps=[step], inputs=refs)
    adopted = 0
    columns: dict[str, ColumnLineage] = {}
    for name in sorted({ref.slice for ref in refs}):
        manifest, was_there = _slice(spec, ctx, name, [ref for ref in refs if ref.slice == name])
        adopted += was_there
        output.outputs += manifest.outputs
        output.commit_keys.append(manifest.commit_key)
        _add(step, manifest.steps[0])
        columns.update({c.column: c for c in manifest.columns})
    output.adopted = adopted == len(output.commit_keys)
    output.lineage = Lineage(
        inputs=sorted({ref.name for ref in refs}), outputs=[spec.dataset], columns=list(columns.values())
    )
    step.events = _events(spec, step)
    return output


def _check_names(spec: MergerSpec, refs: Sequence[DataRef]) -> None:
    names = [spec.rename.get(ref.source, {}).get(f.name, f.name) for ref in refs for f in ref.fields]
    check_names(spec, sorted(set(names) - {POINTER}), sorted({ref.source for ref in refs}))


def _slice(spec: MergerSpec, ctx: Context, name: str, refs: list[DataRef]) -> tuple[Manifest, bool]:
    ids = sorted({ref.id for ref in refs})
    rules = spec.model_dump(mode="json")
    key = commit_key(f"staging/{spec.dataset}/{name}", ids, rules, ctx.code_version)
    with ctx.lake.work(spec.dataset, key) as work:
        if work.published is not None:
            return work.published, True
        with ExitStack() as stack:
            files = [
                SourceFile(
                    source=ref.source,
                    path=stack.enter_context(work.store.as_local(work.store.path_of(ref.uri), work.scratch)),
                    uri=ref.labels.get(OBJECT, ref.uri),
                    id=ref.id,
                    sequence=ref.sequence,
                )
                for ref in refs
            ]
            folder = f"quarantine/{spec.dataset}/{key}/{work.attempt}"
            quarantine = Quarantine(work.store, folder, work.scratch, ctx.request.sensitive_columns)
            began = time.perf_counter()
            merged = _merge(spec, ctx, files, work.scratch, quarantine)
        step = _account(spec, merged, quarantine, began)
        step.counts.bytes_in = sum(ref.bytes or 0 for ref in refs)
        names = {ref.source: ref.name for ref in refs}
        return _publish(spec, work, name, refs, merged, step, names), False


def _publish(
    spec: MergerSpec,
    work: Work,
    name: str,
    refs: list[DataRef],
    merged: Merged,
    step: StepResult,
    names: dict[str, str],
) -> Manifest:
    conflicts = work.add(work.scratch_file(CONFLICTS), rows=merged.conflict_rows)
    listed = {}
    if spec.duplicates is not None:
        listed[DUPLICATES_FOUND] = work.uri(work.add(work.scratch_file(DUPLICATES)))
    part = work.add(work.scratch_file(PART), rows=merged.rows_out)
    step.counts.bytes_out = part.bytes
    fields = fields_of(merged.schema)
    output = DataRef(
        id=work.commit_key,
        kind="staging",
        uri=work.uri(part),
        name=spec.dataset,
        slice=name,
        rows=part.rows,
        bytes=part.bytes,
        sha256=part.sha256,
        schema_fingerprint=fingerprint([f.model_dump() for f in fields]),
        fields=fields,
        sequence=max(ref.sequence for ref in refs),
        labels={CONFLICTS_LABEL: work.uri(conflicts), **listed, **_labels(merged)},
    )
    columns = [
        c.model_copy(update={"inputs": [(names.get(source, source), column) for source, column in c.inputs]})
        for c in merged.columns
    ]
    failpoint("merge.before_publish")
    return work.publish([output], [step], [ref.id for ref in refs], columns)


CONFLICTS_LABEL = "conflicts"
CONFLICTS_FOUND = "conflicts"
DUPLICATES_FOUND = "duplicates"


def _labels(merged: Merged) -> dict[str, str]:
    return {"sources": json.dumps(list(merged.sources)), "lineage": json.dumps(merged.lineage)}


def _merge(spec: MergerSpec, ctx: Context, files: list[SourceFile], scratch: Path, quarantine: Quarantine) -> Merged:
    return merge(
        files,
        spec,
        scratch,
        quarantine,
        sensitive=ctx.request.sensitive_columns,
        memory_limit_mb=ctx.settings.memory_limit_mb,
        threads=ctx.settings.threads,
    )


def _account(spec: MergerSpec, merged: Merged, quarantine: Quarantine, began: float) -> StepResult:
    step = StepResult(agent=AGENT, action=ACTION)
    step.counts = Counts(
        rows_in=merged.rows_in,
        rows_out=merged.rows_out,
        quarantined=merged.quarantined,
        merged_away=merged.merged_away,
    )
    step.quarantine = quarantine.finish().get(0, [])
    step.observations = {"conflict_rows": merged.conflict_rows}
    step.findings = [*merged.findings, *(_finding(c) for c in merged.conflicts if c.conflicts)]
    step.events = _events(spec, step)
    step.seconds = round(time.perf_counter() - began, 3)
    return step


def _finding(tally: FieldConflicts) -> Finding:
    won = ", ".join(f"{source} {count:,}" for source, count in tally.wins.most_common())
    return Finding(
        code=CONFLICTS_FOUND,
        message=f"{tally.name}: {tally.conflicts:,} conflicts decided by {tally.rule}; won by {won}",
        data={
            "field": tally.name,
            "rule": tally.rule,
            "conflicts": tally.conflicts,
            "overruled": tally.overruled,
            "wins": dict(tally.wins),
        },
    )


def _tally(finding: Finding) -> FieldConflicts:
    """The way back."""
    data: dict[str, Any] = dict(finding.data)
    return FieldConflicts(data["field"], data["rule"], data["conflicts"], data["overruled"], Counter(data["wins"]))


def _events(spec: MergerSpec, step: StepResult) -> list[dict[str, Any]]:
    """The same for the same work, whoever does it: no times, no paths."""
    counts = step.counts
    data = {
        "rows_in": counts.rows_in,
        "rows_out": counts.rows_out,
        "merged_away": counts.merged_away,
        "quarantined": counts.quarantined,
    }
    events: list[dict[str, Any]] = []
    found = {str(f.data["field"]): f.data["conflicts"] for f in step.findings if f.code == CONFLICTS_FOUND}
    if found:
        events.append({"type": "conflict_detected", "subject": spec.dataset, "data": {"conflicts": found}})
    doubles = sum(int(str(f.data["duplicates"])) for f in step.findings if f.code == DUPLICATES_FOUND)
    if doubles:
        events.append({"type": "duplicate_found", "subject": spec.dataset, "data": {"records": doubles}})
    events.append({"type": "merge_completed", "subject": spec.dataset, "data": data})
    return events


def _add(total: StepResult, step: StepResult) -> None:
    """Add one slice's account to the job's; conflicts of one field become one finding."""
    total.counts = total.counts.plus(step.counts)
    total.seconds = round(total.seconds + step.seconds, 3)
    total.quarantine += step.quarantine
    for name, value in step.observations.items():
        total.observations[name] = total.observations.get(name, 0) + value  # type: ignore[operator]
    tallies: dict[str, FieldConflicts] = {}
    findings = [*total.findings, *step.findings]
    for found in (_tally(f) for f in findings if f.code == CONFLICTS_FOUND):
        known = tallies.setdefault(found.name, FieldConflicts(found.name, found.rule))
        known.conflicts += found.conflicts
        known.overruled += found.overruled
        known.wins += found.wins
    others = {f.message: f for f in findings if f.code != CONFLICTS_FOUND}
    total.findings = [*others.values(), *(_finding(tally) for tally in tallies.values())]


# -- stand-alone use


def _stand_alone(spec: MergerSpec, ctx: Context) -> JobOutput:
    """Files in, a folder out: part-0.parquet, conflicts.parquet and, if there is any, quarantine/.

    The files of a source are in order of arrival. Each file appears whole or not at all, the merged rows last.
    """
    assert spec.target is not None
    store = Store(spec.target)
    files = [
        SourceFile(source, Path(path), uri=path, id=path, sequence=number)
        for source, paths in spec.inputs.items()
        for number, path in enumerate(paths)
    ]
    missing = [f.uri for f in files if not f.path.is_file()]
    if missing:
        raise ConfigError(
            f"The file {missing[0]} is not there", code="file_not_found", where="spec.inputs", todo="correct its path"
        )
    scratch_root = Path(store.url) if store.is_local else None
    if scratch_root is not None:
        scratch_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=scratch_root) as folder:
        scratch = Path(folder)
        quarantine = Quarantine(store, "quarantine", scratch, ctx.request.sensitive_columns)
        began = time.perf_counter()
        merged = _merge(spec, ctx, files, scratch, quarantine)
        step = _account(spec, merged, quarantine, began)
        step.counts.bytes_in = sum(f.path.stat().st_size for f in files)
        step.counts.bytes_out = (scratch / PART).stat().st_size
        check_balance([step])
        reference = file_ref(scratch / PART, store.uri(PART), spec.dataset, merged.schema, merged.rows_out)
        reference.labels = {**_labels(merged), CONFLICTS_LABEL: store.uri(CONFLICTS)}
        failpoint("merge.before_publish")
        store.put(scratch / CONFLICTS, CONFLICTS)
        if spec.duplicates is not None:
            store.put(scratch / DUPLICATES, DUPLICATES)
        store.put(scratch / PART, PART)
    inputs = [
        DataRef(id=f.id, kind="file", uri=f.uri, name=f.source, source=f.source, sequence=f.sequence) for f in files
    ]
    lineage = Lineage(inputs=sorted(spec.inputs), outputs=[spec.dataset], columns=list(merged.columns))
    return JobOutput(steps=[step], outputs=[reference], inputs=inputs, lineage=lineage)
