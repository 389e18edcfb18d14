"""docs/signals.md names events and metrics that are told, and all metrics there are of data ingestion."""

from __future__ import annotations

import re
from pathlib import Path

from base_ops.core.ids import MODULES
from base_ops.core.spec import known_agents

ROOT = Path(__file__).resolve().parents[2]
CODE = {path: path.read_text() for path in sorted((ROOT / "base_ops").rglob("*.py"))}
METRICS = set(re.findall(r'stats\.(?:incr|gauge|timing)\(\s*"([a-z_]+)"', "\n".join(CODE.values())))
OF_OTHERS = {"agent_coordination_latency_seconds", "workflow_sla_left_share"}
"""Of all modules' workflows; and those of pods."""


def told() -> set[str]:
    rows = [line.split("|")[2] for line in (ROOT / "docs" / "signals.md").read_text().splitlines() if line[:2] == "| "]
    return {name for row in rows[1:] for name in re.findall(r"`([^`]+)`", row)}


def is_told(name: str) -> bool:
    who, _, end = name.rpartition(".")
    if end in ("completed", "partial", "failed", "started") and who:
        return who in known_agents() or who in {f"{module}.workflow" for module in MODULES}
    return name in METRICS or any(f'"{name}"' in text for text in CODE.values())


def test_what_the_page_names_is_told() -> None:
    names = told()
    assert len(names) > 40
    assert not [name for name in sorted(names) if not is_told(name)]
    assert not is_told("no_such_event") and not is_told("data_ingestion.nobody.failed")


def test_the_page_names_every_metric() -> None:
    assert {name for name in METRICS if not name.startswith("base_pod_")} - OF_OTHERS <= told()
