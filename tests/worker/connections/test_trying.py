"""`Test connection`: what is wrong with a connection's own words is told, and no secret among them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from base_ops.worker.connections.__main__ import try_connection

SECRET = "hunter2-hunter2"
WRONG: dict[str, tuple[Any, str]] = {
    # extra, what is said
    "no JSON": (f"token={SECRET}", "This connection cannot be read"),
    "a secret in the template": (
        {"authentication": {"template": "basic", "password": SECRET}}, "password is no place for a secret",
    ),
    "an unknown template": ({"authentication": {"template": "basik"}}, "Did you mean 'basic'"),
    "a wrong value": ({"authentication": {"template": "basic", "tls": {"verify": "nein"}}}, "tls.verify"),
    "another connector's template": (
        {"connector": "sqlite", "authentication": {"template": "kafka_sasl_ssl"}}, "is not for sqlite",
    ),
    "an unknown connector": ({"connector": "sqlight"}, "Did you mean 'sqlite'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told(case: str) -> None:
    extra, said = WRONG[case]
    told = {"name": "c", "host": "127.0.0.1", "extra": extra if isinstance(extra, str) else json.dumps(extra)}
    ok, seen = try_connection(told)
    assert not ok and said in seen and SECRET not in seen
