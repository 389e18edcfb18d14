"""Templates whose credentials a client library takes: its options, and a log-in to see that they are right.

LDAP (ldap.py) is tested against a directory server; the log-ins of
PostgreSQL, MySQL, MongoDB, Oracle, Kafka, RabbitMQ and AWS rest on their client libraries and have no server test yet.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from base_ops.core.errors import Transient, missing_extra
from base_ops.data_ingestion.options.connections import (
    CloudTemplate,
    DatabaseTemplate,
    LdapTemplate,
    QueueTemplate,
)
from base_ops.worker.connections.credentials import Credentials
from base_ops.worker.connections.ldap import INVALID_CREDENTIALS, escaped, simple_bind
from base_ops.worker.connections.tls import tls_context

_CONNECT_S = 10


def log_in(credentials: Credentials) -> bool:
    """Log in once and leave; False for templates that no library logs in with (HTTP).

    Raises:
        Denied: refused. Transient: nobody there. ConfigError: missing library or part of the connection.
    """
    template = credentials.template
    match template:
        case LdapTemplate():
            _ldap(credentials, template)
        case DatabaseTemplate():
            _DATABASES[template.engine](credentials)
        case QueueTemplate():
            _QUEUES[template.broker](credentials)
        case CloudTemplate(provider="aws"):
            aws_credentials(credentials)
        case _:
            return False
    return True


def driver_options(credentials: Credentials) -> dict[str, Any]:
    """Keyword arguments of the library's own connect function, for connectors: encrypted, verified, with time-outs."""
    template, found = credentials.template, credentials.connection
    host, login, password = found.host, credentials.get("login"), credentials.get("password")
    match template:
        case DatabaseTemplate(engine="postgresql"):
            return {
                "host": host, "port": found.port or template.port, "user": login, "password": password,
                "dbname": found.schema or login, "connect_timeout": _CONNECT_S, **_libpq_tls(credentials),
            }  # fmt: skip
        case DatabaseTemplate(engine="mysql"):
            return {
                "host": host, "port": found.port or template.port, "user": login, "password": password,
                "database": found.schema or None, "connect_timeout": _CONNECT_S, "ssl": tls_context(credentials),
                "max_allowed_packet": template.max_packet_bytes,
            }  # fmt: skip
        case DatabaseTemplate(engine="mongodb"):
            return {
                "host": host, "port": found.port or template.port, "username": login, "password": password,
                "authMechanism": template.mechanism or "SCRAM-SHA-256", "authSource": found.schema or "admin",
                "tls": True, "serverSelectionTimeoutMS": _CONNECT_S * 1000,
            }  # fmt: skip
        case DatabaseTemplate(engine="oracle"):
            wallet = credentials.find("wallet")
            options = {
                "user": login,
                "password": password,
                "dsn": found.schema or host,
                "tcp_connect_timeout": _CONNECT_S,
            }
            if wallet:
                return {**options, "config_dir": wallet, "wallet_location": wallet,
                        "wallet_password": credentials.find("wallet_password") or None}  # fmt: skip
            return {**options, "dsn": f"tcps://{host}:{found.port or template.port}/{found.schema}"}
        case QueueTemplate(broker="kafka"):
            kafka: dict[str, Any] = {
                "bootstrap.servers": found.host if ":" in host else f"{host}:{found.port or template.port}",
                "security.protocol": "SASL_SSL", "sasl.mechanism": template.mechanism,
                "sasl.username": login, "sasl.password": password,
                "ssl.endpoint.identification.algorithm": "https",
            }  # fmt: skip
            return {**kafka, **({"ssl.ca.pem": ca} if (ca := credentials.find("ca_certificate")) else {})}
        case QueueTemplate(broker="rabbitmq"):
            return {
                "host": host, "port": found.port or template.port, "login": login, "password": password,
                "virtualhost": found.schema or "/", "ssl": True, "ssl_context": tls_context(credentials),
                "timeout": _CONNECT_S,
            }  # fmt: skip
    raise credentials.fault(f"The template {credentials.name} is for no driver", "wrong_template")


def _libpq_tls(credentials: Credentials) -> dict[str, str]:
    """libpq verifies against a file; in env=dev a connection may say verify: false, and then go unencrypted too."""
    if credentials.connection.extra.get("verify") is False:
        tls_context(credentials)  # refuses it outside env=dev
        return {"sslmode": "prefer"}
    return {"sslmode": "verify-full", "sslrootcert": credentials.find("sslrootcert") or "system"}


def _ldap(credentials: Credentials, template: LdapTemplate) -> None:
    login = credentials.get("login")
    name = template.bind_dn.replace("{login}", escaped(login) if "={login}" in template.bind_dn else login)
    host, port = credentials.connection.host, credentials.connection.port or template.port
    try:
        code = simple_bind(host, port, tls_context(credentials), name, credentials.get("password"), template.connect_s)
    except ssl.SSLCertVerificationError as error:
        raise credentials.fault(
            "The peer's certificate cannot be verified",
            "bad_certificate",
            found=error.verify_message,
            todo="add its authority as ca_certificate to the connection",
        ) from None
    except (OSError, ValueError) as error:
        raise _not_there(credentials, type(error).__name__) from None
    if code:
        raise _told_apart(credentials, code in INVALID_CREDENTIALS, f"LDAP result code {code}")


