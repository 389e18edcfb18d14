"""Configuration in git: dags/config/<module>/…, checked against specs, faults named with file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.ids import MODULES
from base_ops.core.settings import load_settings
from base_ops.core.spec import check, is_template
from base_ops.core.yamlio import YamlDocument, load_yaml

_ROOT = Path(__file__).resolve().parent.parent.parent


def config_dir() -> Path:
    """BASE_CONFIG_DIR, or dags/config of this checkout."""
    return load_settings().config_dir or _ROOT / "dags" / "config"


def sources_dir(folder: Path) -> Path:
    """Where the sources of a configuration folder lie, one file each, named by id."""
    return folder / "data_ingestion" / "sources"


def _calendars(folder: Path) -> Path:
    return folder / "data_ingestion" / "calendars"


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
    from base_ops.data_ingestion.options.sources.source import SourceSpec

    name = raw.get("id", Path(document.name).stem) if isinstance(raw, dict) else Path(document.name).stem
    own = raw
    if isinstance(raw, dict) and isinstance(raw.get("authentication"), dict):
        try:
            raw = {**raw, "authentication": fill_template(raw["authentication"], folder)}
        except ConfigError as error:
            if error.code != "unknown_template":
                raise
            here = document.where(*path, "authentication", "template")
            raise ConfigError(error.what, code=error.code, where=here) from None
    if isinstance(raw, dict):
        from base_ops.data_ingestion.options.agreements import filled

        raw = filled(raw, lambda file: _data((folder or config_dir()) / "data_ingestion" / f"{file}.yaml"))
    try:
        check(SourceSpec, raw, f"source {name}", rendered=False, noun="source")
    except ConfigError as error:
        where = _of_template(own, error.loc, folder) or _wheres(document, path, error)
        raise ConfigError(error.what, code=error.code, where=where) from None
    return dict(raw)


def _wheres(document: YamlDocument, path: tuple[str | int, ...], error: ConfigError) -> str:
    """File, line and key of a fault, and of those found with it."""
    others = [document.where(*path, *loc).removeprefix(f"{document.name}, ") for loc in error.other_locs]
    first = document.where(*path, *error.loc)
    return "; ".join([first, *(other for other in dict.fromkeys(others) if not first.endswith(other))])


def _of_template(own: Any, loc: tuple[str | int, ...], folder: Path | None) -> str | None:
    """Where a fault is that a source has from its authentication template; None where it is its own."""
    block = own.get("authentication") if isinstance(own, dict) else None
    name = block.get("template") if isinstance(block, dict) else None
    if not isinstance(block, dict) or name is None or loc[:1] != ("authentication",):
        return None
    document = load_yaml(_templates(folder))
    inherited = _at(document.data, ("templates", name, *loc[1:-1]))
    if len(loc) < 2 or loc[1] in block or not isinstance(inherited, dict) or loc[-1] not in inherited:
        return None
    return document.where("templates", name, *loc[1:])


def _at(data: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data


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


def _data(path: Path) -> Any:
    """A configuration file's data, read once while it is as it is; None where there is none."""
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=64)
def _read(path: Path, _modified_ns: int) -> Any:
    return load_yaml(path).data


def load_config(kind: Any, path: Path) -> Any:
    """The checked model of a configuration file; None where there is none.

    Raises:
        ConfigError: naming file, line and key.
    """
    if not path.is_file():
        return None
    document = load_yaml(path)
    try:
        return check(kind, document.data, path.name, noun="config")
    except ConfigError as error:
        raise ConfigError(error.what, code=error.code, where=_wheres(document, (), error)) from None


def check_folder(folder: Path) -> tuple[list[str], list[ConfigError]]:
    """Check every file of a configuration folder: (files that are right, faults with file, line and key).

    `<module>/<some-name>.yaml` is checked by `SomeNameFile` of its config_files.py, a file below `<module>/sources/`
    as a source, one below data_ingestion/calendars/ as a calendar. A file that nothing checks is a fault, since nothing
    would read it either. What is wrong in a file that others lean on is told once.
    """
    right: list[str] = []
    faults: dict[tuple[str, str], ConfigError] = {}
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in (".yaml", ".yml")]
    paths += _calendars(folder).glob("*.json")
    for path in sorted(paths, key=lambda path: (path.parent == sources_dir(folder), path)):
        try:
            _check_file(path, folder)
            right.append(str(path.relative_to(folder)))
        except ConfigError as error:
            known = any(error.where == where for _, where in faults)
            if not known or path.parent != sources_dir(folder):
                faults.setdefault((error.what, error.where), error)
    return right, list(faults.values())


