"""Files in Google Cloud Storage: `gs://bucket/…`, through gcsfs. Tested against a simulated server.

The connection's extra holds `keyfile_dict`, a service account's key as JSON; without a connection, the environment's
own identity is used (workload identity, GOOGLE_APPLICATION_CREDENTIALS). `token: anon` reads public buckets.
Each range is asked for of the listed generation, so that two versions are never mixed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient, missing_extra
from base_ops.worker.connections.clouds import google_credentials
from base_ops.worker.connections.credentials import credentials_of
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.files import Blocks, Changed, container_of, no_container
from base_ops.worker.connectors.selection import Listed

_DENIED = {401: "unauthorized", 403: "forbidden"}


class GcsFiles(Blocks):
    """Fetches objects that match a pattern below a prefix of a bucket."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.bucket, self.folder = container_of(self.pattern, site, "gs://bucket/…")
        try:
            import gcsfs
        except ImportError:
            raise missing_extra("gcsfs", "gs", f"source {site.source.id}: gs://") from None
        with self.errors(self.pattern.base):
            self.fs: Any = _without_retries(gcsfs.GCSFileSystem)(**_options(site))

    def listed(self) -> Iterator[Listed]:
        base = self.folder + "/" if self.folder else ""
        asked: dict[str, Any] = {"prefix": base + self.pattern.prefix, "maxResults": 1000}
        while True:
            self.report.count(requests=1)
            try:
                found = self.fs.call("GET", "b/{}/o", self.bucket, json_out=True, **asked)
            except FileNotFoundError:
                raise no_container(self, self.bucket) from None
            for item in found.get("items", ()):
                name = item["name"]
                if not name.endswith("/"):  # the mark of a folder
                    yield Listed(
                        path=name.removeprefix(base),
                        address=name,
                        size=int(item["size"]),
                        changed=datetime.fromisoformat(item["updated"]).timestamp(),
                        etag=str(item["generation"]),
                    )
            if not (token := found.get("nextPageToken")):
                return
            asked["pageToken"] = token

    def block(self, file: Listed, start: int, stop: int) -> bytes:
        ranged = {"Range": f"bytes={start}-{stop - 1}"}
        try:
            _, body = self.fs.call(
                "GET", "b/{}/o/{}", self.bucket, file.address, alt="media", generation=file.etag, headers=ranged
            )
        except (FileNotFoundError, FileExistsError):  # 404, 412: that generation is gone
            raise Changed from None
        return bytes(body)

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        import aiohttp
        from gcsfs.retry import HttpError
        from google.auth.exceptions import GoogleAuthError

        where = self.where(path)
        try:
            yield
        except (BaseOpsError, Changed):
            raise
        except GoogleAuthError as error:
            raise Denied("Google gave no token", code="unauthorized", where=where, found=type(error).__name__) from None
        except HttpError as error:
            status = int(error.code or 0)
            if status in _DENIED:
                raise Denied("Google refused", code=_DENIED[status], where=where, found=f"HTTP {status}") from None
            kind = Transient if status >= 500 or status in (0, 408, 429) else ConfigError
            raise kind("GCS could not be read", code="gs_failed", where=where, found=f"HTTP {status}") from None
        except (OSError, RuntimeError, ValueError, KeyError, aiohttp.ClientError) as error:
            if str(error).startswith("Forbidden"):
                raise Denied("Google refused", code="forbidden", where=where, found="HTTP 403") from None
            raise Transient(
                "GCS could not be read", code="gs_failed", where=where, found=type(error).__name__
            ) from None


CONNECTOR = GcsFiles


def _without_retries(kind: Any) -> Any:
    """The library would try six times with waits of its own; `Files` tries again."""
    return type(kind.__name__, (kind,), {"_request": kind._request.__wrapped__})


def _options(site: Site) -> dict[str, Any]:
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False, "access": "read_only"}
    found = site.connection
    if found is None:
        return options | {"token": "google_default"}
    if endpoint := found.extra.get("endpoint_url"):
        options["endpoint_url"] = str(endpoint)
    if site.source.authentication is not None:
        return options | {"token": google_credentials(credentials_of(site))}
    key = found.extra.get("keyfile_dict")
    try:
        key = json.loads(key) if isinstance(key, str) else key
    except ValueError:
        key = "?"
    if key is not None and not isinstance(key, dict):
        raise ConfigError(
            "The key of the connection cannot be read",
            code="bad_key",
            where=f"connection {found.name}, extra.keyfile_dict",
            expected="a service account's key as JSON",
        )
    anonymous = found.extra.get("token") == "anon"
    return options | {"token": key or ("anon" if anonymous else "google_default")}
