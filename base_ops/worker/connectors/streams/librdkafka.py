"""Bootstrap servers, TLS and SASL of a Kafka connection as settings of librdkafka."""

from __future__ import annotations

from typing import Any

from base_ops.core.errors import ConfigError
from base_ops.worker.connections.credentials import credentials_of
from base_ops.worker.connections.drivers import driver_options
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.tls import refuse_plain

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
    if site.source.authentication is not None:
        return driver_options(credentials_of(site))
    if found is None or not found.host:
        raise ConfigError(
            "Kafka needs a connection with its bootstrap servers as host",
            code="no_connection",
            where=where,
            todo="set source.connection",
        )
    hosts = [h if ":" in h else f"{h}:{found.port or 9092}" for h in (p.strip() for p in found.host.split(",")) if h]
    protocol = str(found.extra.get("security.protocol", "sasl_ssl" if found.login else "plaintext")).lower()
    settings: dict[str, Any] = {"bootstrap.servers": ",".join(hosts), "security.protocol": protocol}
    if protocol.startswith("sasl"):
        settings |= {
            "sasl.mechanism": str(found.extra.get("sasl.mechanism", "SCRAM-SHA-512")),
            "sasl.username": found.login,
            "sasl.password": found.password,
        }
    if protocol == "sasl_plaintext":
        for host in hosts:
            refuse_plain(site, host.rsplit(":", 1)[0], "security.protocol sasl_ssl", protocol)
    for name, key in _PEM.items():
        if pem := found.extra.get(name):
            settings[key] = str(pem)
    if found.extra.get("verify") in (False, "false", "False"):
        if site.env != "dev":
            raise ConfigError(
                "The brokers' certificates would not be verified",
                code="unverified_tls",
                where=f"connection {found.name}, extra.verify",
                todo="put the brokers' authority into extra.ca_certificate",
            )
        settings["enable.ssl.certificate.verification"] = False
    return settings
