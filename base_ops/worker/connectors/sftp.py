"""Files on SFTP servers, through asyncssh: `sftp:///folder/*.csv`, `sftp:///~/folder/…` below the login's own folder.

The connection holds host, port, login, and a password or `private_key` (PEM text; `private_key_passphrase`) in its
extra. The server must prove itself: `host_key` in extra holds its public key as `ssh-keyscan` prints it, one or more
lines. A template says which of the two is used: `basic` and those of a directory the password, `ssh_key` the key.
`no_host_key_check: true` in extra accepts any server, in env dev only.

SFTP tells whole seconds of the last change: a file is known again by size and time, once that time is past.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient, missing_extra
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.files import Blocks, Changed, Folders, host_and_path
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.connectors.selection import Listed, shown

_CONNECT_S = 30.0
_ANSWER_S = 120.0
T = TypeVar("T")


class SftpFiles(Folders, Blocks):
    """Fetches files that match a pattern below a folder of an SFTP server, over one connection."""

    looks_twice = True

    def __init__(self, site: Site) -> None:
        try:
            import asyncssh
        except ImportError:
            raise missing_extra("asyncssh", "sftp", f"source {site.source.id}: sftp://") from None
        self.ssh = asyncssh
        super().__init__(site)
        self._options = _options(site, self.host, asyncssh)
        self._lost = (
            asyncssh.DisconnectError,
            asyncssh.ChannelOpenError,
            asyncssh.SFTPNoConnection,
            asyncssh.SFTPConnectionLost,
            OSError,
            TimeoutError,
        )
        self._lock = threading.Lock()
        self._open: tuple[Any, Any] | None = None

    def parse(self, path: str) -> PathPattern:
        self.host, path = host_and_path(self.site)
        return PathPattern.parse(path.removeprefix("/~/") if path.startswith("/~/") else path)

    def log_in(self) -> None:
        """Log in and leave."""
        with self.errors("/"), self.connected():
            self._run(lambda sftp: sftp.realpath("."))

    @contextmanager
    def connected(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._hang_up(self._open)

    def entries(self, folder: str) -> Iterator[Listed | str]:
        """Links to files are taken, links to folders are not."""
        at = f"{self.pattern.base.rstrip('/')}/{folder}" if self.pattern.base else folder or "."
        self.report.count(requests=1)
        try:
            names = self._run(lambda sftp: sftp.readdir(at))
        except (self.ssh.SFTPNoSuchFile, self.ssh.SFTPNoSuchPath):
            if folder:
                return  # gone since its parent was listed
            raise ConfigError(
                "The folder does not exist on the server", code="no_such_folder", where=self.where(at)
            ) from None
        for entry in names:
            name, attrs = entry.filename, entry.attrs
            if name in (".", "..") or "/" in name:
                continue
            if _is(stat.S_ISDIR, attrs):
                yield folder + name
            else:
                yield from self._file(folder + name, f"{at.rstrip('/')}/{name}", attrs)

    def _file(self, path: str, address: str, attrs: Any) -> Iterator[Listed]:
        if _is(stat.S_ISLNK, attrs):
            with suppress(self.ssh.SFTPNoSuchFile, self.ssh.SFTPPermissionDenied, self.ssh.SFTPFailure):
                attrs = self._run(lambda sftp: sftp.stat(address))
        if _is(stat.S_ISREG, attrs):
            mtime = attrs.mtime or 0
            yield Listed(shown(path), address, attrs.size or 0, mtime, modified=self.settled(mtime, str(mtime)))

    def block(self, file: Listed, start: int, stop: int) -> bytes:
        """The version is looked at after each read, on the very handle."""

        async def read(sftp: Any) -> bytes:
            async with await sftp.open(file.address, "rb") as handle:
                body: bytes = await handle.read(stop - start, start)
                attrs = await handle.stat()
            if (attrs.size, attrs.mtime) != (file.size, file.changed):
                raise Changed
            return body

        try:
            return self._run(read)
        except (self.ssh.SFTPNoSuchFile, self.ssh.SFTPNoSuchPath):
            raise Changed from None

    # -- the connection: one, made again where it was lost

    def _run(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        with self._lock:
            held = self._open = self._open or self._connect()
        try:
            found: T = self._sync(ask(held[1]))
            return found
        except (
            self.ssh.DisconnectError,
            self.ssh.SFTPNoConnection,
            self.ssh.SFTPConnectionLost,
            OSError,
            TimeoutError,
        ):
            with self._lock:
                if self._open is held:
                    self._open = None
            self._hang_up(held)
            raise

    def _connect(self) -> tuple[Any, Any]:
        async def connect() -> tuple[Any, Any]:
            connection = await self.ssh.connect(**self._options)
            try:
                return connection, await connection.start_sftp_client(path_errors="surrogateescape")
            except BaseException:
                connection.abort()
                raise

        self.report.count(requests=1)
        made: tuple[Any, Any] = self._sync(connect(), _CONNECT_S)
        return made

    def _hang_up(self, held: tuple[Any, Any] | None) -> None:
        async def close(connection: Any) -> None:
            connection.close()
            await connection.wait_closed()

        if held is not None:
            with suppress(OSError, self.ssh.Error, TimeoutError):
                self._sync(close(held[0]), 5.0)

    def _sync(self, waited: Awaitable[Any], timeout_s: float = _ANSWER_S) -> Any:
        """Run in fsspec's own loop, beside this thread."""
        import asyncio

        from fsspec.asyn import get_loop

        async def bounded() -> Any:
            return await asyncio.wait_for(waited, timeout_s)

        return asyncio.run_coroutine_threadsafe(bounded(), get_loop()).result()

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        ssh, where = self.ssh, self.where(path)
        try:
            yield
        except BaseOpsError:
            raise
        except ssh.HostKeyNotVerifiable:
            raise Denied(
                "The SFTP server is not the one it should be",
                code="host_key_mismatch",
                where=where,
                expected="a server with the connection's host_key",
                todo="ask its owner whether the key was changed, before you put another into the connection",
            ) from None
        except ssh.PermissionDenied:
            todo = "check login, password or private_key of the connection"
            raise Denied("The server refused the credentials", code="unauthorized", where=where, todo=todo) from None
        except ssh.SFTPPermissionDenied:
            todo = "check the login's rights to list and read"
            raise Denied("The server refuses to show this", code="forbidden", where=where, todo=todo) from None
        except (ssh.KeyExchangeFailed, ssh.ProtocolNotSupported) as error:
            raise ConfigError(
                "Client and server agree on no way to talk",
                code="no_common_algorithm",
                where=where,
                found=type(error).__name__,
            ) from None
        except (TimeoutError, OSError, ssh.Error, ssh.SFTPError) as error:
            raise Transient("SFTP failed", code="sftp_failed", where=where, found=type(error).__name__) from None


