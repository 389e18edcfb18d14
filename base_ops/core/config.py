"""Configuration in git: dags/config/<module>/…, checked against specs, faults named with file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.settings import load_settings
from base_ops.core.yamlio import YamlDocument, load_yaml

ROOT = Path(__file__).resolve().parent.parent.parent


def config_dir() -> Path:
    """BASE_CONFIG_DIR, or dags/config of this checkout."""
    return load_settings().config_dir or ROOT / "dags" / "config"


def load_source(source_id: str) -> Any:
    """The SourceSpec of a source id.

    Raises:
        ConfigError: no such source (with what is known), or a fault in its file (file, line, key).
    """
    from base_ops.data_ingestion.specs import SourceSpec

    folder = config_dir() / "data_ingestion" / "sources"
    file = folder / f"{source_id}.yaml"
    if not file.is_file():
        known = [p.stem for p in folder.glob("*.yaml")]
        raise ConfigError(
            f"The source {source_id!r} is not defined in {folder}. {did_you_mean(source_id, known)}",
            code="unknown_source",
            todo=f"write {file.name}, for example with: base-ops init source",
        )
    document = load_yaml(file)
    spec = check(document, SourceSpec)
    if spec.id != source_id:
        raise ConfigError(
            f"The source in {file.name} calls itself {spec.id!r}", code="wrong_id", where=document.where("id")
        )
    return spec


def check(document: YamlDocument, kind: type[BaseModel]) -> Any:
    """Validate a document; the first fault is raised with file, line and key."""
    try:
        return kind.model_validate(document.data)
    except ValidationError as error:
        fault = error.errors()[0]
        path = tuple(fault["loc"])
        hint = f". {did_you_mean(str(path[-1]), kind.model_fields)}" if fault["type"] == "extra_forbidden" else ""
        raise ConfigError(
            f"{document.name}: {'.'.join(str(p) for p in path)}: {fault['msg']}{hint}",
            code="bad_config",
            where=document.where(*path),
            found=repr(fault.get("input"))[:80],
        ) from None
