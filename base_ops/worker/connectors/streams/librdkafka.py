"""Bootstrap servers, TLS and SASL of a Kafka connection as settings of librdkafka."""

from __future__ import annotations

from typing import Any

from base_ops.core.errors import ConfigError
from base_ops.data_ingestion.options.authentication import QueueTemplate
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.tls import pem_files, policy_of, refuse_plain, verified

_PEM = {
    "ca_certificate": "ssl.ca.pem",
    "client_certificate": "ssl.certificate.pem",
    "client_key": "ssl.key.pem",
}


def security(site: Site, where: str) -> dict[str, Any]:
    """As the source's authentication template says, else as the connection does.

    Raises:
        ConfigError: no connection; credentials in clear or unverified certificates outside env dev.
    """
    found = site.connection
    if found is None or not found.host:
        raise ConfigError(
            "Kafka needs a connection with its bootstrap servers as host",
            code="no_connection",
            where=where,
            todo="set source.connection",
        )
    hosts = [h if ":" in h else f"{h}:{found.port or 9092}" for h in (p.strip() for p in found.host.split(",")) if h]
    template = site.source.authentication
    told = found.extra.get("security.protocol", "sasl_ssl" if found.login else "plaintext")
    protocol = {"queue": "sasl_ssl", "certificate": "ssl"}.get(template.kind if template else "", str(told).lower())
    settings: dict[str, Any] = {"bootstrap.servers": ",".join(hosts), "security.protocol": protocol}
    if protocol.startswith("sasl"):
        settings |= {
            "sasl.mechanism": template.mechanism
            if isinstance(template, QueueTemplate)
            else str(found.extra.get("sasl.mechanism", "SCRAM-SHA-512")),
            "sasl.username": found.login,
            "sasl.password": found.password,
        }
    if protocol == "sasl_plaintext":
        for host in hosts:
            refuse_plain(site, host.rsplit(":", 1)[0], "security.protocol sasl_ssl", protocol)
    for name, key in _PEM.items():
        if pem := found.extra.get(name):
            settings[key] = str(pem)
    if template is not None:
        settings |= _of_policy(site)
    if not verified(site):
        settings["enable.ssl.certificate.verification"] = False
    return settings


def _of_policy(site: Site) -> dict[str, Any]:
    policy, pem = policy_of(site, able=("ciphers", "revocation")), pem_files(site)
    told = {
        "ssl.cipher.suites": ":".join(policy.ciphers),
        "ssl.certificate.location": pem.certificate,
        "ssl.key.location": pem.key,
        "ssl.key.password": pem.password,
        "ssl.crl.location": pem.crl,
        "ssl.endpoint.identification.algorithm": "https",
    }
    return {name: value for name, value in told.items() if value}
