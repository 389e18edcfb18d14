"""Files on FTP servers: `ftp:///folder/*.csv`, and encrypted `ftps:///…`, through the standard library's ftplib.

The connection holds host, port, login and password; without one, `ftp://host/…` logs in as anonymous. ftps uses
explicit TLS (AUTH TLS), or implicit TLS on port 990. `encoding` in the connection's extra is that of file names
(default utf-8). Plain ftp with a password is refused outside env dev.

Listed with MLSD; from servers without it, with NLST, SIZE and MDTM: two questions per file.
"""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from base_ops.core.errors import BadInput, BaseOpsError, ConfigError, Denied, Transient
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.files import Changed, Folders, host_and_path
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.connectors.selection import Listed
from base_ops.worker.connectors.tls import refuse_plain, tls_context

_CHUNK = 1 << 20
_TIMEOUT_S = 60.0
_IMPLICIT_PORT = 990
_NOT_KNOWN = ("500", "502", "504")  # no such command
_GONE = "550"


class FtpFiles(Folders):
    """Fetches files that match a pattern below a folder of an FTP server, with one connection per download."""

    looks_twice = True

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.encrypted = site.files.path.startswith("ftps:")
        if not self.encrypted and site.connection is not None and site.connection.password:
            refuse_plain(site, self.host, "ftps:// or sftp://", "ftp")
        self._mine = threading.local()
        self._all: list[ftplib.FTP] = []

    def log_in(self) -> None:
        """Log in and leave."""
        with self.errors("/"), self.connected(), self._session() as ftp:
            ftp.pwd()

    def parse(self, path: str) -> PathPattern:
        self.host, path = host_and_path(self.site)
        return PathPattern.parse(path)

    @contextmanager
    def connected(self) -> Iterator[None]:
        try:
            yield
        finally:
            for ftp in self._all:
                ftp.close()

    # -- listing

    def entries(self, folder: str) -> Iterator[Listed | str]:
        base = self.pattern.base.rstrip("/") + "/" + folder
        self.report.count(requests=1)
        try:
            with self._session() as ftp:
                found = self._mlsd(ftp, base, folder)
                if found is None:
                    found = self._nlst(ftp, base, folder)
        except ftplib.error_perm as error:
            if str(error)[:3] not in (_GONE, "501"):
                raise
            if folder:
                return  # gone since its parent was listed
            raise ConfigError(
                "The folder does not exist on the server, or may not be listed",
                code="no_such_folder",
                where=self.where(base),
            ) from None
        yield from found

    def _mlsd(self, ftp: ftplib.FTP, base: str, folder: str) -> list[Listed | str] | None:
        """None where the server does not know the command (RFC 3659 §7)."""
        try:
            lines = list(ftp.mlsd(base))
        except ftplib.error_perm as error:
            if str(error)[:3] in _NOT_KNOWN:
                return None
            raise
        found: list[Listed | str] = []
        for name, facts in lines:
            kind = facts.get("type", "").lower()
            if not name or "/" in name or name in (".", ".."):
                continue
            if kind == "dir":
                found.append(folder + name)
            elif kind == "file" and facts.get("size", "").isdecimal():
                found.append(self._listed(folder + name, base + name, int(facts["size"]), facts.get("modify")))
            elif kind.startswith("os.unix=s"):
                self.report.note("link_refused", "a link, not taken", folder + name)
        return found

    def _nlst(self, ftp: ftplib.FTP, base: str, folder: str) -> list[Listed | str]:
        """What has no size is a folder."""
        found: list[Listed | str] = []
        names = {line.rstrip("/").rsplit("/", 1)[-1] for line in ftp.nlst(base)} - {"", ".", ".."}
        ftp.voidcmd("TYPE I")  # listing has made it text, of which no size is told
        for name in names:
            self.report.count(requests=1)
            size, modified = _facts(ftp, base + name)
            found.append(folder + name if size is None else self._listed(folder + name, base + name, size, modified))
        return found

    def _listed(self, path: str, address: str, size: int, modified: str | None) -> Listed:
        changed = _seconds(modified)
        return Listed(path, address, size, changed, modified=modified and self.settled(changed, modified))

    # -- reading

    def read(self, file: Listed, start: int) -> Iterator[bytes]:
        """The version is looked at before and after."""
        self.report.count(requests=1)
        with self._session() as ftp:
            ftp.voidcmd("TYPE I")
            _same(ftp, file)
            try:
                data = ftp.transfercmd(f"RETR {file.address}", rest=start or None)
            except ftplib.error_perm as error:
                if str(error).startswith(_GONE):
                    raise Changed from None
                raise
            with contextlib.closing(data):
                while chunk := data.recv(_CHUNK):
                    yield chunk
                if isinstance(data, ssl.SSLSocket):
                    with contextlib.suppress(OSError):  # many servers just hang up; the size tells a cut
                        data.unwrap()
            ftp.voidresp()
            _same(ftp, file)

    # -- connections, one per thread

    @contextmanager
    def _session(self) -> Iterator[ftplib.FTP]:
        """This thread's connection; a failure other than the server's plain no closes it."""
        ftp = getattr(self._mine, "ftp", None) or self._connect()
        self._mine.ftp = ftp
        try:
            yield ftp
        except (Changed, ftplib.error_perm):
            raise
        except BaseException:  # also where a reader leaves half-way
            self._mine.ftp = None
            ftp.close()
            raise

    def _connect(self) -> ftplib.FTP:
        found, site = self.site.connection, self.site
        encoding = str(found.extra.get("encoding", "utf-8")) if found else "utf-8"
        port = (found.port if found else None) or 21
        if not self.encrypted:
            ftp = ftplib.FTP(timeout=_TIMEOUT_S, encoding=encoding)  # noqa: S321 - refused with credentials outside dev
        elif port == _IMPLICIT_PORT or (found and found.extra.get("tls") == "implicit"):
            ftp = _ImplicitTls(context=tls_context(site), timeout=_TIMEOUT_S, encoding=encoding)
        else:
            ftp = _Tls(context=tls_context(site), timeout=_TIMEOUT_S, encoding=encoding)
        self._all.append(ftp)
        self.report.count(requests=1)
        try:
            ftp.connect(self.host, port)
            ftp.login(found.login if found else "", found.password if found else "")
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.prot_p()
        except BaseException:
            ftp.close()
            raise
        return ftp

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        where = self.where(path)
        try:
            yield
        except BaseOpsError:
            raise
        except ssl.SSLCertVerificationError:
            raise ConfigError(
                "The server's certificate cannot be verified",
                code="bad_certificate",
                where=where,
                todo="have it corrected, or put its authority into the connection's extra.ca_certificate",
            ) from None
        except UnicodeError:
            raise BadInput(
                "The server's file names are not in the encoding that was said",
                code="bad_encoding",
                where=where,
                todo="put `encoding` into the connection's extra, e.g. latin-1",
            ) from None
        except ftplib.error_perm as error:
            status = str(error)[:3]
            if status in ("530", "331", "332", "532"):
                raise Denied(
                    "The server refused the credentials",
                    code="unauthorized",
                    where=where,
                    found=status,
                    todo="check login and password of the connection",
                ) from None
            if status == _GONE:
                raise Denied("The server refuses to show this", code="forbidden", where=where, found=status) from None
            raise ConfigError("The server refused", code="ftp_refused", where=where, found=status) from None
        except (ftplib.Error, OSError, EOFError) as error:
            found = str(error)[:3] if isinstance(error, ftplib.Error) else type(error).__name__
            raise Transient("FTP failed", code="ftp_failed", where=where, found=found) from None


