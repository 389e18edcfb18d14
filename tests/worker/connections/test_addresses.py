"""Where a connection's health is looked at: host, port, and whether TLS begins at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from base_ops.data_ingestion.options.connections import ConnectorChecks
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections.health import Inspector
from base_ops.worker.connectors.base import Site
from base_ops.worker.secrets import ConnectionInfo

WEB: dict[str, Any] = {"http": {"path": "/v1/quotes"}}


@pytest.mark.parametrize(
    ("connection", "block", "address"),
    [
        ({"host": "https://api.example.com", "port": 8443}, WEB, ("api.example.com", 8443, True)),
        ({"host": "https://api.example.com:8443"}, WEB, ("api.example.com", 8443, True)),
        ({"host": "https://api.example.com"}, WEB, ("api.example.com", 443, True)),
        ({"host": "http://api.example.com"}, WEB, ("api.example.com", 80, False)),
        ({"host": "api.example.com", "scheme": "https", "port": 444}, WEB, ("api.example.com", 444, True)),
        ({"host": "x"}, {"http": {"path": "https://other.example.com/v1"}}, ("other.example.com", 443, True)),
        (
            {"host": "db.example.com"},
            {"sql": {"table": "t", "database": "postgresql"}},
            ("db.example.com", 5432, False),
        ),
        (
            {"host": "db.example.com", "port": 6000},
            {"sql": {"table": "t", "database": "postgresql"}},
            ("db.example.com", 6000, False),
        ),
    ],
)
def test_address(
    connection: dict[str, Any], block: dict[str, Any], address: tuple[str, int, bool], tmp_path: Path
) -> None:
    source = SourceSpec.model_validate({"id": "s", "connection": "vendor", **block})
    site = Site(source, tmp_path, ConnectionInfo("vendor", **connection))
    assert Inspector(site, ConnectorChecks())._address() == address
