"""The formats there are: every package in this folder that offers a FORMAT.

All of them are imported to find out what an object is, so a package imports no more than it needs to sniff; what reads
(and its libraries) is imported by `FORMAT.read`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.worker.formats import __path__ as _folder
from base_ops.worker.formats.base import Format


@lru_cache(maxsize=1)
def known_formats() -> dict[str, Format]:
    """All formats by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(_folder) if m.ispkg)
    modules = [importlib.import_module(f"base_ops.worker.formats.{name}") for name in names]
    formats = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {found.name: found for found in formats}


def get_format(name: str) -> Format:
    """A format by its name, or by a suffix it claims (`tsv` is a `csv`).

    Raises:
        ConfigError: there is none; names the closest and all known.
    """
    formats = known_formats()
    wanted = name.lower().removeprefix(".")
    if wanted in formats:
        return formats[wanted]
    for found in formats.values():
        if f".{wanted}" in found.suffixes:
            return found
    raise ConfigError(
        f"read.format={name!r} is not known. {did_you_mean(name, formats)}",
        code="unknown_format",
        where="read.format",
        todo="a new format is one place in base_ops/worker/formats/",
    )
