"""Configuration in git: dags/config/<module>/…, checked against specs, faults named with file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.settings import load_settings
from base_ops.core.spec import check
from base_ops.core.yamlio import YamlDocument, load_yaml

_ROOT = Path(__file__).resolve().parent.parent.parent


def config_dir() -> Path:
    """BASE_CONFIG_DIR, or dags/config of this checkout."""
    return load_settings().config_dir or _ROOT / "dags" / "config"


def sources_dir(folder: Path) -> Path:
    """Where the sources of a configuration folder lie, one file each, named by id."""
    return folder / "data_ingestion" / "sources"


def load_source(source_id: str, folder: Path | None = None) -> dict[str, Any]:
    """The checked configuration of a source, with its Jinja not yet rendered.

    Raises:
        ConfigError: no such source (with what is known), or a fault in its file (file, line, key).
    """
    sources = sources_dir(folder or config_dir())
    known = sorted(path.stem for path in sources.glob("*.yaml"))
    if source_id not in known:
        raise ConfigError(
            f"The source {source_id!r} is not known. {did_you_mean(source_id, known)}",
            code="unknown_source",
            where=str(sources),
            todo=f"write {source_id}.yaml there, for example with: base-ops init source",
        )
    document = load_yaml(sources / f"{source_id}.yaml")
    return check_source(document, document.data)


def check_source(document: YamlDocument, raw: Any, *path: str | int) -> dict[str, Any]:
    """Check a source that stands at `path` of a document."""
    from base_ops.data_ingestion.specs import SourceSpec

    name = raw.get("id", "?") if isinstance(raw, dict) else "?"
    try:
        check(SourceSpec, raw, f"source {name}", rendered=False, noun="source")
    except ConfigError as error:
        raise ConfigError(error.what, code=error.code, where=document.where(*path, *error.loc)) from None
    return dict(raw)
