"""TLS: always verified, by one policy; what ends soon is told."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.certificates import Authority
from fakes.collecting import StillClock
from fakes.identity import PASSWORD, USER, identity_provider
from pydantic import TypeAdapter

from base_ops.core.errors import BaseOpsError, ConfigError
from base_ops.data_ingestion.options.authentication import AuthenticationTemplate
from base_ops.data_ingestion.options.connections import ConnectorChecks
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections.credentials import Credentials
from base_ops.worker.connections.health import Inspector, Standing
from base_ops.worker.connections.tls import shared_tls_context
from base_ops.worker.connectors.base import Site
from base_ops.worker.secrets import ConnectionInfo


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def look(
    tmp_path: Path,
    url: str,
    *,
    env: str = "prod",
    tls: dict[str, Any] | None = None,
    min_version: str | None = None,
    **extra: Any,
) -> Standing:
    template = {"kind": "basic", "tls": tls or {}}
    source = SourceSpec.model_validate(
        {"id": "s", "authentication": template, "http": {"path": "/api/basic", "tries": 1}}
    )
    host, port = url.removeprefix("https://").split(":")
    found = ConnectionInfo(
        "vendor", host=host, port=int(port), scheme="https", login=USER, password=PASSWORD, extra=extra
    )
    site = Site(source, tmp_path, found, clock=StillClock(datetime.now(UTC)), env=env)
    return Inspector(site, ConnectorChecks(tries=1), min_version=min_version).look()


def error(standing: Standing) -> BaseOpsError:
    assert standing.error is not None
    return standing.error


def test_a_good_server_stands(authority: Authority, tmp_path: Path) -> None:
    with identity_provider(tls=authority.serving(authority.issue(), tmp_path)) as running:
        standing = look(tmp_path, running.url, ca_certificate=authority.certificate)
    assert standing.error is None and [step.name for step in standing.steps] == [
        "resolve",
        "connect",
        "authenticate",
        "list",
    ]
    assert standing.facts["tls_version"] == "TLSv1.3" and standing.findings == []
    assert str(standing.facts["certificate_ends_at"]) > datetime.now(UTC).isoformat()


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # the server's certificate, the client's side, the code
    "unknown authority": ({}, {"ca_certificate": ""}, "bad_certificate"),
    "ended": ({"days": -1}, {}, "bad_certificate"),
    "another host": ({"name": "vendor.example"}, {}, "bad_certificate"),
    "unverified in prod": ({}, {"verify": False}, "unverified_tls"),
    "revocation without a list": ({}, {"tls": {"revocation": "crl"}}, "no_credentials"),
    "certificate missing": ({}, {"tls": {"client_certificate": True}}, "no_credentials"),
    "no cipher": ({}, {"tls": {"ciphers": []}}, "bad_cipher"),
    "authority is no PEM": ({}, {"ca_certificate": "x" * 50}, "bad_certificate"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(case: str, authority: Authority, tmp_path: Path) -> None:
    issued, client, code = BAD[case]
    client = {"ca_certificate": authority.certificate, **client}
    with identity_provider(tls=authority.serving(authority.issue(**issued), tmp_path)) as running:
        fault = error(look(tmp_path, running.url, **client))
        assert (type(fault), fault.code) == (ConfigError, code)
        assert running.api_calls == 0


def test_a_revoked_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    good, bad = authority.issue(), authority.issue()
    policy, crl = {"revocation": "crl"}, authority.crl(bad.serial)
    for issued, code in ((good, None), (bad, "bad_certificate")):
        with identity_provider(tls=authority.serving(issued, tmp_path)) as running:
            standing = look(tmp_path, running.url, tls=policy, crl=crl, ca_certificate=authority.certificate)
        assert (standing.error.code if standing.error else None) == code


def test_dev_may_go_unverified(authority: Authority, tmp_path: Path) -> None:
    with identity_provider(tls=authority.serving(authority.issue(), tmp_path)) as running:
        assert look(tmp_path, running.url, env="dev", verify=False).error is None


def test_an_old_server_is_not_enough_where_tls_1_3_is_asked_for(authority: Authority, tmp_path: Path) -> None:
    context = authority.serving(authority.issue(), tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with identity_provider(tls=context) as running:
        standing = look(tmp_path, running.url, ca_certificate=authority.certificate)
        assert standing.error is None and standing.facts["tls_version"] == "TLSv1.2"
        assert standing.facts["tls_cipher"] == "ECDHE-RSA-AES256-GCM-SHA384"
        strict = look(tmp_path, running.url, min_version="1.3", ca_certificate=authority.certificate)
    assert error(strict).code == "tls_refused" and "1.3" in error(strict).expected


@pytest.mark.parametrize(("days", "told"), [(29.5, True), (31, False)])
def test_certificates_that_end_soon_are_told(days: float, told: bool, authority: Authority, tmp_path: Path) -> None:
    mine = authority.issue("client", days=days)
    with identity_provider(tls=authority.serving(authority.issue(days=days), tmp_path)) as running:
        standing = look(
            tmp_path,
            running.url,
            ca_certificate=authority.certificate,
            certificate=mine.certificate,
            private_key=mine.private_key,
        )
    assert standing.error is None
    found = [(f.code, f.severity, f.data["whose"]) for f in standing.findings]
    whole = [("certificate_expiring", "error", whose) for whose in ("the peer's", "our client")]
    assert found == (whole if told else [])


@pytest.mark.parametrize(
    ("age_days", "code"), [(82, None), (84, "rotation_due"), (91, "rotation_overdue")]
)  # a password: 90 days, told 7 days before
def test_rotation_is_told(age_days: int, code: str | None, authority: Authority, tmp_path: Path) -> None:
    rotated = (datetime.now(UTC) - timedelta(days=age_days)).date().isoformat()
    with identity_provider(tls=authority.serving(authority.issue(), tmp_path)) as running:
        standing = look(tmp_path, running.url, ca_certificate=authority.certificate, rotated_at=rotated)
    assert [f.code for f in standing.findings] == ([code] if code else [])
    due = datetime.fromisoformat(rotated).replace(tzinfo=UTC) + timedelta(days=90)
    assert standing.facts["rotate_by"] == due.isoformat()


def test_a_context_is_made_once_for_the_same_parts_and_anew_for_others(authority: Authority) -> None:
    def made(env: str = "dev", tls: dict[str, Any] | None = None, **extra: Any) -> ssl.SSLContext:
        template = TypeAdapter(AuthenticationTemplate).validate_python({"kind": "basic", "tls": tls or {}})
        found = ConnectionInfo("vendor", host="h", login=USER, password=PASSWORD, extra=extra)
        return shared_tls_context(Credentials("s", found, template, env))

    first = made(ca_certificate=authority.certificate)
    assert made(ca_certificate=authority.certificate) is first
    issued = authority.issue()
    others = [
        made(),
        made(ca_certificate=Authority().certificate),
        made(ca_certificate=authority.certificate, verify=False),
        made(ca_certificate=authority.certificate, tls={"min_version": "1.3"}),
        made(ca_certificate=authority.certificate, certificate=issued.certificate, private_key=issued.private_key),
    ]
    assert len({id(context) for context in (first, *others)}) == 6
    assert [context.verify_mode == ssl.CERT_NONE for context in (first, *others)] == [False] * 3 + [True, False, False]
    with pytest.raises(ConfigError):
        made("prod", ca_certificate=authority.certificate, verify=False)
