"""Connectors: how objects are fetched, one module per protocol (`local`, `s3`, `http`, …).

A new protocol is one module here, named like the scheme of its URLs, with a class `CONNECTOR` that fits
`base.Connector`.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

from base_ops.core.errors import ConfigError, did_you_mean
from base_ops.data_ingestion.specs import PROTOCOLS, SourceSpec
from base_ops.worker.connectors.base import Connector, Site

_SCHEME = re.compile(r"([a-z][a-z0-9]*)://")
_ALIASES = {"file": "local", "ftps": "ftp", "az": "abfs", "abfss": "abfs", "webhdfs": "hdfs"}
_SHARED = {"__init__", "base", "cursor", "extras", "files", "paging", "pattern", "selection", "tls", "web"}


def known_protocols() -> list[str]:
    """Names of the connectors in this folder."""
    return sorted(f.stem for f in Path(__file__).parent.glob("*.py") if f.stem not in _SHARED)


def protocol_of(source: SourceSpec) -> str:
    """The name of the connector that a source needs."""
    if source.files is None:
        return source.protocol
    scheme = _SCHEME.match(source.files.path)
    return _ALIASES.get(scheme[1], scheme[1]) if scheme else "local"


def open_connector(site: Site) -> Connector:
    """The connector of a source.

    Raises:
        ConfigError: no connector for its protocol, or one whose library is not installed.
    """
    protocol, known = protocol_of(site.source), known_protocols()
    if protocol not in known or (site.source.files is not None and protocol in PROTOCOLS):
        raise ConfigError(
            f"source {site.source.id}: no connector for {protocol}://. {did_you_mean(protocol, known)}",
            code="unknown_protocol",
            where="source.files.path" if site.source.files is not None else f"source.{protocol}",
            todo="a new protocol is one module in base_ops/worker/connectors/",
        )
    connector: Connector = importlib.import_module(f"{__name__}.{protocol}").CONNECTOR(site)
    return connector
