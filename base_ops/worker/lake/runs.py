"""The folder of a run in the lake: who worked in it."""

from __future__ import annotations

import re

from base_ops.core.ids import path_segment
from base_ops.core.protocol import Identity
from base_ops.worker.lake.store import Store

_ATTEMPT = re.compile(r"\d+-([0-9a-f-]{36})")
_DEEPEST = 3
"""<task>/<map index>/<try>-<attempt>"""


def run_folder(identity: Identity) -> str:
    """Where the Requests and Results of a run lie."""
    return f"runs/{path_segment(identity.dag_id)}/{path_segment(identity.run_id)}"


def attempts_of(store: Store, folder: str) -> set[str]:
    """All attempts of a run, also those that were killed and left no Result."""
    return _attempts(store, folder, _DEEPEST)


def _attempts(store: Store, folder: str, depth: int) -> set[str]:
    found: set[str] = set()
    for name in store.folders(folder):
        if match := _ATTEMPT.fullmatch(name):
            found.add(match[1])
        elif depth > 1:
            found |= _attempts(store, f"{folder}/{name}", depth - 1)
    return found
