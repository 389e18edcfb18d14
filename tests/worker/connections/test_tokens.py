"""Tokens: kept, replaced in time, replaced once when refused; never readable by who does not hold the credential."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.collecting import StillClock
from fakes.identity import CLIENT, SECRET, Provider, identity_provider

from base_ops.core.errors import Denied
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections import tokens
from base_ops.worker.connections.credentials import Credentials, Keyring, credentials_of
from base_ops.worker.connections.http import token_of
from base_ops.worker.connections.jwts import KeySet, sign, verify
from base_ops.worker.connections.tokens import Token
from base_ops.worker.connectors import open_connector
from base_ops.worker.connectors.base import Site
from base_ops.worker.lake.landing import History
from base_ops.worker.secrets import ConnectionInfo


@pytest.fixture
def provider() -> Iterator[Provider]:
    tokens.forget_tokens()
    with identity_provider() as running:
        yield running


def site(
    tmp_path: Path, provider: Provider, clock: StillClock | None = None, secret: str = SECRET, **more: Any
) -> Site:
    template = fill_template({"template": "oauth2_client_credentials", "token_url": f"{provider.url}/token", **more})
    source = SourceSpec.model_validate(
        {"id": "s", "authentication": template, "http": {"path": "/api/token", "tries": 1}}
    )
    port = int(provider.url.rsplit(":", 1)[1])
    refresh = {"refresh_token": "refresh-token-0"}
    found = ConnectionInfo(
        "vendor", host="127.0.0.1", port=port, scheme="http", login=CLIENT, password=secret, extra=refresh
    )
    clock = clock or StillClock(datetime.now(UTC))
    return Site(source, tmp_path, found, clock=clock, keyring=Keyring(tmp_path / "tokens", clock=clock))


def credentials(tmp_path: Path, provider: Provider, clock: StillClock | None = None, **more: Any) -> Credentials:
    return credentials_of(site(tmp_path, provider, clock, **more))


def current(found: Credentials) -> Token:
    source = token_of(found)
    assert source is not None
    return source.current()


def test_one_request_serves_many_uses_and_processes(provider: Provider, tmp_path: Path) -> None:
    first = current(credentials(tmp_path, provider))
    assert current(credentials(tmp_path, provider)) == first
    tokens.forget_tokens()  # as a new process
    assert current(credentials(tmp_path, provider)) == first
    assert len(provider.forms) == 1


def test_the_kept_token_can_only_be_read_with_the_credential(provider: Provider, tmp_path: Path) -> None:
    token = current(credentials(tmp_path, provider))
    (file,) = [p for p in (tmp_path / "tokens").iterdir() if p.suffix != ".lock"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert token.value.encode() not in file.read_bytes() and SECRET.encode() not in file.read_bytes()
    assert token.value not in repr(token)
    tokens.forget_tokens()
    provider.secret = "another-secret"
    assert current(credentials(tmp_path, provider, secret="another-secret")) != token  # the old file is no help
    assert len(provider.forms) == 2


@pytest.mark.parametrize("damage", [b"", b"gAAAA", b"\x00" * 200])
def test_a_damaged_file_is_as_none(damage: bytes, provider: Provider, tmp_path: Path) -> None:
    current(credentials(tmp_path, provider))
    (file,) = [p for p in (tmp_path / "tokens").iterdir() if p.suffix != ".lock"]
    file.write_bytes(damage)
    tokens.forget_tokens()
    current(credentials(tmp_path, provider))
    assert len(provider.forms) == 2


def test_a_folder_that_cannot_be_written_costs_a_request_only(provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("a file, not a folder")
    assert current(credentials(tmp_path, provider)) == current(credentials(tmp_path, provider))
    assert len(provider.forms) == 1


@pytest.mark.parametrize(
    ("life_s", "after_s", "asked"),
    [
        (3600, 3200, 1),
        (3600, 3301, 2),  # less than 300 s left
        (60, 29, 1),
        (60, 31, 2),  # a short-lived one: half of its life
        (None, 3200, 1),  # it does not say: 3600 s
        (None, 3301, 2),
    ],
)
def test_replaced_before_it_ends(
    life_s: float | None, after_s: float, asked: int, provider: Provider, tmp_path: Path
) -> None:
    provider.life_s = life_s
    clock = StillClock(datetime.now(UTC))
    current(credentials(tmp_path, provider, clock))
    clock.moment += timedelta(seconds=after_s)
    current(credentials(tmp_path, provider, clock))
    assert len(provider.forms) == asked


def fetched(where: Site) -> int:
    taken: list[Any] = []
    open_connector(where).fetch(History(), taken.append)
    return len(taken)


def test_7_4_a_revoked_token_is_replaced_once(provider: Provider, tmp_path: Path) -> None:
    assert fetched(site(tmp_path, provider)) == 1
    provider.revoke_all()
    assert fetched(site(tmp_path, provider)) == 1
    assert (len(provider.forms), provider.api_calls) == (2, 3)


def test_7_4_a_revoked_credential_is_denied_and_told_without_secret(provider: Provider, tmp_path: Path) -> None:
    fetched(site(tmp_path, provider))
    provider.revoke_all()
    provider.secret = "replaced-at-the-provider"
    with pytest.raises(Denied) as caught:
        fetched(site(tmp_path, provider))
    assert (len(provider.forms), provider.api_calls) == (2, 2)  # one refresh, no further call
    text = caught.value.text()
    assert "source s" in text and "oauth2_client_credentials" in text and "invalid_client" in text
    assert SECRET not in text and "access-" not in text


def test_a_token_refused_twice_is_denied(provider: Provider, tmp_path: Path) -> None:
    provider.allowed = lambda *_: False  # type: ignore[method-assign]
    with pytest.raises(Denied) as caught:
        fetched(site(tmp_path, provider))
    assert (caught.value.code, len(provider.forms)) == ("unauthorized", 2)
    assert "oauth2_client_credentials" in caught.value.where


def test_refresh_tokens_that_rotate_are_used_once_each(provider: Provider, tmp_path: Path) -> None:
    provider.rotates, clock = True, StillClock(datetime.now(UTC))
    for _ in range(4):
        current(
            credentials(tmp_path, provider, clock, template="oauth2_authorization_code", grant="authorization_code")
        )
        clock.moment += timedelta(hours=2)
        tokens.forget_tokens()
    sent = [form["refresh_token"] for form in provider.forms]
    assert len(set(sent)) == 4 and sent[0] == "refresh-token-0"


def test_processes_that_start_together_ask_once(provider: Provider, tmp_path: Path) -> None:
    provider.rotates = True
    code = """