def _check_file(path: Path, folder: Path) -> None:
    if path.parent == _calendars(folder) and path.suffix == ".json":
        from base_ops.calendars.calendar import load_calendar

        load_calendar(path.stem, folder)
        return
    document = load_yaml(path)
    if path.parent == sources_dir(folder) and path.suffix == ".yaml":
        source = load_source(path.stem, folder)
        if source.get("id") != path.stem:
            raise ConfigError(
                f"The source in {path.name} has another id: {source.get('id')!r}",
                code="bad_source",
                where=document.where("id"),
                todo=f"rename the file to {source.get('id')}.yaml, or write id: {path.stem}",
            )
        _check_schedule(document, source, folder)
        _check_format(document, source, folder)
        _check_policies(document, source, folder)
        return
    kind = _kind_of(path, folder)
    if kind is None:
        raise ConfigError(
            f"Nothing reads {path.relative_to(folder)}",
            code="unknown_config",
            where=f"{path}, line 1",
            expected="<module>/sources/<id>.yaml, or <module>/<name>.yaml with a class <Name>File in config_files.py",
            todo="move or rename it: names end in .yaml",
        )
    found = load_config(kind, path)
    _check_references(document, found, folder)
    _check_moments(document, found, folder)


def _check_moments(document: YamlDocument, found: Any, folder: Path) -> None:
    """Every schedule by the clock must come some day: its calendar must be there, and not always be closed."""
    from datetime import UTC, datetime

    from base_ops.data_ingestion.options.schedule_policies import SchedulesFile
    from base_ops.data_ingestion.options.schedules import TimeSchedule

    if not isinstance(found, SchedulesFile):
        return
    from base_ops.calendars.recurrence import recurrence

    for name in found.schedules:
        when = found.when(name)
        if not isinstance(when, TimeSchedule):
            continue
        try:
            next(recurrence(when, folder).after(datetime.now(UTC)))
        except ConfigError as error:
            if error.code == "bad_calendar":  # told where its own file is checked
                continue
            key = ("market",) if error.code == "unknown_calendar" else ()
            where = document.where("schedules", name, "when", *key)
            raise ConfigError(error.what, code=error.code, where=where, found=error.found, todo=error.todo) from None


def _check_references(document: YamlDocument, found: Any, folder: Path) -> None:
    """Every source that a file names must be declared (a file's model says which it names: `references()`)."""
    known = source_ids(folder)
    lost = [(key, name) for key, name in getattr(found, "references", tuple)() if name not in known]
    if not lost:
        return
    key, name = lost[0]
    others = sorted({other for _, other in lost[1:]} - {name})
    raise ConfigError(
        f"The source {name!r} is not declared. {did_you_mean(name, known)}"
        + (f". Nor are: {', '.join(others)}" if others else ""),
        code="unknown_source",
        where=document.where(*key),
        todo=f"write {name}.yaml in {sources_dir(folder)}, or correct the name",
    )


def _check_schedule(document: YamlDocument, source: Mapping[str, Any], folder: Path) -> None:
    """The schedule that a source's agreement names must be in schedules.yaml."""
    from base_ops.data_ingestion.options.schedule_policies import load_schedules

    name = (source.get("agreement") or {}).get("schedule")
    if not isinstance(name, str):
        return
    known = load_schedules(folder).schedules
    if name not in known:
        raise ConfigError(
            f"The schedule {name!r} is not in schedules.yaml. {did_you_mean(name, known)}",
            code="unknown_schedule",
            where=document.where("agreement", "schedule"),
        )


def _check_format(document: YamlDocument, source: Mapping[str, Any], folder: Path) -> None:
    """A format that a source declares must be in format-specifications.yaml, which has all there are."""
    from base_ops.data_ingestion.options.agreements import FormatSpecificationsFile

    found = load_config(FormatSpecificationsFile, folder / "data_ingestion" / "format-specifications.yaml")
    name = (source.get("read") or {}).get("format")
    if found is None or not isinstance(name, str) or is_template(name):
        return
    known = {"raw_text", *found.formats, *(e.lstrip(".") for f in found.formats.values() for e in f.extensions)}
    if name.lower().lstrip(".") not in known:
        raise ConfigError(
            f"The format {name!r} is not known. {did_you_mean(name, found.formats)}",
            code="unknown_format",
            where=document.where("read", "format"),
        )


def _check_policies(document: YamlDocument, source: Mapping[str, Any], folder: Path) -> None:
    """What ingestion-policies.yaml asks of every source; and that outside env dev peers are verified."""
    tls = _at(source, ("authentication", "tls", "verify"))
    if tls is False and (env := load_settings().env) != "dev":
        raise ConfigError(
            f"source {source.get('id')}: the peer's certificate would not be verified in env={env}",
            code="unverified_tls",
            where=document.where("authentication", "tls", "verify"),
            todo="put the peer's authority into the connection as ca_certificate, and leave verify out",
        )
    from base_ops.data_ingestion.options.agreements import load_policies
    from base_ops.data_ingestion.options.fitting import connector_of_path

    files = source.get("files")
    is_local = isinstance(files, dict) and connector_of_path(str(files.get("path"))) == "local"
    for key, what in load_policies(folder).faults(source, is_local):
        raise ConfigError(f"source {source.get('id')}: {what}", code="policy", where=document.where(*key))


def _kind_of(path: Path, folder: Path) -> Any:
    from importlib import import_module

    parts = path.relative_to(folder).with_suffix("").parts
    if len(parts) != 2 or parts[0] not in MODULES:
        return None
    stem = "".join(word.capitalize() for word in parts[1].replace("_", "-").split("-"))
    try:
        known = import_module(f"base_ops.{parts[0]}.config_files")
    except ModuleNotFoundError:
        return None
    return getattr(known, f"{stem}File", None)
