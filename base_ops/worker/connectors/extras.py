"""Optional libraries: imported where they are needed; a missing one is told with the extra that installs it."""

from __future__ import annotations

import importlib
from typing import Any

from base_ops.core.errors import missing_extra


def require(module: str, extra: str) -> Any:
    """Import a module of an optional extra.

    Raises:
        ConfigError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise missing_extra(module.split(".")[0], extra, "This source") from None