def _postgresql(credentials: Credentials) -> None:
    psycopg = _library(credentials, "psycopg", "postgres")
    try:
        psycopg.connect(**driver_options(credentials)).close()
    except psycopg.OperationalError as error:
        refused = (error.sqlstate or "").startswith("28") or "authentication failed" in str(error)
        raise _told_apart(credentials, refused, "SQLSTATE 28P01" if refused else "OperationalError") from None


def _mysql(credentials: Credentials) -> None:
    pymysql = _library(credentials, "pymysql", "mysql")
    options = driver_options(credentials)
    try:
        pymysql.connect(**options).close()
    except pymysql.err.OperationalError as error:
        number = error.args[0] if error.args else 0
        raise _told_apart(credentials, number in (1044, 1045, 1698), f"error {number}") from None


def _mongodb(credentials: Credentials) -> None:
    pymongo = _library(credentials, "pymongo", "mongo")
    from pymongo.errors import OperationFailure, PyMongoError

    try:
        with pymongo.MongoClient(**driver_options(credentials)) as client:
            client.admin.command("ping")
    except OperationFailure as error:
        raise _told_apart(credentials, error.code in (13, 18), f"code {error.code}") from None
    except PyMongoError as error:
        raise _not_there(credentials, type(error).__name__) from None


def _oracle(credentials: Credentials) -> None:
    oracledb = _library(credentials, "oracledb", "oracle")
    try:
        oracledb.connect(**driver_options(credentials)).close()
    except oracledb.Error as error:
        code = getattr(error.args[0], "full_code", "") if error.args else ""
        raise _told_apart(credentials, code in ("ORA-01017", "ORA-28000", "ORA-28001"), code) from None


def _kafka(credentials: Credentials) -> None:
    _library(credentials, "confluent_kafka", "kafka")
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    faults: list[Any] = []
    options: dict[str, Any] = {"error_cb": faults.append, "socket.timeout.ms": _CONNECT_S * 1000}
    client = AdminClient({**driver_options(credentials), **options})
    try:
        client.list_topics(timeout=_CONNECT_S)
    except KafkaException as error:
        names = [fault.name() for fault in (*faults, error.args[0])]
        raise _told_apart(credentials, any("AUTHENTICATION" in name for name in names), names[0]) from None


def _rabbitmq(credentials: Credentials) -> None:
    aio_pika = _library(credentials, "aio_pika", "rabbitmq")
    import asyncio

    async def once() -> None:
        connection = await aio_pika.connect(**driver_options(credentials))
        await connection.close()

    try:
        asyncio.run(once())
    except Exception as error:
        name = type(error).__name__
        if isinstance(error, (OSError, TimeoutError)) or name.startswith(("AMQP", "ProbableAuth", "Connection")):
            raise _told_apart(credentials, "Auth" in name or "Refused" in name, name) from None
        raise


_DATABASES: dict[str, Callable[[Credentials], None]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "mongodb": _mongodb,
    "oracle": _oracle,
}
_QUEUES: dict[str, Callable[[Credentials], None]] = {"kafka": _kafka, "rabbitmq": _rabbitmq}


def aws_credentials(credentials: Credentials) -> dict[str, Any]:
    """Temporary credentials: of the role to assume, else those of the connection, seen to be right by STS.

    Returns:
        aws_access_key_id, aws_secret_access_key, aws_session_token (None without a role), expires_at (POSIX seconds).
    """
    boto3 = _library(credentials, "boto3", "s3")
    from botocore.exceptions import BotoCoreError, ClientError

    template = credentials.template
    assert isinstance(template, CloudTemplate)
    keys = {
        "aws_access_key_id": credentials.find("login") or None,
        "aws_secret_access_key": credentials.find("password") or None,
        "aws_session_token": credentials.find("aws_session_token") or None,
    }
    region = template.region or credentials.find("region_name") or "us-east-1"
    try:
        sts = boto3.Session(**keys, region_name=region).client("sts", endpoint_url=template.endpoint_url or None)
        if not template.role_arn:
            sts.get_caller_identity()
            return {**keys, "expires_at": None}
        answer = sts.assume_role(
            RoleArn=template.role_arn, RoleSessionName="base-ops", DurationSeconds=template.lifetime_s
        )["Credentials"]
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        raise _told_apart(credentials, status in (400, 401, 403) and code != "Throttling", code) from None
    except BotoCoreError as error:
        raise _not_there(credentials, type(error).__name__) from None
    for name in ("SecretAccessKey", "SessionToken"):
        credentials.keyring.remember(answer[name])
    return {
        "aws_access_key_id": answer["AccessKeyId"],
        "aws_secret_access_key": answer["SecretAccessKey"],
        "aws_session_token": answer["SessionToken"],
        "expires_at": answer["Expiration"].timestamp(),
    }


def _library(credentials: Credentials, name: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise missing_extra(name, extra, f"the template {credentials.name}") from None


def _told_apart(credentials: Credentials, refused: bool, found: str) -> Exception:
    return credentials.denied(found) if refused else _not_there(credentials, found)


def _not_there(credentials: Credentials, found: str) -> Transient:
    return Transient(
        "The peer cannot be reached or does not answer",
        code="unreachable",
        where=credentials.where,
        found=found,
    )
