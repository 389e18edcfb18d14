"""Files in S3 and stores that speak its protocol, through s3fs.

The connection's login and password are the access key, with `endpoint_url`, `region_name` and `aws_session_token` in
extra; without one, the environment's credentials are used. The template `aws_iam` can assume a role.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base_ops.core.errors import BaseOpsError, ConfigError, Denied, Transient, missing_extra
from base_ops.worker.connections.clouds import aws_identity, boto_session, region_of
from base_ops.worker.connections.credentials import credentials_of
from base_ops.worker.connectors.base import Site
from base_ops.worker.connectors.files import Blocks, Changed, container_of, no_container
from base_ops.worker.connectors.selection import Listed


class S3Files(Blocks):
    """Fetches objects that match a pattern below an S3 prefix, each range only if it is still the listed version."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.bucket, self.folder = container_of(self.pattern, site, "s3://bucket/…")
        try:
            import s3fs
        except ImportError:
            raise missing_extra("s3fs", "s3", f"source {site.source.id}: s3://") from None
        self.fs: Any = s3fs.S3FileSystem(**_options(site), **_session(site))
        self.fs.retries = 1  # `Files` tries again

    def log_in(self) -> None:
        """See that the credentials are accepted."""
        aws_identity(self.site)

    def listed(self) -> list[Listed]:
        self.report.count(requests=1)
        try:
            found = self.fs.find(self.pattern.base, prefix=self.pattern.prefix, detail=True)
        except FileNotFoundError:
            raise no_container(self, self.bucket) from None
        base = self.pattern.base + "/"
        return [
            Listed(
                path=name.removeprefix(base),
                address=name.removeprefix(self.bucket + "/"),
                size=facts["size"],
                changed=facts["LastModified"].timestamp(),
                etag=facts["ETag"].strip('"'),
            )
            for name, facts in found.items()
            if facts["type"] == "file" and name.startswith(base)
        ]

    def block(self, file: Listed, start: int, stop: int) -> bytes:
        asked = {
            "Bucket": self.bucket,
            "Key": file.address,
            "Range": f"bytes={start}-{stop - 1}",
            "IfMatch": f'"{file.etag}"',
        }
        try:
            return self._get(asked)
        except FileNotFoundError:
            raise Changed from None

    def _get(self, asked: dict[str, str]) -> bytes:
        from fsspec.asyn import sync

        answer = self.fs.call_s3("get_object", **asked)
        body = bytes(sync(self.fs.loop, answer["Body"].read))
        if answer["ETag"] != asked["IfMatch"]:  # a store that ignores the condition
            raise Changed
        return body

    @contextmanager
    def errors(self, path: str) -> Iterator[None]:
        """Tell the library's errors apart; their texts are not passed on."""
        from aiohttp import ClientPayloadError
        from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

        by = f"connection {self.site.connection.name}" if self.site.connection else "the environment's AWS credentials"
        try:
            yield
        except BaseOpsError:
            raise
        except (NoCredentialsError, PartialCredentialsError):
            raise ConfigError(
                "There are no credentials for S3",
                code="no_credentials",
                where=self.where(path),
                todo="name a connection with login and password in the source, or set AWS_ACCESS_KEY_ID and its secret",
            ) from None
        except PermissionError as error:
            raise Denied(
                f"S3 refused {by}",
                code="forbidden",
                where=self.where(path),
                found=_code(error),
                todo="check the key and its rights to list and read",
            ) from None
        except (BotoCoreError, OSError, ClientPayloadError) as error:
            if _code(error) in ("PreconditionFailed", "412"):
                raise Changed from None
            kind = ConfigError if getattr(error, "errno", None) in _OURS else Transient
            raise kind("S3 could not be read", code="s3_failed", where=self.where(path), found=_code(error)) from None


CONNECTOR = S3Files

# What s3fs makes of "invalid request", "not allowed", "not implemented".
_OURS = (errno.EINVAL, errno.EPERM, errno.ENOSYS)


def _code(error: BaseException) -> str:
    """S3's own error code where it gave one, else the kind of error: neither quotes the request."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", type(error).__name__))


def _options(site: Site) -> dict[str, Any]:
    """Client options from the connection; without one, s3fs reads the standard AWS_* variables."""
    options: dict[str, Any] = {
        "skip_instance_cache": True,
        "use_listings_cache": False,
        "config_kwargs": {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 10,
            "read_timeout": 60,
        },
    }
    if (found := site.connection) is not None:
        options["endpoint_url"] = found.extra.get("endpoint_url")
        region = found.extra.get("region_name")
        if site.source.authentication is not None:
            region = region_of(credentials_of(site))
        else:
            options |= {"key": found.login or None, "secret": found.password or None}
            options["token"] = found.extra.get("aws_session_token")
        options["client_kwargs"] = {"region_name": region} if region else {}
    return options


def _session(site: Site) -> dict[str, Any]:
    """With a template, a session that renews the credentials of its role."""
    if site.source.authentication is None:
        return {}
    from aiobotocore.credentials import AioRefreshableCredentials
    from aiobotocore.session import AioSession

    return {"session": boto_session(credentials_of(site), AioSession(), AioRefreshableCredentials)}
