"""Real servers of files, each over one local folder: OpenSSH, asyncssh, pyftpdlib; and a simulated WebHDFS."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fakes.collecting import Asked, Reply, serving, wait_until

from base_ops.worker.secrets import ConnectionInfo

PASSWORD = "a-very-secret-password"


@dataclass
class Peer:
    """A server: what a source writes, the connection, and a switch that cuts the next transfer after some bytes."""

    folder: Path
    scheme: str
    connection: ConnectionInfo
    base: str = ""
    cut_at: list[int] | None = None

    def url(self, pattern: str) -> str:
        return f"{self.scheme}://{self.base}/{pattern}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def openssh(folder: Path, work: Path) -> Iterator[Peer]:
    """sshd with its own keys and configuration; it logs this very user in, by key."""
    import asyncssh

    host, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    (work / "host").write_bytes(host.export_private_key())
    (work / "host").chmod(0o600)
    (work / "authorized").write_bytes(user.export_public_key())
    port = free_port()
    (work / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {work}/host\nAuthorizedKeysFile {work}/authorized\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = (work / "log").open("wb")
    daemon = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(work / "sshd_config")], stderr=log)
    try:
        assert wait_until(lambda: b"listening" in (work / "log").read_bytes()), (work / "log").read_text()
        extra = {
            "host_key": host.export_public_key().decode(),
            "private_key": user.export_private_key().decode(),
        }
        yield Peer(
            folder, "sftp", ConnectionInfo("drop", "127.0.0.1", port, login=getpass.getuser(), extra=extra), str(folder)
        )
    finally:
        daemon.terminate()
        daemon.wait()
        log.close()


@contextmanager
def asyncssh_server(folder: Path) -> Iterator[Peer]:
    import asyncssh
    from fsspec.asyn import get_loop

    cut_at: list[int] = []

    class Login(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("me", PASSWORD)

    class Served(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=os.fsencode(folder))

        def read(self, file_obj: object, offset: int, size: int) -> bytes:
            if cut_at and offset >= cut_at[0]:
                cut_at.clear()
                self.channel.get_connection().abort()
                raise asyncssh.SFTPFailure("gone")
            return super().read(file_obj, offset, size)  # type: ignore[return-value]

    key = asyncssh.generate_private_key("ssh-ed25519")

    async def listen() -> Any:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[key], server_factory=Login, sftp_factory=Served, config=None
        )

    def run(waited: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(waited, get_loop()).result(10)

    server = run(listen())

    async def close() -> None:
        server.close()
        await server.wait_closed()

    extra = {"host_key": "127.0.0.1 " + key.export_public_key().decode()}
    found = ConnectionInfo("drop", "127.0.0.1", server.get_port(), login="me", password=PASSWORD, extra=extra)
    try:
        yield Peer(folder, "sftp", found, "", cut_at)
    finally:
        run(close())


def certificate(work: Path) -> tuple[Path, str]:
    """(file with key and certificate of 127.0.0.1, the certificate alone as PEM)."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = built.public_bytes(serialization.Encoding.PEM)
    file = work / "server.pem"
    file.write_bytes(private + public)
    return file, public.decode()


@contextmanager
def ftp_server(folder: Path, work: Path, tls: bool = False, old: bool = False) -> Iterator[Peer]:
    """pyftpdlib; `old`: it does not know MLSD."""
    import logging
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it stands on asyncore
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler
        from pyftpdlib.servers import FTPServer

    logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
    cut_at: list[int] = []

    class Cutting:
        def send(self, data: bytes) -> int:
            if cut_at and self.tot_bytes_sent >= cut_at[0]:  # type: ignore[attr-defined]
                cut_at.clear()
                self.cmd_channel.close_when_done()  # type: ignore[attr-defined]
                self.close()  # type: ignore[attr-defined]
                return 0
            return int(super().send(data))  # type: ignore[misc]

    authorizer = DummyAuthorizer()
    authorizer.add_user("me", PASSWORD, str(folder))
    extra: dict[str, Any] = {}
    base: type[Any] = TLS_FTPHandler if tls else FTPHandler
    members: dict[str, Any] = {"authorizer": authorizer, "auth_failed_timeout": 0, "use_sendfile": False}
    members["dtp_handler"] = type("Dtp", (Cutting, TLS_DTPHandler if tls else DTPHandler), {})
    if old:
        members["proto_cmds"] = {k: v for k, v in base.proto_cmds.items() if k not in ("MLSD", "MLST")}
    if tls:
        file, extra["ca_certificate"] = certificate(work)
        members |= {"certfile": str(file), "tls_control_required": True, "tls_data_required": True}
    server = FTPServer(("127.0.0.1", 0), type("Handler", (base,), members))
    thread = threading.Thread(target=server.serve_forever, kwargs={"timeout": 0.01, "handle_exit": False}, daemon=True)
    thread.start()
    found = ConnectionInfo("drop", "127.0.0.1", server.address[1], login="me", password=PASSWORD, extra=extra)
    try:
        yield Peer(folder, "ftps" if tls else "ftp", found, "", cut_at)
    finally:
        server.close_all()
        thread.join()


@contextmanager
def webhdfs(folder: Path) -> Iterator[Peer]:
    """The four operations that reading needs, as the WebHDFS REST API (Hadoop 3.4) describes them."""
    cut_at: list[int] = []

    def status(file: Path) -> dict[str, Any]:
        facts = file.stat()
        kind = "DIRECTORY" if file.is_dir() else "FILE"
        return {
            "pathSuffix": file.name,
            "type": kind,
            "length": 0 if file.is_dir() else facts.st_size,
            "modificationTime": facts.st_mtime_ns // 1_000_000,
            "fileId": facts.st_ino,
        }

    def script(asked: Asked) -> Reply:
        if asked.params.get("user.name") != "me":
            return _remote(401, "SecurityException")
        file = folder / unquote(asked.path).removeprefix("/webhdfs/v1").lstrip("/")
        if not file.exists():
            return _remote(404, "FileNotFoundException")
        if asked.params["op"] == "LISTSTATUS":
            found = [status(f) for f in sorted(file.iterdir())]
            return Reply(body=json.dumps({"FileStatuses": {"FileStatus": found}}).encode())
        if asked.params["op"] == "GETFILESTATUS":
            return Reply(body=json.dumps({"FileStatus": status(file)}).encode())
        start, length = int(asked.params["offset"]), int(asked.params["length"])
        if "data" not in asked.params:
            where = f"{asked.path}?op=OPEN&user.name=me&offset={start}&length={length}&data=1"
            return Reply(307, headers={"Location": f"http://{asked.headers['host']}{where}"})
        body = file.read_bytes()[start : start + length]
        if cut_at and start + length > cut_at[0]:
            return Reply(body=body[: len(body) // 2], cut=bool(cut_at.pop()))
        return Reply(body=body)

    with serving(script) as server:
        found = ConnectionInfo("drop", "127.0.0.1", server.port, scheme="http", login="me")
        yield Peer(folder, "hdfs", found, "", cut_at)


def _remote(code: int, exception: str) -> Reply:
    return Reply(code, json.dumps({"RemoteException": {"exception": exception, "message": "no"}}).encode())


PEERS: dict[str, Callable[[Path, Path], Any]] = {
    "openssh": openssh,
    "asyncssh": lambda folder, _work: asyncssh_server(folder),
    "ftp": ftp_server,
    "ftps": lambda folder, work: ftp_server(folder, work, tls=True),
    "old ftp": lambda folder, work: ftp_server(folder, work, old=True),
    "webhdfs": lambda folder, _work: webhdfs(folder),
}
