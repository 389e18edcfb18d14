"""Encrypted connections: TLS 1.2 or newer, the server's certificate and name always verified."""

from __future__ import annotations

import ssl

from base_ops.core.errors import ConfigError
from base_ops.worker.connectors.base import Site


def tls_context(site: Site) -> ssl.SSLContext:
    """A client's context. The connection's extra may hold `ca_certificate` (PEM), an authority to trust beside the
    system's; `verify: false` there is for env dev only.

    Raises:
        ConfigError: a certificate that cannot be read; no verification outside env dev.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if site.connection is None:
        return context
    extra = site.connection.extra
    if pem := extra.get("ca_certificate"):
        try:
            context.load_verify_locations(cadata=str(pem))
        except (ssl.SSLError, ValueError):
            raise ConfigError(
                "A certificate of the connection cannot be read",
                code="bad_certificate",
                where=f"connection {site.connection.name}, extra.ca_certificate",
                expected="one or more certificates in PEM form",
            ) from None
    if extra.get("verify") in (False, "false", "False"):
        if site.env != "dev":
            raise ConfigError(
                "The server's certificate would not be verified",
                code="unverified_tls",
                where=f"connection {site.connection.name}, extra.verify",
                todo="put the server's authority into extra.ca_certificate",
            )
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def refuse_plain(site: Site, host: str, expected: str, found: str) -> None:
    """Refuse to send credentials in clear, but to this machine or in env dev.

    Raises:
        ConfigError: insecure_url.
    """
    if site.connection is not None and site.env != "dev" and host not in LOOPBACK:
        raise ConfigError(
            f"source {site.source.id}: credentials would be sent unencrypted",
            code="insecure_url",
            where=f"connection {site.connection.name}",
            expected=expected,
            found=found,
        )


LOOPBACK = {"127.0.0.1", "localhost", "::1"}
