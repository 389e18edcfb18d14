"""Files, wherever they lie: a connector says how to list and how to read from an offset; the rest is here.

    Files           listed() · read(file, start) · errors(path)
    ├── Folders     … whose listing is a walk: entries(folder)                        local, SFTP, FTP, HDFS
    └── Blocks      … which are read in ranges: block(file, start, stop)              S3, GCS, Azure, SFTP, HDFS

A download that breaks off goes on where it broke off, and only with the version that was listed: each connector
makes sure of that by ETag, generation, or size and time of the last change, else it raises Changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar
from urllib.parse import urlsplit

from base_ops.core.errors import ConfigError, Transient
from base_ops.worker.backoff import Backoff, retry
from base_ops.worker.connectors.base import Fetched, Keep, Part, Report, Site, all_at_once
from base_ops.worker.connectors.pattern import PathPattern
from base_ops.worker.connectors.selection import REASONS, Listed, wanted
from base_ops.worker.lake.landing import History

_TRIES = 4
_DEEPEST = 64
_SETTLED_S = 2.0  # coarser than the time stamps of any file system in use

Job = tuple[Listed, dict[str, str]]


class Changed(Exception):
    """A file is no longer the one that was listed."""


class Files(ABC):
    """Fetches the files that match the source's pattern, several at a time."""

    downloads: ClassVar[int] = 10
    """At most, whatever the source says."""
    looks_twice: ClassVar[bool] = False
    """Stable means: the same at two looks, `stable_s` apart. Else: unchanged for that long by a trusted time stamp."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.report = Report()
        self.pattern = self.parse(site.files.path)

    def parse(self, path: str) -> PathPattern:
        """The source's path as a pattern; `base` is what the connector lists below."""
        return PathPattern.parse(path.split("://", 1)[1])

    @abstractmethod
    def listed(self) -> Iterable[Listed]:
        """All files that may match, in any order."""

    @abstractmethod
    def read(self, file: Listed, start: int) -> Iterator[bytes]:
        """The bytes of the listed version from `start` on.

        Raises:
            Changed: it is gone or another version; also after the last byte.
        """

    def errors(self, path: str) -> AbstractContextManager[None]:
        """Tells the library's errors apart; their texts are not passed on."""
        return nullcontext()

    def connected(self) -> AbstractContextManager[object]:
        """Open while files are fetched."""
        return nullcontext()

    def fetch(self, history: History, keep: Keep) -> Report:
        with self.connected():
            found = self._listing()
            age_s = 0.0 if self.looks_twice else self.site.files.stable_s
            jobs = self._stable(list(wanted(found, self.pattern, self.site, history, self.report, age_s)))
            self._fetch_all(jobs, keep)
        return self.report

    def discover(self, history: History) -> list[Listed]:
        """The files that `fetch` would read, by one listing; `report` says what is passed over."""
        with self.connected():
            age_s = 0.0 if self.looks_twice else self.site.files.stable_s
            return [file for file, _ in wanted(self._listing(), self.pattern, self.site, history, self.report, age_s)]

    def probe(self) -> str:
        """How many files there are to fetch."""
        with self.connected():
            found = list(wanted(self._listing(), self.pattern, self.site, History(), self.report, 0.0))
        return f"{len(found)} files, {sum(file.size for file, _ in found):,} bytes"

    def _listing(self) -> list[Listed]:
        def once() -> list[Listed]:
            with self.errors(self.pattern.base):
                return sorted(self.listed(), key=lambda file: file.path)

        return retry(
            once, tries=_TRIES, backoff=Backoff(), clock=self.site.clock, longest_wait_s=0, on_retry=self._retried
        )

    def _stable(self, jobs: list[Job]) -> list[Job]:
        """Those that a second look finds as they were."""
        wait_s = self.site.files.stable_s
        if not self.looks_twice or not wait_s or not jobs:
            return jobs
        self.site.clock.sleep(wait_s)
        again = {file.path: file.version for file in self._listing()}
        stable = [job for job in jobs if again.get(job[0].path) == job[0].version]
        for file, _ in jobs:
            if again.get(file.path) != file.version:
                self.report.note("unstable_file", REASONS["unstable_file"], file.path)
        return stable

    def _fetch_all(self, jobs: list[Job], keep: Keep) -> None:
        def fetch_one(job: Job) -> None:
            try:
                keep(self._download(*job))
            except Changed:
                self.report.note("changed_while_read", REASONS["changed_while_read"], job[0].path)

        all_at_once(fetch_one, jobs, min(self.downloads, self.site.files.downloads))

    def _download(self, file: Listed, captures: dict[str, str]) -> Fetched:
        """One file on scratch, whole and of one version.

        Raises:
            Changed, Transient.
        """
        with Part(self.site, file.path) as part:
            retry(
                lambda: self._go_on(file, part),
                tries=_TRIES,
                backoff=Backoff(),
                clock=self.site.clock,
                longest_wait_s=0,
                on_retry=self._retried,
                progress=lambda: part.size,
            )
        return Fetched(file.path, part.local, part.sha256, part.size, captures, file.etag, file.modified)

    def _go_on(self, file: Listed, part: Part) -> None:
        with self.errors(file.path):
            part.extend(self.read(file, part.size))
        if part.size > file.size:
            raise Changed
        if part.size < file.size:
            raise self.cut(file.path)

    def _retried(self) -> None:
        self.report.count(retries=1)

    def cut(self, path: str) -> Transient:
        """The error for a body that ended early."""
        return Transient("A file ended early", code="cut_body", where=self.where(path))

    def where(self, path: str) -> str:
        """Source, connection and file, for errors."""
        name = f", connection {self.site.connection.name}" if self.site.connection else ""
        return f"source {self.site.source.id}{name}, file {path!r}"

    def settled(self, changed: float, modified: str) -> str | None:
        """`modified`, once no other version can have the same: time stamps are coarse."""
        return modified if self.site.clock.now().timestamp() - changed > _SETTLED_S else None


