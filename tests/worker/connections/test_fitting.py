"""Which template fits which connector: one table, and nobody falls out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from base_ops.core.config import config_dir
from base_ops.core.errors import ConfigError
from base_ops.core.yamlio import load_yaml
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.fitting import FAMILIES, FITTING
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections.__main__ import BLOCKS
from base_ops.worker.connectors import known_protocols, open_connector
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.sql import DATABASES
from base_ops.worker.secrets import ConnectionInfo

PAGE = Path(__file__).parents[3] / "docs" / "authentication.md"
TEMPLATES = load_yaml(config_dir() / "data_ingestion" / "authentication-templates.yaml").data["templates"]
WEB = {"graphql": {"query": "{a}"}, "soap": {"path": "/", "action": "a", "body": "<a/>"}}


def block(connector: str) -> dict[str, Any]:
    """A source of this connector."""
    if connector in ("http", "sse", "websocket", "graphql", "soap"):
        mode = {"mode": "append"} if connector in ("sse", "websocket") else {}
        return {connector: WEB.get(connector, {"path": "/"}), **mode}
    return BLOCKS.get(connector) or {"files": {"path": "/data/"}}


def test_every_connector_and_every_template_is_in_the_table() -> None:
    connectors = {*known_protocols(), *DATABASES} - {"sql"}
    assert set(FITTING) == connectors
    assert sorted(name for names in FAMILIES.values() for name in names) == sorted(TEMPLATES)
    assert {family for fitting in FITTING.values() for family in fitting} == set(FAMILIES)


@pytest.mark.parametrize("connector", FITTING)
def test_a_template_that_makes_no_sense_is_refused_with_those_that_do(connector: str) -> None:
    right = [name for family in FITTING[connector] for name in FAMILIES[family]]
    for name in TEMPLATES:
        source = {"id": "s", "connection": "c", "authentication": fill_template({"template": name}), **block(connector)}
        if name in right:
            assert SourceSpec.model_validate(source).authentication is not None
            continue
        with pytest.raises(ValidationError) as caught:
            SourceSpec.model_validate(source)
        told = str(caught.value)
        assert f"the template {name} is not for {connector}" in told
        assert all(other in told for other in right)


def test_a_database_that_only_its_connection_names_is_checked_when_it_is_opened(tmp_path: Path) -> None:
    template = fill_template({"template": "postgresql"})
    source = SourceSpec.model_validate({"id": "s", "sql": {"table": "t"}, "authentication": template})
    maria = ConnectionInfo("c", host="h", login="me", password="secret-of-mine", conn_type="mysql")
    with pytest.raises(ConfigError) as caught:
        open_connector(Site(source, tmp_path, maria))
    assert caught.value.code == "wrong_template" and "mysql, mutual_tls" in caught.value.text()


def test_a_forced_certificate_needs_a_template() -> None:
    """The profile secure would else force nothing."""
    with pytest.raises(ValidationError, match="mutual TLS needs authentication"):
        SourceSpec.model_validate({"id": "s", "http": {"path": "/"}, "connecting": {"profile": "secure"}})


def test_the_page_shows_the_table() -> None:
    assert table() in PAGE.read_text()


def table() -> str:
    """As docs/authentication.md has it."""
    rows = ["| connector | templates |", "|---|---|"]
    for connector, fitting in FITTING.items():
        names = ", ".join(f"`{name}`" for family in fitting for name in FAMILIES[family])
        rows.append(f"| {connector} | {names or 'none: it needs no credentials'} |")
    return "\n".join(rows)
