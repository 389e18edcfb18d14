"""`python -m base_ops.worker.connections`: try one connection, read as JSON from standard input (see provider.py)."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, did_you_mean
from base_ops.core.settings import load_settings
from base_ops.core.spec import check
from base_ops.data_ingestion.config.sources import fill_template
from base_ops.data_ingestion.options.authentication import AnyTemplate, LdapTemplate
from base_ops.data_ingestion.options.connections import ConnectorChecks
from base_ops.data_ingestion.options.fitting import FITTING, database_of, family_of
from base_ops.data_ingestion.options.sources.source import SourceSpec
from base_ops.worker.connections.credentials import Credentials, Keyring
from base_ops.worker.connections.health import Inspector
from base_ops.worker.connections.ldap import bind
from base_ops.worker.connectors.base import Site
from base_ops.worker.secrets import ConnectionInfo, Secrets

BLOCKS: dict[str, dict[str, Any]] = {
    **{name: {"files": {"path": f"{name}:///"}} for name in ("sftp", "ftp", "hdfs")},
    **{name: {"files": {"path": f"{name}://container/"}} for name in ("s3", "gs", "abfs")},
    **{
        name: {"sql": {"database": name, "query": "SELECT 1"}}
        for name in ("postgresql", "mysql", "oracle", "sqlserver", "sqlite")
    },
    "mongo": {"mongo": {"collection": "test"}},
    "cassandra": {"cassandra": {"table": "test"}},
    "redis": {"mode": "append", "redis": {"key": "test"}},
    "influx": {"influx": {"query": ""}},
    "kafka": {"mode": "append", "kafka": {"topics": ["test"]}},
    "rabbitmq": {"mode": "append", "rabbitmq": {"queues": ["test"]}},
    "activemq": {"mode": "append", "activemq": {"queue": "test"}},
    "kinesis": {"mode": "append", "kinesis": {"stream": "test"}},
    "pubsub": {"mode": "append", "pubsub": {"subscription": "projects/test/subscriptions/test"}},
}
"""A source of each connector that is only logged in to: what it would read is never looked at."""
WEB = {"http": {"path": "/"}}
_OF_FAMILY = {"mongodb": "mongo", "aws": "s3", "azure": "abfs", "gcp": "gs", "ssh_key": "sftp"}


def try_connection(told: dict[str, Any]) -> tuple[bool, str]:
    """(whether it stands, what was seen), never a secret."""
    name, settings = str(told.get("name") or "connection"), load_settings()
    parts = {key: value for key, value in told.items() if key != "name"}
    secrets = Secrets(settings.connections, {name: parts})
    try:
        return _tried(secrets.connection(name), settings.env, secrets)
    except BaseOpsError as error:
        return False, secrets.mask(_without_names(error.text(), name))


def _tried(found: ConnectionInfo, env: str, secrets: Secrets) -> tuple[bool, str]:
    block = found.extra.get("authentication")
    template: Any = None
    if isinstance(block, dict):
        template = check(AnyTemplate, fill_template(block), f"connection {found.name}", noun="extra.authentication")
    told = str(found.extra.get("connector") or "")
    if isinstance(template, LdapTemplate) and not told:  # the directory itself
        bind(Credentials("test", found, template, env), found.host, found.port)
        return True, "the directory accepts the login"
    source = {"id": "test", "connection": found.name, **_block(found, told, template)}
    if template is not None:
        source["authentication"] = template
    with tempfile.TemporaryDirectory() as scratch:
        keyring = Keyring(remember=secrets.remember)
        made = check(SourceSpec, source, f"connection {found.name}", noun="source")
        site = Site(made, Path(scratch), found, env=env, keyring=keyring)
        standing = Inspector(site, ConnectorChecks(tries=1, list=False)).look()
    if standing.error is not None:
        raise standing.error
    return True, "; ".join(f"{step.name}: {step.told}" for step in standing.steps)


def _without_names(text: str, name: str) -> str:
    """Airflow gives a connection under test a name by chance, and the source is none of the user's."""
    return (
        text.replace("source test, ", "")
        .replace("source test: ", "")
        .replace(f"connection {name}", "this connection")
        .replace(f"The connection {name!r}", "This connection")
    )


def _block(found: ConnectionInfo, told: str, template: Any) -> dict[str, Any]:
    """By extra `connector`, else by the template, else by the connection's type; HTTP where nothing tells."""
    if told and told not in FITTING:
        raise ConfigError(
            f"The connector {told!r} is not known. {did_you_mean(told, FITTING)}",
            code="unknown_connector",
            where=f"connection {found.name}, extra.connector",
        )
    family = family_of(template) if template is not None else ""
    for name in (told, _OF_FAMILY.get(family, family), database_of(None, found.conn_type)):
        if name in BLOCKS:
            return BLOCKS[name]
    return WEB


if __name__ == "__main__":
    ok, seen = try_connection(json.loads(sys.stdin.read()))
    sys.stdout.write(json.dumps({"ok": ok, "told": seen}) + "\n")
