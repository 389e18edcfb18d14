"""Schema drift: what changed in a table's columns since the last run, and whether readers can live with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from base_ops.core.protocol import Finding
from base_ops.worker.connectors.databases.base import Column

_WIDER = {
    "int2": {"int4", "int8"},
    "int4": {"int8"},
    "float4": {"float8"},
    "varchar": {"text"},
    "bpchar": {"varchar", "text"},
    "tinyint": {"smallint", "mediumint", "int", "bigint"},
    "smallint": {"mediumint", "int", "bigint"},
    "mediumint": {"int", "bigint"},
    "int": {"bigint"},
    "float": {"double"},
}
_DECIMAL = re.compile(r"(\w+)\((\d+),(\d+)\)")


def drift_findings(saved: Any, columns: Sequence[Column], where: str) -> list[Finding]:
    """Findings `schema_additive` (columns came, types grew) and `schema_breaking` (columns went, types changed).

    Args:
        saved: the cursor of the landing log, which holds the columns of the last run.
    """
    before = saved.get("columns") if isinstance(saved, dict) else None
    if not before:
        return []
    now = {column.name: column.type for column in columns}
    retyped = {name for name in before.keys() & now.keys() if before[name] != now[name]}
    wider = {name for name in retyped if _grew(before[name], now[name])}
    additive = [f"+ {n} {now[n]}" for n in now if n not in before]
    additive += [f"~ {n} {before[n]} → {now[n]}" for n in sorted(wider)]
    breaking = [f"- {n} {before[n]}" for n in before if n not in now]
    breaking += [f"~ {n} {before[n]} → {now[n]}" for n in sorted(retyped - wider)]
    found = []
    if breaking:
        found.append(_finding("schema_breaking", "error", "columns went or changed their type", breaking, where))
    if additive:
        found.append(_finding("schema_additive", "warning", "columns came or grew", additive, where))
    return found


def _grew(before: str, now: str) -> bool:
    """Whether a type holds every value of the one before it, and as one of its own."""
    if before.endswith(" unsigned"):
        before, now = before.removesuffix(" unsigned"), now.removesuffix(" unsigned")
    was, is_ = _DECIMAL.fullmatch(before), _DECIMAL.fullmatch(now)
    if was and is_ and was[1] == is_[1]:
        (precision, scale), (more, finer) = ((int(m[2]), int(m[3])) for m in (was, is_))
        return finer >= scale and more - finer >= precision - scale
    return now in _WIDER.get(before, ())


def _finding(code: str, severity: Any, what: str, changes: list[str], where: str) -> Finding:
    message = f"{where}: {what} since the last run: {'; '.join(changes)}"
    return Finding(code=code, severity=severity, message=message, data={"changes": list(changes)})