CONNECTOR = FtpFiles


class _Tls(ftplib.FTP_TLS):
    """Data connections continue the session of the control connection: many servers insist on it."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = super(ftplib.FTP_TLS, self).ntransfercmd(cmd, rest)
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        return self.context.wrap_socket(connection, server_hostname=self.host, session=session), size


class _ImplicitTls(_Tls):
    """TLS from the first byte."""

    def connect(self, host: str = "", port: int = 0, timeout: float = -999, source_address: None = None) -> str:  # type: ignore[override]
        self.host = host
        plain = socket.create_connection((host, port), self.timeout)
        self.sock = self.context.wrap_socket(plain, server_hostname=host)
        self.af = self.sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome

    def login(self, user: str = "", passwd: str = "", acct: str = "", secure: bool = True) -> str:
        return super().login(user, passwd, acct, secure=False)


def _facts(ftp: ftplib.FTP, path: str) -> tuple[int | None, str | None]:
    """(SIZE, MDTM) as far as the server tells them."""
    size, modified = None, None
    with contextlib.suppress(ftplib.error_perm):
        size = ftp.size(path)
    if size is not None:
        with contextlib.suppress(ftplib.error_perm):
            modified = ftp.voidcmd(f"MDTM {path}").split()[-1]
    return size, modified


def _same(ftp: ftplib.FTP, file: Listed) -> None:
    size, modified = _facts(ftp, file.address)
    told = _seconds(modified)
    if size != file.size or (told and file.changed and int(told) != int(file.changed)):
        raise Changed


def _seconds(modified: str | None) -> float:
    """YYYYMMDDHHMMSS[.fff] in UTC (RFC 3659 §2.3) as POSIX seconds; 0 where there is none."""
    try:
        whole, _, fraction = (modified or "").partition(".")
        moment = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return moment.timestamp() + (float(f"0.{fraction}") if fraction.isdecimal() else 0.0)
    except ValueError:
        return 0.0
