"""Templates where a client library logs in: each against a real server that speaks TLS only, as in production."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import secured
from fakes.certificates import Authority
from fakes.secured import CERTIFIED, PASSWORD

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.connections import ConnectorChecks
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections.__main__ import BLOCKS
from base_ops.worker.connections.health import Inspector
from base_ops.worker.connectors.base import Site
from base_ops.worker.secrets import ConnectionInfo

pytestmark = pytest.mark.server

WITH_PASSWORD = {
    "postgresql": {"template": "postgresql"},
    "mysql": {"template": "mysql"},
    "redis": {"template": "basic"},
    "rabbitmq": {"template": "rabbitmq_tls"},
    "kafka": {"template": "kafka_sasl_ssl", "mechanism": "PLAIN"},
    "activemq": {"template": "basic"},
}
WITH_CERTIFICATE = [name for name in WITH_PASSWORD if name != "activemq"]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module", params=WITH_PASSWORD)
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[tuple[str, ConnectionInfo]]:
    with ExitStack() as stack:
        yield request.param, stack.enter_context(secured.SERVERS[request.param](authority))  # type: ignore[arg-type]


def look(name: str, found: ConnectionInfo, folder: Path, template: dict[str, Any]) -> Any:
    """How the source stands, of env prod."""
    source = {"id": "s", "connection": "vendor", "authentication": fill_template(template), **BLOCKS[name]}
    source["connecting"] = {"settings": {"connect_s": 5}}
    site = Site(SourceSpec.model_validate(source), folder, found, env="prod")
    return Inspector(site, ConnectorChecks(tries=1, list=False)).look()


def fault(standing: Any) -> BaseOpsError:
    assert standing.error is not None
    assert PASSWORD not in standing.error.text()
    return standing.error


def test_a_password_is_accepted(server: tuple[str, ConnectionInfo], tmp_path: Path) -> None:
    standing = look(*server, tmp_path, WITH_PASSWORD[server[0]])
    assert standing.error is None, standing.error
    assert [(s.name, s.told) for s in standing.steps][-1] == ("authenticate", "logged in")


def test_a_wrong_password_is_denied(server: tuple[str, ConnectionInfo], tmp_path: Path) -> None:
    wrong = replace(server[1], password="not-the-secret")
    error = fault(look(server[0], wrong, tmp_path, WITH_PASSWORD[server[0]]))
    assert isinstance(error, Denied) and "not-the-secret" not in error.text()


def test_an_unknown_authority_gets_no_password(server: tuple[str, ConnectionInfo], tmp_path: Path) -> None:
    other = replace(server[1], extra={"ca_certificate": Authority().certificate})
    error = fault(look(server[0], other, tmp_path, WITH_PASSWORD[server[0]]))
    assert isinstance(error, ConfigError if server[0] in ("postgresql", "mysql") else Transient | ConfigError)


@pytest.mark.parametrize("server", WITH_CERTIFICATE, indirect=True)
def test_a_certificate_is_accepted(server: tuple[str, ConnectionInfo], authority: Authority, tmp_path: Path) -> None:
    name, found = server
    mine, strange = authority.issue(CERTIFIED), Authority().issue(CERTIFIED)

    def shown(made: Any, where: ConnectionInfo) -> Any:
        extra = {**where.extra, "certificate": made.certificate, "private_key": made.private_key}
        if name != "redis":  # which asks for one beside the password
            where = replace(where, login=CERTIFIED, password="")
        return look(name, replace(where, extra=extra), tmp_path, {"template": "mutual_tls"})

    with ExitStack() as stack:
        if name == "kafka":
            found = stack.enter_context(secured.kafka(authority, certificates=True))
        assert shown(mine, found).error is None, shown(mine, found).error
        assert shown(strange, found).error is not None


@pytest.mark.parametrize("part", ["min_version", "ciphers", "revocation"])
def test_a_policy_is_kept_or_refused(part: str, server: tuple[str, ConnectionInfo], tmp_path: Path) -> None:
    """Never left out in silence where the library cannot be told."""
    told = {"min_version": "1.3", "ciphers": ["ECDHE-RSA-AES128-GCM-SHA256"], "revocation": "crl"}
    template = {**WITH_PASSWORD[server[0]], "tls": {part: told[part]}}
    error = look(*server, tmp_path, template).error
    if part == "revocation":  # the connection has no list
        assert error is not None and error.code in ("no_credentials", "tls_policy")
    else:
        assert error is None or error.code == "tls_policy"
