"""Encrypted connections: TLS 1.2 or newer, the server's certificate and name always verified.

A source with an authentication template has its policy (connections/tls.py); without one, the connection's extra may
hold `ca_certificate` (PEM), an authority to trust beside the system's, and in env dev `verify: false`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.authentication import CertificateTemplate
from base_ops.data_ingestion.options.connections import CIPHERS_TLS12, TlsPolicy
from base_ops.worker.connections.credentials import credentials_of
from base_ops.worker.connections.tls import check_key, shared
from base_ops.worker.connections.tls import tls_context as context_of_template
from base_ops.worker.connectors.base import Site

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def tls_context(site: Site) -> ssl.SSLContext:
    """A client's context.

    Raises:
        ConfigError: a certificate that cannot be read; no verification outside env dev.
    """
    if site.source.authentication is not None:
        return context_of_template(credentials_of(site), client_certificate=wants_certificate(site))
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if site.connection is None:
        return context
    if pem := site.connection.extra.get("ca_certificate"):
        try:
            context.load_verify_locations(cadata=str(pem))
        except (ssl.SSLError, ValueError):
            raise ConfigError(
                "A certificate of the connection cannot be read",
                code="bad_certificate",
                where=f"connection {site.connection.name}, extra.ca_certificate",
                expected="one or more certificates in PEM form",
            ) from None
    if not verified(site):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def shared_tls_context(site: Site) -> ssl.SSLContext:
    """`tls_context` of a source without a template, made once for all with the same authority. Whoever gets it must not
    change it."""
    extra = site.connection.extra if site.connection else {}
    known = str(extra.get("ca_certificate") or ""), verified(site)
    system = os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", "")
    return shared((*known, *system), lambda: tls_context(site))


def verified(site: Site) -> bool:
    """Whether the server's certificate is verified: always, but for a connection of env dev with `verify: false`.

    Raises:
        ConfigError: not to be verified outside dev.
    """
    template, found = site.source.authentication, site.connection
    asked = found.extra.get("verify") if found is not None else None
    if asked not in (False, "false", "False") and (template is None or template.tls.verify):
        return True
    if site.env != "dev":
        raise ConfigError(
            "The server's certificate would not be verified",
            code="unverified_tls",
            where=f"connection {found.name if found else ''}, extra.verify, or the template's tls.verify",
            todo="put the server's authority into extra.ca_certificate",
        )
    return False


def wants_certificate(site: Site) -> bool:
    """Whether the client must show a certificate of its own."""
    template = site.source.authentication
    asked = isinstance(template, CertificateTemplate) or (template is not None and template.tls.client_certificate)
    return asked or site.source.connecting.resolved().mutual_tls


def policy_of(site: Site, *, able: Iterable[str] = ()) -> TlsPolicy:
    """The source's TLS policy, for client libraries that take no context.

    Args:
        able: which of `min_version`, `ciphers`, `revocation` the library can be told.

    Raises:
        ConfigError: the policy asks for what the library cannot do: it is never left out in silence.
    """
    template = site.source.authentication
    policy = template.tls if template is not None else TlsPolicy()
    asked = {
        "min_version": policy.min_version != "1.2",
        "ciphers": policy.ciphers != CIPHERS_TLS12,
        "revocation": policy.revocation != "none",
    }
    if lacking := sorted(name for name, is_asked in asked.items() if is_asked and name not in able):
        raise ConfigError(
            f"The client library of {site.source.connector} cannot be told tls.{lacking[0]}",
            code="tls_policy",
            where=f"source {site.source.id}, authentication.tls.{lacking[0]}",
            todo="leave it out, and have the server ask for it",
        )
    return policy


@dataclass(frozen=True)
class PemFiles:
    """What a connection holds as PEM, as private files on scratch; '' where it holds none."""

    authorities: str = ""
    certificate: str = ""
    key: str = ""
    crl: str = ""
    password: str = ""


def pem_files(site: Site) -> PemFiles:
    """For client libraries that take files only.

    Raises:
        ConfigError: a certificate is wanted and the connection has none, or a key of the wrong kind.
    """
    if site.connection is None:
        return PemFiles()
    extra = site.connection.extra
    made = {"authorities": _pem(site, "ca_certificate")}
    if site.source.authentication is not None:
        credentials = credentials_of(site)
        if wants_certificate(site) or extra.get("certificate"):
            check_key(credentials)
            credentials.get("certificate"), credentials.get("private_key")
            made |= {"certificate": _pem(site, "certificate"), "key": _pem(site, "private_key")}
            made["password"] = credentials.find("private_key_password")
        if credentials.tls.revocation == "crl":
            credentials.get("crl")
            made["crl"] = _pem(site, "crl")
    return PemFiles(**made)


def _pem(site: Site, name: str) -> str:
    text = str(site.connection.extra.get(name) or "") if site.connection else ""
    if not text:
        return ""
    path: Path = site.scratch / f"tls-{name}.pem"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text.strip() + "\n")
    return str(path)


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
