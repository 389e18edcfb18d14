"""How connections to databases are secured: verified always, unless a connection of env dev says otherwise."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from base_ops.core.errors import ConfigError
from base_ops.worker.connectors import tls
from base_ops.worker.connectors.base import Site

if TYPE_CHECKING:
    from base_ops.worker.connectors.databases.base import Database

VERIFIED = "verify-full"


def tls_mode(database: Database, weaker: set[str]) -> str:
    """The connection's `sslmode`: verify-full, or in env dev one of the weaker ones.

    Raises:
        ConfigError: a weaker one outside dev, or an unknown one.
    """
    return checked_mode(database.site, database.where, weaker)


def checked_mode(site: Site, where: str, weaker: set[str]) -> str:
    """As `tls_mode`, for any site."""
    asked = str((site.connection.extra if site.connection else {}).get("sslmode") or VERIFIED)
    if asked == VERIFIED or (asked in weaker and site.env == "dev"):
        return asked
    raise ConfigError(
        "The connection asks for less than verified TLS",
        code="tls_not_verified",
        where=f"{where}, extra.sslmode",
        expected=VERIFIED + (f", or one of {', '.join(sorted(weaker))}" if site.env == "dev" else ""),
        found=asked if asked.replace("-", "").isalpha() else "something else",
    )


def tls_context(site: Site, where: str) -> ssl.SSLContext | None:
    """A context that checks chain and host name; None where a dev connection says sslmode: disable. Files `sslrootcert`
    (authorities), `sslcert` and `sslkey` in extra count beside what it holds as PEM."""
    if checked_mode(site, where, {"disable"}) == "disable":
        return None
    extra: Any = site.connection.extra if site.connection else {}
    context = tls.tls_context(site)
    if extra.get("sslrootcert"):
        context.load_verify_locations(cafile=extra["sslrootcert"])
    if extra.get("sslcert"):
        context.load_cert_chain(extra["sslcert"], extra.get("sslkey"))
    return context
