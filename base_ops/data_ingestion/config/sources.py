"""The sources of a configuration folder: data_ingestion/sources/<id>.yaml, with what they take from other files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from base_ops.core.config import at, config_data, config_dir, wheres
from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.spec import check, is_template
from base_ops.core.yamlio import YamlDocument, load_yaml
from base_ops.data_ingestion.options.sources.source import SourceSpec

_ON_TRUST = "{{ unknown }}"
"""In place of a block that cannot be checked: as what is yet to be rendered, while the rest is checked."""


def sources_dir(folder: Path) -> Path:
    """Where the sources of a configuration folder lie, one file each, named by id."""
    return folder / "data_ingestion" / "sources"


def source_ids(folder: Path) -> list[str]:
    """Ids of the declared sources."""
    return sorted(path.stem for path in sources_dir(folder).glob("*.yaml"))


def load_source(source_id: str, folder: Path | None = None) -> dict[str, Any]:
    """The checked configuration of a source, with its Jinja not yet rendered.

    Raises:
        ConfigError: no such source (with what is known), or a fault in its file (file, line, key).
    """
    sources = sources_dir(folder or config_dir())
    known = source_ids(folder or config_dir())
    if source_id not in known:
        raise ConfigError(
            f"The source {source_id!r} is not known. {did_you_mean(source_id, known)}",
            code="unknown_source",
            where=str(sources),
            todo=f"write {source_id}.yaml there, for example with: base-ops init source",
        )
    document = load_yaml(sources / f"{source_id}.yaml")
    return check_source(document, document.data, folder=folder)


def check_source(document: YamlDocument, raw: Any, *path: str | int, folder: Path | None = None) -> dict[str, Any]:
    """Check a source that stands at `path` of a document, its authentication template filled in."""
    name = raw.get("id", Path(document.name).stem) if isinstance(raw, dict) else Path(document.name).stem
    own, lost = raw, None
    if isinstance(raw, dict) and isinstance(raw.get("authentication"), dict):
        try:
            raw = {**raw, "authentication": fill_template(raw["authentication"], folder)}
        except ConfigError as error:
            if error.code != "unknown_template":
                raise
            here = document.where(*path, "authentication", "template")
            lost = ConfigError(error.what, code=error.code, where=here)
            raw = {**raw, "authentication": _ON_TRUST}
    if isinstance(raw, dict):
        raw = filled(raw, lambda file: config_data((folder or config_dir()) / "data_ingestion" / f"{file}.yaml"))
    try:
        check(SourceSpec, raw, f"source {name}", rendered=False, noun="source")
    except ConfigError as error:
        where = _of_template(own, error.loc, folder) or wheres(document, path, error)
        rest = ConfigError(error.what, code=error.code, where=where)
        raise (_both(lost, rest, document) if lost else rest) from None
    if lost:
        raise lost
    return dict(raw)


def _both(first: ConfigError, second: ConfigError, document: YamlDocument) -> ConfigError:
    """Two faults of one document as one."""
    where = f"{first.where}; {second.where.removeprefix(f'{document.name}, ')}"
    return ConfigError(f"{first.what.rstrip('.')}; {second.what}", code=first.code, where=where)


def _of_template(own: Any, loc: tuple[str | int, ...], folder: Path | None) -> str | None:
    """Where a fault is that a source has from its authentication template; None where it is its own."""
    block = own.get("authentication") if isinstance(own, dict) else None
    name = block.get("template") if isinstance(block, dict) else None
    if not isinstance(block, dict) or name is None or loc[:1] != ("authentication",):
        return None
    document = load_yaml(_templates(folder))
    inherited = at(document.data, "templates", name, *loc[1:-1])
    if len(loc) < 2 or loc[1] in block or not isinstance(inherited, dict) or loc[-1] not in inherited:
        return None
    return document.where("templates", name, *loc[1:])


def _templates(folder: Path | None) -> Path:
    return (folder or config_dir()) / "data_ingestion" / "authentication-templates.yaml"


def fill_template(authentication: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """An authentication block with what its template says, under what it says itself.

    Raises:
        ConfigError: no such template.
    """
    name = authentication.get("template")
    if "kind" in authentication or not isinstance(name, str) or is_template(name):
        return dict(authentication)
    file = _templates(folder)
    document = load_yaml(file)
    templates = document.data.get("templates") if isinstance(document.data, dict) else None
    known = templates if isinstance(templates, dict) else {}
    if not isinstance(known.get(name), dict):
        raise ConfigError(
            f"The authentication template {name!r} is not known. {did_you_mean(name, map(str, known))}",
            code="unknown_template",
            where=str(file),
        )
    merged = {**known[name], **authentication}
    if isinstance(known[name].get("tls"), dict) and isinstance(authentication.get("tls"), dict):
        merged["tls"] = {**known[name]["tls"], **authentication["tls"]}
    return merged


def filled(raw: dict[str, Any], load: Any) -> dict[str, Any]:
    """A source with what policies and format specifications say where it says nothing itself.

    Args:
        load: gives the data of a configuration file, or None where there is none.
    """
    agreement, read, authentication = raw.get("agreement"), raw.get("read"), raw.get("authentication")
    least = at(load("ingestion-policies"), "security", "tls_min_version")
    if isinstance(authentication, dict) and "kind" in authentication and least is not None:
        tls = authentication.get("tls") or {}
        if isinstance(tls, dict):
            raw = {**raw, "authentication": {**authentication, "tls": {"min_version": least, **tls}}}
    if isinstance(agreement, dict) and "max_error_share" not in agreement:
        priority = agreement.get("priority", "standard")
        share = at(load("ingestion-policies"), "failure_tolerance", priority)
        raw = {**raw, "agreement": {**agreement, "max_error_share": share}} if share is not None else raw
    if isinstance(read, dict) and "format" in read and "max_object_bytes" not in raw:
        most = at(load("format-specifications"), "formats", read["format"], "max_bytes")
        raw = {**raw, "max_object_bytes": most} if most is not None else raw
    return raw
