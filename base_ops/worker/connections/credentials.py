"""What a template needs of a connection, by name; a part that is missing is named, its value never."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied
from base_ops.data_ingestion.options.authentication import AuthenticationTemplate, DatabaseTemplate, QueueTemplate
from base_ops.data_ingestion.options.connections import TlsPolicy
from base_ops.data_ingestion.options.fitting import database_of, misfit
from base_ops.worker.backoff import Clock
from base_ops.worker.secrets import ConnectionInfo

if TYPE_CHECKING:
    from base_ops.worker.connectors.base import Site


@dataclass(frozen=True)
class Keyring:
    """What this worker has beside a connection: a folder for encrypted tokens, and the mask for new secrets."""

    folder: Path | None = None
    """None: tokens live in this process only."""
    remember: Callable[[str], None] = lambda _value: None
    """Told each secret that was obtained, so that logs mask it."""
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class Credentials:
    """One source's connection with the template that says how it is used."""

    source: str
    connection: ConnectionInfo
    template: AuthenticationTemplate
    env: str = "dev"
    keyring: Keyring = field(default_factory=Keyring)

    def __post_init__(self) -> None:
        for name in self.template.secrets:
            self.get(name)

    @property
    def name(self) -> str:
        """The template's name for messages."""
        return self.template.template or self.template.kind

    @property
    def where(self) -> str:
        return f"source {self.source}, connection {self.connection.name}, template {self.name}"

    @property
    def tls(self) -> TlsPolicy:
        return self.template.tls

    def find(self, name: str) -> str:
        """A part of the connection, its own field or in extra; '' where there is none."""
        own = getattr(self.connection, name, "") if name in ("login", "password", "host", "schema") else ""
        return str(own or self.connection.extra.get(name) or _of_key_file(self.connection.extra).get(name) or "")

    def get(self, name: str) -> str:
        """A part that must be there.

        Raises:
            ConfigError: naming it.
        """
        found = self.find(name)
        if not found:
            raise ConfigError(
                f"The connection {self.connection.name!r} has no {name}",
                code="no_credentials",
                where=self.where,
                expected=f"{name} (of the connection itself, or in its extra)",
                todo=f"add it to the connection; the template {self.name} needs it",
            )
        return found

    def denied(self, found: str, code: str = "unauthorized", todo: str = "") -> Denied:
        """The credential was refused: source and template are named, its value never."""
        return Denied(
            "The credentials were refused",
            code=code,
            where=self.where,
            found=found,
            todo=todo or "check the connection's credentials; replace them if they were revoked",
        )

    def fault(self, what: str, code: str, *, expected: str = "", found: str = "", todo: str = "") -> BaseOpsError:
        return ConfigError(what, code=code, where=self.where, expected=expected, found=found, todo=todo)


def credentials_of(site: Site) -> Credentials:
    """Of a source that says how it is authenticated: the one place all connectors have them from.

    Raises:
        ConfigError: it names no connection, or one without a part that the template needs; a template that is not for
            the source's connector.
    """
    source, template = site.source, site.source.authentication
    assert template is not None
    if site.connection is None:
        raise ConfigError(
            f"source {source.id}: authentication needs a connection",
            code="no_credentials",
            where="source.connection",
            todo="name the connection that holds the credentials",
        )
    connector = source.connector
    if source.sql is not None:
        connector = database_of(source.sql.database, site.connection.conn_type)
    if (wrong := misfit(template, connector)) is not None:
        raise ConfigError(f"source {source.id}: {wrong}", code="wrong_template", where="source.authentication")
    keyring = site.keyring or Keyring(clock=site.clock)
    return Credentials(source.id, site.connection, template, site.env, keyring)


def fitted(site: Site) -> Site:
    """The site, once its template is known to fit and to find what it needs, with the template's port where the
    connection names none. As it was for a source without a template."""
    template = site.source.authentication
    if template is None:
        return site
    found = credentials_of(site).connection
    if isinstance(template, DatabaseTemplate | QueueTemplate) and found.port is None:
        return replace(site, connection=replace(found, port=template.port))
    return site


def _of_key_file(extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Google service account's key, where the connection has one as a whole."""
    key = extra.get("keyfile_dict") or {}
    try:
        found = json.loads(key) if isinstance(key, str) else key
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}
