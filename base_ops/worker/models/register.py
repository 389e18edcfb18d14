"""A trained model's way into the MLflow registry. Needs the extra `mlflow`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from base_ops.core.errors import Transient, missing_extra
from base_ops.worker.models.champion import ALIAS, FILE


def register(uri: str, name: str, model: bytes, about: dict[str, Any], *, promote: bool) -> str:
    """Log the file as a run's artifact and register it; its version.

    Args:
        about: parameters (text, integers) and metrics (floats) of the run.
        promote: make it the champion.

    Raises:
        ConfigError: mlflow is not installed.
        Transient: the server does not answer as it should.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise missing_extra("mlflow-skinny", "mlflow", "registering a model") from None
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    try:
        experiment = client.get_experiment_by_name(name)
        run = client.create_run(experiment.experiment_id if experiment else client.create_experiment(name))
        for key, value in about.items():
            log = client.log_metric if isinstance(value, float) else client.log_param
            log(run.info.run_id, key, value)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / FILE
            path.write_bytes(model)
            client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id)
        if not client.search_registered_models(filter_string=f"name = '{name}'"):
            client.create_registered_model(name)
        source = str(run.info.artifact_uri)
        version = client.create_model_version(name, source, run.info.run_id, await_creation_for=0)
        if promote:
            client.set_registered_model_alias(name, ALIAS, str(version.version))
    except (MlflowException, OSError) as error:
        raise Transient(
            f"The model {name} cannot be registered in MLflow", code="mlflow_failed", found=type(error).__name__
        ) from None
    return str(version.version)
