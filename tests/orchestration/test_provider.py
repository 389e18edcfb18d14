"""base_ops as an Airflow provider: `Test connection` does what a job would."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.identity import CLIENT, SECRET, identity_provider

from base_ops.orchestration.provider import ResultLink, SourceHook, get_provider_info


def test_what_it_names_is_there() -> None:
    info = get_provider_info()
    for name in (info["connection-types"][0]["hook-class-name"], *info["extra-links"]):
        module, _, kind = name.rpartition(".")
        assert hasattr(importlib.import_module(module), kind)


def test_the_link_leads_to_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    for value, uri in (({"result_uri": "s3://lake/r.json"}, "s3://lake/r.json"), (None, "")):
        monkeypatch.setattr(XCom, "get_value", lambda *, key, ti_key, value=value: value)
        assert ResultLink().get_link(None, ti_key=None) == uri


def test_test_connection(base_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with identity_provider() as running:
        extra = {
            "scheme": "http",
            "authentication": {"template": "oauth2_client_credentials", "token_url": f"{running.url}/token"},
        }
        port = int(running.url.rsplit(":", 1)[1])

        def tried(password: str) -> tuple[bool, str]:
            told: dict[str, Any] = {"conn_type": "base_ops", "host": "127.0.0.1", "port": port, "login": CLIENT}
            monkeypatch.setenv(
                "AIRFLOW_CONN_VENDOR", json.dumps({**told, "password": password, "extra": json.dumps(extra)})
            )
            return SourceHook("vendor").test_connection()

        assert tried(SECRET)[0] is True
        ok, seen = tried("wrong-secret-of-mine")
        assert not ok and "invalid_client" in seen and "wrong-secret" not in seen


def test_a_test_that_gets_no_answer_ends(base_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("base_ops.orchestration.provider._TRY_S", 0.01)
    monkeypatch.setenv("AIRFLOW_CONN_VENDOR", json.dumps({"conn_type": "base_ops", "host": "127.0.0.1"}))
    ok, seen = SourceHook("vendor").test_connection()
    assert not ok and "nobody answered within 0.01 s" in seen


@pytest.mark.parametrize("module", ["provider", "plugin"])
def test_each_may_be_what_imports_airflow(module: str) -> None:
    """Airflow asks for both by their entry points, also while one of them imports it."""
    done = subprocess.run(
        [sys.executable, "-c", f"import base_ops.orchestration.{module}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
