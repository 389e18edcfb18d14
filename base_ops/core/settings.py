"""The one reader of the environment. Every setting is `BASE_<NAME>`; nothing else reads os.environ."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from base_ops.core.errors import ConfigError, did_you_mean

PREFIX = "BASE_"
Environment = Literal["dev", "staging", "prod"]
# Read by tests and by developers' tools, not by the package.
_FOREIGN = {"BASE_CORPORA", "BASE_IMAGE"}

_WORKER_SEES = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"}


class Settings(BaseModel):
    """A deployment's settings; each field is read from `BASE_<FIELD>` in upper case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runner: Literal["local", "kubernetes"] = Field("local", description="where jobs run: subprocess or pod")
    env: Environment = Field("dev", description="the deployment's environment")
    home: Path = Field(Path(".base_ops"), description="local folder for the default lake, state and connections")
    lake_url: str = Field("", description="fsspec URL of the lake; default <home>/lake")
    state_url: str = Field("", description="SQLAlchemy URL of the state database; default SQLite in <home>")
    connections_dir: Path | None = Field(
        None, description="folder of <connection>.json files (mounted Secrets); default <home>/connections"
    )
    config_dir: Path | None = Field(None, description="folder of <module>/*.yaml; default dags/config")
    pipelines_dir: Path | None = Field(None, description="folder of pipeline YAML; default dags/pipelines")
    pod_templates_dir: Path | None = Field(
        None, description="folder of the base pod template and size profiles; default beside the package"
    )
    worker_python: str = Field("", description="interpreter of the local runner's worker; default this one")
    vault_role: str = Field("", description="role for Vault's agent injector in pods; default: Kubernetes Secrets")
    worker_image: str = Field("base-ops-worker:0.1.0", description="image of worker pods")
    memory_limit_mb: int = Field(1400, ge=64, description="memory a job plans for, in MiB")
    threads: int = Field(0, ge=0, description="threads a job may use; 0 = all cores")
    offline: bool = Field(False, description="collectors fetch nothing; they hand on all that has landed")
    models: bool = Field(True, description="models may decide; off: the deterministic fallbacks alone")
    mlflow_tracking_uri: str = Field("", description="http(s) URL of MLflow; default: packaged models only")
    failpoint: str = Field("", description="for tests: name[:n] of a failpoint that kills the worker")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field("INFO", description="level of job logs")

    @property
    def lake(self) -> str:
        return self.lake_url or str(self.home.absolute() / "lake")

    @property
    def state(self) -> str:
        return self.state_url or f"sqlite:///{self.home.absolute() / 'state.db'}"

    @property
    def connections(self) -> Path:
        return self.connections_dir or self.home.absolute() / "connections"


def worker_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a worker subprocess may see of this process's environment: nothing of Airflow, no connection."""
    env = os.environ if environ is None else environ
    return {
        key: value for key, value in env.items() if key in _WORKER_SEES or key.startswith(("AWS_", PREFIX, "PYTHON"))
    }


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment.

    Raises:
        ConfigError: an unknown `BASE_…` variable or a value that does not fit, named with what is known.
    """
    env = os.environ if environ is None else environ
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    values: dict[str, str] = {}
    for key, value in env.items():
        if not key.startswith(PREFIX) or key in _FOREIGN or value == "":
            continue
        if key not in known:
            raise ConfigError(
                f"The environment variable {key} is not a setting. {did_you_mean(key, known)}",
                code="unknown_setting",
                todo="correct its name or unset it",
            )
        values[known[key]] = value
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise ConfigError(
            f"{name} has a value that cannot be used",
            code="bad_setting",
            where=name,
            expected=first["msg"],
            found=repr(first["input"]),
        ) from None
