"""Files in Azure Blob Storage and Data Lake Gen2: `abfs://container/…`, also az:// and abfss://.

The connection holds the account's name as login and, as password, its key; or in extra a `sas_token`, a
`connection_string`, or `tenant_id` with login and password as client id and secret. Without a password the
environment's own identity is used (workload identity, managed identity). `account_url` in extra names another server.
Each range is asked for only if the blob still has the listed ETag (If-Match).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient, missing_extra
from base_ops.worker.connections.clouds import AzureToken
from base_ops.worker.connections.credentials import credentials_of
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.extras import require
from base_ops.worker.connectors.files import Blocks, Changed, container_of, no_container
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.connectors.selection import Listed
from base_ops.worker.secrets import ConnectionInfo


class AzureFiles(Blocks):
    """Fetches blobs that match a pattern below a prefix of a container."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.container, self.folder = container_of(self.pattern, site, "abfs://container/…")
        try:
            from azure.storage.blob import ContainerClient
        except ImportError:
            raise missing_extra("adlfs", "abfs", f"source {site.source.id}: abfs://") from None
        self.client: Any = _client(ContainerClient, self.container, site)

    def parse(self, path: str) -> PathPattern:
        """`container@account…/path` is the container's; the account comes from the connection."""
        container, slash, rest = path.split("://", 1)[1].partition("/")
        return PathPattern.parse(container.split("@")[0] + slash + rest)

    @contextmanager
    def connected(self) -> Iterator[None]:
        with self.client:
            yield

    def listed(self) -> Iterator[Listed]:
        from azure.core.exceptions import ResourceNotFoundError

        base = self.folder + "/" if self.folder else ""
        self.report.count(requests=1)
        try:
            for blob in self.client.list_blobs(name_starts_with=base + self.pattern.prefix, include=["metadata"]):
                if (blob.metadata or {}).get("hdi_isfolder") != "true":
                    yield Listed(
                        path=blob.name.removeprefix(base),
                        address=blob.name,
                        size=blob.size,
                        changed=blob.last_modified.timestamp(),
                        etag=blob.etag.strip('"'),
                    )
        except ResourceNotFoundError:
            raise no_container(self, self.container) from None

    def block(self, file: Listed, start: int, stop: int) -> bytes:
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

        try:
            found = self.client.download_blob(
                file.address,
                offset=start,
                length=stop - start,
                etag=f'"{file.etag}"',
                match_condition=MatchConditions.IfNotModified,
            )
            return bytes(found.readall())
        except (ResourceNotFoundError, ResourceModifiedError):
            raise Changed from None

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

        where = self.where(path)
        try:
            yield
        except (BaseOpsError, Changed):
            raise
        except ClientAuthenticationError as error:
            todo = "check the account's key or the identity's rights"
            raise Denied("Azure refused", code="unauthorized", where=where, found=_code(error), todo=todo) from None
        except HttpResponseError as error:
            status = error.status_code or 0
            if status in (401, 403):
                raise Denied("Azure refused", code="forbidden", where=where, found=_code(error)) from None
            kind = Transient if status >= 500 or status in (0, 408, 429) else ConfigError
            raise kind("Azure could not be read", code="abfs_failed", where=where, found=_code(error)) from None
        except (AzureError, OSError) as error:
            raise Transient(
                "Azure could not be read", code="abfs_failed", where=where, found=type(error).__name__
            ) from None


CONNECTOR = AzureFiles


def _code(error: Any) -> str:
    """Azure's own code, else the status: neither quotes the request."""
    return str(getattr(error, "error_code", None) or f"HTTP {error.status_code}")


def _client(kind: Any, container: str, site: Site) -> Any:
    """`Files` tries again, so the library must not."""
    found = site.connection
    if found is None:
        raise ConfigError(
            f"source {site.source.id}: abfs:// needs a connection that names the account",
            code="no_credentials",
            where="source.connection",
        )
    options = {"retry_total": 0, "connection_timeout": 10, "read_timeout": 60, "logging_enable": False}
    extra = found.extra
    try:
        if (text := extra.get("connection_string")) and site.source.authentication is None:
            return kind.from_connection_string(text, container, **options)
        url = extra.get("account_url") or f"https://{_account(site, found)}.blob.core.windows.net"
        return kind(str(url), container, credential=_credential(site, found), **options)
    except ValueError:
        raise ConfigError(
            "The connection does not say how to reach Azure",
            code="bad_credential",
            where=f"connection {found.name}",
            expected="an account's name and key, a sas_token, or a connection_string in extra",
        ) from None


def _account(site: Site, found: ConnectionInfo) -> str:
    """With a template the login is the client's id, so that the account has a name of its own."""
    name = str(found.extra.get("account_name") or ("" if site.source.authentication else found.login))
    if not name:
        raise ConfigError(
            "The connection does not name the storage account",
            code="bad_credential",
            where=f"connection {found.name}, extra.account_name",
        )
    return name


def _credential(site: Site, found: ConnectionInfo) -> Any:
    if site.source.authentication is not None:
        return AzureToken(credentials_of(site))
    if token := found.extra.get("sas_token"):
        return str(token).removeprefix("?")
    if found.extra.get("tenant_id") and found.password:
        identity = require("azure.identity", "abfs")
        return identity.ClientSecretCredential(str(found.extra["tenant_id"]), found.login, found.password)
    if found.password:
        return {"account_name": found.extra.get("account_name") or found.login, "account_key": found.password}
    return require("azure.identity", "abfs").DefaultAzureCredential()
