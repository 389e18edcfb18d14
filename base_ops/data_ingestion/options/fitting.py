"""Which authentication template fits which connector: one table, for the check at parse, the worker and the docs.

A family is what templates of one kind share: its kind, or for databases, clouds and queues whose they are. A new
connector names its families here; an empty tuple: it needs no credentials.
"""

from __future__ import annotations

import re

from base_ops.data_ingestion.options.authentication import (
    AuthenticationTemplate,
    CloudTemplate,
    DatabaseTemplate,
    QueueTemplate,
)

FAMILIES: dict[str, tuple[str, ...]] = {
    "oauth2": ("oauth2_client_credentials", "oauth2_authorization_code", "oauth2_device_code"),
    "jwt": ("jwt_rs256", "jwt_hs256", "jwt_es256"),
    "api_key": ("api_key_header", "api_key_query", "api_key_bearer"),
    "basic": ("basic",),
    "digest": ("digest",),
    "certificate": ("mutual_tls", "client_certificate"),
    "saml2": ("saml2",),
    "ldap": ("active_directory", "openldap"),
    "postgresql": ("postgresql",),
    "mysql": ("mysql",),
    "mongodb": ("mongodb",),
    "oracle": ("oracle",),
    "aws": ("aws_iam",),
    "azure": ("azure_service_principal",),
    "gcp": ("gcp_service_account",),
    "kafka": ("kafka_sasl_ssl",),
    "rabbitmq": ("rabbitmq_tls",),
    "hmac": ("hmac_signature",),
    "token_exchange": ("token_exchange",),
    "ssh_key": ("ssh_key",),
}
"""The shipped templates of each family."""

_TOKENS = ("oauth2", "jwt", "saml2", "token_exchange", "azure", "gcp")
_REQUESTS = (*_TOKENS, "api_key", "basic", "digest", "hmac", "certificate", "ldap")

FITTING: dict[str, tuple[str, ...]] = {
    "http": _REQUESTS,
    "graphql": _REQUESTS,
    "soap": _REQUESTS,
    "sse": _REQUESTS,
    "influx": _REQUESTS,
    # its handshake is one request of which headers alone can be set
    "websocket": (*_TOKENS, "api_key", "basic", "hmac", "certificate", "ldap"),
    "postgresql": ("postgresql", "certificate", "ldap"),
    "mysql": ("mysql", "certificate", "ldap"),
    "oracle": ("oracle",),
    "sqlserver": ("basic",),
    "sqlite": (),
    "mongo": ("mongodb", "certificate", "ldap"),
    "cassandra": ("basic", "certificate", "ldap"),
    "redis": ("basic", "certificate"),
    "kafka": ("kafka", "certificate"),
    "rabbitmq": ("rabbitmq", "certificate", "ldap"),
    "activemq": ("basic", "certificate", "ldap"),
    "kinesis": ("aws",),
    "s3": ("aws",),
    "pubsub": ("gcp",),
    "gs": ("gcp",),
    "abfs": ("azure",),
    "sftp": ("basic", "ldap", "ssh_key"),
    "ftp": ("basic", "certificate", "ldap"),
    "hdfs": ("basic", "ldap"),
    "local": (),
}
"""The families that make sense for each connector; those of SQL go by the database."""

_SCHEME = re.compile(r"([a-z][a-z0-9]*)://")
_ALIASES = {"file": "local", "ftps": "ftp", "az": "abfs", "abfss": "abfs", "webhdfs": "hdfs"}
CONNECTION_TYPES = {"postgres": "postgresql", "mariadb": "mysql", "mssql": "sqlserver", "odbc": "sqlserver"}
"""Databases by the type of an Airflow connection, where it has another name."""


def connector_of_path(path: str) -> str:
    """The connector that files at a path need, by its scheme."""
    scheme = _SCHEME.match(path)
    return _ALIASES.get(scheme[1], scheme[1]) if scheme else "local"


def database_of(told: str | None, conn_type: str) -> str:
    """Which database is meant: by the source, else by its connection's type; '' where neither tells."""
    kind = conn_type.lower().split("+")[0]
    return told or CONNECTION_TYPES.get(kind, kind)


def family_of(template: AuthenticationTemplate) -> str:
    """What the templates of one kind share."""
    match template:
        case DatabaseTemplate():
            return template.engine
        case CloudTemplate():
            return template.provider
        case QueueTemplate():
            return template.broker
    return template.kind


def misfit(template: AuthenticationTemplate, connector: str) -> str | None:
    """What is wrong with a template for a connector, and which ones are right; None where nothing is.

    A connector that is not in the table takes any: whether there is such a connector is told elsewhere.
    """
    fitting = FITTING.get(connector)
    if fitting is None or family_of(template) in fitting:
        return None
    names = [name for family in fitting for name in FAMILIES[family]]
    known = f"Those that are: {', '.join(names)}" if names else f"{connector} takes no credentials: leave it out"
    return f"the template {template.template or template.kind} is not for {connector}. {known}"
