"""data_ingestion.connector, `base-ops sources check` and `base-ops config check`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fakes.collecting import StillClock, connect, context
from fakes.identity import CLIENT, SECRET, Provider, identity_provider

from base_ops.cli import cli
from base_ops.core.config import check_folder, config_dir
from base_ops.core.errors import BaseOpsError, ConfigError, Denied
from base_ops.core.ids import uuid7
from base_ops.core.protocol import Identity, Request, Result, StepRequest
from base_ops.core.settings import Settings
from base_ops.data_ingestion.config.sources import fill_template, load_source
from base_ops.data_ingestion.jobs import connector
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.data_ingestion.specs.connector import ConnectorSpec
from base_ops.worker.connections import tokens
from base_ops.worker.main import run


@pytest.fixture
def provider() -> Iterator[Provider]:
    tokens.forget_tokens()
    with identity_provider() as running:
        yield running


def source(provider: Provider, home: Path, *, secret: str = SECRET, **template: Any) -> dict[str, Any]:
    port = int(provider.url.rsplit(":", 1)[1])
    connect(home, "vendor", host="127.0.0.1", port=port, conn_type="http", login=CLIENT, password=secret)
    made = {"template": "oauth2_client_credentials", "token_url": f"{provider.url}/token", **template}
    return {"id": "s", "connection": "vendor", "authentication": fill_template(made), "http": {"path": "/api/token"}}


def spec(raw: dict[str, Any], **more: Any) -> ConnectorSpec:
    return ConnectorSpec(source=SourceSpec.model_validate(raw), **more)


def test_the_descriptor_tells_all_but_the_secret(provider: Provider, tmp_path: Path) -> None:
    made = spec(source(provider, tmp_path))
    step = connector.connect(made, context(tmp_path), StillClock()).steps[0]
    told = step.observations
    assert told["template"] == "oauth2_client_credentials" and told["token_from_cache"] is False
    assert [s["name"] for s in told["steps"]] == ["resolve", "connect", "authenticate", "list"]  # type: ignore[index, union-attr]
    assert told["listed"] == "HTTP 200, application/json"
    assert [event["type"] for event in step.events] == ["authentication_success", "connection_established"]
    text = step.model_dump_json()
    assert SECRET not in text and not [token for token in provider.valid if token in text]
    again = connector.connect(made, context(tmp_path), StillClock()).steps[0]
    assert again.observations["token_from_cache"] is True and len(provider.forms) == 1


def test_a_denial_is_told_in_the_result(provider: Provider, tmp_path: Path) -> None:
    raw = source(provider, tmp_path, secret="revoked-long-ago")
    result = worked(tmp_path, {"source": raw})
    assert result.error is not None and (result.status, result.error.code) == ("denied", "invalid_client")
    assert [event["type"] for event in result.steps[0].events] == ["authentication_failure", "connection_failed"]
    kept = "".join(p.read_text(errors="replace") for p in (tmp_path / "lake").rglob("*") if p.is_file())
    assert "revoked-long-ago" not in result.model_dump_json() + kept and result.seconds < 5


def worked(home: Path, body: dict[str, Any], action: str = "establish_secure_connection") -> Result:
    settings = Settings(home=home)
    request = Request(
        steps=[StepRequest(agent="data_ingestion.connector", action=action, spec=body)],
        identity=Identity(attempt=uuid7()),
        lake_url=settings.lake,
        result_uri=f"{settings.lake}/runs/r.json",
    )
    return run(request, settings)


@pytest.mark.parametrize(
    ("amr", "code"), [(["pwd", "otp"], None), (["pwd"], "no_mfa"), ([], "no_mfa"), (None, "no_mfa")]
)
def test_mfa_is_read_from_the_token(
    amr: list[str] | None, code: str | None, provider: Provider, tmp_path: Path
) -> None:
    provider.amr = amr
    raw = source(provider, tmp_path, jwks_url=f"{provider.url}/jwks", issuer=provider.url)
    made = spec(raw, action="verify_mfa_authentication")
    if code is None:
        step = connector.connect(made, context(tmp_path), StillClock()).steps[0]
        assert step.observations["mfa"] == ["otp", "pwd"]
        return
    with pytest.raises(Denied) as caught:
        connector.connect(made, context(tmp_path), StillClock())
    assert caught.value.code == code


def test_without_evidence_mfa_is_a_config_error(provider: Provider, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        connector.connect(
            spec(source(provider, tmp_path), action="verify_mfa_authentication"), context(tmp_path), StillClock()
        )
    assert caught.value.code == "no_mfa_evidence"


UNREACHABLE: dict[str, tuple[dict[str, Any], str]] = {
    "nobody listens": ({"host": "127.0.0.1", "port": 1, "conn_type": "http"}, "unreachable"),
    "no such name": ({"host": "nowhere.invalid", "conn_type": "http"}, "unknown_host"),
}


@pytest.mark.parametrize("case", UNREACHABLE)
def test_who_cannot_be_reached_is_transient(case: str, tmp_path: Path) -> None:
    parts, code = UNREACHABLE[case]
    connect(tmp_path, "c", **parts)
    made = spec({"id": "s", "connection": "c", "http": {"path": "/"}})
    with pytest.raises(BaseOpsError) as caught:
        connector.connect(made, context(tmp_path), StillClock())
    assert (caught.value.outcome, caught.value.code) == ("transient", code)


# -- the commands


@pytest.fixture
def config(tmp_path: Path, base_home: Path) -> Path:
    folder = tmp_path / "config" / "data_ingestion"
    (folder / "sources").mkdir(parents=True)
    shipped = config_dir() / "data_ingestion" / "authentication-templates.yaml"
    (folder / shipped.name).write_text(shipped.read_text())
    return tmp_path / "config"


def declare(config: Path, raw: dict[str, Any]) -> None:
    (config / "data_ingestion" / "sources" / f"{raw['id']}.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))


def test_sources_check(config: Path, provider: Provider, tmp_path: Path) -> None:
    good = source(provider, tmp_path)
    good["authentication"] = {"template": "oauth2_client_credentials", "token_url": f"{provider.url}/token"}
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "a.csv").write_text("a\n1\n")
    connect(tmp_path, "other", host="127.0.0.1", port=1, conn_type="http")
    connect(
        tmp_path,
        "wrong",
        **json.loads((tmp_path / "connections/vendor.json").read_text()) | {"password": "not-the-secret"},
    )
    declare(config, good)
    declare(config, {**good, "id": "denied", "connection": "wrong"})
    declare(config, {"id": "away", "connection": "other", "http": {"path": "/"}})
    declare(config, {"id": "drop", "files": {"path": f"{drop}/*.csv"}})
    declare(config, {"id": "later", "files": {"path": "{{ params.folder }}/*.csv"}})
    declare(config, {"id": "typo", "files": {"path": f"{drop}/*.csv"}, "mod": "append"})
    options = ["sources", "check", "--config-dir", str(config)]
    done = CliRunner().invoke(cli, [*options, "--json"])
    told = {item["source"]: item for item in json.loads(done.stdout)}
    verdicts = {name: item["error"]["outcome"] if not item["ok"] else "ok" for name, item in told.items()}
    assert verdicts == {
        "s": "ok", "drop": "ok", "later": "ok", "denied": "denied", "away": "transient", "typo": "config_error",
    }  # fmt: skip
    assert done.exit_code == 30 and str(told["drop"]["listed"]).startswith("1 file")
    assert "not-the-secret" not in done.output and SECRET not in done.output
    one = CliRunner().invoke(cli, [*options, "--source", "denied"])
    assert one.exit_code == 40 and "invalid_client" in one.output
    assert CliRunner().invoke(cli, [*options, "--source", "s", "--source", "drop"]).exit_code == 0


def test_the_shipped_configuration_is_right() -> None:
    right, faults = check_folder(config_dir())
    assert not [fault.text() for fault in faults] and "data_ingestion/authentication-templates.yaml" in right


FAULTS: dict[str, tuple[str, str, str]] = {
    # file, content, what the message must name
    "unknown key": ("sources/a.yaml", "id: a\nhttp:\n  path: /q\n  tires: 3\n", "a.yaml, line 4, key http.tires"),
    "another id": ("sources/a.yaml", "title: x\nid: b\nhttp: {path: /q}\n", "a.yaml, line 2, key id"),
    "unknown template": (
        "sources/a.yaml",
        "id: a\nhttp: {path: /q}\nauthentication:\n  template: oauth3\n",
        "a.yaml, line 4, key authentication.template",
    ),
    "template key": (
        "authentication-templates.yaml",
        "templates:\n  mine:\n    kind: oauth2\n    grants: none\n",
        "authentication-templates.yaml, line 4, key templates.mine.grants",
    ),
    "no YAML": ("sources/a.yaml", "id: [a\n", "line 2"),
    "nobody's file": ("sauces/a.yaml", "id: a\n", "sauces/a.yaml, line 1"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_config_check_names_file_line_and_key(case: str, config: Path) -> None:
    name, text, told = FAULTS[case]
    path = config / "data_ingestion" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    done = CliRunner().invoke(cli, ["config", "check", "--config-dir", str(config)])
    assert done.exit_code == 30
    assert told in " ".join(done.output.split())


AGREED = "agreement: {priority: critical, purpose: trading, lawful_basis: contract, retention: 7y}\n"
POLICIES: dict[str, tuple[str, str, str]] = {
    # policy, source, what the message must name
    "nothing agreed on": (
        "compliance: {required: {critical: [purpose]}}\n",
        "id: a\nhttp: {path: /q}\nagreement: {priority: critical}\n",
        "a.yaml, line 3, key agreement",
    ),
    "no template": (
        "security: {authentication: [critical]}\n",
        f"id: a\nhttp: {{path: /q}}\n{AGREED}",
        "authentication is missing",
    ),
    "another type of data": (
        "mapping_rules: [{data_type: orders, sources: a}]\n",
        "id: a\nhttp: {path: /q}\nagreement:\n  data_types: [trades]\n",
        "a.yaml, line 4, key agreement.data_types",
    ),
    "an unknown key": (
        "security: {tls: 1}\n",
        "id: a\nhttp: {path: /q}\n",
        "ingestion-policies.yaml, line 1, key security.tls",
    ),
}


@pytest.mark.parametrize("case", POLICIES)
def test_policies_are_kept_or_told(case: str, config: Path) -> None:
    policy, source, told = POLICIES[case]
    folder = config / "data_ingestion"
    (folder / "ingestion-policies.yaml").write_text(policy)
    (folder / "sources" / "a.yaml").write_text(source)
    done = CliRunner().invoke(cli, ["config", "check", "--config-dir", str(config)])
    assert done.exit_code == 30 and told in done.output.replace("\n", "")
    (folder / "ingestion-policies.yaml").write_text("{}\n")
    assert CliRunner().invoke(cli, ["config", "check", "--config-dir", str(config)]).exit_code == 0


@pytest.mark.parametrize(
    ("own", "version"), [(None, "1.3"), ({"min_version": "1.2"}, "1.2"), ({"notice_days": 60}, "1.3")]
)
def test_the_least_tls_is_the_policys_where_a_source_says_none(own: Any, version: str, config: Path) -> None:
    (config / "data_ingestion" / "ingestion-policies.yaml").write_text('security: {tls_min_version: "1.3"}\n')
    template = {"template": "mutual_tls", **({"tls": own} if own else {})}
    declare(config, {"id": "a", "connection": "c", "http": {"path": "/"}, "authentication": template})
    made = SourceSpec.model_validate(load_source("a", config)).authentication
    assert made is not None and made.tls.min_version == version
