"""Connections that cannot be read are told by name and place, without a word of what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from base_ops.core.errors import ConfigError
from base_ops.worker.secrets import MASK, Secrets

SECRET = "hunter2-hunter2"
FILES: dict[str, str | bytes] = {
    "no JSON": f'{{"password": "{SECRET}", ',
    "nothing": "",
    "a list": f'["{SECRET}"]',
    "a port that is none": f'{{"host": "h", "port": "{SECRET}"}}',
    "extra that is no JSON": f'{{"host": "h", "extra": "{SECRET}"}}',
    "extra that is a list": f'{{"host": "h", "extra": "[\\"{SECRET}\\"]"}}',
    "no UTF-8": b"\xff\xfe{}",
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_connection(case: str, tmp_path: Path) -> None:
    content = FILES[case]
    (tmp_path / "c.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as error:
        Secrets(tmp_path).connection("c")
    assert error.value.code == "bad_connection" and str(tmp_path / "c.json") in error.value.where
    assert SECRET not in error.value.text()


@pytest.mark.parametrize(
    "text", [f"postgres://me:{SECRET}@h:port/db", f'{{"password": "{SECRET}"', f"http://[{SECRET}"]
)
def test_a_variable_that_is_no_connection(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_C", text)
    with pytest.raises(ConfigError) as error:
        Secrets(tmp_path).connection("c")
    assert error.value.where == "$AIRFLOW_CONN_C" and SECRET not in error.value.text()


def test_what_comes_through_the_pipe_is_masked_even_where_it_is_no_connection(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {"c": {"host": "h", "extra": f"token={SECRET}"}, "d": {"password": "12345678"}})
    assert secrets.mask(f"it says token={SECRET}") == f"it says {MASK}"
    with pytest.raises(ConfigError, match="'c' cannot be read"):
        secrets.connection("c")
    assert secrets.connection("d").password == "12345678"


def test_numbers_are_text(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"login": 7, "password": 12345678, "port": "5432"}')
    secrets = Secrets(tmp_path)
    found = secrets.connection("c")
    assert (found.login, found.password, found.port) == ("7", "12345678", 5432)
    assert secrets.mask("12345678") == MASK
