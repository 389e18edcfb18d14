"""Connectors: how objects are fetched, one module per protocol (`local`, `s3`, `http`, …).

A new protocol is one module here, named like the scheme of its URLs, with a class `CONNECTOR` that fits
`base.Connector`.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.data_ingestion.options.sources.source import PROTOCOLS, SourceSpec
from base_ops.worker.connections.credentials import fitted
from base_ops.worker.connectors.base import Connector, Site

_SHARED = {"__init__", "base", "cursor", "extras", "files", "pattern", "selection", "tls"}


def known_protocols() -> list[str]:
    """Names of the connectors in this folder."""
    return sorted(f.stem for f in Path(__file__).parent.glob("*.py") if f.stem not in _SHARED)


def protocol_of(source: SourceSpec) -> str:
    """The name of the connector that a source needs."""
    return source.protocol if source.files is None else source.connector


def open_connector(site: Site) -> Connector:
    """The connector of a source, its connection as the source's authentication template makes it.

    Raises:
        ConfigError: no connector for its protocol, one whose library is not installed, or a template that is not for
            it or finds no credentials.
    """
    protocol, known = protocol_of(site.source), known_protocols()
    if protocol not in known or (site.source.files is not None and protocol in PROTOCOLS):
        raise ConfigError(
            f"source {site.source.id}: no connector for {protocol}://. {did_you_mean(protocol, known)}",
            code="unknown_protocol",
            where="source.files.path" if site.source.files is not None else f"source.{protocol}",
            todo="a new protocol is one module in base_ops/worker/connectors/",
        )
    connector: Connector = importlib.import_module(f"{__name__}.{protocol}").CONNECTOR(fitted(site))
    return connector
