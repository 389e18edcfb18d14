"""`Test connection` as Airflow's UI asks for it: the API server's own application, its form and its test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.identity import CLIENT, KEY, SECRET, identity_provider

pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager")  # of Airflow itself
PASSWORD = "a-wrong-secret-of-mine"


@pytest.fixture(scope="module")
def api(airflow_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "s" * 64)
        patch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
        patch.setenv("BASE_HOME", str(tmp_path_factory.mktemp("home")))
        from airflow.api_fastapi.app import create_app
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from fastapi.testclient import TestClient

        app = create_app()
        token = app.state.auth_manager.generate_jwt(SimpleAuthManagerUser(username="a", role="admin"))
        with TestClient(app, headers={"Authorization": f"Bearer {token}"}) as client:
            yield client


def tried(api: Any, extra: Any = None, **parts: Any) -> tuple[bool, str]:
    text = extra if isinstance(extra, str) else json.dumps(extra or {})
    body = {"connection_id": "vendor", "conn_type": "base_ops", "extra": text, **parts}
    answer = api.post("/api/v2/connections/test", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["status"], answer.json()["message"]


def test_the_form_offers_our_type_with_hints(api: Any) -> None:
    kinds = {kind["connection_type"]: kind for kind in api.get("/ui/connections/hook_meta").json()}
    ours = kinds["base_ops"]
    assert ours["hook_name"] == "base_ops source"
    assert ours["standard_fields"]["password"]["title"] == "Password, secret or key"
    assert ours["standard_fields"]["host"]["placeholder"] == "api.example.com"


def test_what_stands_is_told_step_by_step(api: Any) -> None:
    with identity_provider() as running:
        port = int(running.url.rsplit(":", 1)[1])
        extra = {
            "scheme": "http",
            "authentication": {"template": "oauth2_client_credentials", "token_url": f"{running.url}/token"},
        }
        ok, told = tried(api, extra, host="127.0.0.1", port=port, login=CLIENT, password=SECRET)
        assert ok, told
        assert "connect: TCP" in told and "authenticate: token until" in told
        ok, told = tried(api, extra, host="127.0.0.1", port=port, login=CLIENT, password=PASSWORD)
        assert not ok and "The credentials were refused" in told and "invalid_client" in told
        assert "template oauth2_client_credentials" in told and PASSWORD not in told
        bare = {"scheme": "http", "authentication": {"template": "basic"}}
        ok, told = tried(api, bare, host="127.0.0.1", port=port, password=SECRET)
        assert not ok and "has no login" in told


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any] | str, str]] = {
    # parts, extra, what the message must say
    "nobody there": ({"host": "127.0.0.1", "port": 1}, {}, "The peer cannot be reached"),
    "no such name": ({"host": "nowhere.invalid"}, {}, "nowhere.invalid cannot be resolved"),
    "no such template": ({"host": "h"}, {"authentication": {"template": "openldp"}}, "Did you mean 'openldap'"),
    "no such key": ({"host": "h"}, {"authentication": {"template": "basic", "scope": "x"}}, "scope"),
    "no such connector": ({"host": "h"}, {"connector": "stfp"}, "Did you mean 'sftp'"),
    "a template of another connector": (
        {"host": "h", "login": "me", "password": KEY},
        {"connector": "sftp", "authentication": {"template": "api_key_header"}},
        "ssh_key",
    ),
    "a broker that is away": (
        {"host": "127.0.0.1", "port": 1, "login": "me", "password": PASSWORD},
        {"authentication": {"template": "rabbitmq_tls"}},
        "The peer cannot be reached",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_wrong_is_said(case: str, api: Any) -> None:
    parts, extra, says = FAULTS[case]
    ok, told = tried(api, extra, **parts)
    assert not ok and says in told
    assert PASSWORD not in told and "source test" not in told


@pytest.mark.server
def test_a_database_is_logged_in_to(api: Any) -> None:
    from fakes.databases import postgres_server

    with postgres_server() as found:
        extra = {"sslmode": "disable", "authentication": {"template": "postgresql"}}
        where = {"host": found.host, "port": found.port, "schema": "postgres", "login": "postgres", "password": "any"}
        assert tried(api, extra, **where) == (
            True,
            "resolve: 127.0.0.1: 1 addresses; connect: TCP; authenticate: logged in",
        )
        ok, told = tried(api, extra, **{**where, "login": "nobody"})
        assert not ok and "PostgreSQL refused" in told
