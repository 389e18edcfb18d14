"""Configuration in git: dags/config/<module>/…, checked against models, faults named with file, line and key."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from base_ops.core.errors import ConfigError
from base_ops.core.ids import MODULES
from base_ops.core.settings import load_settings
from base_ops.core.spec import check
from base_ops.core.yamlio import YamlDocument, load_yaml

_ROOT = Path(__file__).resolve().parent.parent.parent


def config_dir() -> Path:
    """BASE_CONFIG_DIR, or dags/config of this checkout."""
    return load_settings().config_dir or _ROOT / "dags" / "config"


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
        raise ConfigError(error.what, code=error.code, where=wheres(document, (), error)) from None


def config_data(path: Path) -> Any:
    """A configuration file's data, read once while it is as it is; None where there is none."""
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=64)
def _read(path: Path, _modified_ns: int) -> Any:
    return load_yaml(path).data


def wheres(document: YamlDocument, path: tuple[str | int, ...], error: ConfigError) -> str:
    """File, line and key of a fault, and of those found with it."""
    others = [document.where(*path, *loc).removeprefix(f"{document.name}, ") for loc in error.other_locs]
    first = document.where(*path, *error.loc)
    return "; ".join([first, *(other for other in dict.fromkeys(others) if not first.endswith(other))])


def at(data: Any, *path: Any) -> Any:
    """What stands at a path of keys; None where nothing does, or where a document is not as it should be."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) and isinstance(key, Hashable) else None
    return data


def check_folder(folder: Path) -> tuple[list[str], list[ConfigError]]:
    """Check every file of a configuration folder: (files that are right, faults with file, line and key).

    A module checks its own files, in `<module>/config/checks.py`. A file that nothing checks is a fault, since nothing
    would read it either. What is wrong in a file that others lean on is told once.
    """
    right: list[str] = []
    faults: dict[str, ConfigError] = {}
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in (".yaml", ".yml", ".json")]
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):  # the deeper ones lean on the others
        try:
            _check_file(path, folder)
            right.append(str(path.relative_to(folder)))
        except ConfigError as error:
            faults.setdefault(error.where, error)
    return right, list(faults.values())


def _check_file(path: Path, folder: Path) -> None:
    module = path.relative_to(folder).parts[0]
    checks = _checks_of(module)
    if checks is not None and checks.check_file(path, folder):
        return
    names = ", ".join(f"{module}/{name}" for name in checks.NAMES) if checks is not None else "no file of that folder"
    raise ConfigError(
        f"Nothing reads {path.relative_to(folder)}",
        code="unknown_config",
        where=f"{path}, line 1",
        expected=names,
        todo="move or rename it: names end in .yaml",
    )


def _checks_of(module: str) -> Any:
    if module not in MODULES:
        return None
    try:
        return import_module(f"base_ops.{module}.config.checks")
    except ModuleNotFoundError as error:
        if error.name not in (f"base_ops.{module}", f"base_ops.{module}.config", f"base_ops.{module}.config.checks"):
            raise
        return None