CONNECTOR = SftpFiles


def _is(kind: Callable[[int], bool], attrs: Any) -> bool:
    return attrs.permissions is not None and kind(attrs.permissions)


def _options(site: Site, host: str, ssh: Any) -> dict[str, Any]:
    """Nothing of the machine's own SSH set-up is used: no agent, no default keys, no configuration files."""
    found = site.connection
    if found is None or not found.login:
        raise ConfigError(
            f"source {site.source.id}: sftp:// needs a connection with a login",
            code="no_credentials",
            where="source.connection",
        )
    keys, kind = [], getattr(site.source.authentication, "kind", None)
    pem = found.extra.get("private_key") if kind in (None, "ssh_key") else None
    if pem:
        try:
            keys = [ssh.import_private_key(pem, found.extra.get("private_key_passphrase"))]
        except (ssh.KeyImportError, ssh.KeyEncryptionError, ValueError):
            raise _bad_key(found.name, "private_key", "a private key in PEM or OpenSSH form") from None
    return {
        "host": host,
        "port": found.port or 22,
        "username": found.login,
        "password": (found.password or None) if kind != "ssh_key" else None,
        "client_keys": keys or None,
        "agent_path": None,
        "config": None,
        "known_hosts": _known_hosts(site, ssh),
        "connect_timeout": _CONNECT_S,
        "keepalive_interval": 15,
    }


def _known_hosts(site: Site, ssh: Any) -> Any:
    """The keys the server may have; None accepts any."""
    found = site.connection
    assert found is not None
    lines = [line.strip() for line in str(found.extra.get("host_key", "")).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        if site.env == "dev" and found.extra.get("no_host_key_check") in (True, "true", "True"):
            return None
        raise ConfigError(
            "The SFTP server's key is not known, so that any server could take its place",
            code="unknown_host_key",
            where=f"source {site.source.id}, connection {found.name}, extra.host_key",
            expected="the server's public key, as ssh-keyscan prints it",
            todo="compare the key's fingerprint with the one its owner tells you, then put it there",
        )
    try:
        return [ssh.import_public_key(_key(line)) for line in lines], [], []
    except (ssh.KeyImportError, ValueError):
        raise _bad_key(found.name, "host_key", "lines such as: ssh-ed25519 AAAA…") from None


def _key(line: str) -> str:
    """The key of a known_hosts line: with or without host names before it."""
    words = line.split()
    start = next((n for n, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-", "sk-"))), 0)
    return " ".join(words[start : start + 2])


def _bad_key(connection: str, field: str, expected: str) -> ConfigError:
    return ConfigError(
        "A key of the connection cannot be read",
        code="bad_key",
        where=f"connection {connection}, extra.{field}",
        expected=expected,
    )
