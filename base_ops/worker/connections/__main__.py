"""`python -m base_ops.worker.connections`: try one connection, read as JSON from standard input (see provider.py)."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from base_ops.core.config import fill_template
from base_ops.core.errors import BaseOpsError
from base_ops.core.settings import load_settings
from base_ops.data_ingestion.options.connections import ConnectorChecks
from base_ops.data_ingestion.specs import SourceSpec
from base_ops.worker.connections.health import Inspector
from base_ops.worker.connectors.base import Site
from base_ops.worker.secrets import Secrets


def try_connection(told: dict[str, Any]) -> tuple[bool, str]:
    """(whether it stands, what was seen), never a secret."""
    name, settings = str(told.get("name") or "connection"), load_settings()
    parts = {key: value for key, value in told.items() if key != "name"}
    secrets = Secrets(settings.connections, {name: parts})
    found = secrets.connection(name)
    try:
        block = found.extra.get("authentication")
        source: dict[str, Any] = {"id": "test", "connection": name, "http": {"path": "/"}}
        if isinstance(block, dict):
            source["authentication"] = fill_template(block)
        with tempfile.TemporaryDirectory() as scratch:
            site = Site(SourceSpec.model_validate(source), Path(scratch), found, env=settings.env)
            standing = Inspector(site, ConnectorChecks(tries=1, list=False)).look()
    except (BaseOpsError, ValueError) as error:
        return False, secrets.mask(error.text() if isinstance(error, BaseOpsError) else "authentication is not right")
    if standing.error is not None:
        return False, secrets.mask(standing.error.text())
    return True, "; ".join(f"{step.name}: {step.told}" for step in standing.steps)


if __name__ == "__main__":
    ok, seen = try_connection(json.loads(sys.stdin.read()))
    sys.stdout.write(json.dumps({"ok": ok, "told": seen}) + "\n")
