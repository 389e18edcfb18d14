"""Columns found sensitive, encrypted, and read again by who has the key; sources that are not safe enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fakes.collecting import connect, context
from hypothesis import given
from hypothesis import strategies as st

from base_ops.core.errors import BadInput, ConfigError, Denied
from base_ops.core.ids import uuid7
from base_ops.core.outcomes import Outcome
from base_ops.core.protocol import Identity, Request, Result, StepRequest
from base_ops.core.settings import Settings
from base_ops.data_security.jobs.classifier import luhn, mod_97, sensitive_columns
from base_ops.data_security.jobs.encryption_manager import run as manage
from base_ops.data_security.jobs.encryption_manager.cipher import PREFIX, Cipher
from base_ops.data_security.specs.encryption_manager import ValidateSecurityRequirementsSpec
from base_ops.worker.main import run

KEY = "0123456789abcdef0123456789abcdef-a-test-key"


@given(st.text(max_size=50).filter(lambda text: not text.startswith(PREFIX)))
def test_what_is_encrypted_comes_back(value: str) -> None:
    cipher = Cipher.of(KEY, "payments", "account")
    text = cipher.encrypt(value)
    assert text.startswith(PREFIX) and cipher.encrypt(value) == text
    assert cipher.decrypt(text) == value
    assert len(value) < 4 or value not in text


@pytest.mark.parametrize(
    ("key", "context_", "column"),
    [(KEY + "x", "payments", "account"), (KEY, "other", "account"), (KEY, "payments", "iban")],
)
def test_only_with_its_key_context_and_column(key: str, context_: str, column: str) -> None:
    text = Cipher.of(KEY, "payments", "account").encrypt("DE89370400440532013000")
    with pytest.raises(BadInput, match="cannot be decrypted"):
        Cipher.of(key, context_, column).decrypt(text)


@pytest.mark.parametrize("at", [6, 20, 40, -3])
def test_damage_is_noticed(at: int) -> None:
    cipher = Cipher.of(KEY, "payments", "account")
    text = cipher.encrypt("DE89370400440532013000")
    damaged = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] if at > 0 else text[:at]
    with pytest.raises(BadInput):
        cipher.decrypt(damaged)


def test_nothing_is_encrypted_twice() -> None:
    cipher = Cipher.of(KEY, "payments", "account")
    with pytest.raises(BadInput, match="encrypted already"):
        cipher.encrypt(cipher.encrypt("x"))


def job(home: Path, agent: str, action: str, **spec: Any) -> Result:
    request = Request(
        steps=[StepRequest(agent=agent, action=action, spec=spec)],
        identity=Identity(attempt=uuid7()),
        lake_url=str(home / "lake"),
    )
    return run(request, Settings(home=home))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    file = tmp_path / "people.parquet"
    pl.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "note": ["call back", None, "4111 1111 1111 1111", "x"],  # one card number among notes
            "contact": ["a@example.com", "b@example.com", None, "c@example.com"],
            "order_no": [
                "4111111111111112",
                "1234567812345678",
                "0000000000000000",
                "1",
            ],  # like cards, but no checksum
            "bank": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", None, "DE00 0000"],
            "account_number": ["1", "2", "3", "4"],
            "city": ["Ulm", "Bonn", "Jena", "Hof"],
        }
    ).write_parquet(file)
    return file


def test_levels_by_pattern_checksum_and_name(people: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "out.parquet")
    levels = {"city": "restricted"}
    result = job(
        tmp_path,
        "data_security.classifier",
        "classify_sensitive_data",
        source=str(people),
        target=target,
        levels=levels,
    )
    assert result.status is Outcome.OK, result.error
    assert result.steps[0].observations["levels"] == {
        "id": "internal",
        "note": "restricted",
        "contact": "confidential",
        "order_no": "internal",
        "bank": "confidential",
        "account_number": "confidential",
        "city": "restricted",
    }
    assert sensitive_columns([result]) == ["account_number", "bank", "city", "contact", "note"]
    assert pl.read_parquet(target).equals(pl.read_parquet(people))
    assert "4111" not in result.model_dump_json() and "@example" not in result.model_dump_json()


def test_nobody_looked() -> None:
    with pytest.raises(ConfigError, match="No classifier"):
        sensitive_columns([])


@pytest.mark.parametrize(
    ("number", "right"), [("4111 1111 1111 1111", True), ("4111111111111112", False), ("0" * 16, False)]
)
def test_luhn(number: str, right: bool) -> None:
    assert luhn(number) is right


@pytest.mark.parametrize(("iban", "right"), [("DE89 3704 0044 0532 0130 00", True), ("DE88370400440532013000", False)])
def test_iban(iban: str, right: bool) -> None:
    assert mod_97(iban) is right


def test_columns_and_back(people: Path, tmp_path: Path) -> None:
    connect(tmp_path, "k", conn_type="generic", password=KEY)
    shared = {"columns": ["contact", "account_number"], "key": "k", "context": "p"}
    there, back = tmp_path / "there.parquet", tmp_path / "back.parquet"
    agent = "data_security.encryption_manager"
    result = job(tmp_path, agent, "encrypt", **shared, source=str(people), target=str(there))
    assert result.status is Outcome.OK, result.error
    assert b"example.com" not in there.read_bytes()
    assert pl.read_parquet(there)["contact"].null_count() == 1
    assert KEY not in result.model_dump_json()
    result = job(tmp_path, agent, "decrypt", **shared, source=str(there), target=str(back))
    assert result.status is Outcome.OK, result.error
    assert pl.read_parquet(back).equals(pl.read_parquet(people))


@pytest.mark.parametrize(("key", "code"), [("short", "weak_key"), (None, "unknown_connection")])
def test_a_key_that_is_none(key: str | None, code: str, people: Path, tmp_path: Path) -> None:
    if key:
        connect(tmp_path, "k", conn_type="generic", password=key)
    spec = {"columns": ["contact"], "key": "k", "source": str(people), "target": str(tmp_path / "out.parquet")}
    result = job(tmp_path, "data_security.encryption_manager", "encrypt", **spec)
    assert result.error is not None and result.error.code == code
    assert not (tmp_path / "out.parquet").exists()


OAUTH = {"kind": "oauth2"}


@pytest.mark.parametrize(
    ("host", "authentication", "level", "missing"),
    [
        ("https://api.example.com", OAUTH, "critical", ""),
        ("http://api.example.com", OAUTH, "high", "encrypted"),
        ("https://api.example.com", None, "high", "peer_verified, authenticated"),
        ("https://api.example.com", {"kind": "api_key"}, "high", ""),
        ("https://api.example.com", {"kind": "api_key"}, "critical", "credentials_expire"),
        ("https://api.example.com", {**OAUTH, "tls": {"verify": False}}, "high", "peer_verified"),
    ],
)
def test_requirements(host: str, authentication: Any, level: Any, missing: str, tmp_path: Path) -> None:
    connect(tmp_path, "api", conn_type="http", host=host, password="x" * 40)
    connect(tmp_path, "k", conn_type="generic", password=KEY)
    source = {"id": "s", "connection": "api", "http": {"path": "/v"}, "authentication": authentication}
    raw = {"action": "validate_security_requirements", "source": source, "level": level, "key": "k"}
    spec = ValidateSecurityRequirementsSpec.model_validate(raw)
    if missing:
        with pytest.raises(Denied, match=f"not met: {missing}"):
            manage(spec, context(tmp_path))
    else:
        (step,) = manage(spec, context(tmp_path)).steps
        assert step.observations["requirements"]["strong_key"] is True
