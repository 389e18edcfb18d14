"""A setting that nothing reads would be a lie: every field of the configuration's models is read somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from base_ops.core import breaker
from base_ops.core.spec import Spec
from base_ops.data_ingestion.options import (
    agreements,
    authentication,
    connections,
    policies,
    retries,
    schedule_policies,
    schedules,
)

ROOT = Path(__file__).resolve().parents[2] / "base_ops"
MODULES = (agreements, authentication, connections, policies, retries, schedule_policies, schedules)
ON_RECORD = {
    "AgreementSpec": {
        "category",
        "availability",
        "latency_s",
        "throughput_per_s",
        "retention",
        "purpose",
        "lawful_basis",
    },
    "FormatSpecification": {"mime", "target"},
    "HmacTemplate": {"algorithm"},
}
"""Said for people, and told so where it is described; an algorithm of which there is one."""
CODE = {path: path.read_text() for path in sorted(ROOT.rglob("*.py")) if "formats" not in path.parts}


def is_read(name: str) -> bool:
    return any(re.search(rf'\.{name}\b|"{name}"', text) for text in CODE.values())


def models(module: object) -> list[type[Spec]]:
    found = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Spec)]
    return [kind for kind in found if kind.__module__ == module.__name__]  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__.rpartition(".")[2]))
def test_every_setting_is_read(module: object) -> None:
    found = models(module)
    assert found
    unread = {
        kind.__name__: {n for n in kind.model_fields if not is_read(n)} - ON_RECORD.get(kind.__name__, set())
        for kind in found
    }
    assert not {name: names for name, names in unread.items() if names}


def test_a_setting_that_is_not_read_would_be_found() -> None:
    assert not is_read("jwks_min_refresh_s") and is_read("rotation_notice_days")
    assert all(is_read(name) for name in breaker.BreakerPolicy.model_fields)
