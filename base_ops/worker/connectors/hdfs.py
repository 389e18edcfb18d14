"""Files in HDFS, over WebHDFS: `hdfs:///folder/*.csv`, through fsspec.

The connection holds the name node's host and port (default 9870; 9871 encrypted), its scheme (https unless it says
http), and one of: a login (simple authentication), login and password (basic, as gateways ask for it),
`delegation_token` in extra, or `kerberos: true` there (from the ticket cache). Tested against a simulated server.

A file is known again by size, time of the last change and file id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient, missing_extra
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.files import Blocks, Changed, Folders, host_and_path
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.connectors.selection import Listed
from base_ops.worker.connectors.tls import refuse_plain

_TIMEOUT_S = 60.0


class HdfsFiles(Folders, Blocks):
    """Fetches files that match a pattern below a folder of HDFS."""

    looks_twice = True

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        try:
            import requests
            from fsspec.implementations.webhdfs import WebHDFS
        except ImportError:
            raise missing_extra("requests", "hdfs", f"source {site.source.id}: hdfs://") from None
        self.requests = requests
        self.fs: Any = WebHDFS(**self._options())

    def parse(self, path: str) -> PathPattern:
        self.host, path = host_and_path(self.site)
        return PathPattern.parse(path)

    def _options(self) -> dict[str, Any]:
        found = self.site.connection
        encrypted = found is None or found.scheme != "http"
        extra = found.extra if found else {}
        if not encrypted and found is not None and (found.password or "delegation_token" in extra):
            refuse_plain(self.site, self.host, "https", "http")
        return {
            "host": self.host,
            "port": (found.port if found else None) or (9871 if encrypted else 9870),
            "use_https": encrypted,
            "user": (found.login if found else "") or None,
            "password": (found.password if found else "") or None,
            "token": extra.get("delegation_token"),
            "kerberos": extra.get("kerberos") in (True, "true", "True"),
            "skip_instance_cache": True,
        }

    def entries(self, folder: str) -> Iterator[Listed | str]:
        at = f"{self.pattern.base.rstrip('/')}/{folder}"
        try:
            found = self._call("LISTSTATUS", at)["FileStatuses"]["FileStatus"]
        except FileNotFoundError:
            if folder:
                return  # gone since its parent was listed
            raise ConfigError("The folder does not exist", code="no_such_folder", where=self.where(at)) from None
        for facts in found:
            name = facts["pathSuffix"]
            if not name or "/" in name or name in (".", ".."):
                continue
            if facts["type"] == "DIRECTORY":
                yield folder + name
            elif facts["type"] == "FILE":
                yield self._listed(folder + name, at + name, facts)

    def _listed(self, path: str, address: str, facts: dict[str, Any]) -> Listed:
        changed, version = facts["modificationTime"] / 1000, _version(facts)
        return Listed(path, address, facts["length"], changed, modified=self.settled(changed, version))

    def block(self, file: Listed, start: int, stop: int) -> bytes:
        """The version is looked at after each read."""
        try:
            body = self._open(file.address, start, stop)
            facts = self._call("GETFILESTATUS", file.address)["FileStatus"]
        except FileNotFoundError:
            raise Changed from None
        if (facts["length"], facts["modificationTime"] / 1000) != (file.size, file.changed):
            raise Changed
        return body

    def _open(self, path: str, start: int, stop: int) -> bytes:
        """From the data node that the name node names; the connection's password is not for it."""
        answer = self.fs._call("OPEN", path=path, offset=start, length=stop - start, redirect=False)
        if (location := answer.headers.get("Location")) is None:
            return bytes(answer.content)
        answer = self.fs.session.get(location, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return bytes(answer.content)

    def _call(self, operation: str, path: str) -> dict[str, Any]:
        self.report.count(requests=1)
        answer: dict[str, Any] = self.fs._call(operation, path=path).json()
        return answer

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        where = self.where(path)
        try:
            yield
        except BaseOpsError:
            raise
        except PermissionError:
            raise Denied("HDFS refused", code="forbidden", where=where, todo="check the login and its rights") from None
        except self.requests.exceptions.SSLError:
            todo = "add the server's authority to the worker's trust store"
            raise ConfigError(
                "The server's certificate cannot be verified", code="bad_certificate", where=where, todo=todo
            ) from None
        except self.requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise Denied("HDFS refused", code="unauthorized", where=where, found=f"HTTP {status}") from None
            kind = Transient if status >= 500 or status in (408, 429) else ConfigError
            raise kind("HDFS failed", code="hdfs_failed", where=where, found=f"HTTP {status}") from None
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise Transient("HDFS failed", code="hdfs_failed", where=where, found=type(error).__name__) from None


CONNECTOR = HdfsFiles


def _version(facts: dict[str, Any]) -> str:
    return f"{facts['modificationTime']}-{facts.get('fileId', '')}"
