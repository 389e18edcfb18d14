"""What connecting costs beside the network: template, kept token, TLS context and client, as a collect sets them up."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections import tokens
from base_ops.worker.connections.credentials import Keyring, credentials_of
from base_ops.worker.connections.http import client_options
from base_ops.worker.connections.tokens import Token, TokenSource
from base_ops.worker.connectors.base import Report, Site
from base_ops.worker.connectors.web.client import Web
from base_ops.worker.secrets import ConnectionInfo


def overhead_ms(rounds: int = 30) -> dict[str, float]:
    """Median and 95th percentile of one set-up with a token kept in the folder by another process, milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        site = _site(Path(folder))
        credentials = credentials_of(site)
        TokenSource(credentials, lambda _known: Token("t" * 800, time.time() + 3600, time.time())).current()
        client_options(credentials, site.source.connecting.resolved())  # imports what there is to import
        taken = []
        for _ in range(rounds):
            tokens.forget_tokens()
            began = time.perf_counter()
            with Web(site, Report()) as web:
                web.client.auth.tokens.current()  # type: ignore[union-attr]
            taken.append((time.perf_counter() - began) * 1000)
    return {"median_ms": statistics.median(taken), "p95_ms": sorted(taken)[int(0.95 * (rounds - 1))]}


def _site(folder: Path) -> Site:
    filled = fill_template({"template": "oauth2_client_credentials", "token_url": "https://auth.example.com/token"})
    source = {"id": "bench", "authentication": filled, "http": {"path": "/v1/quotes"}}
    found = ConnectionInfo("vendor", host="api.example.com", scheme="https", login="me", password="not a secret")  # noqa: S106
    return Site(SourceSpec.model_validate(source), folder, found, env="prod", keyring=Keyring(folder / "tokens"))
