"""data_ingestion.model_trainer: grows a model from generated data, measures it beside the rules, promotes it if better.

The new model and its scores are kept in the lake; where MLflow is configured, it is also registered there as
`base-<module>-<model>`, and becomes `champion` if it is better than what decides now. Nothing of it is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from base_ops.core.protocol import DataRef, Finding, StepResult
from base_ops.data_ingestion.specs.model_trainer import ModelTrainerSpec
from base_ops.worker.context import Context, JobOutput

if TYPE_CHECKING:
    from base_ops.worker.models.learning import Learned

AGENT = "data_ingestion.model_trainer"
_MODULE = "data_ingestion"


def run(spec: ModelTrainerSpec, ctx: Context) -> JobOutput:
    """Raises: ConfigError where the extra `train` is not installed and the model needs it."""
    from base_ops.worker.models.champion import FILE, registered_name

    began = time.perf_counter()
    name = registered_name(_MODULE, spec.model)
    training = import_module(f"base_ops.data_ingestion.models.{spec.model}.training")
    learned: Learned = training.learn(spec, ctx.settings)
    text = learned.text.encode()
    digest = hashlib.sha256(text).hexdigest()
    accuracy = learned.scores["model"]
    wanted = training.TARGET if spec.min_accuracy is None else spec.min_accuracy
    better = accuracy >= wanted and _is_better(accuracy, learned.before, learned.origin, spec.min_gain)
    report: dict[str, JsonValue] = {
        "model": name,
        "sha256": digest,
        "promoted": better,
        "accuracy": {who: round(score, 4) for who, score in learned.scores.items()},
        "accuracy_before": learned.before,
        "before": learned.origin,
        **learned.details,
    }
    step = StepResult(agent=AGENT, action=spec.action, observations=report)
    uri = _keep(spec, ctx, name, digest, {FILE: text, "scores.json": json.dumps(report, indent=1).encode()})
    if ctx.settings.mlflow_tracking_uri:
        from base_ops.worker.models.register import register

        version = register(ctx.settings.mlflow_tracking_uri, name, text, learned.about, promote=better)
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
    return Finding(code="model_trained", message=f"{name}: right on data of other seeds: {shares}; it {what}")
