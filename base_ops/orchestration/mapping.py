"""Runtime mapping: one mapped instance per output of an earlier task."""

from __future__ import annotations

import math
from typing import Any

from base_ops.orchestration.lake import read_result
from base_ops.orchestration.request import input_uris

MAX_INSTANCES = 1000
"""Airflow refuses more than 1024 instances (core.max_map_length): beyond, an instance takes several outputs."""


def list_outputs(task_id: str, **context: Any) -> list[dict[str, Any]]:
    """Arguments of the mapped instances: which outputs each works on, and its name in the UI."""
    found: list[tuple[tuple[int, int], str]] = []
    for number, uri in enumerate(input_uris(context, [task_id])):
        result = read_result(uri)
        for output, ref in enumerate(result.outputs if result else []):
            found.append(((number, output), ref.slice if ref.slice != "all" else ref.name))
    return batches(found, MAX_INSTANCES)


def batches(found: list[tuple[tuple[int, int], str]], limit: int) -> list[dict[str, Any]]:
    """Spread outputs evenly over at most `limit` instances, in order."""
    size = max(1, math.ceil(len(found) / limit))
    chunks = [found[start : start + size] for start in range(0, len(found), size)]
    return [
        {
            "select": [list(pair) for pair, _ in chunk],
            "item": chunk[0][1] if len(chunk) == 1 else f"{chunk[0][1]} and {len(chunk) - 1} more",
        }
        for chunk in chunks
    ]