import json, sys
from pathlib import Path
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections.credentials import Credentials, Keyring
from base_ops.worker.connections.http import token_of
from base_ops.worker.secrets import ConnectionInfo
url, folder, login, password = json.loads(sys.argv[1])
filled = fill_template({"template": "oauth2_authorization_code", "token_url": url + "/token"})
source = SourceSpec.model_validate({"id": "s", "http": {"path": "/"}, "authentication": filled})
found = ConnectionInfo("vendor", host="h", login=login, password=password, extra={"refresh_token": "refresh-token-0"})
token_of(Credentials("s", found, source.authentication, "dev", Keyring(Path(folder)))).current()
"""
    told = json.dumps([provider.url, str(tmp_path / "tokens"), CLIENT, SECRET])
    running = [subprocess.Popen([sys.executable, "-c", code, told]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(provider.forms) == 1


# -- the tokens of others


@pytest.mark.parametrize(
    ("shift_s", "ok"),
    [(0, True), (-29, True), (-31, False), (3600 + 29, True), (3600 + 31, False)],
    ids=["now", "29 s early", "31 s early", "29 s late", "31 s late"],
)
def test_7_10_clocks_may_differ_by_30_s(shift_s: float, ok: bool, provider: Provider, tmp_path: Path) -> None:
    clock = StillClock(datetime.fromtimestamp(int(datetime.now(UTC).timestamp()), UTC))
    found = credentials(tmp_path, provider, clock)
    issued = current(found)
    clock.moment = datetime.fromtimestamp(_issued_at(issued.identity) + shift_s, UTC)
    keys = KeySet(found, f"{provider.url}/jwks")
    if ok:
        assert verify(found, issued.identity, keys, issuer=provider.url)["sub"] == "me"
    else:
        with pytest.raises(Denied, match="30 s"):
            verify(found, issued.identity, keys, issuer=provider.url)


def test_forged_tokens_are_denied(provider: Provider, tmp_path: Path) -> None:
    found = credentials(tmp_path, provider)
    keys = KeySet(found, f"{provider.url}/jwks")
    genuine = current(found).identity
    head, body, mark = genuine.split(".")
    import jwt

    forged = {
        "signature": f"{head}.{body}.{mark[:-6]}AAAAAA",
        "none": jwt.encode({"sub": "me"}, "", algorithm="none", headers={"kid": "k1"}),
        "shared secret": jwt.encode({"sub": "me"}, "k" * 40, algorithm="HS256", headers={"kid": "k1"}),
        "unknown key": jwt.encode({"sub": "me"}, provider.key, algorithm="RS256", headers={"kid": "k2"}),
        "no token": "no token",
    }
    for token in forged.values():
        with pytest.raises(Denied):
            verify(found, token, keys)
    with pytest.raises(Denied):
        verify(found, genuine, keys, issuer="https://somebody.else")
    with pytest.raises(Denied):
        verify(found, genuine, keys, audience="somebody else")


def test_keys_are_read_once_and_for_an_unknown_key_not_too_often(provider: Provider, tmp_path: Path) -> None:
    clock = StillClock(datetime.now(UTC))
    found = credentials(tmp_path, provider, clock)
    keys = KeySet(found, f"{provider.url}/jwks")
    for _ in range(5):
        keys.key("k1")
    for _ in range(5):
        with pytest.raises(Denied):
            keys.key("rotated")
    assert keys.reads == 1
    clock.moment += timedelta(seconds=301)
    with pytest.raises(Denied):
        keys.key("rotated")
    assert keys.reads == 2
    clock.moment += timedelta(seconds=3601)
    keys.key("k1")
    assert keys.reads == 3


def test_our_own_tokens_are_dated_back(provider: Provider, tmp_path: Path) -> None:
    import jwt

    filled = fill_template({"template": "jwt_hs256"})
    source = SourceSpec.model_validate({"id": "s", "http": {"path": "/"}, "authentication": filled})
    assert source.authentication is not None
    found = Credentials("s", ConnectionInfo("c", login="me", password="k" * 40), source.authentication)
    claims = jwt.decode(sign(found, {}, "HS256", 300, skew_s=30), "k" * 40, ["HS256"])
    assert claims["exp"] - claims["iat"] == 330


def _issued_at(token: str) -> float:
    import jwt

    return float(jwt.decode(token, options={"verify_signature": False})["iat"])
