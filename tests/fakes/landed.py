"""What a stream's messages became in the landing zone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fakes.collecting import context

_ROOT = Path(__file__).parents[2]


def lines(home: Path, source: str) -> list[dict[str, Any]]:
    """All landed messages, as they are handed on, in order."""
    landing = context(home).landing(source)
    return [json.loads(line) for ref in landing.effective() for line in Path(ref.uri).read_bytes().splitlines()]


def dead_letters(home: Path, source: str) -> list[dict[str, Any]]:
    """All dead letters ever."""
    landing = context(home).landing(source)
    dead = [item for entry in landing.entries() for item in entry.dead_letters]
    return [json.loads(line) for item in dead for line in landing.store.read_bytes(item.stored).splitlines()]


def killed_run(home: Path, source: dict[str, Any], failpoint: str) -> int:
    """One run of the collector in a process of its own, that dies at a failpoint: its exit code."""
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom fakes.collecting import collected\n"
        "from base_ops.worker.failpoints import arm\n"
        "arm(sys.argv[1])\ncollected(Path(sys.argv[2]), json.loads(sys.argv[3]))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'tests'}"}
    command = [sys.executable, "-c", code, failpoint, str(home), json.dumps(source)]
    return subprocess.run(command, env=environment, check=False).returncode
