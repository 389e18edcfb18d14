"""What is checked of this module's configuration files, beyond what each file's own model asks.

`some-name.yaml` has its model in FILES; a file below sources/ is a source, one below calendars/ a calendar.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from base_ops.calendars.calendar import load_calendar
from base_ops.calendars.recurrence import recurrence
from base_ops.core.config import at, load_config
from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.core.settings import load_settings
from base_ops.core.spec import is_template
from base_ops.core.yamlio import YamlDocument, load_yaml
from base_ops.data_ingestion.config.sources import load_source, source_ids, sources_dir
from base_ops.data_ingestion.options.authentication import AuthenticationTemplatesFile
from base_ops.data_ingestion.options.fitting import connector_of_path
from base_ops.data_ingestion.options.policies import FormatSpecificationsFile, IngestionPoliciesFile, load_policies
from base_ops.data_ingestion.options.retries import CLASS_OF_CODE, RetryPoliciesFile
from base_ops.data_ingestion.options.schedule_policies import SchedulesFile, load_schedules
from base_ops.data_ingestion.options.schedules import TimeSchedule

FILES: dict[str, Any] = {
    "authentication-templates.yaml": AuthenticationTemplatesFile,
    "format-specifications.yaml": FormatSpecificationsFile,
    "ingestion-policies.yaml": IngestionPoliciesFile,
    "retry-policies.yaml": RetryPoliciesFile,
    "schedules.yaml": SchedulesFile,
}
NAMES = (*FILES, "sources/<id>.yaml", "calendars/<name>.json")


def check_file(path: Path, folder: Path) -> bool:
    """Whether it is a file of this module, which is then right.

    Raises:
        ConfigError: naming file, line and key.
    """
    home = folder / "data_ingestion"
    if path.parent == home / "calendars" and path.suffix == ".json":
        load_calendar(path.stem, folder)
    elif path.parent == sources_dir(folder) and path.suffix == ".yaml":
        _check_source_file(path, folder)
    elif path.parent == home and path.name in FILES:
        document, found = load_yaml(path), load_config(FILES[path.name], path)
        _check_references(document, found, folder)
        if isinstance(found, SchedulesFile):
            _check_moments(document, found, folder)
        elif isinstance(found, RetryPoliciesFile):
            _check_codes(document, found)
    else:
        return False
    return True


def _check_source_file(path: Path, folder: Path) -> None:
    document, source = load_yaml(path), load_source(path.stem, folder)
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


def _check_moments(document: YamlDocument, found: SchedulesFile, folder: Path) -> None:
    """Every schedule by the clock must come some day: its calendar must be there, and not always be closed."""
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


def _check_codes(document: YamlDocument, found: RetryPoliciesFile) -> None:
    """A rule for a code that nothing tells would never be used. Connectors of others may have codes of their own, so
    that only what is almost a known one is a fault."""
    for name, policy in found.policies.items():
        for code in policy.codes:
            near = get_close_matches(code, CLASS_OF_CODE, 1, 0.9)
            if code in CLASS_OF_CODE or (100 <= int(code) <= 599 if code.isdecimal() else not near):
                continue
            raise ConfigError(
                f"The code {code!r} is neither an HTTP status nor known."
                + (f" Did you mean {near[0]!r}?" if near else ""),
                code="unknown_code",
                where=document.where("policies", name, "codes", code),
            )


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
    tls = at(source, "authentication", "tls", "verify")
    if tls is False and (env := load_settings().env) != "dev":
        raise ConfigError(
            f"source {source.get('id')}: the peer's certificate would not be verified in env={env}",
            code="unverified_tls",
            where=document.where("authentication", "tls", "verify"),
            todo="put the peer's authority into the connection as ca_certificate, and leave verify out",
        )
    files = source.get("files")
    is_local = isinstance(files, dict) and connector_of_path(str(files.get("path"))) == "local"
    for key, what in load_policies(folder).faults(source, is_local):
        raise ConfigError(f"source {source.get('id')}: {what}", code="policy", where=document.where(*key))
