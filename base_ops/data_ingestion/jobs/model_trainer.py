"""data_ingestion.model_trainer: grows a model from generated data, measures it beside the rules, promotes it if better.

The new model and its scores are kept in the lake; where MLflow is configured, it is also registered there as
`base-<module>-<model>`, and becomes `champion` if it is better than what decides now. Nothing of it is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from pydantic import JsonValue

from base_ops.core.protocol import DataRef, Finding, StepResult
from base_ops.data_ingestion.options.models import ModelTrainerSpec
from base_ops.worker.context import Context, JobOutput

AGENT = "data_ingestion.model_trainer"
_MODULE = "data_ingestion"


def run(spec: ModelTrainerSpec, ctx: Context) -> JobOutput:
    """Raises: ConfigError where the extra `train` is not installed."""
    from base_ops.data_ingestion.models.format_recognition import training
    from base_ops.data_ingestion.models.format_recognition.features import FEATURES
    from base_ops.worker.models.champion import FILE, find_model, packaged_file, registered_name

    began = time.perf_counter()
    name = registered_name(_MODULE, spec.model)
    trees = training.train(spec.seed, spec.samples_per_class)
    files = training.held_out(spec.seed, spec.test_samples_per_class)
    scores = training.measure(trees, files)
    current = find_model(ctx.settings, name, packaged_file(_MODULE, spec.model), FEATURES)
    before = training.score(current.trees, files).accuracy if current.trees is not None else None
    trees.about.update({f"accuracy_{who}": round(score.accuracy, 4) for who, score in scores.items()})
    text = trees.to_json().encode()
    digest = hashlib.sha256(text).hexdigest()
    accuracy = scores["model"].accuracy
    better = accuracy >= spec.min_accuracy and _is_better(accuracy, before, current.origin, spec.min_gain)
    report: dict[str, JsonValue] = {
        "model": name,
        "sha256": digest,
        "promoted": better,
        "accuracy": {who: round(score.accuracy, 4) for who, score in scores.items()},
        "accuracy_before": before,
        "before": current.origin,
        "by_format": {kind: scores["model"].right[kind] / n for kind, n in sorted(scores["model"].all.items())},
    }
    step = StepResult(agent=AGENT, action=spec.action, observations=report)
    uri = _keep(spec, ctx, name, digest, {FILE: text, "scores.json": json.dumps(report, indent=1).encode()})
    if ctx.settings.mlflow_tracking_uri:
        from base_ops.worker.models.register import register

        version = register(ctx.settings.mlflow_tracking_uri, name, text, trees.about, promote=better)
        report["version"] = version
    step.findings.append(_finding(name, report))
    if better:
        step.events.append(
            {"type": "model_promoted", "subject": name, "data": {"sha256": digest, "accuracy": accuracy}}
        )
    step.seconds = round(time.perf_counter() - began, 3)
    ref = DataRef(id=digest, kind="file", uri=uri, name=name, bytes=len(text), sha256=digest)
    return JobOutput(steps=[step], outputs=[ref])


def _is_better(accuracy: float, before: float | None, origin: str, gain: float) -> bool:
    if before is None:
        return True
    return accuracy >= before + gain if origin.startswith("mlflow:") else accuracy >= before


def _keep(spec: ModelTrainerSpec, ctx: Context, name: str, digest: str, files: dict[str, bytes]) -> str:
    """Write the files; the place of the first one."""
    from base_ops.worker.lake.store import Store

    store = Store(spec.target) if spec.target else ctx.lake.store
    folder = "" if spec.target else f"models/{name}/{digest[:16]}/"
    for file, data in files.items():
        store.write(f"{folder}{file}", data)
    return store.uri(f"{folder}{next(iter(files))}")


def _finding(name: str, report: dict[str, Any]) -> Finding:
    shares = ", ".join(f"{who} {share:.2%}" for who, share in report["accuracy"].items())
    what = "is better than what decides now" if report["promoted"] else "is not promoted"
    return Finding(code="model_trained", message=f"{name}: right on files of other seeds: {shares}; it {what}")
