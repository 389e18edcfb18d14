"""The authentication templates, those of HTTP each against a server that checks what it is sent."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fakes.certificates import Authority
from fakes.collecting import StillClock
from fakes.identity import CLIENT, KEY, PASSWORD, SECRET, USER, Provider, identity_provider

from base_ops.core.config import config_dir
from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient
from base_ops.core.yamlio import load_yaml
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.fitting import FAMILIES, FITTING
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections import oauth, tokens
from base_ops.worker.connections.__main__ import BLOCKS, WEB
from base_ops.worker.connections.consent import code_from_browser
from base_ops.worker.connections.credentials import Keyring, credentials_of
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Fetched, Report, Site
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo

TEMPLATES = load_yaml(config_dir() / "data_ingestion" / "authentication-templates.yaml").data["templates"]
SECRETS = (SECRET, PASSWORD, KEY, "subject-token-1", "refresh-token-0", "BEGIN PRIVATE KEY")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def provider() -> Iterator[Provider]:
    tokens.forget_tokens()
    with identity_provider() as running:
        yield running


def site(
    tmp_path: Path,
    url: str,
    kind: str,
    template: dict[str, Any],
    clock: Any = None,
    env: str = "dev",
    **connection: Any,
) -> Site:
    source = SourceSpec.model_validate(
        {
            "id": "s",
            "authentication": fill_template(template),
            "http": {"path": f"/api/{kind}", "tries": 2, "backoff_s": 0, "timeout_s": 5},
        }
    )
    parts = urlsplit(url)
    found = ConnectionInfo("vendor", host=parts.hostname or "", port=parts.port, scheme=parts.scheme, **connection)
    clock = clock or StillClock(datetime.now(UTC))
    return Site(source, tmp_path, found, clock=clock, env=env, keyring=Keyring(tmp_path / "tokens", clock=clock))


def fetch(where: Site) -> tuple[list[bytes], Report]:
    taken: list[Fetched] = []
    report = open_connector(where).fetch(History(), taken.append)
    return [f.local.read_bytes() for f in taken], report


def refused(where: Site) -> BaseOpsError:
    with pytest.raises(BaseOpsError) as caught:
        fetch(where)
    assert not [secret for secret in SECRETS if secret in caught.value.text()]
    return caught.value


def test_there_are_27_and_the_key_of_ssh_and_each_is_right() -> None:
    assert len(TEMPLATES) == 27 + len(("ssh_key",))
    for name in TEMPLATES:
        made = declared(fill_template({"template": name})).authentication
        assert made is not None and made.template == name and made.title


def declared(template: dict[str, Any]) -> SourceSpec:
    """A source of the first connector that the template fits."""
    family = next(family for family, names in FAMILIES.items() if template["template"] in names)
    block = next((BLOCKS.get(name, WEB) for name, fitting in FITTING.items() if family in fitting))
    return SourceSpec.model_validate({"id": "s", "authentication": template, **block})


def test_what_the_source_says_goes_before_the_template() -> None:
    filled = fill_template({"template": "api_key_header", "name": "X-Key", "min_chars": 8})
    assert (filled["name"], filled["min_chars"], filled["max_chars"]) == ("X-Key", 8, 64)


def test_an_unknown_template_is_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'openldap'"):
        fill_template({"template": "openldp"})


SIMPLE = {
    # template, the connection's right credentials, the API that asks for them
    "api_key_header": ({"password": KEY}, "header"),
    "api_key_query": ({"password": KEY}, "query"),
    "api_key_bearer": ({"password": KEY}, "bearer"),
    "basic": ({"login": USER, "password": PASSWORD}, "basic"),
    "digest": ({"login": USER, "password": PASSWORD}, "digest"),
    "hmac_signature": ({"login": USER, "password": KEY}, "hmac"),
    "token_exchange": ({"password": "subject-token-1"}, "token"),
    "oauth2_client_credentials": ({"login": CLIENT, "password": SECRET}, "token"),
    "oauth2_authorization_code": (
        {"login": CLIENT, "password": SECRET, "extra": {"refresh_token": "refresh-token-0"}},
        "token",
    ),
    "oauth2_device_code": (
        {"login": CLIENT, "password": SECRET, "extra": {"refresh_token": "refresh-token-0"}},
        "token",
    ),
    "azure_service_principal": ({"login": CLIENT, "password": SECRET, "extra": {"tenant_id": "t"}}, "token"),
}
NEED_URL = {n for n in SIMPLE if TEMPLATES[n]["kind"] in ("oauth2", "token_exchange", "cloud")}


@pytest.mark.parametrize("name", SIMPLE)
def test_right_credentials_are_accepted(name: str, provider: Provider, tmp_path: Path) -> None:
    connection, api = SIMPLE[name]
    more = {"token_url": f"{provider.url}/token"} if name in NEED_URL else {}
    bodies, report = fetch(site(tmp_path, provider.url, api, {"template": name, **more}, **connection))
    assert bodies == [b'[{"id": 1}]'] and report.retries == 0


@pytest.mark.parametrize("name", SIMPLE)
def test_wrong_credentials_are_denied_after_two_tries_at_most(name: str, provider: Provider, tmp_path: Path) -> None:
    connection, api = SIMPLE[name]
    wrong = {**connection, "password": "x" * 40}
    more = {"token_url": f"{provider.url}/token"} if name in NEED_URL else {}
    error = refused(site(tmp_path, provider.url, api, {"template": name, **more}, **wrong))
    assert isinstance(error, Denied)
    assert "source s" in error.where and name in error.where
    assert len(provider.forms) + provider.api_calls <= 2 and "x" * 40 not in error.text()


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_connection_without_what_the_template_needs_is_told(name: str, tmp_path: Path) -> None:
    """No credential at all: a config error that names what lacks, or a denial where nobody has consented."""
    template = fill_template({"template": name, **({"token_url": "https://x.example/t"} if name in NEED_URL else {})})
    bare = Site(declared(template), tmp_path, ConnectionInfo("vendor", host="h.example"))
    if name in ("aws_iam",):  # the pod's own role may do
        credentials_of(bare)
        return
    with pytest.raises((ConfigError, Denied)) as caught:
        credentials = credentials_of(bare)
        from base_ops.worker.connections.http import token_of

        source_of = token_of(credentials)
        assert source_of is not None
        source_of.current()
    assert caught.value.code in ("no_credentials", "no_consent")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS256"])
def test_jwt_of_our_own(algorithm: str, provider: Provider, tmp_path: Path, authority: Authority) -> None:
    if algorithm == "HS256":
        provider.public_keys[algorithm], connection = KEY, {"password": KEY}
    else:
        issued = authority.issue("client", kind="ec" if algorithm == "ES256" else "rsa")
        provider.public_keys[algorithm] = load_pem_private_key(issued.private_key.encode(), None).public_key()
        connection = {"extra": {"private_key": issued.private_key}}
    template = {"template": f"jwt_{algorithm.lower()}", "audience": provider.url}
    where = site(tmp_path, provider.url, f"jwt_{algorithm}", template, login=CLIENT, **connection)
    assert fetch(where)[0] == [b'[{"id": 1}]']


def test_gcp_service_account(provider: Provider, tmp_path: Path, authority: Authority) -> None:
    issued = authority.issue("client")
    provider.public_keys["RS256"] = load_pem_private_key(issued.private_key.encode(), None).public_key()
    extra = {"client_email": "me@project.example", "private_key": issued.private_key}
    template = {"template": "gcp_service_account", "token_url": f"{provider.url}/token"}
    assert fetch(site(tmp_path, provider.url, "token", template, extra=extra))[0]


def test_saml(provider: Provider, tmp_path: Path, authority: Authority) -> None:
    issued = authority.issue("client")
    provider.certificate = issued.certificate
    extra = {"certificate": issued.certificate, "private_key": issued.private_key}
    template = {"template": "saml2", "token_url": f"{provider.url}/token"}
    assert fetch(site(tmp_path, provider.url, "token", template, login=CLIENT, extra=extra))[0]


@pytest.mark.parametrize(("template", "kind"), [("mutual_tls", "rsa"), ("client_certificate", "ec")])
def test_client_certificates(template: str, kind: str, tmp_path: Path, authority: Authority) -> None:
    context = authority.serving(authority.issue(), tmp_path, asks_for_client=True)
    mine = authority.issue("client", kind=kind)
    extra = {"certificate": mine.certificate, "private_key": mine.private_key, "ca_certificate": authority.certificate}
    with identity_provider(tls=context) as running:
        where = site(tmp_path, running.url, "certificate", {"template": template}, env="prod", extra=extra)
        assert fetch(where)[0] == [b'[{"id": 1}]']
        other = authority.issue("client", kind="ec" if kind == "rsa" else "rsa")
        wrong = {**extra, "certificate": other.certificate, "private_key": other.private_key}
        assert (
            refused(site(tmp_path, running.url, "certificate", {"template": template}, extra=wrong)).code
            == "bad_private_key"
        )


# -- consent


def test_consent_by_browser_with_pkce(provider: Provider, tmp_path: Path) -> None:
    port = _free_port()
    template = {
        "template": "oauth2_authorization_code",
        "token_url": f"{provider.url}/token",
        "authorize_url": f"{provider.url}/authorize",
        "redirect_uri": f"http://127.0.0.1:{port}/",
    }
    credentials = credentials_of(site(tmp_path, provider.url, "token", template, login=CLIENT, password=SECRET))
    url, state, verifier = oauth.consent_url(credentials)
    query = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
    assert query["code_challenge_method"] == "S256" and verifier not in url
    provider.codes["the-code"] = query["code_challenge"]
    came: list[str] = []
    waiting = threading.Thread(target=lambda: came.append(code_from_browser(f"http://127.0.0.1:{port}/", state)))
    waiting.start()
    for sent in ("?code=evil&state=wrong", f"?code=the-code&state={state}"):
        _browse(f"http://127.0.0.1:{port}/{sent}", waiting)
    waiting.join(10)
    assert came == ["the-code"]
    token = oauth.exchange_code(credentials, came[0], verifier)
    assert token.refresh in provider.refresh_tokens and token.refresh not in repr(token)
    provider.codes["the-code"] = query["code_challenge"]
    with pytest.raises(Denied):
        oauth.exchange_code(credentials, "the-code", "another verifier")


def test_consent_on_another_device(provider: Provider, tmp_path: Path) -> None:
    template = {
        "template": "oauth2_device_code",
        "token_url": f"{provider.url}/token",
        "device_url": f"{provider.url}/device",
    }
    clock, shown = StillClock(datetime.now(UTC)), []
    credentials = credentials_of(site(tmp_path, provider.url, "token", template, clock, login=CLIENT, password=SECRET))
    token = oauth.device_login(credentials, lambda url, code: shown.append((url, code)))
    assert shown == [("http://x/", "ABCD")] and token.refresh in provider.refresh_tokens
    assert clock.slept == [5.0, 5.0, 5.0]


# -- what must not happen


@pytest.mark.parametrize("url", ["http://auth.example.com/token", "ftp://auth.example.com/", ""])
def test_credentials_are_not_sent_unencrypted(url: str, tmp_path: Path) -> None:
    template = {"template": "oauth2_client_credentials", "token_url": url}
    error = refused(site(tmp_path, "http://127.0.0.1:9", "token", template, login=CLIENT, password=SECRET))
    assert (type(error), error.code) == (ConfigError, "bad_token_url")


def test_a_key_of_the_wrong_shape_is_refused_before_asking(tmp_path: Path) -> None:
    error = refused(
        site(tmp_path, "http://127.0.0.1:9", "header", {"template": "api_key_header"}, password="short-key")
    )
    assert error.code == "bad_credential" and "short-key" not in error.text()


def test_a_token_endpoint_that_is_away_is_transient_and_tried_again(provider: Provider, tmp_path: Path) -> None:
    provider.token_status = [503, 503]
    template = {"template": "oauth2_client_credentials", "token_url": f"{provider.url}/token"}
    clock = StillClock(datetime.now(UTC))
    assert fetch(site(tmp_path, provider.url, "token", template, clock, login=CLIENT, password=SECRET))[0]
    assert len(clock.slept) == 2
    tokens.forget_tokens()
    provider.token_status = [503] * 20
    far = StillClock(datetime.now(UTC) + timedelta(days=1))
    error = refused(site(tmp_path, provider.url, "token", template, far, login=CLIENT, password=SECRET))
    assert (type(error), error.code) == (Transient, "token_endpoint_unavailable")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _browse(url: str, server: threading.Thread) -> None:
    """As a browser that tries again while nobody listens yet."""
    while server.is_alive():
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            continue
