"""Servers that speak TLS only, each with an account that has a password and one that shows a certificate."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes import brokers, databases
from fakes.certificates import Authority

from base_ops.worker.secrets import ConnectionInfo

LOGIN, PASSWORD, CERTIFIED = "reader", "reader-secret-of-mine", "certified"


def _keys(folder: Path, authority: Authority) -> tuple[Path, Path, Path]:
    """(authorities, certificate, key) of a server on this machine."""
    issued = authority.issue()
    made = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    for path, text in zip(made, (authority.certificate, issued.certificate, issued.private_key), strict=True):
        path.touch(mode=0o600)
        path.write_text(text)
    return made


def _connection(port: int, authority: Authority, **more: str) -> ConnectionInfo:
    extra = {"ca_certificate": authority.certificate}
    return ConnectionInfo("vendor", host="127.0.0.1", port=port, login=LOGIN, password=PASSWORD, extra=extra, **more)


@contextmanager
def postgresql(authority: Authority) -> Iterator[ConnectionInfo]:
    def secured(folder: Path) -> list[str]:
        ca, certificate, key = _keys(folder, authority)
        hba = f"hostssl all {CERTIFIED} 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n"
        (folder / "data" / "pg_hba.conf").write_text(hba)
        told = {"ssl": "on", "ssl_ca_file": ca, "ssl_cert_file": certificate, "ssl_key_file": key}
        return [part for name, value in told.items() for part in ("-c", f"{name}={value}")]

    with databases.postgres_server(secured) as found:
        import psycopg

        with psycopg.connect(host=found.extra["socket"], port=found.port, user="postgres", autocommit=True) as server:
            server.execute(f"CREATE USER {LOGIN} PASSWORD '{PASSWORD}'")
            server.execute(f"CREATE USER {CERTIFIED}")
        yield _connection(found.port or 0, authority, schema="postgres")


@contextmanager
def mysql(authority: Authority) -> Iterator[ConnectionInfo]:
    def secured(folder: Path) -> list[str]:
        ca, certificate, key = _keys(folder, authority)
        return [f"--ssl-ca={ca}", f"--ssl-cert={certificate}", f"--ssl-key={key}", "--require-secure-transport=on"]

    with databases.mariadb_server(secured) as found:
        import pymysql

        with (
            pymysql.connect(unix_socket=found.extra["socket"], user="root", autocommit=True) as root,
            root.cursor() as cursor,
        ):
            cursor.execute(f"CREATE USER {LOGIN}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL")
            cursor.execute(f"CREATE USER {CERTIFIED}@'127.0.0.1' REQUIRE X509")
        yield _connection(found.port or 0, authority)


@contextmanager
def redis(authority: Authority) -> Iterator[ConnectionInfo]:
    def secured(folder: Path, port: int) -> list[str]:
        ca, certificate, key = _keys(folder, authority)
        told = {
            "port": "0", "tls-port": port, "tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": ca,
            "tls-auth-clients": "optional",
        }  # fmt: skip
        user = ["--user", LOGIN, "on", f">{PASSWORD}", "~*", "+@all"]
        return [part for name, value in told.items() for part in (f"--{name}", str(value))] + user

    with databases.redis_server(secured) as found:
        yield _connection(found.port or 0, authority)


@contextmanager
def rabbitmq(authority: Authority) -> Iterator[ConnectionInfo]:
    broker = brokers.rabbitmq()
    ca, certificate, key = _keys(broker.folder, authority)
    (broker.folder / "rabbitmq.conf").write_text(
        f"listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{broker.port}\nlog.console = true\n"
        f"ssl_options.cacertfile = {ca}\nssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n"
        "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\nssl_cert_login_from = common_name\n"
        "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n"
        f"default_user = {LOGIN}\ndefault_pass = {PASSWORD}\nload_definitions = {broker.folder}/users.json\n"
    )
    (broker.folder / "users.json").write_text(
        '{"vhosts":[{"name":"/"}],'
        f'"users":[{{"name":"{LOGIN}","password":"{PASSWORD}","tags":""}},{{"name":"{CERTIFIED}","password":"","tags":""}}],'
        '"permissions":['
        + ",".join(
            f'{{"user":"{name}","vhost":"/","configure":".*","write":".*","read":".*"}}' for name in (LOGIN, CERTIFIED)
        )
        + "]}"
    )
    (broker.folder / "enabled_plugins").write_text("[rabbitmq_auth_mechanism_ssl].\n")
    with brokers.running(broker):
        yield _connection(broker.port, authority)


@contextmanager
def kafka(authority: Authority, *, certificates: bool = False) -> Iterator[ConnectionInfo]:
    """SASL over TLS, or with `certificates` TLS that asks the client for its own."""
    issued = authority.issue()
    store = {
        "ssl.keystore.type": "PEM",
        "ssl.truststore.type": "PEM",
        "ssl.keystore.certificate.chain": issued.certificate,
        "ssl.keystore.key": issued.private_key,
        "ssl.truststore.certificates": authority.certificate,
        "ssl.client.auth": "required" if certificates else "none",
    }
    told = {name: value.strip().replace("\n", "\\n") for name, value in store.items()}
    broker = brokers.kafka(users=None if certificates else {LOGIN: PASSWORD}, tls=told)
    with brokers.running(broker):
        yield _connection(broker.port, authority)


@contextmanager
def activemq(authority: Authority) -> Iterator[ConnectionInfo]:
    broker = brokers.activemq(scheme="stomp+ssl")
    _, certificate, key = _keys(broker.folder, authority)
    store = broker.folder / "broker.p12"
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", store, "-passout", "pass:store-secret"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    at = broker.command.index("-jar")
    broker.command[at:at] = [
        f"-Djavax.net.ssl.keyStore={store}",
        "-Djavax.net.ssl.keyStorePassword=store-secret",
        "-Djavax.net.ssl.keyStoreType=PKCS12",
    ]
    with brokers.running(broker):
        found = _connection(broker.port, authority)
        yield ConnectionInfo(
            found.name, found.host, found.port, login="guest", password="guest-secret", extra=found.extra
        )


SERVERS: dict[str, Callable[[Authority], object]] = {
    "postgresql": postgresql,
    "mysql": mysql,
    "redis": redis,
    "rabbitmq": rabbitmq,
    "kafka": kafka,
    "activemq": activemq,
}