class Folders(Files):
    """Files whose listing is a walk through folders."""

    @abstractmethod
    def entries(self, folder: str) -> Iterator[Listed | str]:
        """What lies in a folder ('' or 'a/b/', below the base): files, and the paths of folders without last '/'."""

    def listed(self) -> Iterator[Listed]:
        return self._walk("", 0)

    def _walk(self, folder: str, depth: int) -> Iterator[Listed]:
        """Only as deep as the pattern can match."""
        deepest = _DEEPEST if self.pattern.depth is None else self.pattern.depth
        below = []
        for entry in self.entries(folder):
            if isinstance(entry, Listed):
                yield entry
            else:
                below.append(entry)
        if depth < deepest:
            for path in below:
                yield from self._walk(path + "/", depth + 1)


class Blocks(Files):
    """Files that are read in ranges."""

    block_bytes: ClassVar[int] = 8 << 20

    @abstractmethod
    def block(self, file: Listed, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop` of the listed version. Raises: Changed."""

    def read(self, file: Listed, start: int) -> Iterator[bytes]:
        for at in range(start, file.size, self.block_bytes):
            stop = min(at + self.block_bytes, file.size)
            self.report.count(requests=1)
            body = self.block(file, at, stop)
            if len(body) != stop - at:
                raise self.cut(file.path)
            yield body


def container_of(pattern: PathPattern, site: Site, expected: str) -> tuple[str, str]:
    """(bucket or container, folder in it) of a pattern's base.

    Raises:
        ConfigError: the pattern names none.
    """
    if not pattern.base:
        raise ConfigError(
            f"source {site.source.id}: the pattern names no bucket or container",
            code="bad_pattern",
            where="source.files.path",
            expected=expected,
        )
    bucket, _, folder = pattern.base.partition("/")
    return bucket, folder


def no_container(files: Files, name: str) -> ConfigError:
    """The error for a bucket or container that is not there."""
    return ConfigError(
        f"The bucket or container {name!r} does not exist", code="no_such_bucket", where=files.where(files.pattern.base)
    )


def host_and_path(site: Site) -> tuple[str, str]:
    """Of `scheme://[host]/path`: the host, of the connection if there is one, and the path on it.

    Raises:
        ConfigError: no host; another one than the connection's; credentials in the URL.
    """
    parts = urlsplit(site.files.path)
    own = site.connection.host if site.connection else ""
    path = site.files.path.split("://", 1)[1].removeprefix(parts.netloc)
    expected = ""
    if "@" in parts.netloc:
        expected = f"{parts.scheme}:///path, with credentials in the connection"
    elif not parts.netloc and not own:
        expected = "a connection with a host, or a full URL"
    elif own and parts.netloc not in ("", own):
        expected = "the connection's own host: its credentials are for no other"
    elif not path.startswith("/"):
        expected = f"{parts.scheme}:///path"
    if expected:
        raise ConfigError(
            f"source {site.source.id}: there is no place to look at",
            code="bad_url",
            where="source.files.path",
            expected=expected,
        )
    return own or parts.netloc, path
