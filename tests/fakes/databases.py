"""Database servers of the tests' own, from Debian's packages, on free ports, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from base_ops.worker.secrets import ConnectionInfo


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _folder(user: str | None) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="db-", dir="/tmp"))
    try:
        if user and os.getuid() == 0:
            owner = pwd.getpwnam(user)
            os.chown(path, owner.pw_uid, owner.pw_gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _server(command: list[str], folder: Path, user: str | None, is_ready: Callable[[], bool]) -> Iterator[None]:
    """Run a server until the block ends; fails with its log when it does not come up."""
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user and os.getuid() == 0 else {}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, **as_user)
    try:
        end = time.monotonic() + 60
        while not is_ready():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def _run(command: list[str], user: str | None) -> None:
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user and os.getuid() == 0 else {}
    subprocess.run(command, check=True, capture_output=True, cwd="/", **as_user)


def _owned(options: list[str], folder: Path, user: str) -> list[str]:
    """The options, once the server's user owns what was written for them."""
    if os.getuid() == 0:
        owner = pwd.getpwnam(user)
        for path in folder.glob("*.pem"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    return options


@contextmanager
def postgres_server(secured: Callable[[Path], list[str]] = lambda _: []) -> Iterator[ConnectionInfo]:
    """A PostgreSQL that trusts its superuser, and asks others on TCP for their password.

    Args: secured: given the server's folder, more options of its command.
    """
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    with _folder("postgres") as folder:
        port, data = free_port(), folder / "data"
        _run([str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"], "postgres")  # fmt: skip
        (data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder), "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", *_owned(secured(folder), folder, "postgres")]  # fmt: skip
        ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        with _server(command, folder, "postgres", lambda: subprocess.run(ready).returncode == 0):
            yield ConnectionInfo(
                "pg",
                host="127.0.0.1",
                port=port,
                login="postgres",
                schema="postgres",
                conn_type="postgres",
                extra={"sslmode": "disable", "socket": str(folder)},
            )


@contextmanager
def mariadb_server(secured: Callable[[Path], list[str]] = lambda _: []) -> Iterator[ConnectionInfo]:
    """A MariaDB whose root has a password."""
    import pymysql

    with _folder("mysql") as folder:
        port, data = free_port(), folder / "data"
        _run(["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"], "mysql")  # fmt: skip
        socket_file = folder / "s"
        command = ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}", f"--socket={socket_file}", f"--port={port}", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", *_owned(secured(folder), folder, "mysql")]  # fmt: skip

        def is_ready() -> bool:
            with socket.socket(socket.AF_UNIX) as tried:
                return tried.connect_ex(str(socket_file)) == 0

        with _server(command, folder, "mysql", is_ready):
            root = pymysql.connect(unix_socket=str(socket_file), user="root", autocommit=True)
            with root, root.cursor() as cursor:
                cursor.execute("CREATE DATABASE t CHARACTER SET utf8mb4")
                cursor.execute("CREATE USER reader IDENTIFIED BY 'reader-secret'")
                cursor.execute("GRANT ALL ON t.* TO reader")
            yield ConnectionInfo(
                "maria",
                host="127.0.0.1",
                port=port,
                login="reader",
                password="reader-secret",
                schema="t",
                conn_type="mysql",
                extra={"sslmode": "disable", "socket": str(socket_file)},
            )


@contextmanager
def redis_server(secured: Callable[[Path, int], list[str]] = lambda *_: []) -> Iterator[ConnectionInfo]:
    """A Redis with a password."""
    with _folder(None) as folder:
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "redis-secret", *secured(folder, port)]  # fmt: skip

        def is_ready() -> bool:
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", port)) == 0

        with _server(command, folder, None, is_ready):
            yield ConnectionInfo(
                "redis",
                host="127.0.0.1",
                port=port,
                password="redis-secret",
                conn_type="redis",
                extra={"sslmode": "disable"},
            )
