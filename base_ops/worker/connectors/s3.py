"""Files in S3 and stores that speak its protocol, through s3fs."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from base_ops.core.errors import ConfigError, Denied, Transient, missing_extra
from base_ops.worker.backoff import Backoff, retry
from base_ops.worker.connectors.base import Fetched, Keep, Report, Site, save
from base_ops.worker.connectors.files import REASONS, Changed, Listed, wanted
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.lake.landing import History

_DOWNLOADS = 5
_TRIES = 4
_BLOCK = 8 << 20


class S3Files:
    """Fetches objects that match a pattern below an S3 prefix, five at a time."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.report = Report()
        self.pattern = PathPattern.parse(site.files.path.split("://", 1)[1])
        if not self.pattern.base:
            raise ConfigError(
                f"source {site.source.id}: the pattern names no bucket",
                code="bad_pattern",
                where="source.files.path",
                expected="s3://bucket/…",
            )
        try:
            import s3fs
        except ImportError:
            raise missing_extra("s3fs", "s3", f"source {site.source.id}: s3://") from None
        self.fs: Any = s3fs.S3FileSystem(**_options(site))
        self.fs.retries = 1  # `_ask` tries again

    def fetch(self, history: History, keep: Keep) -> Report:
        stop = threading.Event()

        def fetch_one(job: tuple[Listed, dict[str, str]]) -> None:
            try:
                if not stop.is_set():
                    keep(self._read(*job))
            except Changed:
                self.report.note("changed_while_read", REASONS["changed_while_read"], job[0].path)

        jobs = list(wanted(self._list(), self.pattern, self.site, history, self.report))
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            try:
                for _ in pool.map(fetch_one, jobs):
                    pass
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return self.report

    def _list(self) -> list[Listed]:
        """Everything below the base, with the literal start of the first pattern segment left to the server."""
        first = self.pattern.tokens[0] if self.pattern.tokens else ("", "")
        prefix = first[1].split("/")[0] if first[0] == "text" else ""
        bucket, _, folder = self.pattern.base.partition("/")
        try:
            found = self._ask(self.pattern.base, lambda: self.fs.find(self.pattern.base, prefix=prefix, detail=True))
        except FileNotFoundError:
            where = self._where(folder)
            raise ConfigError(f"The bucket {bucket!r} does not exist", code="no_such_bucket", where=where) from None
        base = self.pattern.base + "/"
        return [
            Listed(
                path=name.removeprefix(base),
                address=name.removeprefix(bucket + "/"),
                size=facts["size"],
                changed=facts["LastModified"].timestamp(),
                etag=facts["ETag"].strip('"'),
            )
            for name, facts in sorted(found.items())
            if facts["type"] == "file" and name.startswith(base)
        ]

    def _read(self, file: Listed, captures: dict[str, str]) -> Fetched:
        """Download one object in ranges, each only if it is still the listed version (If-Match).

        Raises:
            Changed: it is gone or was replaced.
        """
        bucket = self.pattern.base.split("/")[0]

        def chunk(start: int) -> bytes:
            last = min(start + _BLOCK, file.size) - 1
            asked = {
                "Bucket": bucket,
                "Key": file.address,
                "Range": f"bytes={start}-{last}",
                "IfMatch": f'"{file.etag}"',
            }
            body: bytes = self._ask(file.path, lambda: self._get(asked))
            return body

        try:
            local, digest, size = save(map(chunk, range(0, file.size, _BLOCK)), self.site, file.path)
        except FileNotFoundError:
            raise Changed from None
        if size != file.size:
            local.unlink()
            raise Transient("An S3 object ended early", code="cut_body", where=self._where(file.path))
        return Fetched(file.path, local, digest, size, captures, etag=file.etag)

    def _get(self, asked: dict[str, str]) -> bytes:
        from fsspec.asyn import sync

        answer = self.fs.call_s3("get_object", **asked)
        body = bytes(sync(self.fs.loop, answer["Body"].read))
        if answer["ETag"] != asked["IfMatch"]:  # a store that ignores the condition
            raise Changed
        return body

    def _where(self, path: str) -> str:
        return f"source {self.site.source.id}, s3 object {path!r}"

    def _ask(self, path: str, call: Callable[[], Any]) -> Any:
        """One request, tried again while the store is not ready."""

        def once() -> Any:
            self.report.count(requests=1)
            with self._errors(path):
                return call()

        return retry(
            once,
            tries=_TRIES,
            backoff=Backoff(),
            clock=self.site.clock,
            longest_wait_s=0,
            on_retry=lambda: self.report.count(retries=1),
        )

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Tell the library's errors apart; their texts are not passed on."""
        from aiohttp import ClientPayloadError
        from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

        by = f"connection {self.site.connection.name}" if self.site.connection else "the environment's AWS credentials"
        try:
            yield
        except FileNotFoundError:
            raise
        except (NoCredentialsError, PartialCredentialsError):
            raise ConfigError(
                "There are no credentials for S3",
                code="no_credentials",
                where=self._where(path),
                todo="name a connection with login and password in the source, or set AWS_ACCESS_KEY_ID and its secret",
            ) from None
        except PermissionError as error:
            raise Denied(
                f"S3 refused {by}",
                code="forbidden",
                where=self._where(path),
                found=_code(error),
                todo="check the key and its rights to list and read",
            ) from None
        except (BotoCoreError, OSError, ClientPayloadError) as error:
            if _code(error) in ("PreconditionFailed", "412"):
                raise Changed from None
            kind = ConfigError if getattr(error, "errno", None) in _OURS else Transient
            raise kind("S3 could not be read", code="s3_failed", where=self._where(path), found=_code(error)) from None


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
        client = {"region_name": found.extra.get("region_name")}
        options |= {
            "key": found.login or None,
            "secret": found.password or None,
            "token": found.extra.get("aws_session_token"),
            "endpoint_url": found.extra.get("endpoint_url"),
            "client_kwargs": {k: v for k, v in client.items() if v},
        }
    return options
