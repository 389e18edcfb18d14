"""What a template needs of a connection, by name; a part that is missing is named, its value never."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from base_ops.core.errors import BaseOpsError, ConfigError, Denied
from base_ops.data_ingestion.options.connections import AuthenticationTemplate, TlsPolicy
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
        return str(own or self.connection.extra.get(name) or "")

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
    """Of a source that says how it is authenticated.

    Raises:
        ConfigError: it names no connection, or one without a part that the template needs.
    """
    source = site.source
    assert source.authentication is not None
    if site.connection is None:
        raise ConfigError(
            f"source {source.id}: authentication needs a connection",
            code="no_credentials",
            where="source.connection",
            todo="name the connection that holds the credentials",
        )
    keyring = site.keyring or Keyring(clock=site.clock)
    return Credentials(source.id, site.connection, source.authentication, site.env, keyring)
